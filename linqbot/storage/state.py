"""State: small JSON values that the author of a bot keeps about a chat, a person, or the whole bot."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from linqbot.errors import StateConflict
from linqbot.linq.handles import person_key
from linqbot.storage import acts
from linqbot.storage.dialect import Readable, Writable

BOT: Final = "bot"
"""The scope of the values that the whole bot shares."""


class AnyValue(Enum):
    ANY = auto()


ANY: Final = AnyValue.ANY
"""For `StateWrite.expected`: write whatever value is stored."""


class StateWrite(NamedTuple):
    """A value to write when the turn ends.

    Attributes:
        scope: `chat:<id>`, `person:<handle>` or `bot`.
        value: JSON; None deletes the value.
        expected: The value that must be stored for the write to happen (compare-and-swap); None if there must be none.
        person: For a value in the scope of a direct chat: the handle of the person in that chat, so that
            `Storage.forget` erases the value. None if it is not known.
    """

    scope: str
    name: str
    value: bytes | None
    expected: bytes | AnyValue | None = ANY
    person: str | None = None


class ChangedValue(NamedTuple):
    """A changed value, to be stored with a call, or with the result of a step that tallies it."""

    write: StateWrite
    now: bytes  # the JSON of the value
    before: bytes | None  # the JSON that a later run of the turn is shown up to this call; None if nothing was stored


class StoredChange(NamedTuple):
    """A value that an earlier run of the turn has stored; see `ChangedValue`."""

    n: int  # its number among the changes of the turn, in the order in which they were stored
    is_tally: bool  # True if a step has tallied it, False if the handler has changed it
    scope: str
    name: str
    before: bytes | None
    after: bytes | None


class StateRow(NamedTuple):
    scope: str
    name: str
    value: bytes


COLUMNS: Final = "scope, name, value, person"
_REPLACE = """ON CONFLICT (scope, name)
    DO UPDATE SET value = excluded.value, person = coalesce(excluded.person, state.person)"""


class StateBatch:
    """The state that the turns of one transaction write. A later turn sees what an earlier one writes."""

    def __init__(self, tx: Writable) -> None:
        self._tx = tx
        self._stored: dict[tuple[str, str], bytes] = {}
        self._writes: dict[tuple[str, str], StateWrite] = {}

    async def read(self, turns: Sequence[Sequence[StateWrite]]) -> None:
        """Read the values that turns will write, and keep other transactions from writing them until the commit."""
        if not any(turns):
            return
        places = {(write.scope, write.name) for writes in turns for write in writes}
        # A lock of the row would not do: two transactions could both find that there is none.
        await self._tx.lock(f"state\0{scope}\0{name}" for scope, name in places)
        sql = "SELECT scope, name, value FROM state WHERE scope = ANY($1) AND name = ANY($2)"
        scopes, names = {scope for scope, _ in places}, {name for _, name in places}
        rows = await self._tx.fetch(sql, sorted(scopes), sorted(names))
        self._stored = {(scope, name): value for scope, name, value in rows}

    def add(self, writes: Sequence[StateWrite]) -> StateConflict | None:
        """Add the writes of one turn. Return an error, and add none, if another value than an expected one is stored."""
        for write in writes:
            if write.expected is not ANY and write.expected != self._value(write.scope, write.name):
                return StateConflict(write.scope, write.name)
        self._writes.update({(write.scope, write.name): write for write in writes})
        return None

    async def write(self) -> None:
        rows = [
            (write.scope, write.name, write.value, None if write.person is None else person_key(write.person))
            for write in self._writes.values()
            if write.value is not None
        ]
        if rows:
            await self._tx.insert(f"state ({COLUMNS})", rows, _REPLACE)
        for place, write in self._writes.items():
            if write.value is None:
                await self._tx.run("DELETE FROM state WHERE scope = $1 AND name = $2", *place)

    def _value(self, scope: str, name: str) -> bytes | None:
        if (write := self._writes.get((scope, name))) is not None:
            return write.value
        return self._stored.get((scope, name))


async def write_now(tx: Writable, writes: Sequence[StateWrite]) -> None:
    """Write values outside of a turn. Raises StateConflict if another value than the expected one is stored."""
    batch = StateBatch(tx)
    await batch.read([writes])
    if (error := batch.add(writes)) is not None:
        raise error
    await batch.write()


def about(scope: str, install: str) -> str | None:
    """Return the chat or the digest of the person that a scope belongs to, for the log; None for the whole bot."""
    kind, _, of = scope.partition(":")
    return {"chat": of, "person": acts.digest_of(install, of)}.get(kind)


async def load(db: Readable, scope: str) -> dict[str, bytes]:
    return dict(await db.fetch("SELECT name, value FROM state WHERE scope = $1", scope))


async def rows(db: Readable, *, prefix: str, name: str | None, after: tuple[str, str], limit: int) -> list[StateRow]:
    sql = """SELECT scope, name, value FROM state
             WHERE (scope, name) > ($1, $2) AND scope >= $3 AND substr(scope, 1, length($3)) = $3
                 AND ($4::text IS NULL OR name = $4)
             ORDER BY scope, name LIMIT $5"""
    return [StateRow(*row) for row in await db.fetch(sql, *after, prefix, name, limit)]


async def chats_with(db: Readable, handle: str) -> set[str]:
    """Return the ids of the direct chats with a person, given with `casefold` applied, whose state is stored."""
    sql = "SELECT DISTINCT scope FROM state WHERE person IS NOT NULL AND lower(person) = $1 AND scope LIKE 'chat:%'"
    return {scope.removeprefix("chat:") for (scope,) in await db.fetch(sql, handle)}
