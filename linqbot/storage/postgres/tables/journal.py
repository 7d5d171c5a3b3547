"""The SQL of the journal, run inside a transaction of the writer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from linqbot.events.delivery import OWN_DELIVERY
from linqbot.storage.inbox import lease_over
from linqbot.storage.journal import ENTRIES_KEPT_S, JournalEntry, Receipt, after_receipt
from linqbot.storage.operations import BeginOp
from linqbot.storage.postgres.server.address import Connection
from linqbot.storage.postgres.transaction import Transaction
from linqbot.storage.redaction import is_repeatable, without_texts
from linqbot.storage.tables.state import StateBatch

COLUMNS = (
    "turn, replay, slot, key, safety, call, status, first_at, answer, message_id, chat_id, delivery, digest, origin, "
    "off_the_record"
)
"""The columns of a `JournalEntry`, in the order of its fields."""

_INSERT = f"""INSERT INTO journal AS old ({COLUMNS}, texts)
    SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[],
        $8::float8[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::boolean[],
        $16::boolean[])
    ON CONFLICT (turn, replay, slot) """  # noqa: S608 - constant text
# DO NOTHING applies to a repeated slot only. A key that another entry has must raise an error. The leases are checked in the
# same statement, because each statement costs a round trip.
_BEGIN = f"""WITH held AS (SELECT token FROM leases_of($18::text[], $17::bigint[])),
    begun AS (
        INSERT INTO journal ({COLUMNS}, texts)
        SELECT {COLUMNS}, texts FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bytea[],
            $7::text[], $8::float8[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[],
            $15::boolean[], $16::boolean[], $17::bigint[]) AS u ({COLUMNS}, texts, token)
        WHERE u.token IS NULL OR u.token IN (SELECT token FROM held)
        ON CONFLICT (turn, replay, slot) DO NOTHING)
    SELECT token FROM held"""  # noqa: S608 - constant text
# The SQL form of `journal.after_outcome`: the state that a receipt reported stays, whatever outcome comes after it.
_REPLACE = """DO UPDATE SET
    call = excluded.call, status = excluded.status, answer = excluded.answer, chat_id = excluded.chat_id,
    digest = excluded.digest, texts = excluded.texts,
    message_id = CASE WHEN old.delivery IS NULL THEN excluded.message_id
                      ELSE coalesce(excluded.message_id, old.message_id) END
    WHERE old.delivery IS NULL OR excluded.status = 'accepted'"""


async def begin(tx: Transaction, ops: Sequence[BeginOp]) -> None:
    """Store journal entries before the first attempt of their calls, except those whose lease is over.

    An entry on record stays as it is.
    """
    if not ops:
        return
    state = StateBatch(tx)
    changing = [op for op in ops if op.state]
    await state.read(op.state for op in changing)
    for op in changing:
        if not await is_on_record(tx, op.entry):
            op.error = state.add(op.state)
    begun = [(op, entry) for op in ops for entry in op.entries]
    rows = [_row(entry, texts=True) for _, entry in begun]
    tokens = [None if op.lease is None else op.lease.token for op, _ in begun]
    lanes = [None if op.lease is None else op.lease.delivery.lane for op, _ in begun]
    held = {row["token"] for row in await tx.fetch(_BEGIN, *_columns(rows), tokens, lanes)}
    for op in ops:
        if op.error is None and op.lease is not None and op.lease.token not in held:
            op.error = lease_over(op.lease)
            tx.changes.ended_leases.add(op.lease.token)
            state.drop(op.state)
    await state.write()
    _note_own(tx, [entry for op, entry in begun if op.error is None])


async def is_on_record(tx: Transaction, entry: JournalEntry) -> bool:
    """Return True if an entry was begun."""
    sql = "SELECT EXISTS (SELECT FROM journal WHERE turn = $1 AND replay = $2 AND slot = $3)"
    return bool(await tx.value(sql, entry.turn, entry.replay, entry.slot))


async def is_accepted(tx: Transaction, entry: JournalEntry) -> bool:
    """Return True if an entry is accepted on record."""
    sql = """SELECT EXISTS (
        SELECT FROM journal WHERE turn = $1 AND replay = $2 AND slot = $3 AND status = 'accepted')"""
    return bool(await tx.value(sql, entry.turn, entry.replay, entry.slot))


async def settle(tx: Transaction, entries: Sequence[JournalEntry]) -> None:
    """Store outcomes of journal entries, without the texts that no repetition needs."""
    if not entries:
        return
    _note_own(tx, entries)
    rounds: list[dict[tuple[str, int, str], JournalEntry]] = []
    for entry in entries:
        # One statement cannot change a row twice.
        place = (entry.turn, entry.replay, entry.slot)
        free = next((each for each in rounds if place not in each), None)
        if free is None:
            rounds.append(free := {})
        free[place] = entry
    for each in rounds:
        rows = [
            _row(entry, texts=(tx.keep_s > 0 and not entry.off_the_record) or is_repeatable(entry))
            for entry in each.values()
        ]
        await tx.run(_INSERT + _REPLACE, *_columns(rows))


async def receive(tx: Transaction, receipts: Iterable[Receipt]) -> list[JournalEntry | None]:
    """Store what receipts report. Return the updated entry of each. Write only what has changed."""
    entries: list[JournalEntry | None] = []
    for receipt in receipts:
        found = await find(tx.connection, "key = $1 AND message_id IS NULL", receipt.key, lock=True)
        found = found or await find(tx.connection, "message_id = $1", receipt.message_id, lock=True)
        updated = found and after_receipt(found, receipt)
        entries.append(updated)
        if updated is not None and updated != found:
            await tx.run(
                """UPDATE journal SET status = $1, answer = $2, message_id = $3, delivery = $4
                   WHERE turn = $5 AND replay = $6 AND slot = $7""",
                updated.status,
                updated.answer,
                updated.message_id,
                updated.delivery,
                updated.turn,
                updated.replay,
                updated.slot,
            )
    return entries


async def end(tx: Transaction, turns: Iterable[str]) -> None:
    """Note that turns are over: the time for which their journal entries are kept counts from now.

    The turn of a conversation that goes on is left out.
    """
    sql = """UPDATE journal SET ended_at = $1, digest = NULL, answer = CASE WHEN texts THEN answer END
             WHERE turn = ANY($2)
                 AND NOT EXISTS (SELECT FROM conversation WHERE id = journal.turn AND status <> 'timed_out')"""
    if ended := sorted(turns):
        await tx.run(sql, tx.now, ended)


async def forget_texts(tx: Transaction, turns: Iterable[str]) -> None:
    """Delete the texts from the journal entries of turns that are over."""
    sql = "SELECT n, call, answer FROM journal WHERE texts AND turn = ANY($1)"
    await _redact(tx, await tx.fetch(sql, sorted(turns)))


async def purge(tx: Transaction, limit: int) -> int:
    """Delete old journal entries, and the texts in younger ones, at most `limit` of each.

    Returns:
        The greater of the two numbers of rows; less than `limit` if nothing is left to do.
    """
    # ANY(ARRAY(…)) and not IN (…): PostgreSQL may run a query after IN several times, each with a limit of its own.
    old = """DELETE FROM journal WHERE n = ANY(ARRAY(
        SELECT n FROM journal WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED))"""
    gone = await tx.run(old, tx.now - max(ENTRIES_KEPT_S, tx.keep_s), limit)
    with_texts = """SELECT n, call, answer FROM journal WHERE texts AND ended_at < $1 ORDER BY ended_at LIMIT $2
        FOR UPDATE SKIP LOCKED"""
    rows = await tx.fetch(with_texts, tx.now - tx.keep_s, limit)
    await _redact(tx, rows)
    return max(gone, len(rows))


async def purge_dead(tx: Transaction, before: float, limit: int) -> int:
    """Delete old dead letters, and the texts in their journal entries; see `Upkeep.purge`."""
    sql = """DELETE FROM dead WHERE n = ANY(ARRAY(
        SELECT n FROM dead WHERE dead_lettered_at < $1 ORDER BY dead_lettered_at, n LIMIT $2 FOR UPDATE))
        RETURNING id"""
    ids = [row["id"] for row in await tx.fetch(sql, before, limit)]
    if ids:
        await end(tx, ids)
        await forget_texts(tx, ids)
    return len(ids)


async def find(connection: Connection, where: str, value: str | None, *, lock: bool = False) -> JournalEntry | None:
    """Return the entry for which a condition on `$1` holds; None if there is none."""
    if value is None:
        return None
    sql = f"SELECT {COLUMNS} FROM journal WHERE {where} LIMIT 1"  # noqa: S608 - constant text
    row = await connection.fetchrow(sql + (" FOR UPDATE" if lock else ""), value)
    return None if row is None else entry_of(row)


async def of_turn(connection: Connection, turn: str, replay: int) -> list[JournalEntry]:
    """Return the journal entries of a turn, in the order in which they were begun."""
    sql = f"SELECT {COLUMNS} FROM journal WHERE turn = $1 AND replay = $2 ORDER BY n"  # noqa: S608 - constant text
    return [entry_of(row) for row in await connection.fetch(sql, turn, replay)]


async def has_own(connection: Connection) -> bool:
    """Return True if an entry belongs to a delivery that linqbot created, such as a scheduled send."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM journal WHERE starts_with(turn, 'i.'))"))


def entry_of(row: asyncpg.Record) -> JournalEntry:
    """Return the entry of a row with `COLUMNS`."""
    return JournalEntry(*row)


def is_own(entry: JournalEntry) -> bool:
    """Return True if the entry belongs to a delivery that linqbot created, such as a scheduled send."""
    return entry.turn.startswith(OWN_DELIVERY)


def _note_own(tx: Transaction, entries: Iterable[JournalEntry]) -> None:
    tx.changes.own_entries |= any(map(is_own, entries))


async def _redact(tx: Transaction, rows: Sequence[asyncpg.Record]) -> None:
    if not rows:
        return
    cut = [(n, *without_texts(call, answer)) for n, call, answer in rows]
    await tx.run(
        """UPDATE journal SET call = u.call, answer = u.answer, texts = false
           FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS u (n, call, answer) WHERE journal.n = u.n""",
        *_columns(cut),
    )


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _row(entry: JournalEntry, *, texts: bool) -> tuple[Any, ...]:
    call, answer = (entry.call, entry.answer) if texts else without_texts(entry.call, entry.answer)
    return (
        entry.turn,
        entry.replay,
        entry.slot,
        entry.key,
        entry.safety,
        call,
        entry.status,
        entry.first_at,
        answer,
        entry.message_id,
        entry.chat_id,
        entry.delivery,
        entry.digest,
        entry.origin,
        entry.off_the_record,
        texts,
    )
