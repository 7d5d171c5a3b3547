"""A storage in PostgreSQL, for one or several serving processes. This module opens it, and adds what the contract leaves to a backend.

Writes share transactions (`writer.py`): when a method returns, its change is committed. Reads use other
connections. The lanes are tables; see `lanes.py`. Processes wake each other with NOTIFY.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

import structlog

from linqbot.clock import Clock, SystemClock
from linqbot.errors import ConfigError, StorageError
from linqbot.frames import place_of
from linqbot.linq.events.delivery import Delivery
from linqbot.options import DAY_S
from linqbot.storage import conversation_table, facts, hold_table, operations, upkeep
from linqbot.storage.backend import Storage
from linqbot.storage.dialect import Readable
from linqbot.storage.inbox import InboxLimits, Lease
from linqbot.storage.indexes import Earliest
from linqbot.storage.op_queue import WorkOp, nothing
from linqbot.storage.upkeep import Progress
from linqbot_postgres import lanes, processes
from linqbot_postgres.address import Address, Connection
from linqbot_postgres.lanes import PostgresLaneTransaction
from linqbot_postgres.link import ServerLink
from linqbot_postgres.migrate import migrate
from linqbot_postgres.transaction import Memory, News, PostgresReader, Taken, Transaction
from linqbot_postgres.writer import PostgresWriter

log = structlog.get_logger("linqbot.storage")

T = TypeVar("T")

CLOSE_S: Final = 5.0
"""Seconds in which the last operations must be written when the storage closes. A supervisor may kill a process that takes
longer, and a server that has not answered by then may be gone."""

_LATE_S: Final = 0.005
"""Seconds by which waits for the clock of the database are prolonged: its distance to ours is known a little less exactly."""


class PostgresStorage(Storage):
    """Inbox, journal, state and timers in one schema of a PostgreSQL database. For the other arguments see `SQLiteStorage`.

    Args:
        url: `postgresql://user:password@host/database`, with `?schema=NAME` for another schema than `linqbot`. The
            schema is created if it is missing.
        clock: None means the clock of the database.
        serving: Several processes may serve the same schema. When one dies, the others count a crash for each delivery
            that it had leased.
        keep_days: The processes that serve must agree.
    """

    _memory: Memory
    _queue: PostgresWriter

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        max_backlog: int = 1_000_000,
        max_lane_backlog: int = 1000,
        serving: bool = True,
        keep_days: float = 0,
    ) -> None:
        super().__init__(clock, serving=serving)
        self._movable_clock = not isinstance(self._clock, SystemClock)
        self._address = replace(Address.parse(url), movable_clock=self._movable_clock)
        limits = InboxLimits(max_backlog, max_lane_backlog)
        self._memory = Memory(self._address, self._clock, limits, serving=serving, keep_s=keep_days * DAY_S)
        self.holds = self._memory.holds
        self.edited = self._memory.edited
        self._link = ServerLink(self._address, ready=self._ready, heard=self._heard, changed=self._look_again)
        self._queue = PostgresWriter(self._link, self._memory)
        self._sweeping: asyncio.Task[None] | None = None
        self._gap_found: Callable[[str | None, float | None], None] = lambda *_: None

    async def __aenter__(self) -> Self:
        """Connect, and create or update the schema. A process that serves waits for a server that is away.

        Raises:
            ConfigError: the storage cannot be served as it is: the server is too old, or rights are missing.
            NewerSchema: a newer linqbot has written the schema.
            StorageUnavailable: the server refuses the connection, or cannot be reached and the process does not serve.
        """
        self._memory.process = secrets.token_hex(8)
        self._memory.leaving = False
        await self._link.open(wait=self._serving)
        self._queue.open()
        self._link.follow()
        if self._serving:
            try:
                missing = await self._operate(self._count_dead)
            except BaseException:
                await self._queue.close()
                await self._link.close()
                raise
            sweep = self._sweep(missing)
            self._sweeping = asyncio.get_running_loop().create_task(sweep, name="linqbot storage sweep")
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Write what is queued, and disconnect. A lease that was not finished counts as a crash from now on."""
        # Shielded from cancellation: leases that are not given up are noticed later, and other processes wait for that.
        await asyncio.shield(self._close())

    @property
    def is_shared(self) -> bool:
        return True

    @property
    def trouble(self) -> str | None:
        return self._link.trouble

    # Inbox

    def _take_at_once(self, limit: int, lease_s: float) -> list[Lease] | None:
        memory = self._memory
        if (last := memory.taken).is_all and last.wakes == memory.wakes and self._queue.is_idle:
            # The last `take` has just leased all. This answer is given once, because a notification may be on its way.
            memory.taken = replace(last, is_all=False)
            if last.due is None or last.due > memory.now:
                return []
        return None

    def note_refused(self, lane: str) -> None:
        self._memory.refused[lane] += 1
        if self._link.trouble is None:
            self._queue.post(WorkOp(nothing))

    async def announce_gap(self, since: float) -> None:

        async def announce(tx: Transaction) -> None:
            tx.changes.gap = since

        await self._operate(announce)

    def follow_gaps(self, found: Callable[[str | None, float | None], None]) -> None:
        self._gap_found = found

    def end_leasing(self) -> None:
        self._memory.leaving = True
        # For the turns that ended since the last `take`.
        self._queue.post(WorkOp(nothing))

    async def next_due(self) -> float | None:
        taken = self._memory.taken
        if taken.wakes == self._memory.wakes:
            return self._here(taken.due)
        # The earliest lease or wait that ends later.
        sql = "SELECT extract(epoch FROM min(free_at))::float8 FROM queue WHERE free_at > to_timestamp($1)"
        return self._here(await self._read(lambda db: db.value(sql, taken.at)))

    async def following(self, lane: str, limit: int) -> list[Delivery]:
        return await self._read(lambda db: lanes.following(db, lane, limit))

    async def seen(self, keys: Sequence[str]) -> dict[str, bool]:
        sql = """SELECT id, NOT EXISTS (SELECT FROM delivery WHERE id = seen.delivery_id)
                 FROM seen WHERE id = ANY($1)"""
        return dict(await self._read(lambda db: db.fetch(sql, list(keys))))

    # Timers and broadcasts

    async def fire(self, now: float, *, limit: int = 500) -> int:
        """Without anything due, another process is firing it."""
        has_steps = await self._has_steps(now)

        async def in_turn(tx: PostgresLaneTransaction) -> int:
            # One process at a time: another one could store a later timer of the same lane before an earlier one.
            is_free = await tx.value("SELECT pg_try_advisory_xact_lock($1)", self._address.lock("timers"))
            return await operations.fire(tx, now, limit, has_steps=has_steps) if is_free else 0

        moved = await self._write(in_turn)
        # Read the next time again. Only this process does: to tell the others would wake them to do the same.
        if not moved:
            self._memory.forget_times()
        return moved

    # Upkeep

    async def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Raise ConfigError: PostgreSQL has its own backups."""
        raise ConfigError(
            "A storage in PostgreSQL is no file. Copy it with pg_dump, or with the backups of your provider: all of "
            f"the schema {self._address.schema}."
        )

    # Inside

    async def _close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
            self._sweeping = None
        last = asyncio.ensure_future(self._write_last())
        await asyncio.wait([last], timeout=CLOSE_S)
        if not last.done():
            self._link.give_up()
        await last
        await self._link.close()
        self._memory.held.clear()

    async def _write_last(self) -> None:
        if self._serving:
            # If the server is away, the next process that starts counts the leases.
            with contextlib.suppress(StorageError):
                await self._operate(self._leave)
        await self._queue.close()

    async def _ready(self, writer: Connection, listener: Connection) -> None:
        memory = self._memory
        memory.sender = secrets.token_hex(8)
        await migrate(writer, self._address, create=self._serving)
        await processes.enter(listener, self._address)
        if not self._movable_clock:
            memory.server_time.note(await processes.ahead(writer))
        if self._serving:
            if (reason := processes.clock_fault(memory.ahead_s)) is not None:
                raise ConfigError(f"{self._address.name} cannot be served: {reason}.")
            await processes.join(listener, self._address, memory.process)
        memory.taken = Taken(memory.now)
        async with writer.transaction():
            tx = self._queue.begin(writer)
            self._install = memory.names.install = str(await facts.read(tx, "install"))
            await processes.remember(tx, memory, self.settled)
        memory.apply(tx.changes)

    def _look_again(self) -> None:
        """Look at everything again: the connections were lost or made again, and with them what other processes notified."""
        self._memory.wake_worker()
        if self._link.trouble is None:
            self._memory.watched.note(None)
            self._gap_found(None, None)

    def _heard(self, payload: str) -> None:
        news = News.from_payload(payload)
        if news is None:
            # A newer linqbot may have sent it. The conversations of a chat are read again when its lane is leased.
            log.warning("storage.unreadable_notification", storage=self._address.name, characters=len(payload))
            self._memory.forget_times()
            self._look_again()
            return
        if news.by == self._memory.sender:
            return
        self._memory.has_own_entries |= news.own
        self._memory.watched.note(news.lanes)
        for lane in news.refused or ():
            self._gap_found(lane, None)
        if news.gap is not None or news.refused is None:
            self._gap_found(None, news.gap)
        if news.chats is None:
            self._memory.names.days.clear()
        if news.chats is None or news.chats:
            self._queue.post(WorkOp(self._reading_chats(news.chats)))
        if news.times:
            self._memory.forget_times()
        if news.times or news.work:
            self._memory.wake_worker()

    def _reading_chats(self, chats: Sequence[str] | None) -> Callable[[Transaction], Awaitable[None]]:
        async def read(tx: Transaction) -> None:
            # Among the writes of this process, so that what was read never replaces what is written meanwhile.
            if chats is None:
                tx.changes.all_conversations = await conversation_table.summaries(tx)
                await hold_table.read_all(tx, tx.memory.holds)
            else:
                tx.changes.refreshed |= await conversation_table.in_chats(tx, chats)
                await hold_table.read(tx, chats)

        return read

    async def _count_dead(self, tx: PostgresLaneTransaction) -> set[str]:
        """Count the processes that are dead, and return those that are only missing."""
        missing = await processes.missing(tx)
        young = missing - {processes.COPIED} if await processes.is_server_young(tx) else set()
        await tx.count_crashes(missing - young)
        return young

    async def _leave(self, tx: PostgresLaneTransaction) -> None:
        # A worker that stops finishes its turns first.
        await tx.count_crashes([tx.memory.process])
        if self._memory.active_at is not None:
            await upkeep.note_activity(tx, self._memory.active_at, self._memory.noted_at, after_s=0.0)

    async def _sweep(self, missing: set[str]) -> None:
        """Look now and then for processes that died, and for notifications that were lost with a connection."""

        async def look(tx: PostgresLaneTransaction) -> set[str]:
            await processes.give_back_unknown(tx, self._memory)
            gone = await processes.missing(tx)
            await tx.count_crashes(gone & missing)
            return gone - missing

        while True:
            try:
                await self._wait_for_sweep()
                missing = await self._operate(look)
                await self._read_server_time()
                if (reason := processes.clock_fault(self._memory.ahead_s)) is not None:
                    self._link.lost(reason)
            except StorageError:
                continue
            except Exception as error:  # noqa: BLE001 - if the sweep ended, no dead process would be noticed any more
                log.error("storage.sweep_failed", error=type(error).__name__, at=place_of(error))
            self._memory.forget_times()
            self._memory.wake_worker()

    async def _wait_for_sweep(self) -> None:
        """Wait until the next sweep. If the clock of this machine is set meanwhile, let the worker calculate its waits again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + processes.SWEEP_S
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(left, processes.TICK_S))
            if not (by_s := self._memory.server_time.set_by_s):
                continue
            with contextlib.suppress(StorageError):  # without the server, at the next look
                await self._read_server_time()
                log.warning("storage.clock_set", by_s=round(by_s, 1))
                self._memory.wake_worker()

    async def _read_server_time(self) -> None:
        if not self._movable_clock:
            async with self._link.reading() as connection:
                self._memory.server_time.note(await processes.ahead(connection))

    def _here(self, at: float | None) -> float | None:
        """Return a time of the database's clock as the storage's clock will read it, rounded up."""
        if at is None or self._movable_clock:
            return at
        return at - self._memory.ahead_s + _LATE_S

    async def _earliest(
        self, earliest: Earliest, query: Callable[[Readable], Coroutine[Any, Any, float | None]]
    ) -> float | None:
        return self._here(await super()._earliest(earliest, query))

    async def _read(self, query: Callable[[Readable], Awaitable[T]]) -> T:
        async with self._link.reading() as connection:
            return await query(PostgresReader(connection, self._memory.ahead_s))

    async def _operate(self, work: Callable[[PostgresLaneTransaction], Coroutine[Any, Any, T]]) -> T:
        return await self._write(work)

    async def _wipe(self, *, whole: bool) -> bool:
        # Imported late: most processes never wipe.
        from linqbot.storage.contents import TABLES

        if not whole and await self._read(lambda db: facts.read(db, upkeep.UNWIPED)) is None:
            return True
        async with self._link.reading() as connection:
            await connection.execute(f"VACUUM {', '.join(TABLES)}, body", timeout=3600.0)
        await self._write(lambda tx: facts.remove(tx, upkeep.UNWIPED))
        return True
