"""What the outbox means: the ledger of effects. A call's key and content are stored before its first attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

DeliveryStatus: TypeAlias = Literal["sent", "failed", "delivered", "read"]
"""What Linq's receipts say about a message, in the order they may follow each other: it never falls back."""

EffectStatus: TypeAlias = Literal["attempting", "accepted", "refused", "ambiguous", "dropped"]

EFFECTS_KEPT_S = 7 * 24 * 3600.0
"""How long effects are kept after their turn was acked. Those of a buried turn stay: a retry must find them.

What was said in them goes earlier, as soon as it is settled, unless a backend keeps history; see `slim.py`.
"""

_RISES: tuple[DeliveryStatus | None, ...] = (None, "sent", "failed", "delivered", "read")


@dataclass(frozen=True, slots=True)
class Effect:
    """One call of a turn.

    Attributes:
        turn: The id of the delivery whose handling made the call.
        run: 0, and one more each time a turn is deliberately done anew under new keys.
        slot: The call's number within the turn (`0`, `1`, ...), or the `key=` its author gave.
        key: The idempotency key; unique.
        safety: See `client/call.py`.
        call: The call as JSON. What is repeated after a crash is this, not what the handler says then.
        status: `attempting` until the outcome is known.
        answer: Linq's answer as JSON, once accepted; the error as JSON, once refused. None for an accepted effect we
            know only from a receipt.
        message_id, chat_id: Of the message it made, if it made one.
        first_at: Unix seconds of the first attempt.
        delivery: The furthest a receipt has told of; see `settle_receipt`.
        digest: A digest of what the call says, to know the call by in a further run of its turn once `call` has lost
            its texts. None while `call` is whole, and once the turn is acked.
        origin: JSON: the people and the chat of the turn, by which `Upkeep.forget` finds the effect when the delivery
            is gone; None when the turn is about no person.
        off_the_record: Whether the turn's line keeps nothing: texts go as soon as they are settled, also with history.
    """

    turn: str
    run: int
    slot: str
    key: str
    safety: str
    call: bytes
    status: EffectStatus
    first_at: float
    answer: bytes | None = None
    message_id: str | None = None
    chat_id: str | None = None
    delivery: DeliveryStatus | None = None
    digest: str | None = None
    origin: bytes | None = None
    off_the_record: bool = False


def after_receipt(effect: Effect, message_id: str | None, status: DeliveryStatus) -> Effect:
    """The effect as a receipt leaves it: further delivered, and accepted, since nobody gets receipts for nothing."""
    if _RISES.index(status) > _RISES.index(effect.delivery):
        effect = replace(effect, delivery=status)
    if effect.status in ("attempting", "ambiguous"):
        effect = replace(effect, status="accepted", answer=None, message_id=effect.message_id or message_id)
    return effect


def after_outcome(old: Effect, new: Effect) -> Effect:
    """The effect as its outcome leaves it: begun as it was, and not behind what a receipt that came first has told."""
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


class Outbox(Protocol):
    """The ledger of effects."""

    async def begin(self, effect: Effect) -> None:
        """Store an effect durably before its first attempt. One on record for (turn, run, slot) is kept as it is.

        Raises:
            StorageUnavailable: nothing was stored; the call must not be made.
            StorageError: another effect has this key; nothing was stored.
        """
        ...

    async def settle(self, effect: Effect) -> None:
        """Store an effect's outcome durably now, not only with the turn's `finish`.

        Key, safety, first attempt, origin and off_the_record stay as they were begun.

        Raises:
            StorageUnavailable: nothing was stored.
        """
        ...

    async def effects(self, turn: str, run: int = 0) -> list[Effect]:
        """The effects on record for a turn, in the order they were begun."""
        ...

    async def settle_receipt(self, key: str | None, message_id: str | None, status: DeliveryStatus) -> Effect | None:
        """Note what a receipt tells about a message, durably, and return the effect that made it, as it is then.

        Found by its key, else by its message. An effect whose outcome is not known yet becomes `accepted` with this
        `message_id`, and without an answer. Receipts come in any order: `delivery` rises from `sent` over `failed` and
        `delivered` to `read`, and never falls.

        Returns:
            None when no effect on record made this message.
        Raises:
            StorageUnavailable: nothing was noted.
        """
        ...

    async def has_sent(self, message_id: str) -> bool:
        """Whether a message was made by an effect on record, and so is ours."""
        ...
