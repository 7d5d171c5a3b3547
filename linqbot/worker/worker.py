"""Takes deliveries lane by lane and runs their turns, many at once, one at a time per lane.

Nothing here polls: when there is nothing to take, the worker sleeps until something is put or finished, or until
the earliest retry is due.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import structlog

from linqbot.bot.branch import follow_tasks
from linqbot.clock import Clock
from linqbot.errors import StorageError
from linqbot.frames import place_of, place_of_task
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Lease
from linqbot.worker.failure import STORAGE_PAUSE_S
from linqbot.worker.gaps import Gaps
from linqbot.worker.turn import Turns

log = structlog.get_logger("linqbot.worker")

LEASE_SLACK_S = 120.0
"""How much longer than a handler's deadline its lane is leased: enough for an error handler, for calls under way, and
to write the turn's end."""

LAST_S = 3.0
"""Seconds that cancelled turns may take to end when the worker stops."""


class Worker:
    """Runs turns until stopped.

    Args:
        concurrency: How many turns may run at once.
        gaps: Completes chats that may have missed messages.
    """

    def __init__(
        self, turns: Turns, storage: Storage, clock: Clock, *, concurrency: int = 200, gaps: Gaps | None = None
    ) -> None:
        self._turns = turns
        self._storage = storage
        self._clock = clock
        self._concurrency = concurrency
        self._gaps = gaps
        self._lease_s = turns.dispatcher.longest_s + LEASE_SLACK_S
        self._running: set[asyncio.Task[None]] = set()
        # Turns whose code ignores its cancellation. Their outcome is decided.
        self._let_go: set[asyncio.Task[None]] = set()
        self._slot_free = asyncio.Event()
        self._stopping = False
        self._cancelled = False
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._loop_task is not None and not self._loop_task.done() and not self._stopping

    @property
    def is_stopping(self) -> bool:
        """True when turns are cancelled from outside: by `stop`, or by an event loop that is being closed."""
        return self._cancelled or (self._loop_task is not None and self._loop_task.cancelling() > 0)

    @property
    def busy(self) -> int:
        """How many turns run now."""
        return len(self._running)

    def start(self) -> None:
        """Begin to take deliveries, in the running event loop."""
        loop = asyncio.get_running_loop()
        follow_tasks(loop)
        self._loop_task = loop.create_task(self._run(), name="linqbot worker")

    async def stop(self, deadline_s: float) -> None:
        """Take no more; let running turns end within `deadline_s`, then give the rest back unfinished."""
        self._stopping = True
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
        late: set[asyncio.Task[None]] = set()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=deadline_s)
        self._cancelled = True
        for task in late | self._let_go:
            task.cancel()
        if late:
            log.warning("turns.released", count=len(late), deadline_s=deadline_s)
            _, stuck = await asyncio.wait(late, timeout=LAST_S)
            if stuck:
                log.error("turns.stuck", count=len(stuck), at=[place_of_task(task) for task in stuck])

    def let_go(self, task: asyncio.Task[None], instead: Coroutine[Any, Any, None]) -> None:
        """See `turn.Owner`."""
        self._running.discard(task)
        self._let_go.add(task)
        self._keep(asyncio.get_running_loop().create_task(instead))

    async def _run(self) -> None:
        while True:
            free = self._concurrency - len(self._running)
            if free <= 0:
                self._slot_free.clear()
                await self._slot_free.wait()
                continue
            try:
                await self._fire()
                leases = await self._storage.take(free, lease_s=self._lease_s)
                if not leases:
                    await self._something()
            except StorageError as error:
                log.error("storage.failed", error=str(error))
                await asyncio.sleep(STORAGE_PAUSE_S)
                continue
            except Exception as error:  # noqa: BLE001 - a worker that ends would leave every chat without an answer
                log.error("worker.failed", error=type(error).__name__, at=place_of(error))
                await asyncio.sleep(STORAGE_PAUSE_S)
                continue
            for lease in leases:
                self._begin(lease)

    async def _fire(self) -> None:
        """Move what has come due into its lanes: from there it goes out in its chat's order."""
        due = await self._storage.next_timer()
        if due is not None and due <= self._clock.now():
            await self._storage.fire(self._clock.now())

    async def _something(self) -> None:
        """Wait until a take may find something: a put, a finish, or the time of a retry or a timer."""
        times = (await self._storage.next_due(), await self._storage.next_timer())
        due = min((time for time in times if time is not None), default=None)
        if due is None:
            await self._storage.changed()
            return
        changed = asyncio.ensure_future(self._storage.changed())
        came_due = asyncio.ensure_future(self._clock.wait_until(due))
        try:
            await asyncio.wait({changed, came_due}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            came_due.cancel()

    def _begin(self, lease: Lease) -> None:
        self._keep(asyncio.get_running_loop().create_task(self._turn(lease)))

    async def _turn(self, lease: Lease) -> None:
        if self._gaps is not None and self._gaps.may_miss(lease.delivery) and await self._gaps.complete(lease):
            return  # leased again in a moment, behind what was missed
        await self._turns.run(lease, self)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._let_go.discard(task)
        self._slot_free.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("turn.crashed", error=type(error).__name__, at=place_of(error))
