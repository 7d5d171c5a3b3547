"""Signs of life: what a person does on purpose is an answer to what the bot sends.

They count for `Manners(unanswered=…)` and for the first contact. That a message was delivered or read, or that a person types, is no
answer.
"""

from __future__ import annotations

from typing import Final

from linqbot.engine.turn import Turn, TurnPart, written_at
from linqbot.linq.events.parse import understood
from linqbot.linq.handles import person_key

SIGNS_OF_LIFE: Final = frozenset(
    {
        "message.received",
        "message.edited",
        "reaction.added",
        "reaction.removed",
        "poll.received",
        "poll.reaction.added",
        "poll.vote.added",
        "poll.vote.removed",
        "location.sharing.started",
        "location.sharing.stopped",
        "contact_card.received",
    }
)
"""The types of events that are signs of life of their authors."""

_CLOCKS_S: Final = 5.0
"""Seconds by which Linq's clock may be behind ours, by which what was sent is noted."""


class SignsOfLife(TurnPart):
    """Notes when a person has last given a sign of life. It opens turns, so it sees also the events that no handler takes."""

    async def open(self, turn: Turn) -> None:
        delivery = turn.lease.delivery
        event = understood(delivery)
        if event is not None and event.actor is not None and not event.is_own:
            at = min(delivery.received_at, written_at(delivery) + _CLOCKS_S)
            await self._turns.storage.note_wrote(person_key(event.actor), at)
