"""The SQL of state: values by scope and name, each written only if the expected value is stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from linqbot.errors import StateConflict
from linqbot.storage.sqlite.file import transaction
from linqbot.storage.sqlite.statements import insert
from linqbot.storage.state import StateRow, StateWrite, conflict

_REPLACE = """ON CONFLICT (scope, name)
    DO UPDATE SET value = excluded.value, person = coalesce(excluded.person, person)"""


class SQLiteStateBatch:
    """The state that the turns of one transaction write. A later turn sees what an earlier one writes."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._writes: dict[tuple[str, str], StateWrite] = {}

    def add(self, writes: Sequence[StateWrite]) -> StateConflict | None:
        """Add the writes of one turn. Return an error, and add none, if another value than an expected one is stored."""
        if not writes:
            return None
        error = conflict(writes, self._value)
        if error is None:
            self._writes.update({(write.scope, write.name): write for write in writes})
        return error

    def write(self) -> None:
        """Write everything that was added."""
        kept = [
            (write.scope, write.name, write.value, write.person)
            for write in self._writes.values()
            if write.value is not None
        ]
        insert(self._db, "state (scope, name, value, person)", kept, _REPLACE)
        for place, write in self._writes.items():
            if write.value is None:
                self._db.execute("DELETE FROM state WHERE scope = ? AND name = ?", place)

    def _value(self, scope: str, name: str) -> bytes | None:
        if (write := self._writes.get((scope, name))) is not None:
            return write.value
        row = self._db.execute("SELECT value FROM state WHERE scope = ? AND name = ?", (scope, name)).fetchone()
        return None if row is None else bytes(row[0])


def write_now(db: sqlite3.Connection, writes: Sequence[StateWrite]) -> None:
    """Write values in a transaction of their own; see `StateStore.write_state`.

    Raises:
        StateConflict: another value than the expected one is stored; nothing was written.
    """
    with transaction(db):
        batch = SQLiteStateBatch(db)
        if (error := batch.add(writes)) is not None:
            raise error
        batch.write()


def load(db: sqlite3.Connection, scope: str) -> dict[str, bytes]:
    """Return all values of a scope, as JSON by name."""
    return dict(db.execute("SELECT name, value FROM state WHERE scope = ?", (scope,)).fetchall())


def rows(
    db: sqlite3.Connection, *, prefix: str, name: str | None, after: tuple[str, str], limit: int
) -> list[StateRow]:
    """Return stored values; see `StateStore.state_rows`."""
    sql = """SELECT scope, name, value FROM state
             WHERE (scope, name) > (?, ?) AND scope >= ? AND substr(scope, 1, ?) = ? AND (? IS NULL OR name = ?)
             ORDER BY scope, name LIMIT ?"""
    found = db.execute(sql, (*after, prefix, len(prefix), prefix, name, name, limit))
    return [StateRow(*row) for row in found]


def chats_with(db: sqlite3.Connection, handle: str) -> set[str]:
    """Return the ids of the direct chats with a person whose state is stored.

    Args:
        handle: With `casefold` applied.
    """
    sql = "SELECT DISTINCT scope, person FROM state WHERE person IS NOT NULL AND scope LIKE 'chat:%'"
    return {scope.removeprefix("chat:") for scope, person in db.execute(sql) if person.casefold() == handle}
