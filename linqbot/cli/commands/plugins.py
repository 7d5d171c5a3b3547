"""`linqbot plugins`: trace an event through the plugins.

`ops/dry_runs/simulate.py` simulates the event; this module records and prints the trace.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Annotated, Any

import click
from pydantic_core import to_json

from linqbot.bot.context import Context
from linqbot.bot.router import Next
from linqbot.cli import completions, logs
from linqbot.cli.kit import Arg, Opt, Result, StorageUrl
from linqbot.cli.output import FiniteRange, bot_files, print_facts, printable
from linqbot.cli.storage_option import open_configured_storage
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.errors import StorageError
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.nearest import nearest_name
from linqbot.ops.bot_file import load_bot
from linqbot.ops.dry_runs.simulate import OBSERVER_NAME, Observer, Simulation, simulate
from linqbot.settings import Settings, from_env
from linqbot.testing import samples


@dataclass(slots=True)
class TraceStep:
    """A step of handling an event, such as a call of a hook, with the steps inside it."""

    what: str  # the hook or middleware that was called, "handlers", or "call" with the name of an API call
    who: str | None  # the plugin; None if the step is not a plugin's
    ms: float = 0.0  # milliseconds, those of the inner steps included
    inside: list[TraceStep] = field(default_factory=list)


class Trace:
    """Records the steps of an event: which plugin is called, inside which step, and for how long."""

    def __init__(self) -> None:
        self.steps: list[TraceStep] = []
        self._within: ContextVar[list[TraceStep] | None] = ContextVar("within", default=None)

    @contextmanager
    def watch(self, who: str | None, what: str) -> Iterator[None]:
        """Record a step that lasts as long as the context; see `linqbot.plugins.registry.Watch`."""
        step, within = TraceStep(what, who), self._within.get()
        (self.steps if within is None else within).append(step)
        token = self._within.set(step.inside)
        began = time.perf_counter()
        try:
            yield
        finally:
            step.ms = round((time.perf_counter() - began) * 1000, 3)
            self._within.reset(token)

    def handlers(self, handle: Next) -> Next:
        """Record the run of the bot's handlers. This is inbound middleware."""

        async def traced(event: Any, ctx: Context) -> None:
            with self.watch(None, "handlers"):
                await handle(event, ctx)

        return traced

    def calls(self, run: Run) -> Run:
        """Record each call that would be made."""

        async def traced(call: Call) -> ApiResponse:
            with self.watch(None, f"call {call.name}"):
                return await run(call)

        return traced


def plugins(
    file: Annotated[str, Arg("FILE", complete=bot_files)],
    event: Annotated[str, Arg("EVENT", complete=completions.event_types)],
    storage: StorageUrl,
    *,
    reads: Annotated[bool, Opt("Allow handlers and plugins to read from Linq and to fetch media.")] = False,
    timeout_s: Annotated[
        float, Opt("Seconds that the event may take.", "--timeout", type=FiniteRange(0, min_open=True))
    ] = 60.0,
) -> Result:
    """Show which plugin is called, in which order and for how long, while the bot in FILE handles EVENT.

    EVENT is a type, such as message.received, or the id of a stored delivery: see linqbot waiting list. Nothing is
    sent. The plugins really run, so other things that they do, such as writing to a database, are really done.
    """
    logs.configure("critical", "auto")
    trace, observer = Trace(), Observer()
    settings = from_env(storage=storage)
    with redirect_stdout(sys.stderr):  # what the file prints must not be in the JSON
        bot = load_bot(file)
    bot.use(trace.handlers)

    async def work() -> Simulation:
        delivery = await _delivery(event, storage)
        loaded = settings.load_plugins(
            [*bot.plugins, observer],
            watch=lambda who, what: nullcontext() if who == OBSERVER_NAME else trace.watch(who, what),
            lenient=True,
        )
        async with _linq(settings, reads=reads) as client:
            return await simulate(
                bot, loaded, observer, delivery, client, reads=reads, timeout_s=timeout_s, wrap=trace.calls
            )

    with redirect_stdout(sys.stderr):
        done = asyncio.run(work())
    error = type(done.error).__name__ if done.error else None
    outcome = {"ended": done.end or "not in time", "handler": done.handler, "error": error}
    calls = [{"call": call.name, "method": call.method, "path": call.path} for call in done.calls]
    steps = [asdict(step) for step in trace.steps]
    data = outcome | {"calls": calls, "faults": done.faults, "steps": steps}
    return Result(data, partial(_print_trace, trace.steps, outcome, calls, done.faults))


async def _delivery(event: str, storage: str | None) -> Delivery:
    return _sample(event) if event in EVENT_TYPES else await _stored(event, storage)


def _sample(event_type: str) -> Delivery:
    body = to_json(samples.event(event_type))
    return Delivery.from_webhook(body, webhook_id="", received_at=time.time())


async def _stored(delivery_id: str, storage: str | None) -> Delivery:
    # A misspelt type is no reason to ask for a storage. No id looks like one.
    if (near := nearest_name(delivery_id, EVENT_TYPES, cutoff=0.8)) is not None:
        raise StorageError(
            f"{delivery_id} is neither an event type nor the id of a stored delivery. Did you mean {near}?"
        )
    async with open_configured_storage(storage) as inbox:
        delivery = await inbox.delivery(delivery_id)
    if delivery is None:
        raise StorageError(
            f"{delivery_id} is neither an event type nor the id of a stored delivery. "
            "See: linqbot trigger --list, and linqbot waiting list"
        )
    if delivery.is_own:
        raise StorageError(
            f"{delivery_id} did not come from a webhook, so it cannot be simulated. Give an id that begins with w."
        )
    return delivery


@asynccontextmanager
async def _linq(settings: Settings, *, reads: bool) -> AsyncIterator[Client]:
    if reads:
        settings.check_reads()
    async with Client(settings.api_key or "dry-run", base_url=settings.base_url) as client:
        yield client


def _print_trace(
    steps: list[TraceStep], outcome: dict[str, Any], calls: list[dict[str, Any]], faults: Mapping[str, str]
) -> None:
    _print_steps(steps, 0)
    print_facts(outcome, as_json=False)
    for call in calls:
        click.echo(f"would call   {call['call']} ({call['method']} {printable(call['path'])})")
    for name, why in faults.items():
        click.secho(f"{name}: {printable(why)}", fg="red")


def _print_steps(steps: Sequence[TraceStep], depth: int) -> None:
    for step in steps:
        who = f": {click.style(step.who, bold=True)}" if step.who else ""
        click.echo(f"{step.ms:>9.2f} ms  {'  ' * depth}{step.what}{who}")
        _print_steps(step.inside, depth + 1)
