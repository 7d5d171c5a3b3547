"""The journal: the record of a turn's API calls, so that a turn that runs again repeats none of them.

The idempotency key and the content of a call are stored before its first attempt. When a turn runs again, `engine/`
reads the entries and repeats only the calls whose outcome is unknown. The texts of a settled entry are removed; ids, status and
times stay. That is done whenever an outcome is stored, however it was found: every entry passes through this module, which knows
if history is on. Until the ack of the turn, an answer keeps what its typed form needs. After the ack no run needs the answer,
so nothing of it is kept. PostgreSQL begins entries in a statement of its own, which also checks their leases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from pydantic_core import from_json, to_json

from linqbot.linq.events.delivery import OWN_DELIVERY, Delivery
from linqbot.options import DAY_S
from linqbot.storage import people
from linqbot.storage.dialect import Readable, Writable

DeliveryStatus: TypeAlias = Literal["sent", "failed", "delivered", "read"]
"""The state of a message as Linq's receipts report it, in ascending order. It never goes back."""

RECEIPTS: Final[dict[str, DeliveryStatus]] = {
    "message.sent": "sent",
    "message.delivered": "delivered",
    "message.read": "read",
    "message.failed": "failed",
}
"""The delivery status of a sent message, by the event type of its receipt."""

EntryStatus: TypeAlias = Literal["attempting", "accepted", "refused", "ambiguous", "dropped"]

ENTRIES_KEPT_S = 7 * DAY_S
"""Seconds for which journal entries are kept after the ack of their turn.

The entries of a dead-lettered turn stay, because a retry must find them. The texts in an entry are deleted earlier, as
soon as it is settled, unless the backend keeps history.
"""

_RISES: tuple[DeliveryStatus | None, ...] = (None, "sent", "failed", "delivered", "read")


# Not frozen, like `Call`, `Delivery`, `Commit`, `Lease` and the other data that every turn creates: a frozen instance takes
# five times as long to create. No code changes one, except that a turn drops what its delivery has decoded.
@dataclass(slots=True)
class JournalEntry:
    """The record of one call of a turn.

    Attributes:
        turn: The id of the delivery that the turn handles.
        replay: 0, then one more for each deliberate replay of the delivery. Each replay has its own keys.
        slot: The number of the call within the turn (`0`, `1`, ...), or the `key=` that the bot's author gave.
        key: The idempotency key; unique.
        safety: The safety class; see `client/call.py`. For an entry that is no API call: `ask` for a question of
            `ctx.ask`, whose `answer` is the person's, or `step` for a call of `ctx.once`.
        call: The call as JSON. After a crash this call is repeated, even if the handler asks for another one then.
        status: `attempting` until the outcome is known.
        answer: Linq's answer as JSON if accepted, the error as JSON if refused. None if the call is known to be
            accepted only from a receipt.
        message_id, chat_id: The message that the call created and its chat; None if it created none.
        first_at: Unix seconds of the first attempt.
        delivery: The furthest state that a receipt has reported; see `settle_receipt`.
        digest: A digest of the call without its key. A further run of the turn recognises the call by it after the
            texts were deleted from `call`. None while `call` is complete, and after the ack of the turn.
        origin: The people and the chat of the turn, as JSON. `Storage.forget` finds the entry by it when the delivery is
            gone. None if the turn concerns no person.
        off_the_record: True if the line of the turn keeps nothing (zero retention). Texts are deleted as soon as the
            entry is settled, even if history is on.
    """

    turn: str
    replay: int
    slot: str
    key: str
    safety: str
    call: bytes
    status: EntryStatus
    first_at: float
    answer: bytes | None = None
    message_id: str | None = None
    chat_id: str | None = None
    delivery: DeliveryStatus | None = None
    digest: str | None = None
    origin: bytes | None = None
    off_the_record: bool = False

    def with_outcome(
        self, status: EntryStatus, answer: bytes, *, message_id: str | None, chat_id: str | None
    ) -> JournalEntry:
        # `dataclasses.replace` is several times slower, because it looks up every field by name.
        begun = (self.turn, self.replay, self.slot, self.key, self.safety, self.call)
        rest = (self.delivery, self.digest, self.origin, self.off_the_record)
        return JournalEntry(*begun, status, self.first_at, answer, message_id, chat_id, *rest)


def with_result(entry: JournalEntry, result: object) -> JournalEntry:
    """Return the entry of a step that was made, with its result, which has a JSON form."""
    return entry.with_outcome("accepted", to_json(result), message_id=None, chat_id=None)


def after_receipt(entry: JournalEntry, receipt: Receipt) -> JournalEntry:
    """Return the entry with the state of a receipt. The call is accepted: Linq sends receipts only for such calls."""
    if _RISES.index(receipt.status) > _RISES.index(entry.delivery):
        entry = replace(entry, delivery=receipt.status)
    if entry.status in ("attempting", "ambiguous"):
        entry = replace(entry, status="accepted", answer=None, message_id=entry.message_id or receipt.message_id)
    return entry


class Receipt(NamedTuple):
    """The state of a message that a receipt reports."""

    key: str | None  # the idempotency key of the call that made the message; None if Linq did not name it
    message_id: str | None  # the message; None if Linq did not name it
    status: DeliveryStatus

    @classmethod
    def of(cls, delivery: Delivery) -> Receipt | None:
        """Return the receipt in a webhook of either payload version; None if it cannot be read without a parse."""
        content, status = delivery.content, RECEIPTS.get(delivery.type)
        data = content.get("data") if isinstance(content, dict) else None
        if status is None or not isinstance(data, dict):
            return None
        message = data.get("message")
        message_id = (message if isinstance(message, dict) else data).get("id")
        if not isinstance(message_id, str) or not message_id:
            return None
        key = data.get("idempotency_key")
        return cls(key if isinstance(key, str) else None, message_id, status)


COLUMNS = (
    "turn, replay, slot, key, safety, call, status, first_at, answer, message_id, chat_id, delivery, digest, origin, "
    "off_the_record"
)
"""The columns of a `JournalEntry`, in the order of its fields."""

EVERY_COLUMN = f"{COLUMNS}, texts, ended_at"
_INTO = f"journal ({EVERY_COLUMN})"
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
    rows = [row(entry, texts=True) for entry in entries]
    note_names(tx, rows)
    await _insert(tx, rows, "ON CONFLICT (turn, replay, slot) DO NOTHING")


async def settle(tx: Writable, entries: Sequence[JournalEntry], *, ended: bool = False) -> None:
    """Store outcomes of journal entries, without the texts that no repetition needs.

    While history is on, texts stay, except those off the record. With `ended`, the turns are acked in this transaction.
    """
    note_own(tx, entries)
    # The last outcome of each entry: one statement cannot change a row twice.
    rows = {each[:3]: each for each in outcomes(tx, entries, ended=ended)}
    note_names(tx, rows.values())
    await _insert(tx, [*rows.values()], REPLACE)


def outcomes(tx: Writable, entries: Iterable[JournalEntry], *, ended: bool) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that store outcomes of journal entries; see `settle`."""
    for entry in entries:
        texts = (tx.keep_s > 0 and not entry.off_the_record) or is_repeatable(entry)
        yield row(entry, texts=texts, ended_at=tx.now if ended else None)


async def status_of(db: Readable, entry: JournalEntry) -> EntryStatus | None:
    """Return the status of an entry on record; None if it was not begun."""
    sql = "SELECT status FROM journal WHERE turn = $1 AND replay = $2 AND slot = $3"
    status: EntryStatus | None = await db.value(sql, entry.turn, entry.replay, entry.slot)
    return status


async def receive(tx: Writable, receipts: Sequence[Receipt]) -> list[JournalEntry | None]:
    """Store what receipts report. Return the updated entry of each. Write only what has changed."""
    keys, ids = [each.key for each in receipts if each.key], [each.message_id for each in receipts if each.message_id]
    by_key = {entry.key: entry for entry in await _found(tx, "key = ANY($1) AND message_id IS NULL", keys)}
    # The oldest entry of a message is the call that made it.
    by_id = {entry.message_id: entry for entry in await _found(tx, "message_id = ANY($1)", ids)}
    entries: list[JournalEntry | None] = []
    changed: dict[tuple[str, int, str], JournalEntry] = {}
    for receipt in receipts:
        found = by_key.pop(receipt.key or "", None) or by_id.get(receipt.message_id)
        entries.append(updated := found and after_receipt(found, receipt))
        if updated is None:
            continue
        if updated.message_id is None:
            by_key[updated.key] = updated
        else:
            by_id[updated.message_id] = updated
        if updated is not found:
            changed[updated.turn, updated.replay, updated.slot] = updated
    sql = """UPDATE journal SET status = $4, answer = $5, message_id = $6, delivery = $7
             WHERE turn = $1 AND replay = $2 AND slot = $3"""
    if changed:
        rows = [(*place, e.status, e.answer, e.message_id, e.delivery) for place, e in changed.items()]
        await tx.run_each(sql, rows)
    return entries


_IS_OVER: Final = "NOT EXISTS (SELECT 1 FROM conversation WHERE id = journal.turn AND status <> 'timed_out')"


async def end(tx: Writable, turns: Iterable[str]) -> None:
    """Note that turns are over: the time for which their journal entries are kept counts from now.

    The turn of a conversation that goes on is left out.
    """
    sql = f"""UPDATE journal SET ended_at = $1, digest = NULL, answer = CASE WHEN texts THEN answer END
             WHERE turn = ANY($2) AND {_IS_OVER}"""
    if ended := sorted(turns):
        await tx.run(sql, tx.now, ended)


async def forget_texts(tx: Writable, turns: Iterable[str]) -> None:
    """Delete the texts in the journal entries of turns. The turn of a conversation that goes on is left out."""
    sql = f"SELECT n, safety, call, answer FROM journal WHERE texts AND turn = ANY($1) AND {_IS_OVER}"
    if over := sorted(turns):
        await _redact(tx, await tx.fetch(sql, over))


async def purge(tx: Writable, limit: int, keep_s: float) -> int:
    """Delete old journal entries, and the texts in younger ones, at most `limit` of each.

    Returns the greater of the two numbers of rows: less than `limit` if nothing is left to do. `keep_s` counts if it is
    longer than `ENTRIES_KEPT_S`.
    """
    old = "SELECT n FROM journal WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    if gone := [n for (n,) in await tx.fetch(old, tx.now - max(ENTRIES_KEPT_S, keep_s), limit)]:
        await tx.run("DELETE FROM journal WHERE n = ANY($1)", gone)
    with_texts = """SELECT n, safety, call, answer FROM journal WHERE texts AND ended_at < $1
                    ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED"""
    rows = await tx.fetch(with_texts, tx.now - tx.keep_s, limit)
    await _redact(tx, rows)
    return max(len(gone), len(rows))


async def of_turn(db: Readable, turn: str, replay: int) -> list[JournalEntry]:
    return await _entries(db, "WHERE turn = $1 AND replay = $2 ORDER BY n", turn, replay)


async def of_message(db: Readable, message_id: str) -> JournalEntry | None:
    found = await _entries(db, "WHERE message_id = $1 ORDER BY n LIMIT 1", message_id)
    return found[0] if found else None


async def of_turns(db: Readable, turns: Collection[str], messages: Collection[str]) -> list[JournalEntry]:
    which = "WHERE turn = ANY($1) OR message_id = ANY($2) ORDER BY n"
    return await _entries(db, which, list(turns), list(messages)) if turns or messages else []


async def labelled(db: Readable, messages: Collection[str], label: str) -> frozenset[str]:
    rows = await db.fetch("SELECT message_id, slot FROM journal WHERE message_id = ANY($1)", list(messages))
    return frozenset(message_id for message_id, slot in rows if label in slot)


async def has_sent(db: Readable, message_id: str) -> bool:
    return await db.value("SELECT 1 FROM journal WHERE message_id = $1 LIMIT 1", message_id) is not None


async def ambiguous(db: Readable, limit: int) -> list[JournalEntry]:
    return await _entries(db, "WHERE status = 'ambiguous' ORDER BY first_at, n LIMIT $1", limit)


def is_found_by_lane(tx: Writable) -> bool:
    """Return True if outcomes say which turns a lane has had, for as long as the entries of these turns are kept."""
    return tx.keep_outcomes_s >= max(ENTRIES_KEPT_S, tx.keep_s)


def note_names(tx: Writable, rows: Iterable[tuple[Any, ...]]) -> None:
    """Note whom the rows of entries name, which are stored in this transaction; see `people.py`."""
    is_found = is_found_by_lane(tx)
    for each in rows:
        people.note_entry(tx, each[0], (each[5], each[8]), each[10], each[13], is_found=is_found)


def is_own(entry: JournalEntry) -> bool:
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
    digest = entry.digest if ended_at is None else None
    begun = (entry.turn, entry.replay, entry.slot, entry.key, entry.safety, call, entry.status, entry.first_at)
    outcome = (answer, entry.message_id, entry.chat_id, entry.delivery, digest, entry.origin, entry.off_the_record)
    return (*begun, *outcome, texts, ended_at)


async def _insert(tx: Writable, rows: Sequence[tuple[Any, ...]], on_conflict: str) -> None:
    if rows:
        await tx.insert(_INTO, rows, on_conflict, off_the_record=[all(each[14:16]) for each in rows])


async def _redact(tx: Writable, rows: Iterable[Sequence[Any]]) -> None:
    # What a person answered and what a step returned may be text in any of its fields, and no run needs it any more.
    cut = [(n, *without_texts(call, None if safety in RECORDED else answer)) for n, safety, call, answer in rows]
    sql = f"UPDATE journal SET call = $2, answer = $3, texts = false{tx.no_padding} WHERE n = $1"
    await tx.run_each(sql, cut)


async def _found(db: Readable, where: str, values: Sequence[str]) -> list[JournalEntry]:
    """Return the entries that fit, the newest first, and lock them."""
    return await _entries(db, f"WHERE {where} ORDER BY n DESC FOR UPDATE", values) if values else []


async def _entries(db: Readable, which: str, *values: object) -> list[JournalEntry]:
    sql = f"SELECT {COLUMNS} FROM journal {which}"
    return [JournalEntry(*row) for row in await db.fetch(sql, *values)]


RECORDED = frozenset({"ask", "step"})
"""The `safety` of entries that are no API calls. Their texts are deleted when their turn has ended."""
_OF_A_CALL = ("noun", "verb", "method", "path", "safety")
_KEPT = frozenset({
    "id", "handle", "from", "to", "status", "delivery_status", "type", "service", "preferred_service", "reason",
})  # fmt: skip
_KEPT_ENDINGS = ("_id", "_at")


def is_repeatable(entry: JournalEntry) -> bool:
    """Return True if the call of this journal entry may have to be repeated, so that its texts must be kept.

    This includes a call that is known to be accepted only from a receipt: repeated under the same key, Linq returns
    the missing answer. It also includes answers of people and results of steps, which further runs of the turn need.
    """
    if entry.safety in RECORDED:
        return True
    return entry.status in ("attempting", "ambiguous") or (entry.status == "accepted" and entry.answer is None)


def without_texts(call: bytes, answer: bytes | None) -> tuple[bytes, bytes | None]:
    """Return a call and its answer, both as JSON, without texts.

    The call keeps its name and path, which show if the handler makes another call in a later run. The answer keeps what
    is needed to build its typed form: parts are removed, other strings are emptied.
    """
    if answer is None:
        return name_of(call), None
    said = _decoded(answer)
    return name_of(call), to_json(_emptied(said) if isinstance(said, dict) else _emptied_value(said, "status"))


def name_of(call: bytes) -> bytes:
    """Return a call, as JSON, with its name and path alone."""
    # `Call.to_json` writes these fields first. A string cannot contain this mark: its quotes would be escaped.
    head, body, _ = call.partition(b',"body":')
    if body and head.startswith(b'{"noun":'):
        return head + b"}"
    said = _decoded(call)
    return to_json({name: said[name] for name in _OF_A_CALL if name in said} if isinstance(said, dict) else {})


def _emptied(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a copy without parts, and with empty strings in place of all that may be text."""
    # Written out, because this runs for every message and a call for each value would take twice as long.
    kept: dict[str, Any] = {}
    for name, value in answer.items():
        if name == "parts":
            kept[name] = []
        elif isinstance(value, str):
            kept[name] = value if name in _KEPT or name.endswith(_KEPT_ENDINGS) else ""
        elif isinstance(value, dict):
            kept[name] = _emptied(value)
        elif isinstance(value, list):
            kept[name] = [_emptied_value(inner, name) for inner in value]
        else:
            kept[name] = value
    return kept


def _emptied_value(value: Any, name: str) -> Any:
    return _emptied({name: value})[name]


def _decoded(data: bytes) -> Any:
    try:
        return from_json(data)
    except ValueError:
        return None
