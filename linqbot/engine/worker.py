"""The worker: it leases deliveries and runs their turns concurrently, one at a time per lane.

The worker never polls. If no delivery can be leased, it sleeps until a delivery is stored, a turn is finished, or the
earliest retry, timer or person of a broadcast is due. Next step: `engine/turns.py` runs the turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from typing import Any

import structlog

from linqbot.branch import follow_tasks
from linqbot.clock import Clock
from linqbot.engine.failure import STORAGE_PAUSE_S
from linqbot.engine.turn import TurnOwner
from linqbot.engine.turns import Turns
from linqbot.errors import LeaseLost, StorageError, error_name
from linqbot.frames import place_of, place_of_task
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Defer, Lease

log = structlog.get_logger("linqbot.worker")

LEASE_SLACK_S = 120.0
"""Seconds for which a lane is leased in addition to the longest time limit of a handler: enough for an error handler,
for calls that are still being made, and for storing the outcome."""

OTHER_FIRES_S = 1.0
"""Seconds that another process gets to fire the timers that it holds, before this worker looks again. Usually it takes
milliseconds, and wakes this worker."""

CANCEL_S = 3.0
"""Seconds that cancelled turns may take to end while the worker stops."""


class Worker(TurnOwner):
    """Runs turns until stopped.

    Args:
        concurrency: Maximum number of turns that run at once.
    Attributes:
        failing: The reason why the storage gives no work now, as a sentence; None while it does.
        has_cancelled_turns: True once `stop` has cancelled the turns that still ran.
    """

    def __init__(
        self,
        turns: Turns,
        storage: Storage,
        clock: Clock,
        *,
        concurrency: int = 200,
    ) -> None:
        self._turns = turns
        self._storage = storage
        self._clock = clock
        self._concurrency = concurrency
        self._features = turns.features
        self._lease_s = turns.dispatcher.longest_s + LEASE_SLACK_S
        # Tasks are kept in the order of their making, in which `stop` cancels them.
        self._running: dict[asyncio.Task[None], None] = {}
        # Turns whose code ignores its cancellation. Their outcome is already decided.
        self._detached: dict[asyncio.Task[None], None] = {}
        self._slot_free = asyncio.Event()
        self._alarm = AlarmClock(clock)
        # The time before which timers that are due and that another process holds are not looked at again.
        self._timers_at = 0.0
        self.failing: str | None = None
        self._stopping = False
        self.has_cancelled_turns = False
        self._loop_task: asyncio.Task[None] | None = None
        # A task that does nothing. If it is cancelled, code of the bot has cancelled every task of the loop: the worker's own
        # task does not show that, because its timeouts cancel it too.
        self._bystander: asyncio.Task[object] | None = None
        self._was_cancelled = False

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._loop_task is not None and not self._loop_task.done() and not self._stopping

    @property
    def was_cancelled(self) -> bool:
        """True if the worker was cancelled, and not asked to stop before: code of the bot has cancelled every task."""
        return self._was_cancelled or (
            self._bystander is not None and self._bystander.cancelling() > 0 and not self._stopping
        )

    @property
    def busy(self) -> int:
        return len(self._running)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        follow_tasks(loop)
        self._loop_task = loop.create_task(self._run(), name="linqbot worker")
        self._bystander = loop.create_task(asyncio.Event().wait(), name="linqbot bystander")

    async def stop(self, deadline_s: float) -> None:
        """Stop leasing, and wait for the running turns.

        Turns that still run after `deadline_s` seconds are cancelled, and their deliveries are released. If
        `was_cancelled`, they stay leased, so that the next start counts a crash.
        """
        self._was_cancelled = self.was_cancelled
        self._stopping = True
        if self._bystander is not None:
            self._bystander.cancel()
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
        self._alarm.cancel()
        self._storage.end_leasing()
        late: list[asyncio.Task[None]] = []
        if running := [*self._running]:
            _, pending = await asyncio.wait(running, timeout=deadline_s)
            late = [task for task in running if task in pending]
        self.has_cancelled_turns = True
        for task in dict.fromkeys([*late, *self._detached]):  # one that is late may have been detached meanwhile
            task.cancel()
        if late:
            log.warning("turns.released", count=len(late), deadline_s=deadline_s)
            _, stuck = await asyncio.wait(late, timeout=CANCEL_S)
            if stuck:
                log.error("turns.stuck", count=len(stuck), at=[place_of_task(task) for task in late if task in stuck])

    def detach(self, task: asyncio.Task[None], instead: Coroutine[Any, Any, None]) -> None:
        """Count a turn's task as ended although it still runs, and start a task for `instead`."""
        self._running.pop(task, None)
        self._detached[task] = None
        self._watch(asyncio.get_running_loop().create_task(instead))

    async def _run(self) -> None:
        logged: str | None = None
        while True:
            free = self._concurrency - len(self._running)
            if free <= 0:
                self._slot_free.clear()
                await self._slot_free.wait()
                continue
            try:
                await self._fire_timers()
                leases = await self._storage.take(free, lease_s=self._lease_s)
                self.failing = None
                if not leases:
                    await self._wait_for_work()
            except StorageError as error:
                self.failing = str(error)
                if logged != self.failing:
                    logged = self.failing
                    log.error("storage.failed", error=logged)
                self._features.refused(None)
                await asyncio.sleep(STORAGE_PAUSE_S)
                continue
            except Exception as error:  # noqa: BLE001 - if the worker ended, no chat would get an answer
                log.error("worker.failed", error=type(error).__name__, at=place_of(error))
                await asyncio.sleep(STORAGE_PAUSE_S)
                continue
            logged = None
            for lease in leases:
                self._watch(asyncio.get_running_loop().create_task(self._turn(lease)))

    async def _fire_timers(self) -> None:
        """Move the timers and steps of broadcasts that are due into their lanes, in order with the deliveries there."""
        while (due := await self._storage.next_timer()) is not None and due <= self._clock.now():
            if not await self._storage.fire(self._clock.now()):
                self._timers_at = self._clock.now() + OTHER_FIRES_S  # another process fires them
                break

    async def _wait_for_work(self) -> None:
        """Wait until a delivery is stored, a turn is finished, or a retry, a timer or a broadcast's next person is due."""
        storage = self._storage
        timer = await storage.next_timer()
        if timer is not None and timer <= self._clock.now():
            timer = max(timer, self._timers_at)
        times = await storage.next_due(), timer
        due = min((time for time in times if time is not None), default=None)
        if due is None:
            await storage.changed()
            return
        self._alarm.set(due)
        await self._alarm.wait_for(storage.changed())

    async def _turn(self, lease: Lease) -> None:
        ready: Lease | None = lease
        try:
            for admit in self._features.admits:
                if ready is not None:
                    ready = await admit(ready)
        except LeaseLost:
            log.warning("turn.lease_lost", delivery=lease.delivery.id)
        except Exception as error:  # noqa: BLE001 - a mistake in linqbot, or the storage has failed
            at = place_of(error)
            log.error("turn.crashed", delivery=lease.delivery.id, error=type(error).__name__, at=at)
            # No attempt is counted, because no handler has run. The next run of the turn is prepared with less.
            pause_s = self._turns.retry_policy.pause_s(lease.delivery_count + 1)
            outcome = Defer(self._clock.now() + pause_s, f"It could not begin: {error_name(error)} at {at}")
            await self._turns.give_back(lease, outcome)
        else:
            if ready is not None:
                try:
                    await self._turns.run(ready, self)
                except GeneratorExit as error:
                    self._end_broken_off(ready, error)
                    raise

    def _end_broken_off(self, lease: Lease, error: GeneratorExit) -> None:
        """End a turn whose handler awaited a task that raised GeneratorExit. Else its chat would wait until the lease ends.

        Where such a task is awaited, Python closes all coroutines that wait, this one too. So none of them can store the end.
        """
        try:
            is_closed_from_outside = asyncio.current_task() not in self._running
        except RuntimeError:  # no event loop runs any more
            return
        if not is_closed_from_outside:
            self._watch(asyncio.get_running_loop().create_task(self._turns.end_broken_off(lease, error)))

    def _watch(self, task: asyncio.Task[None]) -> None:
        self._running[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._detached.pop(task, None)
        self._slot_free.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("turn.crashed", error=type(error).__name__, at=place_of(error))


class AlarmClock:
    """Ends a wait when its clock reaches a time. One task may wait at a time.

    The worker nearly always waits for the same time, the end of the oldest lease. So the alarm stays set from one wait to
    the next, and is moved only to an earlier time. If it goes off too early, the worker looks once in vain and sets it again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None

    def set(self, at: float) -> None:
        """Set the alarm to a Unix time, if it is not set to an earlier one."""
        if self._task is not None and self._at <= at:
            return
        self.cancel()
        self._at = at
        self._task = asyncio.get_running_loop().create_task(self._clock.wait_until(at), name="linqbot alarm")
        self._task.add_done_callback(self._went_off)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def wait_for(self, work: Awaitable[object]) -> None:
        """Wait until work is done, or until the alarm goes off, which cancels the work."""
        limit = self._limit = asyncio.timeout(None)
        try:
            async with limit:
                await work
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._limit = None

    def _went_off(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return
        self._task = None
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
