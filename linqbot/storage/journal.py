"""The journal: the record of a turn's API calls, so that a turn that runs again repeats none of them.

The idempotency key and the content of a call are stored before its first attempt. When a turn runs again, `worker/`
reads the entries and repeats only the calls whose outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from pydantic_core import to_json

from linqbot.events.delivery import Delivery
from linqbot.storage.state import StateWrite

if TYPE_CHECKING:  # the inbox imports this module
    from linqbot.storage.inbox import Lease

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

ENTRIES_KEPT_S = 7 * 24 * 3600.0
"""Seconds for which journal entries are kept after the ack of their turn.

The entries of a dead-lettered turn stay, because a retry must find them. The texts in an entry are deleted earlier, as
soon as it is settled, unless the backend keeps history; see `redaction.py`.
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
        origin: The people and the chat of the turn, as JSON. `Upkeep.forget` finds the entry by it when the delivery is
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
        """Return the entry with the outcome of its call."""
        # `dataclasses.replace` is several times slower, because it looks up every field by name.
        return JournalEntry(
            self.turn,
            self.replay,
            self.slot,
            self.key,
            self.safety,
            self.call,
            status,
            self.first_at,
            answer,
            message_id,
            chat_id,
            self.delivery,
            self.digest,
            self.origin,
            self.off_the_record,
        )


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


@dataclass(frozen=True, slots=True)
class Receipt:
    """The state of a message that a receipt reports.

    Attributes:
        key: The idempotency key of the call that made the message; None if Linq did not name it.
        message_id: The message; None if Linq did not name it.
        status: Its state.
    """

    key: str | None
    message_id: str | None
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


class Journal(Protocol):
    """The journal entries on record."""

    async def begin(
        self,
        entry: JournalEntry,
        lease: Lease | None = None,
        *,
        state: Sequence[StateWrite] = (),
        changes: JournalEntry | None = None,
        instead: JournalEntry | None = None,
    ) -> None:
        """Store a journal entry durably before the first attempt of its call, and the state that was changed before it.

        An entry that is on record for the same (turn, replay, slot) stays as it is, and then no state is written: it was
        written with the entry.

        Args:
            lease: The lease of the turn that makes the call.
            state: Values to write in the same commit.
            changes: An entry that records these changes; stored with `entry`.
            instead: An entry that is stored if another value than an expected one is stored.
        Raises:
            LeaseLost: the lease is over; nothing was stored, and the call must not be made.
            StateConflict: another value than an expected one is stored; nothing but `instead` was stored, and the call must
                not be made.
            StorageUnavailable: nothing was stored; the call must not be made.
            StorageError: another entry has this key; nothing was stored.
        """
        ...

    async def settle(self, entry: JournalEntry, state: Sequence[StateWrite] = ()) -> None:
        """Store the outcome of a journal entry durably now, without waiting for the `finish` of its turn.

        Key, safety class, first attempt, origin and off_the_record stay as `begin` stored them.

        Args:
            state: Values to write in the same commit. If the entry is accepted already, they were written with it, and
                are not written again.
        Raises:
            StateConflict: another value than an expected one is stored; nothing was stored.
            StorageUnavailable: nothing was stored.
        """
        ...

    async def entries(self, turn: str, replay: int = 0) -> list[JournalEntry]:
        """Return the journal entries of a turn, in the order in which they were begun."""
        ...

    async def settle_receipt(self, receipt: Receipt) -> JournalEntry | None:
        """Store the state that a receipt reports about a message, durably.

        The journal entry that made the message is found by `message_id`; by `key`, as long as its message is not known.
        If its outcome is not known yet, it becomes `accepted` with this `message_id` and without an answer. Receipts
        come in any order: `delivery` rises from `sent` over `failed` and `delivered` to `read`, and never falls.

        Returns:
            The updated entry; None if no entry on record made this message.
        Raises:
            StorageUnavailable: nothing was stored.
        """
        ...

    @property
    def has_made_scheduled_sends(self) -> bool:
        """False if no entry on record belongs to a scheduled send. Then `answers` of an event needs no look-up."""
        ...

    async def entry_of(self, message_id: str) -> JournalEntry | None:
        """Return the journal entry that made this message; None if none on record did."""
        ...

    async def has_sent(self, message_id: str) -> bool:
        """Return True if a journal entry on record made this message, so that the bot is its sender."""
        ...
