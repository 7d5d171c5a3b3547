"""The SQL of the journal. PostgreSQL begins entries in a statement of its own, which also checks their leases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from linqbot.events.delivery import OWN_DELIVERY
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.journal import ENTRIES_KEPT_S, JournalEntry, Receipt, after_receipt
from linqbot.storage.redaction import is_repeatable, name_of, without_texts

COLUMNS = (
    "turn, replay, slot, key, safety, call, status, first_at, answer, message_id, chat_id, delivery, digest, origin, "
    "off_the_record"
)
"""The columns of a `JournalEntry`, in the order of its fields."""

_INTO = f"journal ({COLUMNS}, texts, ended_at)"
# The facts from `begin` stay, and so does the state that a receipt reported, whatever outcome comes after it.
REPLACE = """ON CONFLICT (turn, replay, slot) DO UPDATE SET
    call = excluded.call, status = excluded.status, answer = excluded.answer, chat_id = excluded.chat_id,
    digest = excluded.digest, texts = excluded.texts, ended_at = coalesce(excluded.ended_at, journal.ended_at),
    message_id = CASE WHEN journal.delivery IS NULL THEN excluded.message_id
                      ELSE coalesce(excluded.message_id, journal.message_id) END
    WHERE journal.delivery IS NULL OR excluded.status = 'accepted'"""


async def begin(tx: Writable, entries: Sequence[JournalEntry]) -> None:
    """Store journal entries before the first attempt of their calls. An entry on record stays as it is."""
    note_own(tx, entries)
    # DO NOTHING applies to a repeated slot only. A key that another entry has must raise an error.
    await _insert(tx, [row(entry, texts=True) for entry in entries], "ON CONFLICT (turn, replay, slot) DO NOTHING")


async def settle(tx: Writable, entries: Sequence[JournalEntry], *, ended: bool = False) -> None:
    """Store outcomes of journal entries, without the texts that no repetition needs.

    While history is on, texts stay, except those off the record.

    Args:
        ended: True if the turns of all entries are acked with this transaction.
    """
    note_own(tx, entries)
    rounds: list[dict[tuple[str, int, str], tuple[Any, ...]]] = []
    for each in outcomes(tx, entries, ended=ended):
        # One statement cannot change a row twice.
        for free in rounds:
            if each[:3] not in free:
                break
        else:
            rounds.append(free := {})
        free[each[:3]] = each
    for free in rounds:
        await _insert(tx, free.values(), REPLACE)


def outcomes(tx: Writable, entries: Iterable[JournalEntry], *, ended: bool) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that store outcomes of journal entries; see `settle`."""
    for entry in entries:
        texts = (tx.keep_s > 0 and not entry.off_the_record) or is_repeatable(entry)
        yield row(entry, texts=texts, ended_at=tx.now if ended else None)


async def is_on_record(db: Readable, entry: JournalEntry) -> bool:
    """Return True if an entry was begun."""
    sql = "SELECT 1 FROM journal WHERE turn = $1 AND replay = $2 AND slot = $3"
    return await db.value(sql, entry.turn, entry.replay, entry.slot) is not None


async def is_accepted(db: Readable, entry: JournalEntry) -> bool:
    """Return True if an entry is accepted on record."""
    sql = "SELECT 1 FROM journal WHERE turn = $1 AND replay = $2 AND slot = $3 AND status = 'accepted'"
    return await db.value(sql, entry.turn, entry.replay, entry.slot) is not None


async def receive(tx: Writable, receipts: Iterable[Receipt]) -> list[JournalEntry | None]:
    """Store what receipts report. Return the updated entry of each. Write only what has changed."""
    entries: list[JournalEntry | None] = []
    for receipt in receipts:
        found = await _find(tx, "key = $1 AND message_id IS NULL", receipt.key, lock=True)
        found = found or await _find(tx, "message_id = $1", receipt.message_id, lock=True)
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


async def end(tx: Writable, turns: Iterable[str]) -> None:
    """Note that turns are over: the time for which their journal entries are kept counts from now.

    The turn of a conversation that goes on is left out.
    """
    sql = """UPDATE journal SET ended_at = $1, digest = NULL, answer = CASE WHEN texts THEN answer END
             WHERE turn = ANY($2)
                 AND NOT EXISTS (SELECT 1 FROM conversation WHERE id = journal.turn AND status <> 'timed_out')"""
    if ended := sorted(turns):
        await tx.run(sql, tx.now, ended)


async def forget_texts(tx: Writable, turns: Iterable[str]) -> None:
    """Delete the texts from the journal entries of turns that are over."""
    if over := sorted(turns):
        await _redact(tx, await tx.fetch("SELECT n, call, answer FROM journal WHERE texts AND turn = ANY($1)", over))


async def purge(tx: Writable, limit: int) -> int:
    """Delete old journal entries, and the texts in younger ones, at most `limit` of each.

    Returns:
        The greater of the two numbers of rows; less than `limit` if nothing is left to do.
    """
    old = "SELECT n FROM journal WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    if gone := [n for (n,) in await tx.fetch(old, tx.now - max(ENTRIES_KEPT_S, tx.keep_s), limit)]:
        await tx.run("DELETE FROM journal WHERE n = ANY($1)", gone)
    with_texts = """SELECT n, call, answer FROM journal WHERE texts AND ended_at < $1
                    ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED"""
    rows = await tx.fetch(with_texts, tx.now - tx.keep_s, limit)
    await _redact(tx, rows)
    return max(len(gone), len(rows))


async def purge_dead(tx: Writable, before: float, limit: int) -> int:
    """Delete old dead letters, and the texts in their journal entries; see `Upkeep.purge`. Return their number."""
    sql = "SELECT id FROM dead WHERE dead_lettered_at < $1 ORDER BY dead_lettered_at LIMIT $2 FOR UPDATE"
    if ids := [one for (one,) in await tx.fetch(sql, before, limit)]:
        await tx.run("DELETE FROM dead WHERE id = ANY($1)", ids)
        await end(tx, ids)
        await forget_texts(tx, ids)
    return len(ids)


async def of_turn(db: Readable, turn: str, replay: int) -> list[JournalEntry]:
    """Return the journal entries of a turn, in the order in which they were begun."""
    sql = f"SELECT {COLUMNS} FROM journal WHERE turn = $1 AND replay = $2 ORDER BY n"  # noqa: S608 - constant text
    return [JournalEntry(*row) for row in await db.fetch(sql, turn, replay)]


async def of_message(db: Readable, message_id: str) -> JournalEntry | None:
    """Return the entry that made a message; None if none on record did."""
    return await _find(db, "message_id = $1", message_id)


async def has_sent(db: Readable, message_id: str) -> bool:
    """Return True if an entry made a message."""
    return await db.value("SELECT 1 FROM journal WHERE message_id = $1 LIMIT 1", message_id) is not None


async def ambiguous(db: Readable, limit: int) -> list[JournalEntry]:
    """Return the calls and steps of which it is unknown if they were done, the oldest first."""
    sql = f"SELECT {COLUMNS} FROM journal WHERE status = 'ambiguous' ORDER BY first_at, n LIMIT $1"  # noqa: S608
    return [JournalEntry(*row) for row in await db.fetch(sql, limit)]


def is_own(entry: JournalEntry) -> bool:
    """Return True if the entry belongs to a delivery that linqbot created, such as a scheduled send."""
    return entry.turn.startswith(OWN_DELIVERY)


def note_own(tx: Writable, entries: Iterable[JournalEntry]) -> None:
    """Note if an entry belongs to a delivery that linqbot created."""
    for entry in entries:
        if entry.turn.startswith(OWN_DELIVERY):
            tx.changes.own_entries = True


def row(entry: JournalEntry, *, texts: bool, ended_at: float | None = None) -> tuple[Any, ...]:
    """Return the values of the columns of an entry, of `texts`, and of `ended_at`."""
    call, answer = entry.call, entry.answer
    if not texts:
        call, answer = (name_of(call), None) if ended_at is not None else without_texts(call, answer)
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
        entry.digest if ended_at is None else None,
        entry.origin,
        entry.off_the_record,
        texts,
        ended_at,
    )


async def _insert(tx: Writable, rows: Iterable[tuple[Any, ...]], on_conflict: str) -> None:
    groups: dict[bool, list[tuple[Any, ...]]] = {}
    for each in rows:
        off_the_record, texts = each[14:16]
        groups.setdefault(off_the_record and texts, []).append(each)
    for off_the_record, group in groups.items():
        await tx.insert(_INTO, group, on_conflict, off_the_record=off_the_record)


async def _redact(tx: Writable, rows: Iterable[Sequence[Any]]) -> None:
    cut = [(n, *without_texts(call, answer)) for n, call, answer in rows]
    sql = f"UPDATE journal SET call = $2, answer = $3, texts = false{tx.no_padding} WHERE n = $1"  # noqa: S608
    await tx.run_each(sql, cut)


async def _find(db: Readable, where: str, value: str | None, *, lock: bool = False) -> JournalEntry | None:
    if value is None:
        return None
    sql = f"SELECT {COLUMNS} FROM journal WHERE {where} LIMIT 1{' FOR UPDATE' if lock else ''}"  # noqa: S608
    rows = await db.fetch(sql, value)
    return JournalEntry(*rows[0]) if rows else None
