"""What the journal means: the journal of entries. A call's key and content are stored before its first attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

DeliveryStatus: TypeAlias = Literal["sent", "failed", "delivered", "read"]
"""What Linq's receipts say about a message, in the order they may follow each other: it never falls back."""

EntryStatus: TypeAlias = Literal["attempting", "accepted", "refused", "ambiguous", "dropped"]

ENTRIES_KEPT_S = 7 * 24 * 3600.0
"""How long entries are kept after their turn was acked. Those of a dead-lettered turn stay: a retry must find them.

What was said in them goes earlier, as soon as it is settled, unless a backend keeps history; see `redact.py`.
"""

_RISES: tuple[DeliveryStatus | None, ...] = (None, "sent", "failed", "delivered", "read")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One call of a turn.

    Attributes:
        turn: The id of the delivery whose handling made the call.
        replay: 0, and one more each time a turn is deliberately done anew under new keys.
        slot: The call's number within the turn (`0`, `1`, ...), or the `key=` its author gave.
        key: The idempotency key; unique.
        safety: See `client/call.py`.
        call: The call as JSON. What is repeated after a crash is this, not what the handler says then.
        status: `attempting` until the outcome is known.
        answer: Linq's answer as JSON, once accepted; the error as JSON, once refused. None for an accepted entry we
            know only from a receipt.
        message_id, chat_id: Of the message it made, if it made one.
        first_at: Unix seconds of the first attempt.
        delivery: The furthest a receipt has told of; see `settle_receipt`.
        digest: A digest of what the call says, to know the call by in a further run of its turn once `call` has lost
            its texts. None while `call` is whole, and once the turn is acked.
        origin: JSON: the people and the chat of the turn, by which `Upkeep.forget` finds the entry when the delivery
            is gone; None when the turn is about no person.
        off_the_record: Whether the turn's line keeps nothing: texts go as soon as they are settled, also with history.
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


def after_receipt(entry: JournalEntry, message_id: str | None, status: DeliveryStatus) -> JournalEntry:
    """The entry as a receipt leaves it: further delivered, and accepted, since nobody gets receipts for nothing."""
    if _RISES.index(status) > _RISES.index(entry.delivery):
        entry = replace(entry, delivery=status)
    if entry.status in ("attempting", "ambiguous"):
        entry = replace(entry, status="accepted", answer=None, message_id=entry.message_id or message_id)
    return entry


def after_outcome(old: JournalEntry, new: JournalEntry) -> JournalEntry:
    """The entry as its outcome leaves it: begun as it was, and not behind what a receipt that came first has told."""
    new = replace(
        new,
        key=old.key,
        safety=old.safety,
        first_at=old.first_at,
        delivery=old.delivery,
        origin=old.origin,
        off_the_record=old.off_the_record,
    )
    if old.delivery is None:
        return new
    return replace(new, message_id=new.message_id or old.message_id) if new.status == "accepted" else old


class Journal(Protocol):
    """The journal of entries."""

    async def begin(self, entry: JournalEntry) -> None:
        """Store an entry durably before its first attempt. One on record for (turn, replay, slot) is kept as it is.

        Raises:
            StorageUnavailable: nothing was stored; the call must not be made.
            StorageError: another entry has this key; nothing was stored.
        """
        ...

    async def settle(self, entry: JournalEntry) -> None:
        """Store an entry's outcome durably now, not only with the turn's `finish`.

        Key, safety, first attempt, origin and off_the_record stay as they were begun.

        Raises:
            StorageUnavailable: nothing was stored.
        """
        ...

    async def entries(self, turn: str, replay: int = 0) -> list[JournalEntry]:
        """The entries on record for a turn, in the order they were begun."""
        ...

    async def settle_receipt(
        self, key: str | None, message_id: str | None, status: DeliveryStatus
    ) -> JournalEntry | None:
        """Note what a receipt tells about a message, durably, and return the entry that made it, as it is then.

        Found by its key, else by its message. An entry whose outcome is not known yet becomes `accepted` with this
        `message_id`, and without an answer. Receipts come in any order: `delivery` rises from `sent` over `failed` and
        `delivered` to `read`, and never falls.

        Returns:
            None when no entry on record made this message.
        Raises:
            StorageUnavailable: nothing was noted.
        """
        ...

    async def has_sent(self, message_id: str) -> bool:
        """Whether a message was made by an entry on record, and so is ours."""
        ...
