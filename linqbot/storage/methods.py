"""The methods of the contract that SQLite and PostgreSQL share, because they share the SQL of `tables/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from linqbot.storage.dialect import Readable
from linqbot.storage.operations import QueuedWrites
from linqbot.storage.tables import timers
from linqbot.storage.timers import Timer

T = TypeVar("T")


class TableMethods(QueuedWrites, ABC):
    """The methods that read rows, or that write them outside of a turn."""

    @abstractmethod
    async def _read(self, query: Callable[[Readable], Coroutine[Any, Any, T]]) -> T:
        """Run a query, and return its result."""

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
