"""Arrivals: the meaning of a delivery for the open questions of its chat.

Only a delivery of a chat in which a conversation is on record comes here. Next step: `session.py` runs the handler of
the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from linqbot.bot.asking.answers import Verdict, judge, voted_option
from linqbot.bot.asking.ballot import counted, with_members
from linqbot.bot.asking.question import AskedBefore, OpenQuestion, asked_before
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.routing.opt_out import opts_out
from linqbot.events.delivery import Delivery, decode
from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.events.parse import EventNotUnderstood, parse
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, Conversation
from linqbot.worker.asking.deliveries import ORDER_PREFIX, order, order_of
from linqbot.worker.asking.records import LOCATION, Outcome, event_of

log = structlog.get_logger("linqbot.worker")


@dataclass(frozen=True, slots=True)
class Arrival:
    """The meaning of a delivery for the questions of its chat.

    Attributes:
        conversation: The conversation that the delivery concerns; None if it concerns none.
        question: The question of this conversation.
        outcome: The end of the question; None if the question stays open.
        event: The event that ends it.
        is_side: True if a handler with `during_ask=True` takes the event.
        after_ask: The question that had timed out.
        ended: Conversations that end with this turn, because they are abandoned or have timed out.
        counted: The conversation whose ballot this event changes. It stays open.
        recounted: Conversations whose vote waits for other people, because a person came or left. The event is handled as
            usual.
        is_void: True if the delivery means nothing, such as the timeout of a question that was answered.
    """

    conversation: Conversation | None = None
    question: OpenQuestion | None = None
    outcome: Outcome | None = None
    event: Event | None = None
    is_side: bool = False
    after_ask: AskedBefore | None = None
    ended: tuple[str, ...] = ()
    counted: Conversation | None = None
    recounted: tuple[Conversation, ...] = ()
    is_void: bool = False


ANSWERS_WITHOUT_CHAT: Final = frozenset({"contact_card.received", "location.sharing.started"})
"""The types of events that can answer a question, and that may not say in which chat they happened."""

_OF_MEMBERS: Final = frozenset({"participant.added", "participant.removed"})

NOTHING = Arrival()
VOID = Arrival(is_void=True)


def arrival(  # noqa: PLR0911 - one return for each case
    delivery: Delivery, conversations: Sequence[Conversation], dispatcher: Dispatcher, *, put_back: bool = False
) -> Arrival:
    """Return the meaning of a delivery for the conversations of its chat.

    Args:
        put_back: True if an operator has put the delivery back into the inbox. Then it answers only the question that it
            had answered when it failed.
    """
    if delivery.id.startswith(ORDER_PREFIX):
        return _of_order(delivery, conversations, dispatcher)
    try:
        event = parse(delivery)
    except EventNotUnderstood:
        return NOTHING
    if (event.is_own and event.echoes) or opts_out(event):
        return NOTHING  # A message by which a person opts out ends all questions of the chat: `worker/opting_out.py`.
    person = (event.actor or "").casefold()
    # A question to this person comes before a question to anyone.
    for conversation in sorted(
        (each for each in conversations if person and each.person in (person, ANYONE)),
        key=lambda each: each.person == ANYONE,
    ):
        if conversation.status == "timed_out":
            if isinstance(event, MessageReceived) and not put_back:
                return _late(conversation)
            continue
        question = OpenQuestion.model_validate_json(conversation.question)
        if (
            _is_open(conversation, question, delivery, put_back=put_back)
            and (verdict := judge(question, event)) is not None
        ):
            if dispatcher.handler_named(conversation.handler) is None:
                return _abandoned(conversation)
            if verdict is Verdict.ANSWER and dispatcher.has_side_handler(event):
                return Arrival(conversation, question, is_side=True)
            return Arrival(conversation, question, _outcome(verdict, question, event, delivery), event)
    return _of_wait(event, delivery, conversations, dispatcher, put_back=put_back)


def _of_wait(
    event: Event,
    delivery: Delivery,
    conversations: Sequence[Conversation],
    dispatcher: Dispatcher,
    *,
    put_back: bool = False,
) -> Arrival:
    """Return the meaning of an event for what the chat waits for besides answers in words, the newest first."""
    # Imported here with the events of payments and locations, without which most bots start.
    from linqbot.bot.asking.wait_answers import judge_wait

    if event.type in _OF_MEMBERS:
        recounted = _with_members(event, conversations)
        return Arrival(recounted=recounted) if recounted else NOTHING
    for conversation in reversed(conversations):
        if " " not in conversation.person:
            continue
        question = OpenQuestion.model_validate_json(conversation.question)
        if not _is_open(conversation, question, delivery, put_back=put_back):
            continue
        if (verdict := judge_wait(question, event)) is not None:
            if dispatcher.handler_named(conversation.handler) is None:
                return _abandoned(conversation)
            return Arrival(conversation, question, _outcome(verdict, question, event, delivery), event)
        if question.ballot is not None and (ballot := counted(question.ballot, event)) is not None:
            voted = question.model_copy(update={"ballot": ballot})
            return _of_vote(conversation, voted, event, delivery, dispatcher)
    return NOTHING


def _with_members(event: Event, conversations: Sequence[Conversation]) -> tuple[Conversation, ...]:
    """Return the conversations whose vote waits for other people now."""
    changed = []
    for conversation in conversations:
        question = OpenQuestion.model_validate_json(conversation.question)
        if conversation.status == "waiting" and question.ballot is not None:
            ballot = with_members(question.ballot, event)
            if ballot is not None:
                question = question.model_copy(update={"ballot": ballot})
                changed.append(replace(conversation, question=question.model_dump_json().encode()))
    return tuple(changed)


def _of_vote(
    conversation: Conversation, question: OpenQuestion, event: Event, delivery: Delivery, dispatcher: Dispatcher
) -> Arrival:
    """Return the meaning of an event that changes a vote: it ends the vote, or the ballot is stored."""
    assert question.ballot is not None
    if not dispatcher.allows(event):
        return NOTHING
    if dispatcher.handler_named(conversation.handler) is None:
        return _abandoned(conversation)
    if not question.ballot.is_complete:
        return Arrival(counted=replace(conversation, question=question.model_dump_json().encode()))
    outcome = _outcome(Verdict.ANSWER, question, event, delivery)
    return Arrival(conversation, question, {**outcome, "result": question.ballot.result()}, event)


def in_chat(delivery: Delivery, storage: Storage) -> Delivery | None:
    """Return an answer that came outside of every chat, such as a contact card, as a delivery of its question's chat.

    Returns:
        None if no open question takes the event.
    """
    try:
        event = parse(delivery)
    except EventNotUnderstood:
        return None
    person = (event.actor or "").casefold()
    for conversation in (*storage.conversations_of(person), *storage.conversations_of(f"{person} {LOCATION}")):
        question = OpenQuestion.model_validate_json(conversation.question)
        if conversation.status == "waiting" and delivery.type in question.events:
            body = decode(delivery.body) if delivery.decoded is None else delivery.decoded
            outcome: Outcome = {"outcome": "answered", "text": "", "type": delivery.type, "body": body}
            return order(conversation, question.n, outcome, name=delivery.id, now=delivery.received_at)
    return None


def _outcome(verdict: Verdict, question: OpenQuestion, event: Event, delivery: Delivery) -> Outcome:
    match verdict:
        case Verdict.CANCEL_WORD:
            return {"outcome": "cancelled", "reason": "word"}
        case Verdict.ANSWER:
            body = decode(delivery.body) if delivery.decoded is None else delivery.decoded
            return {"outcome": "answered", "text": _text_of(event, question), "type": delivery.type, "body": body}


def _of_order(delivery: Delivery, conversations: Sequence[Conversation], dispatcher: Dispatcher) -> Arrival:
    ordered = order_of(delivery)
    for conversation in conversations:
        if ordered is None or conversation.id != ordered.conversation or conversation.status == "timed_out":
            continue
        question = OpenQuestion.model_validate_json(conversation.question)
        if question.n != ordered.n or not (
            _is_open(conversation, question, delivery) or ordered.outcome.get("reason") == "operator"
        ):
            continue
        if dispatcher.handler_named(conversation.handler) is None:
            return replace(_abandoned(conversation), is_void=True)
        if "body" in ordered.outcome:
            event = event_of(ordered.outcome, conversation.chat_id)
        else:
            chat_id = conversation.chat_id
            event = Event.model_validate({"event_id": delivery.id, "event_type": delivery.type, "chat_id": chat_id})
        return Arrival(conversation, question, ordered.outcome, event)
    return VOID


def _is_open(conversation: Conversation, question: OpenQuestion, delivery: Delivery, *, put_back: bool = False) -> bool:
    """Return True if the conversation waits, or if it failed with this delivery, which is retried now."""
    if conversation.status == "waiting":
        return not put_back
    return question.failed_by == delivery.id


def _late(conversation: Conversation) -> Arrival:
    question = OpenQuestion.model_validate_json(conversation.question)
    after_ask = asked_before(question, conversation.handler, conversation.asked_at)
    return Arrival(after_ask=after_ask, ended=(conversation.id,))


def _abandoned(conversation: Conversation) -> Arrival:
    log.error(
        "ask.abandoned",
        conversation=conversation.id,
        chat_id=conversation.chat_id,
        handler=conversation.handler,
        why="The bot has no handler of this name any more, so the question cannot go on. The message is handled as if "
        "no question were open.",
    )
    return Arrival(ended=(conversation.id,))


def _text_of(event: Event, question: OpenQuestion) -> str:
    if isinstance(event, MessageReceived):
        return event.text_to_me
    return question.options.get(voted_option(event) or "", "")
