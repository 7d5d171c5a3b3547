"""The methods of the contract that SQLite and PostgreSQL share, because they share the SQL of `tables/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.operations import QueuedWrites
from linqbot.storage.state import StateRow, StateWrite
from linqbot.storage.tables import state, timers
from linqbot.storage.timers import Timer

T = TypeVar("T")


class TableMethods(QueuedWrites, ABC):
    """The methods that read rows, or that write them outside of a turn."""

    @abstractmethod
    async def _read(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        """Run a query, and return its result."""

    @abstractmethod
    async def _operate(self, work: Callable[[Writable], Coroutine[Any, Any, T]]) -> T:
        """Run `work` in a transaction outside of a turn, let memory follow it, and return its result."""

    # State

    async def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope, as JSON by name."""
        return await self._read(lambda db: state.load(db, scope))

    async def state_rows(
        self, *, prefix: str = "", name: str | None = None, after: tuple[str, str] = ("", ""), limit: int = 500
    ) -> list[StateRow]:
        """Return stored values; see `StateStore.state_rows`."""
        return await self._read(lambda db: state.rows(db, prefix=prefix, name=name, after=after, limit=limit))

    async def write_state(self, writes: Sequence[StateWrite]) -> None:
        """Write values outside of a turn; see `StateStore.write_state`."""
        await self._operate(lambda tx: state.write_now(tx, writes))

    # Timers

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        """Return the timers that wait, the earliest first."""
        return await self._read(lambda db: timers.scheduled(db, lane, limit))

    async def timer(self, timer_id: str) -> Timer | None:
        """Return a timer; see `Timers.timer`."""
        return await self._read(lambda db: timers.find(db, timer_id))

    async def recurring(self, kind: str, *, lane: str | None = None) -> list[Timer]:
        """Return the recurring timers of a kind; see `Timers.recurring`."""
        return await self._read(lambda db: timers.recurring(db, kind, lane))
