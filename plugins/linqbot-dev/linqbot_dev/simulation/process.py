"""A process of the bot in a simulation: the real app, worker, journal and client, with a simulated network, disk and clock.

It is started, stopped as by SIGTERM, suspended, or killed at any step. `AimedStorage` tells the world what the process writes, so
that faults can be aimed at it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final, cast

import httpx
from starlette.applications import Starlette

from linqbot.server.app import running
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Commit
from linqbot.storage.state import BOT, StateWrite
from linqbot_dev.simulation.loop import Life, VirtualLoop
from linqbot_dev.testing.stage.connections import WRITES, StorageAround

AIMED: Final = WRITES | {"put", "take", "finish", "put_in_order", "gather"}
"""The methods of a storage at which faults can be aimed."""


class AimedStorage(StorageAround):
    """The storage of one process: it reports what it is about to write and what it has written.

    Args:
        reach: Called with the name of each event. The process may be over, or suspended, when it returns.
        delay_s: Mean seconds before and after each write: for a storage in memory, which answers at once.
    """

    def __init__(
        self, inner: Storage, loop: VirtualLoop, process: SimulatedProcess, *, delay_s: float, is_shared: bool
    ) -> None:
        super().__init__(inner)
        self._loop = loop
        self._process = process
        self._delay_s = delay_s
        self.is_shared = is_shared or inner.is_shared

    def __getattr__(self, name: str) -> Any:
        method = super().__getattr__(name)
        return partial(self._write, name, method) if name in AIMED else method

    async def _write(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        names = [name, *_named(args, kwargs)]
        for each in names:
            await self._process.reach(f"before {each}")
        if self._delay_s:
            await asyncio.sleep(self._loop.drawn(self._delay_s))
        in_flight = self._process.in_flight
        in_flight.update(names)
        try:
            result = await method(*args, **kwargs)
        finally:
            in_flight.subtract(names)
        for each in names:
            await self._process.reach(f"after {each}")
        if self._delay_s:
            await asyncio.sleep(self._loop.drawn(self._delay_s))
        return result


def _named(args: tuple[object, ...], kwargs: dict[str, object]) -> list[str]:
    """Return what a write means for people: that a question is open, that a stock changes."""
    commits = [each for each in args if isinstance(each, Commit)]
    state = [
        kwargs.get("state", ()),
        *(each.state for each in commits),
        *(each for each in args if isinstance(each, (list, tuple))),
    ]
    writes = [each for some in state for each in cast("Collection[object]", some) if isinstance(each, StateWrite)]
    found = ["question"] if any(each.conversations for each in commits) else []
    return [*found, "stock"] if any(each.scope == BOT for each in writes) else found


class SimulatedProcess:
    """One process, from its start to its end.

    Args:
        reached: Called with this process and the name of an event that it has reached. It may kill or suspend the process.
    Attributes:
        generation: 1 before any deploy of this machine, then one more after each: the code of the bot changes with it.
        in_flight: The names of what it writes now, each with the number of writes.
        started, over: Done when the app has started, and when the process has ended.
        error: Why it ended by itself.
    """

    def __init__(
        self, name: str, generation: int, loop: VirtualLoop, reached: Callable[[SimulatedProcess, str], None]
    ) -> None:
        self.name = name
        self.generation = generation
        self.life = Life(name, partial(reached, self, "step"))
        self.in_flight: Counter[str] = Counter()
        self.started: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self.error: BaseException | None = None
        self.storage: Storage | None = None
        self._loop = loop
        self._reached = reached
        self._stopping = asyncio.Event()
        self._transport: httpx.ASGITransport | None = None

    @property
    def is_up(self) -> bool:
        """True while it takes webhooks."""
        return self._transport is not None and not self.life.is_over and not self._stopping.is_set()

    def start(self, make: Callable[[SimulatedProcess], Starlette]) -> None:
        """Start the app that `make` returns; both run as this process."""
        self._loop.create_task(self._live(make), context=self.life.context())

    def stop(self) -> None:
        """Stop it as SIGTERM does."""
        self._stopping.set()

    def kill(self) -> None:
        """End it at once: no further step of it runs."""
        if not self.life.is_over:
            self.life.end()
            self.over.set_result(None)

    async def reach(self, event: str) -> None:
        """Note that the running code of this process has reached an event; return only if the process still lives."""
        self._reached(self, event)
        await self.life.go_on()

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request. Raises httpx.ReadError if the process ends before its answer."""
        assert self._transport is not None
        answer = self._loop.create_task(self._transport.handle_async_request(request), context=self.life.context())
        waiting: set[asyncio.Future[Any]] = {answer, self.over}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            self.life.leave(answer)
            raise httpx.ReadError("The process was killed.", request=request)
        response = answer.result()
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

    async def _live(self, make: Callable[[SimulatedProcess], Starlette]) -> None:
        try:
            app = make(self)
            async with running(app):
                self._transport = httpx.ASGITransport(app)
                self.started.set_result(None)
                await self._stopping.wait()
        except Exception as error:  # noqa: BLE001 - it is what the process ends with
            self.error = error
        self.kill()
