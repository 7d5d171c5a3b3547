"""`linqbot dev`: run the emulator with its phone page, and the bot, which is restarted whenever its code is saved.

The emulator runs in this process and the bot in a child process (`cli/dev/bot.py`). So a restart of the bot loses no
conversation: messages stay in the emulator, accepted deliveries stay in the bot's storage, and the emulator retries
others, as Linq would. With `--public-url` there is no emulator: `cli/dev/public.py`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import httpx
import watchfiles

from linqbot.cli import completions, logs
from linqbot.cli.exposed import allow_host_option, exposed, warn
from linqbot.cli.output import json_option, print_started
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app
from linqbot.errors import ConfigError
from linqbot.events.parse import EVENT_TYPES
from linqbot.server import uvicorn_server

STOP_S = 5.0
"""Seconds that the bot may take to stop before it is killed. Its storage survives that too."""


@click.command("dev")
@click.argument("file", shell_complete=completions.bot_files)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the phone page.")
@click.option("--port", default=4010, show_default=True, type=click.IntRange(0, 65535), help="Port of the phone page.")
@allow_host_option
@click.option("--reload/--no-reload", default=True, show_default=True, help="Restart the bot when a file is saved.")
@click.option(
    "--public-url",
    metavar="URL",
    help="Use your real account: Linq delivers to URL, and a tunnel that you run leads from there to this machine.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    file: str,
    host: str,
    port: int,
    names: tuple[str, ...],
    reload: bool,
    public_url: str | None,
    as_json: bool,
) -> None:
    """Try the bot in FILE on an emulated phone in the browser. No account, no token, no tunnel.

    With --public-url, try the bot with your real account: it is subscribed while it runs, and listens on LINQBOT_PORT.
    """
    path = Path(file.partition(":")[0])
    if not path.is_file():
        raise ConfigError(f"There is no file {path}. Give the path of the Python file with your bot, such as bot.py.")
    logs.configure("warning", "json" if as_json else "auto")
    if public_url is not None:
        is_given = ctx.get_parameter_source("port") is not click.core.ParameterSource.DEFAULT
        _with_account(
            file, public_url, port if is_given else None, path.resolve().parent, reload=reload, as_json=as_json
        )
        return
    uvicorn_server.outlive_signals()
    with uvicorn_server.listen(host, port) as page, uvicorn_server.listen("127.0.0.1", 0) as reserved:
        bot_port = reserved.getsockname()[1]
        reserved.close()
        open_at = exposed(page, host, names)
        warn(open_at, "the phone page and the control API", as_json=as_json)
        with tempfile.TemporaryDirectory(prefix="linqbot-dev-") as folder:
            asyncio.run(
                _dev(
                    _Bot(file, open_at.here, bot_port, Path(folder), as_json=as_json),
                    path.resolve().parent,
                    page,
                    [host, *names],
                    reload=reload,
                )
            )


def _with_account(file: str, public_url: str, port: int | None, watched: Path, *, reload: bool, as_json: bool) -> None:
    # Imported here: a bot on the emulator does not need it.
    from linqbot.cli.dev import public
    from linqbot.settings import from_env

    settings = from_env(port=port)
    bot = _Bot(file, "", settings.port, Path(), as_json=as_json, instead=public.environ(settings))
    asyncio.run(public.run(bot, settings, public_url, watched, reload=reload))


@dataclass(slots=True)
class _Bot:
    """The child process that serves the bot.

    Attributes:
        emulator: URL of the emulator; empty with a real account.
        instead: Environment variables that replace those for the emulator.
    """

    file: str
    emulator: str
    port: int
    folder: Path
    api_key: str = "dev_" + secrets.token_hex(12)
    webhook_secret: str = ""
    process: asyncio.subprocess.Process | None = None
    as_json: bool = False
    instead: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        environ = os.environ | {
            "LINQ_API_V3_API_KEY": self.api_key,
            "LINQ_API_V3_BASE_URL": f"{self.emulator}/api/partner",
            "LINQ_WEBHOOK_SECRET": self.webhook_secret,
            "LINQBOT_STORAGE": f"sqlite:///{self.folder / 'dev.db'}",
            "LINQBOT_HOST": "127.0.0.1",
            "LINQBOT_PORT": str(self.port),
            "LINQBOT_DRAIN_S": "1",
            "LINQBOT_LOG_TRACEBACKS": "1",
            **self.instead,
        }
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "linqbot.cli.dev.bot",
            self.file,
            *(["--json"] if self.as_json else []),
            env=environ,
        )

    async def stop(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def is_up(self) -> bool:
        """Wait until the bot answers or its process ends. Return True if it answers."""
        async with httpx.AsyncClient(trust_env=False) as client:
            while self.process is not None and self.process.returncode is None:
                with suppress(httpx.TransportError):
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return True
                await asyncio.sleep(0.05)
        return False


async def _dev(bot: _Bot, watched: Path, page: socket.socket, hosts: list[str], *, reload: bool) -> None:
    emulator = Emulator(public_url=bot.emulator)
    events = [name for name in EVENT_TYPES if not name.startswith("webhook_subscription.")]
    bot.webhook_secret = emulator.subscribe(f"{bot.url}/webhooks/linq?version=2026-02-03", events).secret
    serving = uvicorn_server.server(
        create_app(emulator, allowed_hosts=hosts), graceful_s=1, before_exit=emulator.end_streams
    )
    server = asyncio.create_task(serving.serve(sockets=[page]))
    try:
        await bot.start()
        up = asyncio.create_task(bot.is_up())
        await asyncio.wait({up, server}, return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            return
        if up.result():
            _print_ready(bot)
        elif not reload:
            raise ConfigError(f"{bot.file} did not start. Its error is shown above.")
        else:
            _print_not_started(bot)
        changes = asyncio.create_task(_reload(bot, watched)) if reload else None
        await server
        if changes is not None:
            changes.cancel()
            with suppress(asyncio.CancelledError):
                await changes
    finally:
        await bot.stop()


async def _reload(bot: _Bot, watched: Path) -> None:
    async for _ in watchfiles.awatch(watched, watch_filter=watchfiles.PythonFilter(), debounce=200, step=50):
        await bot.stop()
        await bot.start()
        if await bot.is_up():
            _print_ready(bot, again=True)
        else:
            _print_not_started(bot)


def _print_ready(bot: _Bot, *, again: bool = False) -> None:
    if bot.as_json:
        print_started(
            {"bot": bot.file, "phone": bot.emulator, "webhook": f"{bot.url}/webhooks/linq", "reloaded": again}
        )
    elif again:
        click.secho(f"  Reloaded. Text your bot: {bot.emulator}", fg="green", err=True)
    else:
        click.echo(f"\n  Text your bot: {click.style(bot.emulator, fg='cyan', bold=True)}\n", err=True)


def _print_not_started(bot: _Bot) -> None:
    if bot.as_json:
        return  # the bot's process has printed its error, as JSON
    click.secho(
        f"  {bot.file} did not start. Correct it and save. The page stays at {bot.emulator}", fg="red", err=True
    )
