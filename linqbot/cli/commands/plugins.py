"""`linqbot plugins`: what is plugged in, who says what to an event, and which plugin breaks one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any

import click
from pydantic_core import to_json

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.router import Next
from linqbot.cli import logs
from linqbot.cli.output import facts, json_option, opened, storage_option, table
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.errors import ConfigError, StorageError
from linqbot.events.delivery import Delivery
from linqbot.events.parse import EVENT_TYPES
from linqbot.ops.bisect import Bisection
from linqbot.ops.bot_file import load_bot
from linqbot.ops.simulate import AS, Observer, Simulation, simulate
from linqbot.server.app import create_app
from linqbot.settings import Settings, from_env, openers
from linqbot.storage.memory import MemoryStorage
from linqbot.testing import samples

reads_option = click.option(
    "--reads", is_flag=True, help="Let handlers and plugins ask Linq and fetch media; nothing is sent."
)
timeout_option = click.option(
    "--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds one run of the event may take."
)


@click.group("plugins")
def command() -> None:
    """Look at what is plugged in, and find out which plugin breaks an event."""
    logs.configure("critical", "auto")


@command.command("list")
@click.argument("file", required=False)
@json_option
def list_(file: str | None, as_json: bool) -> None:
    """List the plugins that are installed, and those the bot in FILE brings or names.

    All are loaded and asked what they add, as when the bot is served.
    """

    settings = from_env()
    bot = load_bot(file) if file else Bot()
    plugins = settings.load_plugins(bot.plugins, lenient=True)
    openers(plugins)
    # Asks for all that is left, as a start would; nothing is opened.
    client = Client(settings.api_key or "nobody", base_url=settings.base_url)
    create_app(bot, client=client, storage=MemoryStorage(), secrets=["whsec_bm9ib2R5"], plugins=plugins)
    rows = [
        {
            "name": plugin.name,
            "version": plugin.version,
            "distribution": "linqbot" if plugin.is_built_in else plugin.distribution,
            "status": plugin.status,
            "required": "yes" if plugin.required else None,
            "hooks": list(plugin.hooks) if as_json else ", ".join(plugin.hooks),
            "why": plugin.why or plugin.observer_error,
        }
        for plugin in plugins.every
    ]
    table(rows, as_json=as_json, empty="There are no plugins.")


@dataclass(slots=True)
class Said:
    """One thing that happened, with what happened inside it."""

    what: str
    who: str | None
    ms: float = 0.0
    inside: list[Said] = field(default_factory=list)


class Told:
    """Writes down who is asked what, within what, and how long it took."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self._within: ContextVar[list[Said] | None] = ContextVar("within", default=None)

    @contextmanager
    def watch(self, who: str | None, what: str) -> Iterator[None]:
        """See `linqbot.plugins.plugin.Watch`."""
        said, within = Said(what, who), self._within.get()
        (self.said if within is None else within).append(said)
        token = self._within.set(said.inside)
        began = time.perf_counter()
        try:
            yield
        finally:
            said.ms = round((time.perf_counter() - began) * 1000, 3)
            self._within.reset(token)

    def handlers(self, handle: Next) -> Next:
        """Inbound middleware: shows where the bot's own handlers have their say."""

        async def seen(event: Any, ctx: Context) -> None:
            with self.watch(None, "handlers"):
                await handle(event, ctx)

        return seen

    def calls(self, run: Run) -> Run:
        """Shows the calls that would be made."""

        async def seen(call: Call) -> ApiResponse:
            with self.watch(None, f"call {call.name}"):
                return await run(call)

        return seen


@command.command("trace")
@click.argument("file")
@click.argument("event")
@reads_option
@timeout_option
@storage_option
@json_option
def trace(file: str, event: str, *, reads: bool, timeout_s: float, storage: str | None, as_json: bool) -> None:
    """Show which plugin says what, in which order and for how long, while the bot in FILE handles EVENT.

    EVENT is a type, such as message.received, or the id of a delivery that is kept: see linqbot inbox. Nothing is
    sent. Plugins are really run: what they do by themselves, they do.
    """

    told, witness = Told(), Observer()
    settings = from_env(storage=storage)
    bot = load_bot(file)
    bot.use(told.handlers)

    async def work() -> Simulation:
        delivery = _sample(event) if event in EVENT_TYPES else await _kept(event, storage)
        plugins = settings.load_plugins(
            [*bot.plugins, witness],
            watch=lambda who, what: nullcontext() if who == AS else told.watch(who, what),
            lenient=True,
        )
        async with _linq(settings, reads=reads) as client:
            return await simulate(
                bot, plugins, witness, delivery, client, reads=reads, timeout_s=timeout_s, seen=told.calls
            )

    _show(told.said, asyncio.run(work()), as_json=as_json)


@command.command("bisect")
@click.argument("file")
@click.option("--delivery", "delivery_id", metavar="ID", help="A delivery that is kept; see linqbot inbox.")
@click.option("--type", "event_type", metavar="TYPE", help="Or a made-up event of a type, such as message.received.")
@reads_option
@timeout_option
@storage_option
@json_option
def bisect(
    *,
    file: str,
    delivery_id: str | None,
    event_type: str | None,
    reads: bool,
    timeout_s: float,
    storage: str | None,
    as_json: bool,
) -> None:
    """Find the plugin that breaks an event for the bot in FILE, or the plugins that do so only together.

    The event is handled again and again, each time with half of what may be to blame; nothing is sent. It is broken
    when its turn does not end well, when a plugin fails, or when less is done than without plugins. Exit code 1 when
    one is to blame.
    """

    if (delivery_id is None) == (event_type is None):
        raise click.UsageError("Which event? Give --delivery ID, or --type TYPE.")
    if event_type is not None and event_type not in EVENT_TYPES:
        raise click.UsageError(f"There is no event type {event_type}. See: linqbot trigger --list")
    settings = from_env(storage=storage)
    bot = load_bot(file)

    def tell(names: Sequence[str], why: str | None) -> None:
        click.echo(f"with {', '.join(names) or 'none'}: {why or 'well'}", err=True)

    async def work() -> tuple[list[str], str]:
        delivery = _sample(event_type) if event_type else await _kept(str(delivery_id), storage)
        async with _linq(settings, reads=reads) as client:
            return await Bisection(settings, bot, delivery, client, reads=reads, timeout_s=timeout_s).run(tell)

    to_blame, why = asyncio.run(work())
    if as_json:
        facts({"to_blame": to_blame, "why": why}, as_json=True)
    elif len(to_blame) > 1:
        click.echo(f"{', '.join(to_blame[:-1])} and {to_blame[-1]} break it together, and none of them alone: {why}")
    else:
        click.echo(f"{to_blame[0]} breaks it: {why}" if to_blame else why)
    if to_blame:
        raise click.exceptions.Exit(1)


def _sample(event_type: str) -> Delivery:

    body = to_json(samples.event(event_type))
    return Delivery.from_webhook(body, webhook_id="", received_at=time.time())


async def _kept(delivery_id: str, storage: str | None) -> Delivery:
    async with opened(storage) as inbox:
        delivery = await inbox.delivery(delivery_id)
    if delivery is None:
        raise StorageError(
            f"{delivery_id} is neither an event type nor the id of a delivery that is kept. "
            "See: linqbot trigger --list, and linqbot inbox list"
        )
    if not delivery.id.startswith("w."):
        raise StorageError(f"{delivery_id} is no webhook, so it cannot come in again. Take one whose id begins with w.")
    return delivery


@asynccontextmanager
async def _linq(settings: Settings, *, reads: bool) -> AsyncIterator[Client]:

    if reads and not settings.api_key:
        raise ConfigError("LINQ_API_V3_API_KEY is not set, so Linq cannot be asked. Set it, or leave --reads out.")
    async with Client(settings.api_key or "dry-run", base_url=settings.base_url) as client:
        yield client


def _show(said: list[Said], done: Simulation, *, as_json: bool) -> None:
    error = type(done.error).__name__ if done.error else None
    outcome = {"ended": done.end or "not in time", "handler": done.handler, "error": error}
    calls = [{"call": call.name, "method": call.method, "path": call.path} for call in done.calls]
    if as_json:
        facts(outcome | {"calls": calls, "faults": done.faults, "said": [asdict(one) for one in said]}, as_json=True)
        return
    _tree(said, 0)
    facts(outcome, as_json=False)
    for call in calls:
        click.echo(f"would call   {call['call']} ({call['method']} {call['path']})")
    for name, why in done.faults.items():
        click.secho(f"{name}: {why}", fg="red")


def _tree(said: Sequence[Said], depth: int) -> None:
    for one in said:
        words = f"{'  ' * depth}{one.what}" + (f": {click.style(one.who, bold=True)}" if one.who else "")
        click.echo(f"{one.ms:>9.2f} ms  {words}")
        _tree(one.inside, depth + 1)
