"""`linqbot dev`: run the emulator with its phone page, and the bot, which is restarted whenever its code is saved.

The emulator runs in this process and the bot in a child process (`dev/bot_process.py`). So a restart of the bot
loses no conversation: messages stay in the emulator, accepted deliveries stay in the bot's storage, and the emulator
retries others, as Linq would. With a real account there is no emulator: `dev/real_account.py`. With `--no-bot` there is
nothing else: `serve_emulator` below.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import tempfile
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final

import click

from linqbot.cli import logs
from linqbot.cli.kit import Opt, OptionalBotFile, command_of
from linqbot.cli.output import Whole, print_started, printable_json, require_bot
from linqbot.cli.storage_option import folder_prefix
from linqbot.errors import ConfigError
from linqbot.server import uvicorn_server
from linqbot.server.secret_file import write_private
from linqbot_dev.dev.bot_process import BotProcess, note_end
from linqbot_dev.dev.processes import Needs, bots_socket
from linqbot_dev.dev.runner import DevRunner
from linqbot_dev.dev.session import MESSAGES, Session
from linqbot_dev.emulator.declared_world import DeclaredWorld, read_world
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app


def _name(value: str) -> str:
    name = value.lower().removeprefix("[").removesuffix("]")
    if name.count(":") == 1 or not re.fullmatch(r"[a-z0-9_.:-]+", name):
        raise click.BadParameter(f"{value!r} is not a host. Write a name or an IP address alone, such as mybox.local.")
    return name


_FILE: Final = click.Path(dir_okay=False, path_type=Path)


def dev(
    file: OptionalBotFile,
    *,
    as_json: bool,
    host: Annotated[str, Opt("Address of the phone page.")] = "127.0.0.1",
    port: Annotated[int | None, Opt("Port of the phone page. Default: 4010.", type=Whole(0, 65535))] = None,
    names: Annotated[
        tuple[str, ...],
        Opt(
            "Another name or address under which the page may be opened, such as mybox.local; repeatable.",
            "--allow-host",
            "NAME",
            _name,
        ),
    ] = (),
    reload: Annotated[bool, Opt("Restart the bot when a file is saved. On by default.", "--reload/--no-reload")] = True,
    line: Annotated[
        str | None,
        Opt(
            "Use a line of your real account, over the relay of Linq's own CLI: no tunnel.", metavar="[NUMBER]", bare=""
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        Opt(
            "Use your real account: Linq delivers to URL, and a tunnel that you run leads from there to this machine.",
            metavar="URL",
        ),
    ] = None,
    no_bot: Annotated[bool, Opt("Run the emulator alone, for a bot that runs elsewhere or without linqbot.")] = False,
    api_key: Annotated[
        str | None,
        Opt("With --no-bot: accept this bearer token only. Default: LINQ_API_V3_API_KEY, or else any token."),
    ] = None,
    state: Annotated[
        Path | None, Opt("With --no-bot: load the state from this JSON file and write it back on exit.", type=_FILE)
    ] = None,
    world: Annotated[
        Path | None,
        Opt("Begin with the people, groups and lines of this JSON or TOML file: see docs/testing.md.", type=_FILE),
    ] = None,
    terminal: Annotated[
        bool, Opt("Also talk to the bot here: each line is a text, and the end of the lines ends it.")
    ] = False,
) -> None:
    """Try the bot in FILE, by default bot.py, on an emulated phone in the browser. No account, no token, no tunnel.

    With --line or --public-url, try the bot with your real account, which is subscribed to your machine while it runs.
    With --public-url it listens on LINQBOT_PORT.

    With --no-bot, run the emulator alone: Linq's API at /v3 and /api/partner/v3, the phone page at /, the control API at
    /emulator. linqbot's page docs/coming-from.md says how a bot without linqbot uses it.
    """
    is_real = line is not None or public_url is not None
    if world is not None and (is_real or state is not None):
        raise click.UsageError("--world goes with none of --line, --public-url and --state: they have their own world.")
    if terminal and (no_bot or is_real or as_json):
        raise click.UsageError("--terminal goes with none of --no-bot, --line, --public-url and --json.")
    declared = None if world is None else read_world(world)
    page_port = 4010 if port is None else port
    if is_real and (no_bot or None not in (line, public_url)):
        raise click.UsageError(
            "Give one of --line, --public-url and --no-bot: with a real account there is no emulator."
        )
    if no_bot:
        api_key = api_key or os.environ.get("LINQ_API_V3_API_KEY") or None
        serve_emulator(host, page_port, names, api_key=api_key, state=state, declared=declared, as_json=as_json)
        return
    if state is not None:
        raise click.UsageError("--state goes with --no-bot.")
    ctx = click.get_current_context()
    file = require_bot(ctx, ctx.command.params[0], file)
    path = Path(file.partition(":")[0])
    watched = path.resolve().parent if reload else None
    if not path.is_file():
        # Imported here: this process does not load the bot.
        from linqbot.ops.bot_file import require_file

        require_file(file)
    logs.configure("warning", "json" if as_json else "auto")
    if not as_json:
        click.secho(f"  Starting {file} …", dim=True, err=True)
    if is_real:
        from linqbot_dev.dev import real_account  # a bot on the emulator does not need it

        if line is not None:
            real_account.on_line(file, line, watched, as_json=as_json)
        else:
            real_account.behind_tunnel(file, str(public_url), port, watched, as_json=as_json)
        return
    with uvicorn_server.listen(host, page_port) as page, bots_socket() as (bot_port, bound):
        open_at = exposed(page, host, names)
        warn(open_at, "the phone page and the control API", as_json=as_json)
        with tempfile.TemporaryDirectory(prefix=folder_prefix()) as folder:
            bot = BotProcess(file, open_at.here, bot_port, Path(folder), as_json=as_json, bound=bound)
            session = EmulatorSession(bot, watched, page, [host, *names], declared, terminal)
            asyncio.run(session.run())


@dataclass
class EmulatorSession(Session):
    """A session with the emulator, whose page is served until a signal; with `terminal` also until the end of the lines."""

    page: socket.socket
    hosts: list[str]
    declared: DeclaredWorld | None
    terminal: bool

    def __post_init__(self) -> None:
        bot = self.bot
        self.phone = bot.emulator
        self.emulator = emulator = Emulator(public_url=bot.emulator, declared=self.declared)
        self.subscription = emulator.subscribe(f"{bot.url}/webhooks/linq?version=2026-02-03", (MESSAGES,))
        bot.webhook_secret = self.subscription.secret
        emulator.runner = self.runner = DevRunner(emulator, bot, self.begin_for_page)
        app = create_app(emulator, allowed_hosts=self.hosts)
        self.serving = serving = uvicorn_server.Server(app, before_exit=self.stop_answering)
        bot.is_ending = lambda: serving.should_exit
        bot.on_start = lambda: partial(note_end, bot, emulator, emulator.bot)

    async def begin_for_page(self) -> None:
        if (needs := await self.bot.begin()) is not None:
            await self.sync(needs)

    def stop_answering(self) -> None:
        self.runner.stop_moving()
        self.emulator.end_streams()

    async def open(self) -> None:
        self.server = asyncio.create_task(self.serving.serve(self.page))

    def passing_on(self) -> Iterable[Awaitable[None]]:
        yield asyncio.shield(self.server)  # `remove` stops it, so that it ends its responses
        if self.terminal:
            yield self.talk()

    async def talk(self) -> None:
        """Let the author talk to the bot in the terminal, once it has been started."""
        from linqbot_dev.dev.terminal import converse  # few ask for it

        await self.was_tried.wait()
        await converse(self.emulator)

    async def sync(self, needs: Needs) -> None:
        """Deliver what came while the bot was away at once: an author who corrects a file should not wait for Linq's retry."""
        self.emulator.change_events(self.subscription, list(dict.fromkeys((MESSAGES, *needs.types))))
        self.emulator.retry_unanswered(self.subscription)

    async def remove(self) -> None:
        self.serving.should_exit = True
        await asyncio.wait({self.server})
        await self.runner.aclose()


def serve_emulator(
    host: str,
    port: int,
    names: tuple[str, ...],
    *,
    api_key: str | None,
    state: Path | None,
    declared: DeclaredWorld | None,
    as_json: bool,
) -> None:
    """Serve the emulator until the process is stopped.

    Args:
        names: More names under which the page may be opened.
        api_key: The only bearer token that is accepted; None for any.
        state: A JSON file to load the state from, and to write it to at the end.
        declared: The people, groups and lines at the beginning; None is two lines.
    """
    logs.configure("warning", "auto")
    if state is not None and not state.parent.is_dir():
        raise ConfigError(f"The folder of the state {state} does not exist. Create it, or change the path.")
    with uvicorn_server.listen(host, port) as bound:
        open_at = exposed(bound, host, names)
        # A bot on another machine reaches the emulator, and the files it serves, under the name that was given.
        address = open_at.elsewhere[0] if names and open_at.is_open else open_at.here
        emulator = Emulator(api_key=api_key, public_url=address, declared=declared)
        if state is not None and state.exists():
            emulator.reset(_read(state))
        if as_json:
            print_started({"phone": address, "api": f"{address}/api/partner", "control": f"{address}/emulator"})
        else:
            click.echo(f"Linq emulator on {address}")
        warn(
            open_at,
            "the phone page and the control API" if api_key else "the phone page, the control API and Linq's API",
            as_json=as_json,
        )
        app = create_app(emulator, allowed_hosts=[host, *names])
        uvicorn_server.run(app, bound, before_exit=emulator.end_streams)
        if state is not None:
            # 0600, because it holds signing secrets. A text may hold half an emoji, which UTF-8 does not take as it is.
            write_private(state, printable_json(emulator.save_state(), indent=1).encode())


def _read(file: Path) -> dict[str, Any]:
    try:
        state = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file} cannot be read as JSON: {error}. Correct it, or remove it to begin with an empty state."
        ) from error
    if not isinstance(state, dict):
        raise ConfigError(f"{file} holds no JSON object. It has lists such as phone_numbers and chats.")
    return state


@dataclass(frozen=True, slots=True)
class Exposed:
    here: str  # the address for this machine
    elsewhere: tuple[str, ...]  # addresses under the names that were given
    is_open: bool  # True if other machines can connect
    port: int


def exposed(bound: socket.socket, host: str, names: Sequence[str]) -> Exposed:
    """Return the addresses at which a bound port can be opened; `names` are more names for it."""
    number, port = bound.getsockname()[:2]
    address = ip_address(number.partition("%")[0])
    here = ("127.0.0.1" if bound.family == socket.AF_INET else "::1") if address.is_unspecified else host
    first, *others = [f"http://{uvicorn_server.host_and_port(name, port)}" for name in (here, *names)]
    return Exposed(first, tuple(others), not address.is_loopback, port)


def warn(what: Exposed, parts: str, *, as_json: bool) -> None:
    """Warn on standard error that other machines can connect: under which names, and how to avoid that.

    `parts` ask for no password, such as "the phone page".
    """
    if not what.is_open:
        return
    problem = (
        f"Every machine that reaches port {what.port} of this one can open {parts} without a password: it can read all "
        "conversations, write as any person, and delete everything."
    )
    fix = (
        f"Use it only in a network that you trust. Without --host only this machine can open it, and another one through "
        f"`ssh -L {what.port}:127.0.0.1:{what.port} THIS_MACHINE`."
    )
    if as_json:
        warning = {"what": problem, "fix": fix, "addresses": what.elsewhere}
        click.echo(json.dumps({"warning": warning}, ensure_ascii=False), err=True)
    else:
        where = f"\nFrom other machines: {', '.join(what.elsewhere)}" if what.elsewhere else ""
        click.secho(f"Warning: {problem}\n{fix}{where}", fg="yellow", err=True)


command: Final = command_of(dev, "dev")
