"""Missed answers: votes, tapbacks, shared locations and removals that Linq knows but whose webhooks did not arrive.

They are searched for open questions only, and only those that a question waits for: a request or two for each question.
They become deliveries like those of their webhooks, but they reach questions only (`worker/turn.py`). Handlers get the
webhook, if it still comes. Payments need no search: `ctx.pay` asks Linq when its time is over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic_core import to_json

from linqbot.bot.asking.ballot import Ballot
from linqbot.bot.asking.question import OpenQuestion
from linqbot.client.client import Client
from linqbot.events.delivery import Delivery
from linqbot.events.lane import lane_of_chat
from linqbot.storage.conversations import Conversation
from linqbot.types.chat import Chat
from linqbot.types.message import Message, UnknownPart
from linqbot.worker.lookups import given

if TYPE_CHECKING:
    from linqbot.types.poll import PollEnvelope

FOUND_ID: Final = "i.found."
"""Prefix of the ids of these deliveries."""

_SHARED: Final = "location.sharing.started"


class _Fact(NamedTuple):
    """An event as Linq would have reported it: its time, its type, and its data without the chat."""

    at: datetime
    type: str
    data: dict[str, Any]


async def missed_answers(
    client: Client, chat: Chat, questions: Sequence[Conversation], since: float, now: float
) -> list[Delivery]:
    """Return what the open questions of a chat wait for and Linq knows, as deliveries.

    A tapback, a location and a vote that was taken back have no time at Linq. They get the earliest possible one, so that
    they count before the question's timeout.

    Args:
        since: The Unix time since which webhooks may be missing.
        now: The current time, in Unix seconds.
    Raises:
        LinqUnavailable, RateLimited: Linq does not answer now.
    """
    found = []
    for conversation in questions:
        if (question := OpenQuestion.read(conversation.question)) is not None:
            earliest = datetime.fromtimestamp(max(since, conversation.asked_at), UTC)
            facts = await _facts(question, chat, client, earliest)
            found += [_delivery(fact, conversation, chat, now) for fact in facts]
    return found


async def _facts(question: OpenQuestion, chat: Chat, client: Client, earliest: datetime) -> list[_Fact]:
    facts = [*_of_members(question, chat, earliest)]
    if question.poll is not None and (envelope := await given(client.messages.poll.retrieve(question.poll))):
        facts += _of_poll(question, envelope, _line(chat), earliest)
    for message_id in question.messages if question.reactions else ():
        if (message := await given(client.messages.retrieve(message_id))) is not None:
            facts += _of_reactions(message, earliest)
    if _SHARED in question.events and (located := await given(client.chats.location.retrieve(chat.id))):
        handles = [feature.properties.handle for feature in located.data.features]
        facts += [_Fact(earliest, _SHARED, {"shared_by": handle, "shared_with": _line(chat)}) for handle in handles]
    return facts


def _of_members(question: OpenQuestion, chat: Chat, earliest: datetime) -> Iterator[_Fact]:
    """Yield the removal of the bot from a group, and the people who came or left since a vote of all began."""
    ballot = question.ballot if question.ballot is not None and question.ballot.until is None else None
    for handle in chat.handles if chat.is_group else ():
        has_left = handle.status in ("left", "removed")
        is_awaited = ballot is not None and handle.handle.casefold() in ballot.members
        if has_left if handle.is_me else (ballot is not None and has_left == is_awaited):
            at = handle.left_at if has_left else handle.joined_at
            kind = "participant.removed" if has_left else "participant.added"
            yield _Fact(at or earliest, kind, {"participant": handle.to_json_object()})


def _of_poll(question: OpenQuestion, made: PollEnvelope, line: str | None, earliest: datetime) -> Iterator[_Fact]:
    """Yield the options that people added to a poll, and the votes that they gave and took back."""
    base = {"message_id": made.message_id, "direction": "inbound"}
    ballot = question.ballot or Ballot(choices=question.choices, options=tuple(question.options.items()))
    known = dict(ballot.options)
    votes = {
        (voter.handle.casefold(), option.option_id): voter.voted_at or earliest
        for option in made.poll.options
        for voter in option.voters
        if voter.handle != line
    }
    added = [option.to_json_object() for option in made.poll.options if option.option_id not in known]
    if added:
        # Before the votes for them.
        yield _Fact(min([earliest, *votes.values()]), "poll.updated", base | {"added_options": added})
    counted = {(person, option) for person, choice in ballot.votes for option, text in known.items() if text == choice}
    for person, option in sorted(counted - votes.keys()):
        yield _Fact(earliest, "poll.vote.removed", base | {"sender_handle": {"handle": person}, "option_id": option})
    for (person, option), at in votes.items():
        # A vote for an added option was answered as invalid before, if it answers a question.
        if (person, option) not in counted and (question.ballot is not None or option in known):
            yield _Fact(at, "poll.vote.added", base | {"sender_handle": {"handle": person}, "option_id": option})


def _of_reactions(message: Message, earliest: datetime) -> Iterator[_Fact]:
    """Yield the tapbacks of people on a message."""
    for index, part in enumerate(message.parts):
        for each in () if isinstance(part, UnknownPart) else part.reactions or ():
            if each.handle is not None and not each.is_me:
                reaction = {"reaction_id": each.id, "reaction_type": each.type, "custom_emoji": each.custom_emoji}
                by = {"is_from_me": False, "from_handle": each.handle.to_json_object()}
                place = {"message_id": message.id, "part_index": index}
                yield _Fact(earliest, "reaction.added", {**place, **reaction, **by})


def _line(chat: Chat) -> str | None:
    return next((handle.handle for handle in chat.handles if handle.is_me), None)


def _delivery(fact: _Fact, conversation: Conversation, chat: Chat, now: float) -> Delivery:
    """Build the delivery that Linq would have made for an event."""
    owner = {"owner_handle": {"handle": _line(chat), "is_me": True}}
    place = {"chat_id": chat.id, "chat": {"id": chat.id, "is_group": chat.is_group, **owner}}
    hidden = {"zero_retention": True} if conversation.off_the_record else {}
    body = {"event_type": fact.type, "created_at": fact.at.isoformat(), "data": {**place, **fact.data, **hidden}}
    # A digest, because the body has handles, and ids are logged. The same fact has the same id.
    name = hashlib.blake2b(to_json([conversation.id, body]), digest_size=16).hexdigest()
    body["event_id"] = f"found.{name}"
    return Delivery(f"{FOUND_ID}{name}", lane_of_chat(chat.id), fact.type, to_json(body), now)
