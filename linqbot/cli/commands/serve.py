"""`linqbot serve`: run a bot in production, with settings from the environment and linqbot.toml.

The app is `linqbot.server.app`, the HTTP server `linqbot.server.uvicorn_server`.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from typing import Final, get_args

import click
from starlette.applications import Starlette

from linqbot.cli import logs
from linqbot.cli.logs import log_uncaught
from linqbot.cli.output import Whole, file_argument, json_option, print_started
from linqbot.client.call import prepare
from linqbot.client.client import Client
from linqbot.errors import ConfigError, LinqApiError
from linqbot.hookspecs import Listener
from linqbot.ops.bot_file import load_bot, log_opt_outs
from linqbot.options import Role
from linqbot.server import loop_watch, systemd, uvicorn_server
from linqbot.server.listeners import serve as serve_listener
from linqbot.settings import LINQS_OWN, Settings, from_env, variable

_WRONG_KEY: Final = (
    "Linq does not accept LINQ_API_V3_API_KEY. Set it to the API token from your Linq dashboard, and restart; or write the "
    "token into the file of LINQ_API_V3_API_KEY_FILE, without a restart. Messages are stored and wait until then."
)


class _WithSettings(click.Command):
    """A command whose help ends with a list of all settings."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name, field in Settings.model_fields.items():
            shown = "" if field.default in (None, (), "") else f"  [default: {field.default}]"
            in_file = f"  [linqbot.toml: {name}]" if name in LINQS_OWN else ""
            rows.append((variable(name), f"{field.description}{shown}{in_file}"))
        with formatter.section("Settings, from the environment or linqbot.toml (as drain_s)"):
            formatter.write_dl(rows, col_max=32)


@click.command("serve", cls=_WithSettings)
@file_argument
@click.option("--host", help="Address to listen on; overrides LINQBOT_HOST.")
@click.option("--port", type=Whole(0, 65535), help="Port to listen on; overrides LINQBOT_PORT.")
@click.option(
    "--role",
    type=click.Choice(get_args(Role)),
    help="all, or the part that this process does of a bot in PostgreSQL; overrides LINQBOT_ROLE.",
)
@click.option("--page", is_flag=True, help="Also serve the operator's page, of linqbot-operator, on LINQBOT_PAGE_PORT.")
@json_option
def command(*, file: str, host: str | None, port: int | None, role: Role | None, page: bool, as_json: bool) -> None:
    """Run the bot in FILE: bot.py, which is the default, bot.py:name or package.module:name.

    Webhooks arrive at /webhooks/linq. The health checks are /livez and /readyz.
    """
    settings = from_env(host=host, port=port, role=role)
    logs.configure_server(settings, as_json=as_json)

    def say_waiting(busy: int) -> None:
        # For the person who has pressed Ctrl-C. A service manager knows that it waits.
        if settings.drain_s and not as_json and sys.stderr.isatty():
            handlers = "1 handler" if busy == 1 else f"{busy} handlers"
            again = "Press Ctrl-C again to end at once."
            with suppress(OSError):  # the terminal may be gone
                click.echo(f"Waiting for {handlers}, at most {settings.drain_s:g} s. {again}", err=True)

    page = page or settings.page
    _require_operator(settings, page=page)
    bot = load_bot(file)
    log_opt_outs(bot)
    app = settings.create_app(bot, on_drain=say_waiting)
    log_uncaught(with_tracebacks=settings.log_tracebacks)
    listeners = _listeners(app, settings, page=page)
    tasks: list[asyncio.Task[None]] = []  # the event loop itself holds tasks only weakly
    with ExitStack() as sockets:
        bound = sockets.enter_context(systemd.inherited() or uvicorn_server.listen(settings.host, settings.port))
        opened = [
            (each, of_it, sockets.enter_context(uvicorn_server.listen(settings.host, each.port, setting=each.setting)))
            for each, of_it in listeners
        ]

        def ready() -> None:
            # Only now: a start that fails has no address.
            address = uvicorn_server.address(bound)
            webhook = None if settings.role == "work" else f"{address}/webhooks/linq"
            others = [(each, uvicorn_server.address(at)) for each, _, at in opened]
            with suppress(OSError):  # a full disk below the log must not end the bot
                if as_json:
                    more = {each.name: at for each, at in others}
                    print_started({"bot": file, "webhook": webhook, "role": settings.role} | more)
                elif webhook is None:
                    click.echo(f"linqbot works for {file}, with health checks on {address}/readyz", err=True)
                else:
                    click.echo(f"linqbot serves {file} on {webhook}", err=True)
                if not as_json:
                    for each, at in others:
                        click.echo(f"{each.title} is on {at}", err=True)
            loop = asyncio.get_running_loop()
            tasks.append(loop.create_task(_check_key(settings)))
            tasks.extend(loop.create_task(serve_listener(*each)) for each in opened)

        uvicorn_server.run(
            app,
            bound,
            trusted_proxies=settings.trusted_proxies,
            when_ready=ready,
            drain_s=settings.drain_s,
            around=loop_watch.watching,
        )


def _listeners(app: Starlette, settings: Settings, *, page: bool) -> list[tuple[Listener, Starlette]]:
    """Return the listeners that plugins add, each with its app.

    Raises:
        ConfigError: the page is asked for and no plugin has one, or a listener cannot be opened with these settings.
    """
    found: list[tuple[Listener, Starlette]] = app.state.added_listeners(page=page)
    for each, _ in found:
        # Two sockets may be bound to one port, and only the second that listens would fail.
        if each.port == settings.port != 0:
            raise ConfigError(
                f"{each.setting} and the port of the bot are both {each.port}. Set {each.setting} to another port."
            )
    if page and all(each.name != "page" for each, _ in found):
        raise ConfigError(
            "The page needs the plugin operator, which is not active. Add it to LINQBOT_PLUGINS, or correct what the log says of it."
        )
    return found


def _require_operator(settings: Settings, *, page: bool) -> None:
    """Raise ConfigError if the page is asked for or has settings, and its package is not installed."""
    wanting = [variable(name) for name in sorted(settings.model_fields_set) if name.startswith("page_")]
    if page:
        wanting.insert(0, variable("page") if settings.page else "--page")
    if wanting and find_spec("linqbot_operator") is None:
        from linqbot.installing import plugin_advice

        raise ConfigError(
            f"{wanting[0]} needs the package linqbot-operator, which is not installed. {plugin_advice('linqbot-operator')}"
        )


async def _check_key(settings: Settings) -> None:
    """Log an error if Linq refuses the API key. Otherwise the first sign of it would be a message that waits."""
    import structlog  # imported here, after `logs`, which keeps structlog from importing rich

    async with Client(settings.api_key or "", base_url=settings.base_url) as client:
        try:
            await client.run(prepare("phone_numbers.list"))  # without its types, which take a twentieth of the start
        except LinqApiError as error:
            # Any other error may heal, and concerns the turns that meet it.
            if error.status == 401:
                log = structlog.get_logger("linqbot.cli")
                log.error("key.refused", code=error.code, trace_id=error.trace_id, what_to_do=_WRONG_KEY)
