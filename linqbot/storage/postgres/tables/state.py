"""The SQL of state: values by scope and name, each written only if the expected value is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from linqbot.errors import StateConflict
from linqbot.storage.postgres.server.address import Connection
from linqbot.storage.postgres.transaction import Transaction
from linqbot.storage.state import StateRow, StateWrite, conflict


class PostgresStateBatch:
    """The state that the turns of one transaction write. A later turn sees what an earlier one writes."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._stored: dict[tuple[str, str], bytes] = {}
        self._writes: dict[tuple[str, str], StateWrite] = {}

    async def read(self, writes: Iterable[StateWrite]) -> None:
        """Read the values that will be written, and keep other transactions from writing them until the commit."""
        places = {(write.scope, write.name) for write in writes}
        if not places:
            return
        # A lock of the row would not do: two transactions could both find that there is none.
        await self._tx.lock(f"state\0{scope}\0{name}" for scope, name in places)
        sql = """SELECT scope, name, value FROM state
                 WHERE (scope, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))"""
        ordered = sorted(places)
        rows = await self._tx.fetch(sql, [scope for scope, _ in ordered], [name for _, name in ordered])
        self._stored = {(scope, name): value for scope, name, value in rows}

    def add(self, writes: Sequence[StateWrite]) -> StateConflict | None:
        """Add the writes of one turn. Return an error, and add none, if another value than an expected one is stored."""
        error = conflict(writes, self._value)
        if error is None:
            self._writes.update({(write.scope, write.name): write for write in writes})
        return error

    def drop(self, writes: Sequence[StateWrite]) -> None:
        """Take back writes that were added, because their lease is over."""
        for write in writes:
            self._writes.pop((write.scope, write.name), None)

    async def write(self) -> None:
        """Write everything that was added."""
        kept = [write for write in self._writes.values() if write.value is not None]
        gone = [place for place, write in self._writes.items() if write.value is None]
        if kept:
            await self._tx.run(
                """INSERT INTO state AS old (scope, name, value, person)
                   SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[])
                   ON CONFLICT (scope, name)
                   DO UPDATE SET value = excluded.value, person = coalesce(excluded.person, old.person)""",
                [write.scope for write in kept],
                [write.name for write in kept],
                [write.value for write in kept],
                [write.person for write in kept],
            )
        if gone:
            await self._tx.run(
                "DELETE FROM state WHERE (scope, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
                [scope for scope, _ in gone],
                [name for _, name in gone],
            )

    def _value(self, scope: str, name: str) -> bytes | None:
        if (write := self._writes.get((scope, name))) is not None:
            return write.value
        return self._stored.get((scope, name))


async def write_now(tx: Transaction, writes: Sequence[StateWrite]) -> None:
    """Write values outside of a turn; see `StateStore.write_state`.

    Raises:
        StateConflict: another value than the expected one is stored; nothing was written.
    """
    batch = PostgresStateBatch(tx)
    await batch.read(writes)
    if (error := batch.add(writes)) is not None:
        raise error
    await batch.write()


async def load(connection: Connection, scope: str) -> dict[str, bytes]:
    """Return all values of a scope, as JSON by name."""
    rows = await connection.fetch("SELECT name, value FROM state WHERE scope = $1", scope)
    return {name: value for name, value in rows}  # noqa: C416 - a Record is no pair to the type checker


async def rows(
    connection: Connection, *, prefix: str, name: str | None, after: tuple[str, str], limit: int
) -> list[StateRow]:
    """Return stored values; see `StateStore.state_rows`."""
    sql = """SELECT scope, name, value FROM state
             WHERE (scope, name) > ($1, $2) AND scope >= $3 AND starts_with(scope, $3)
                 AND ($4::text IS NULL OR name = $4)
             ORDER BY scope, name LIMIT $5"""
    return [StateRow(*row) for row in await connection.fetch(sql, *after, prefix, name, limit)]


async def chats_with(connection: Connection, handle: str) -> set[str]:
    """Return the ids of the direct chats with a person whose state is stored.

    Args:
        handle: With `casefold` applied.
    """
    sql = "SELECT DISTINCT scope, person FROM state WHERE person IS NOT NULL AND starts_with(scope, 'chat:')"
    found = await connection.fetch(sql)
    return {scope.removeprefix("chat:") for scope, person in found if person.casefold() == handle}
