"""Broadcasts, `ctx.bot.broadcast`: each person gets a delivery, in the pace of the line, whose turn sends the messages.

`storage/broadcasts.py` keeps the pace. The commit of the person's turn stores the outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog
from pydantic import Field, ValidationError
from pydantic_core import to_json

from linqbot.characters import cut
from linqbot.client.client import Client
from linqbot.client.outcome import Refusal, meaning_of
from linqbot.client.resources.chats import send_call
from linqbot.client.resources.resource import checked_call
from linqbot.engine.failure import refused_by
from linqbot.engine.helpers import Helpers
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.turn import Turn
from linqbot.error_details import readable
from linqbot.errors import (
    BotError,
    CallSkipped,
    LinqApiError,
    MessageGone,
    Refused,
    RuleBroken,
    TurnDeferred,
    Withheld,
)
from linqbot.features.turn_data import SentFor
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.parse import EventNotUnderstood
from linqbot.linq.handles import person_key, plain_handle
from linqbot.linq.types.data import Data
from linqbot.linq.types.message import MessageContent, SentMessage
from linqbot.linq.types.proactive import Broadcast, Purpose, RecipientOutcome
from linqbot.options import check_number, check_whole
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast, RecipientUpdate, place_of_person
from linqbot.storage.inbox import Ack, Commit, DeadLetter

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.engine.turns import Turns


log = structlog.get_logger("linqbot.worker")

LONGEST_REASON: Final = 300
"""Largest number of characters of a reason. The whole error of a person who failed is in the dead letter."""


Audience: TypeAlias = Iterable[str] | AsyncIterable[str]
"""Handles of people, such as a list, or `ctx.state.people(…)`."""

PER_MINUTE: Final = 20.0
"""People in a minute by default."""

_AT_A_TIME: Final = 1000
_ANY_CHAT: Final = "00000000-0000-4000-8000-000000000000"


def check_pace(per_minute: float) -> None:
    """Raise BotError if the pace of a broadcast is not greater than 0, or infinite."""
    check_number("broadcast", "per_minute", per_minute)
    if not 0 < per_minute < float("inf"):
        raise BotError(f"per_minute={per_minute!r} is no pace. Give the number of people in a minute, such as 20.")


async def people_of(audience: Audience) -> list[str]:
    """Return the handles of an audience in order, each once. Addresses that differ in case only are the same.

    Raises BotError for one text instead of several handles, and for an element that is no text.
    """
    if isinstance(audience, str | bytes) or not isinstance(audience, Iterable | AsyncIterable):
        raise BotError(
            f"ctx.bot.broadcast() takes the handles of people, such as a list or ctx.state.people(…), not "
            f"{type(audience).__name__}. To write to one person: ctx.bot.send(…, to=…)."
        )
    people: dict[str, str] = {}
    for handle in [each async for each in audience] if isinstance(audience, AsyncIterable) else audience:
        if not isinstance(handle, str) or not handle.strip():
            what = "an empty text" if isinstance(handle, str) else f"an object of type {type(handle).__name__}"
            raise BotError(f"The audience of a broadcast has {what} in it. Give handles, such as '+14155550142'.")
        check_whole("The audience of a broadcast", handle)
        people.setdefault(person_key(handle), plain_handle(handle))
        if len(people) % _AT_A_TIME == 0:
            await asyncio.sleep(0)  # so that a large audience does not hold up other chats
    return list(people.values())


def checked_messages(messages: Sequence[MessageContent], line: str) -> bytes:
    """Return the messages as JSON in Linq's form, checked without a call. Raises BotError for none, and RuleBroken."""
    if not messages:
        raise BotError("A broadcast needs content: ctx.bot.broadcast(people, 'The menu of July is out.', name='july').")
    opening = checked_call("chats.create", body={"from": line, "to": [line], "message": messages[0]})
    calls = [opening, *(send_call(_ANY_CHAT, message) for message in messages[1:])]
    return to_json([(call.body or {})["message"] for call in calls])


def broadcaster_of(helpers: Helpers) -> TurnBroadcaster:
    """Return what carries out the broadcasts of a turn."""
    return helpers.made(
        TurnBroadcaster, lambda of: TurnBroadcaster(of.journal, of.journal.storage, of.journal.outbound)
    )


@dataclass(frozen=True, slots=True)
class TurnBroadcaster:
    """Stores broadcasts at once, not with the end of the turn: a name is begun once, whatever happens to the turn."""

    journal: TurnJournal
    stored: Storage
    outbound: Outbound

    async def start_broadcast(self, new: NewBroadcast, people: Sequence[str], *, ask_linq: Client | None) -> Broadcast:
        """Store a broadcast now, unless one of its name is stored, and return the stored one.

        Args:
            ask_linq: Asks Linq if the account has the line; None if the line is known to be one of the account.
        Raises:
            CallSkipped: a part of a conversation that is over has begun no such broadcast.
        """
        self.journal.refuse_after_end("broadcast")
        if self.journal.is_past:
            raise CallSkipped("broadcast")
        if ask_linq is not None:
            await self.check_line(new.line, ask_linq)
        self.outbound.check_broadcast(new.name, people)
        begun = replace(new, off_the_record=self.journal.off_the_record, lane=self.journal.delivery.lane)
        await self.stored.start_broadcast(begun, people)
        stored = await self.stored.broadcast(new.name)
        assert stored is not None, "broadcasts are never deleted"
        return stored

    async def check_line(self, line: str, client: Client) -> None:
        """Raise BotError if the account does not have a line. Linq would refuse its sends for a day."""
        lines = await client.phone_numbers.list()
        if all(one.phone_number != line for one in lines):
            raise BotError(
                f"The line= of ctx.bot.broadcast(…) is none of the {len(lines)} lines of this account, so nothing was begun. "
                "Give one that client.phone_numbers.list() returns, in the same form: line='+12025550100'."
            )


class BroadcastSend(Data):
    """The part of a broadcast that one turn sends: all its messages, to one person. It is the body of the turn's delivery."""

    broadcast: str
    n: int  # the person's number in the broadcast
    line: str = Field(alias="from")
    to: str
    messages: Sequence[dict[str, Any]]  # in Linq's form
    purpose: Purpose = "promotional"

    async def send(self, client: Client) -> RecipientUpdate:
        """Send, and return the outcome. Raises TurnDeferred if the line cannot send now, which is not about this person.

        An error of Linq that is no refusal passes: the person may be reached later, or was.
        """
        chat_id = ""
        try:
            for message in self.messages:
                with suppress(MessageGone):
                    chat_id, _ = await send_to(client, chat_id, self.line, self.to, message)
        except Withheld as error:
            if error.until is not None:
                return RecipientUpdate(self.broadcast, self.n, "pending", str(error), error.until)
            return self._ended("refused", str(error))
        except Refused as error:
            return self._ended("refused", f"{refused_by(error)}: {error}")
        except RuleBroken as error:
            return self._ended("refused", str(error))
        except LinqApiError as error:
            refusal = meaning_of(error)
            if refusal is None or refusal is Refusal.WAIT:
                raise
            if refusal is Refusal.DENIED:  # no other person would get the message either
                raise TurnDeferred(f"{error.summary}. The broadcast {self.broadcast} waits until then.") from error
            return self._ended("opted_out") if refusal is Refusal.OPTED_OUT else self._ended("refused", str(error))
        return self._ended("sent")

    def _ended(self, outcome: RecipientOutcome, reason: str | None = None) -> RecipientUpdate:
        if outcome != "sent":
            log.info(f"broadcast.{outcome}", broadcast=self.broadcast, n=self.n, reason=reason)
        return RecipientUpdate(
            self.broadcast, self.n, outcome, None if reason is None else cut(readable(reason), LONGEST_REASON)
        )


def broadcast_send(delivery: Delivery) -> BroadcastSend:
    """Return the send that a delivery of the kind `broadcast` stands for.

    Raises EventNotUnderstood for a send that another release may have stored.
    """
    try:
        return BroadcastSend.model_validate_json(delivery.body)
    except ValidationError:
        # Without the error as its cause, because it may quote the text of the message.
        raise EventNotUnderstood(delivery.id, delivery.type, ("body",)) from None


async def send_to(
    client: Client, chat_id: str, line: str, to: str, message: MessageContent | Mapping[str, Any]
) -> tuple[str, SentMessage]:
    """Send a message to a person, and return the id of its chat and the message.

    Without a chat, `chats.create` sends into the direct chat if it exists, and opens it otherwise. The chat is not
    looked up first: after a crash the lookup would find the chat that the first run opened, and the calls would differ.
    """
    if chat_id:
        return chat_id, (await client.chats.messages.send(chat_id, message=message)).message
    chat = (await client.chats.create(from_=line, to=[to], message=message)).chat
    return chat.id, chat.message


async def send_to_person(_: Turns, turn: Turn) -> None:
    """Send a broadcast to one person, with the errors of `broadcast_send` and `BroadcastSend.send`."""
    to_person = broadcast_send(turn.lease.delivery)
    turn.journal.origin = to_json({"handles": [to_person.to], "chat_id": None, "is_group": False})
    turn.data.put(SentFor(to_person.purpose))
    with turn.deadline:
        update = await to_person.send(turn.client)

    def end(_: Turn, commit: Commit) -> None:
        if isinstance(commit.outcome, Ack):
            commit.recipients = (update,)

    turn.ends.append(end)


def give_up_person(delivery: Delivery, commit: Commit) -> None:
    """Add the outcome of a person whose delivery became a dead letter: it must not keep the broadcast from ending."""
    if isinstance(outcome := commit.outcome, DeadLetter):
        name, n = place_of_person(delivery.id)
        commit.recipients = (RecipientUpdate(name, n, "failed", outcome.error[:LONGEST_REASON]),)
