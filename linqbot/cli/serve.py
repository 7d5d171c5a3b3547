"""`linqbot serve`: a bot in production, settings from the environment."""

from __future__ import annotations

import click

from linqbot.cli import http, logs, words
from linqbot.cli.load import load_bot
from linqbot.settings import Settings, from_env, variable


def _settings_help() -> str:
    lines = ["\b", "Settings, from the environment or from linqbot.toml:"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if default in (None, (), "") else f" [{default}]"
        lines.append(f"  {variable(name):<32} {field.description}{shown}")
    return "\n".join(lines)


@click.command("serve", epilog=_settings_help())
@click.argument("file", shell_complete=words.bot_files)
@click.option("--host", help="Address to listen on; overrides LINQBOT_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; overrides LINQBOT_PORT.")
def command(file: str, host: str | None, port: int | None) -> None:
    """Run the bot in FILE: bot.py, bot.py:name or package.module:name.

    Webhooks arrive at /webhooks/linq; /livez and /readyz tell how it is.
    """
    settings = from_env(host=host, port=port)
    logs.configure(settings.log_level, settings.log_format)
    app = settings.create_app(load_bot(file))
    with http.listen(settings.host, settings.port) as bound:
        address = f"http://{settings.host}:{bound.getsockname()[1]}"
        click.echo(f"linqbot serves {file} on {address}/webhooks/linq", err=True)
        http.run(app, bound, trusted_proxies=settings.trusted_proxies)
