"""Broadcasts: each person gets a delivery, in the pace of the line (`storage/broadcasts.py`), whose turn sends the messages.

The commit of the person's turn stores the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic_core import from_json, to_json

from linqbot.client.client import Client
from linqbot.content.sent import OPTED_OUT
from linqbot.engine.failure import readable
from linqbot.engine.parts import Turn
from linqbot.errors import (
    LinqApiError,
    LinqUnavailable,
    MessageGone,
    RateLimited,
    Refused,
    RuleBroken,
    TurnDeferred,
)
from linqbot.features.proactive import send_to
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.parse import EventNotUnderstood
from linqbot.linq.types.proactive import RecipientOutcome
from linqbot.storage.broadcasts import SEND_ID, RecipientUpdate
from linqbot.storage.inbox import Commit, DeadLetter

if TYPE_CHECKING:
    from linqbot.engine.turn import Turns


log = structlog.get_logger("linqbot.worker")

LINE_CODES: Final = frozenset({2005, 2015, 2027})
"""Linq's error codes for a line that cannot send, now or at all. No other person would get the message either."""

LONGEST_REASON: Final = 300
"""Largest number of characters of a reason. The whole error of a person who failed is in the dead letter."""


@dataclass(frozen=True, slots=True)
class BroadcastSend:
    """The part of a broadcast that one turn sends: all its messages, to one person."""

    broadcast: str
    n: int  # the person's number in the broadcast
    line: str
    to: str
    messages: Sequence[Mapping[str, Any]]  # in Linq's form

    @property
    def origin(self) -> bytes:
        """The person, as JSON; see `origin_of`."""
        return to_json({"handles": [self.to], "chat_id": None, "is_group": False})

    async def send(self, client: Client) -> RecipientUpdate:
        """Send, and return the outcome.

        Raises:
            TurnDeferred: the line or the API key cannot send now, which is not about this person.
            LinqApiError: it is unknown if Linq accepted a message.
        """
        chat_id = ""
        try:
            for message in self.messages:
                with suppress(MessageGone):
                    chat_id, _ = await send_to(client, chat_id, self.line, self.to, message)
        except Refused as error:
            return self._ended("refused", f"{error.plugin or 'Outbound middleware'}: {error}")
        except RuleBroken as error:
            return self._ended("refused", str(error))
        except LinqApiError as error:
            if isinstance(error, LinqUnavailable | RateLimited) or error.status is None:
                raise
            if error.code in LINE_CODES or error.status == 401:
                raise TurnDeferred(f"{error} The broadcast {self.broadcast} waits until then.") from error
            return self._ended("opted_out") if error.code == OPTED_OUT else self._ended("refused", str(error))
        return self._ended("sent")

    def _ended(self, outcome: RecipientOutcome, reason: str | None = None) -> RecipientUpdate:
        if outcome != "sent":
            log.info(f"broadcast.{outcome}", broadcast=self.broadcast, n=self.n, reason=reason)
        return RecipientUpdate(
            self.broadcast, self.n, outcome, None if reason is None else readable(reason)[:LONGEST_REASON]
        )


def broadcast_send(delivery: Delivery) -> BroadcastSend | None:
    """Return the send of a broadcast that a delivery stands for; None for any other delivery.

    The id of the delivery decides, and not its type: a webhook can have any type, but no such id.

    Raises:
        EventNotUnderstood: the stored send cannot be read; another release may have stored it.
    """
    if not delivery.id.startswith(SEND_ID):
        return None
    try:
        body = from_json(delivery.body)
        return BroadcastSend(
            str(body["broadcast"]), int(body["n"]), str(body["from"]), str(body["to"]), list(body["messages"])
        )
    except (ValueError, TypeError, KeyError):
        # Without the error as its cause, because it may quote the text of the message.
        raise EventNotUnderstood(delivery.id, delivery.type, ("body",)) from None


async def send_to_person(_: Turns, turn: Turn) -> None:
    """Send a broadcast to one person.

    Raises:
        EventNotUnderstood, TurnDeferred, LinqApiError: see `broadcast_send` and `BroadcastSend.send`.
    """
    to_person = broadcast_send(turn.lease.delivery)
    assert to_person is not None
    turn.journal.origin = to_person.origin
    with turn.deadline:
        turn.journal.recipients = (await to_person.send(turn.client),)


def give_up_person(delivery: Delivery, commit: Commit) -> None:
    """Add the outcome of a person whose delivery became a dead letter: it must not keep the broadcast from ending."""
    if isinstance(outcome := commit.outcome, DeadLetter):
        name, _, n = delivery.id.removeprefix(SEND_ID).rpartition(".")
        # Of a failure only the class of the error: its message may quote a text, and the outcome is kept for ever.
        reason = (outcome.kind or "an error") if outcome.failed else outcome.error
        commit.recipients = (RecipientUpdate(name, int(n), "failed", reason[:LONGEST_REASON]),)
