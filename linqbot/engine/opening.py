"""The beginning of a turn: what is known of its earlier runs, and what features have found out about its delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from linqbot.engine.bag import Bag
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.storage.conversations import Conversation
from linqbot.storage.journal import JournalEntry


@dataclass(slots=True)
class Opening:
    """The beginning of a turn.

    Attributes:
        turn_id: The id of the delivery, or of the conversation that it continues.
        known: The journal entries of the turn's earlier runs.
        off_the_record: True if no text of the turn may be kept.
        event: The event that stands for that of the delivery, such as an answer that a timer has found; None if none does.
        data: What features have found out about the delivery, by its class. If there is any, the turn is run in any case.
        conversation: The conversation that the turn continues; None if it continues none.
        live_from: Set for the second run of a handler that has ended without coming to its open question, because its code or
            what it looks at has changed: the number of the part in which it has ended. In the first run, the calls of that
            part were not made, as in every part that is over. In the second they are made. None for all other runs.
        led_to: Set for a run that begins again because new code came from a part to another question than before, which an
            earlier run had asked with the times of another part: the number of the question, by the number of the part.
    """

    turn_id: str
    replay: int
    known: Sequence[JournalEntry] = ()
    off_the_record: bool = False
    event: Event | None = None
    data: Bag = field(default_factory=Bag)
    conversation: Conversation | None = None
    live_from: int | None = None
    led_to: Mapping[int, int] = field(default_factory=dict)

    def keyed_by(self, delivery: Delivery) -> str:
        """Return the name from which the idempotency keys of the turn are made, given its delivery.

        For a message, it is the message's own: fetched from Linq, it has another delivery than its webhook. After a restore,
        what was answered since the backup is fetched so, and Linq must recognise the answers. For a burst, it is the last
        message's own: the messages before may have been answered alone since the backup, and the last is answered now.
        """
        if self.conversation is not None:
            delivery = Delivery.from_webhook(self.conversation.root, webhook_id="", received_at=0.0)
        return delivery.newest_message_key or self.turn_id

    def progress_after(self, at: float) -> int:
        """Return the number of journal entries begun after a time, and of their outcomes: each addition raises it."""
        return sum(1 + (entry.status != "attempting") for entry in self.known if entry.first_at > at)
