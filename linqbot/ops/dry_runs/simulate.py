"""Send an event through a bot's whole app in this process, with a tape that lists each call to Linq instead of making it.

The webhook, the worker, the journal and every plugin are real, and the storage is a new one in memory. To find the
smallest set of plugins that breaks the event, it is simulated with different sets, and each result is compared
with the result without plugins. `dry_run.py` runs handlers alone. The commands print what was recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import httpx

from linqbot.bot.bot import Bot
from linqbot.client.call import Call, Run
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.hookspecs import End, TurnReport, hookimpl
from linqbot.linq.events.delivery import Delivery, event_id_of
from linqbot.linq.signatures import random_secret, sign
from linqbot.linq.types.proactive import Broadcast
from linqbot.ops.dry_runs.tape import Tape
from linqbot.plugins.registry import Plugins
from linqbot.server.app import WEBHOOK_PATH, create_app, running
from linqbot.settings import Settings
from linqbot.storage.sqlite.memory import MemoryStorage

OBSERVER_NAME: Final = "linqbot-simulation"


@dataclass(frozen=True, slots=True)
class Simulation:
    delivery: Delivery
    calls: list[Call] = field(default_factory=list)  # calls that would have been made, in this order
    # Calls that `ctx.send_later` would have kept for a later time. A dry run alone lists them.
    later: list[Call] = field(default_factory=list)
    # Broadcasts that would have begun, in this order. A dry run alone lists them.
    broadcasts: list[Broadcast] = field(default_factory=list)
    handler: str | None = None  # name of the handler that ran; None if no handler took the event
    error: BaseException | None = None  # the exception that the handler raised
    # The turn's outcome, as the hook `turn_ended` gets it; None if the turn did not end in time, and in a dry run, which
    # has no turn.
    end: End | None = None
    note: str | None = None  # what a dry run cannot show, and why; None if it shows everything
    # For a delivery that went to an open question, which a dry run does not handle: the id of the delivery with which
    # the conversation began. None for any other delivery.
    began_with: str | None = None
    # By plugin, the error that has disabled it or one of its hooks.
    faults: dict[str, str] = field(default_factory=dict)


class Observer:
    """A plugin that records how an event ends. Load it with the other plugins, and give it to `simulate`."""

    name = OBSERVER_NAME

    def __init__(self) -> None:
        self.end: End | None = None
        self.handler: str | None = None
        self.error: BaseException | None = None
        self.ended = asyncio.Event()

    @hookimpl(trylast=True)
    def turn_ended(self, report: TurnReport) -> None:
        self.end, self.handler, self.error = report.outcome, report.handler, report.error
        self.ended.set()


async def simulate(
    bot: Bot,
    plugins: Plugins,
    observer: Observer,
    delivery: Delivery,
    client: Client,
    *,
    reads: bool,
    timeout_s: float,
    wrap: Callable[[Run], Run] = lambda run: run,
) -> Simulation:
    """Send a delivery through the whole app, at the time at which it was received.

    Args:
        plugins: All plugins of the app, `observer` among them.
        client: Used for reads, if they are allowed; already open.
        reads: Let calls that only read from Linq, and downloads of media, through to Linq.
        timeout_s: Real seconds to wait for the end of the turn.
        wrap: Put around each call that would be made.
    """
    tape = Tape(reads=reads)
    clock = MovableClock(delivery.received_at)
    secret = random_secret()
    app = create_app(
        bot,
        client=tape.around(client).wrapped(wrap),
        storage=_BackdatingStorage(delivery.received_at, clock),
        secrets=[secret],
        clock=clock,
        plugins=plugins,
        drain_s=0,
        max_body_bytes=max(len(delivery.body), 1),
    )
    async with running(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as linq:
        await linq.post(WEBHOOK_PATH, content=delivery.body, headers=_headers(delivery, secret))
        try:
            async with asyncio.timeout(timeout_s):
                await observer.ended.wait()
        except TimeoutError:
            pass
        # Read before the app stops: stopping it may end the turn after all.
        end = observer.end
    loaded = [plugin for plugin in plugins.every if plugin.status != "left out"]
    faults = {plugin.name: why for plugin in loaded if (why := plugin.why or plugin.observer_error)}
    return Simulation(delivery, tape.calls, handler=observer.handler, error=observer.error, end=end, faults=faults)


class _BackdatingStorage(MemoryStorage):
    """Stores each delivery as if it had been received at a given time. The webhook itself uses wall time."""

    def __init__(self, received_at: float, clock: MovableClock) -> None:
        super().__init__(clock=clock)
        self._received_at = received_at

    async def put(self, delivery: Delivery) -> bool:
        return await super().put(replace(delivery, received_at=self._received_at))


def _headers(delivery: Delivery, secret: str) -> dict[str, str]:
    now, webhook_id = int(time.time()), event_id_of(delivery.id)
    signature = sign(delivery.body, webhook_id=webhook_id, timestamp=now, secret=secret)
    return {"webhook-id": webhook_id, "webhook-timestamp": str(now), "webhook-signature": signature}


Breaks = Callable[[Sequence[str]], Awaitable[bool]]
Report = Callable[[Sequence[str], str | None], None]
"""Called after each simulation with the names of the plugins, and with the problem, None if there was none."""


class Bisection:
    def __init__(
        self, settings: Settings, bot: Bot, delivery: Delivery, client: Client, *, reads: bool, timeout_s: float
    ) -> None:
        self._settings = settings
        self._bot = bot
        self._delivery = delivery
        self._client = client
        self._reads = reads
        self._timeout_s = timeout_s
        every = settings.load_plugins(bot.plugins, lenient=True).every
        # Plugins that cannot be loaded take part in no event.
        self._names = [plugin.name for plugin in every if plugin.is_on and not plugin.is_built_in]
        self._report: Report = lambda _, __: None
        self._plain: Simulation | None = None
        self._why: dict[frozenset[str], str | None] = {}

    async def run(self, report: Report) -> tuple[list[str], str]:
        """Return the fewest plugins that break the event together, and the problem they cause.

        Without names, the reason why no plugin is to blame.
        """
        self._report = report
        if not self._names:
            return [], "There are no plugins."
        if (why := await self._problem([])) is not None:
            return [], f"It also breaks without plugins: {why}"
        if await self._problem(self._names) is None:
            return [], "It does not break: with all plugins it ends as it does without them."
        found = await minimal_breaking_set(self._names, self._breaks)
        return found, str(self._why[frozenset(found)])

    async def _breaks(self, names: Sequence[str]) -> bool:
        return await self._problem(names) is not None

    async def _problem(self, names: Sequence[str]) -> str | None:
        """Return the problem with exactly these plugins; None if there is none. Each set is simulated once."""
        key = frozenset(names)
        if key not in self._why:
            why = await self._simulate(names)
            self._why[key] = why
            self._report(names, why)
        return self._why[key]

    async def _simulate(self, names: Sequence[str]) -> str | None:
        observer = Observer()
        plugins = self._settings.load_plugins(
            [*self._bot.plugins, observer], without=set(self._names) - set(names), lenient=True
        )
        done = await simulate(
            self._bot, plugins, observer, self._delivery, self._client, reads=self._reads, timeout_s=self._timeout_s
        )
        if self._plain is None:
            self._plain = done
        return _difference(done, self._plain)


def _difference(done: Simulation, plain: Simulation) -> str | None:
    if done.faults:
        name, why = next(iter(done.faults.items()))
        return f"{name}: {why}"
    if done.end != "ack":
        error = f", {done.handler or 'the bot'} on {type(done.error).__name__}" if done.error else ""
        return "its turn did not end in time" if done.end is None else f"its turn ended with {done.end}{error}"
    if done.handler != plain.handler and done.handler is None:
        return f"{plain.handler} does not get the event"
    calls, plainly = [call.name for call in done.calls], [call.name for call in plain.calls]
    if missing := [name for name in plainly if calls.count(name) < plainly.count(name)]:
        return f"{missing[0]} is called {calls.count(missing[0])} times instead of {plainly.count(missing[0])}"
    return None


async def minimal_breaking_set(names: Sequence[str], breaks: Breaks) -> list[str]:
    """Return a smallest subset of `names` that breaks the event: without any one of them, it no longer breaks.

    Each plugin is left out once. Bots have few plugins, and a simulation takes a moment.
    """
    rest = list(names)
    for name in names:
        others = [other for other in rest if other != name]
        if others and await breaks(others):
            rest = others
    return rest
