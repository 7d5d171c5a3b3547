"""The state that a run of a dry deploy sees: the values of now, because the storage keeps no older ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from linqbot.errors import StorageError
from linqbot.storage.backend import Storage
from linqbot.storage.state import StateRow, StateWrite

STATE_OF_NOW: Final = "ctx.state, which is not on record as it was then"


class StateOfNow:
    """The stored state, which may only be read. It implements `StateStore`.

    Args:
        empty: True shows no values.
    Attributes:
        was_read: True if a stored value was read, or could have been.
    """

    def __init__(self, storage: Storage, *, empty: bool) -> None:
        self.was_read = False
        self._storage = storage
        self._empty = empty

    async def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope; see `StateStore.load`."""
        values = {} if self._empty else await self._storage.load(scope)
        self.was_read = self.was_read or bool(values)
        return values

    async def state_rows(
        self, *, prefix: str = "", name: str | None = None, after: tuple[str, str] = ("", ""), limit: int = 500
    ) -> list[StateRow]:
        """Return stored values; see `StateStore.state_rows`."""
        self.was_read = True
        if self._empty:
            return []
        return await self._storage.state_rows(prefix=prefix, name=name, after=after, limit=limit)

    async def write_state(self, writes: Sequence[StateWrite]) -> None:
        """Refuse to write.

        Raises:
            StorageError: always.
        """
        raise StorageError("A dry deploy stores nothing.")
