"""One event on its whole way through a bot and its plugins, in this process, behind a recorder: no call is made.

Everything is real, the webhook, the worker, the journal, every plugin, but for what leaves: the client's calls are
told, and the storage forgets.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx

from linqbot.bot.bot import Bot
from linqbot.client.call import Call, Run
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.events.delivery import Delivery
from linqbot.hookspecs import End, hookimpl
from linqbot.ops.dry_run import CallRecorder, DryRunResult
from linqbot.plugins.registry import Plugins
from linqbot.server.app import WEBHOOK_PATH, create_app, running
from linqbot.storage.memory import MemoryStorage
from linqbot.webhooks import sign

AS = "linqbot-simulation"


class Observer:
    """A plugin among the others that sees how the event ends."""

    name = AS

    def __init__(self) -> None:
        self.end: End | None = None
        self.handler: str | None = None
        self.error: BaseException | None = None
        self.ended = asyncio.Event()

    @hookimpl(trylast=True)
    def handled(self, handler: str | None) -> None:
        self.handler = handler

    @hookimpl(trylast=True)
    def failed(self, handler: str | None, error: BaseException) -> None:
        self.handler, self.error = handler, error

    @hookimpl(trylast=True)
    def finished(self, outcome: End) -> None:
        self.end = outcome
        self.ended.set()


@dataclass(frozen=True, slots=True)
class Simulation:
    """How it went.

    Attributes:
        end: As `finished` tells it; None when it did not come to an end in time.
        calls: What would have been called.
        faults: What is wrong with which plugin by now.
    """

    end: End | None
    handler: str | None
    error: BaseException | None
    calls: list[Call] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


async def simulate(
    bot: Bot,
    plugins: Plugins,
    observer: Observer,
    delivery: Delivery,
    client: Client,
    *,
    reads: bool,
    timeout_s: float,
    seen: Callable[[Run], Run] = lambda run: run,
) -> Simulation:
    """Play a delivery, at the time it came.

    Args:
        plugins: With `observer` among them.
        client: Used for reads, if they may be made; already open.
        timeout_s: Real seconds until it is given up.
        seen: Put around each call that would be made.
    Raises:
        BotError, ConfigError: as `create_app`.
    """
    played = DryRunResult(delivery)
    fenced = CallRecorder(played, reads=reads).around(client).wrapped(seen)
    clock = MovableClock(delivery.received_at)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    app = create_app(
        bot,
        client=fenced,
        storage=_Then(delivery.received_at, clock),
        secrets=[secret],
        clock=clock,
        plugins=plugins,
        drain_s=0,
        max_body_bytes=max(len(delivery.body), 1),
    )
    async with (
        running(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as linq,
    ):
        await linq.post(WEBHOOK_PATH, content=delivery.body, headers=_headers(delivery, secret))
        try:
            async with asyncio.timeout(timeout_s):
                await observer.ended.wait()
        except TimeoutError:
            pass
        end = observer.end
    loaded = [plugin for plugin in plugins.every if plugin.status != "left out"]
    faults = {plugin.name: why for plugin in loaded if (why := plugin.why or plugin.observer_error)}
    return Simulation(end, observer.handler, observer.error, played.calls, faults)


class _Then(MemoryStorage):
    """A storage that takes what it is given for having come then."""

    def __init__(self, then: float, clock: MovableClock) -> None:
        super().__init__(clock=clock)
        self._then = then

    async def put(self, delivery: Delivery) -> bool:
        return await super().put(replace(delivery, received_at=self._then))


def _headers(delivery: Delivery, secret: str) -> dict[str, str]:
    now, webhook_id = int(time.time()), delivery.id.removeprefix("w.")
    signature = sign(delivery.body, webhook_id=webhook_id, timestamp=now, secret=secret)
    return {"webhook-id": webhook_id, "webhook-timestamp": str(now), "webhook-signature": signature}
