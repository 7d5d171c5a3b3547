"""What the outbox means: the ledger of effects. A call's key and content are stored before its first attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

EffectStatus: TypeAlias = Literal["attempting", "accepted", "refused", "ambiguous", "dropped"]

EFFECTS_KEPT_S = 7 * 24 * 3600.0
"""How long effects are kept after their turn was acked. Those of a buried turn stay: a retry must find them."""


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
        answer: Linq's answer as JSON, once accepted; the error as JSON, once refused.
        message_id, chat_id: Of the message it made, if it made one.
        first_at: Unix seconds of the first attempt.
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

        Raises:
            StorageUnavailable: nothing was stored.
        """
        ...

    async def effects(self, turn: str, run: int = 0) -> list[Effect]:
        """The effects on record for a turn, in the order they were begun."""
        ...

    async def has_sent(self, message_id: str) -> bool:
        """Whether a message was made by an effect on record, and so is ours."""
        ...
