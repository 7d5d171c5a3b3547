"""Send an event through a bot's whole app in this process, with a tape that lists each call to Linq instead of making it.

The webhook, the worker, the journal and every plugin are real, and the storage is a new one in memory. `dry_run.py` runs
handlers alone. The commands print what was recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
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
