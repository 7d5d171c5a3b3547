"""The state of a storage in memory; see `storage/state.py` for the contract."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from linqbot.storage.state import StateRow, StateWrite, conflict


class MemoryState:
    """The values by scope and name, and the people of direct chats."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, bytes]] = {}
        # The people of direct chats, by the scope of the chat.
        self._people: dict[str, str] = {}

    def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope, as JSON by name."""
        return dict(self._values.get(scope, {}))

    def rows(self, prefix: str, name: str | None, after: tuple[str, str], limit: int) -> list[StateRow]:
        """Return stored values; see `StateStore.state_rows`."""
        rows = sorted(
            StateRow(scope, each, value)
            for scope, values in self._values.items()
            for each, value in values.items()
            if scope.startswith(prefix) and name in (None, each) and (scope, each) > after
        )
        return rows[:limit]

    def check(self, writes: Sequence[StateWrite]) -> None:
        """Check that nothing has changed the values since they were read.

        Raises:
            StateConflict: another turn has changed one of them.
        """
        if (error := conflict(writes, lambda scope, name: self._values.get(scope, {}).get(name))) is not None:
            raise error

    def write(self, writes: Sequence[StateWrite]) -> None:
        """Store or delete values, without a check."""
        for write in writes:
            values = self._values.setdefault(write.scope, {})
            if write.value is None:
                values.pop(write.name, None)
            else:
                values[write.name] = write.value
            if write.person is not None:
                self._people[write.scope] = write.person

    def chats_of(self, handle: str) -> set[str]:
        """Return the ids of the direct chats with this person of which there are values."""
        scopes = [scope for scope, each in self._people.items() if each.casefold() == handle.casefold()]
        return {scope.removeprefix("chat:") for scope in scopes}

    def forget(self, scopes: Collection[str]) -> int:
        """Delete the values of these scopes, which are in lower case. Return the number of values."""
        found = [scope for scope in self._values if scope.lower() in scopes]
        for scope in found:
            self._people.pop(scope, None)
        return sum(len(self._values.pop(scope)) for scope in found)
