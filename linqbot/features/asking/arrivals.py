"""Arrivals: the meaning of a delivery for the open questions of its chat.

Only a delivery of a chat in which a conversation is on record comes here. The summaries in memory say which
conversations it may concern, nearly always one; only these are read. Next step: `session.py` runs the handler of the
conversation.

What a person wrote before that which led to a question is no answer to it, however late its webhook comes:
`OpenQuestion.may_answer` compares two times of Linq.

Answers and timeouts are taken in the order of their times. An answer counts if it was sent, or was accepted, before the
timeout. A timeout becomes a delivery of the chat's lane when it is due, so an answer that was accepted before is in
front of it, even if a busy or stopped worker handles it later. Two cases are left. Messages that were sent before the
timeout and not accepted, because no process ran: `features/gaps.py` asks Linq for them before the timeout is handled.
And messages that were sent after the timeout and accepted before its timer fired, because all turns of the worker were
taken: here the timeout goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from linqbot.engine.bag import Bag
from linqbot.engine.failure import OfOtherRelease
from linqbot.engine.opening import Opening
from linqbot.engine.turn import ANSWERS_WITHOUT_CHAT, Turn
from linqbot.features.asking.admission import ENDING_ID, SHOWN_ID
from linqbot.features.asking.answers import says_yes_or_no
from linqbot.features.asking.judge import (
    OF_MEMBERS,
    Answer,
    CountedVote,
    Ends,
    Late,
    NotForMe,
    judge,
    with_choice,
)
from linqbot.features.asking.question import AskedBefore, OpenQuestion, QuestionEnd
from linqbot.features.asking.records import (
    LOCATION,
    Asked,
    ending,
    ending_of,
    event_of,
    failed,
    is_for,
    is_of_words,
    is_payment,
    is_wait,
    look,
)
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageReceived, PollReactionAdded, ReactionAdded
from linqbot.linq.events.parse import understood
from linqbot.linq.handles import person_key
from linqbot.linq.rules.keywords import opts_out
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, Conversation, ConversationStatus, ConversationSummary
from linqbot.storage.inbox import Ack, Commit, DeadLetter

if TYPE_CHECKING:
    from linqbot.engine.handling import Handling


log = structlog.get_logger("linqbot.worker")


@dataclass(frozen=True, slots=True)
class Arrival:
    """The meaning of a delivery for the questions of its chat."""

    asked: Asked | None = None  # the conversation that the delivery concerns; None if it concerns none
    outcome: QuestionEnd | None = None  # the end of the question; None if the question stays open
    event: Event | None = None  # the event that ends it, which stands for the delivery
    # The meaning of a side event, which a handler takes while the question stays open, if the `when` of each such handler
    # says no; None for other events.
    answer: Arrival | None = None
    after_ask: AskedBefore | None = None  # the question that had timed out
    ended: tuple[str, ...] = ()  # conversations that end with this turn, because they are abandoned or have timed out
    is_counted: bool = False  # True if the event has changed the ballot of `asked`, whose question stays open
    # Conversations that the event changes although it is handled as usual: their vote waits for other people, because a person came
    # or left; or a text may be the answer to what an interrupted run has begun.
    changed: tuple[Asked, ...] = ()
    is_late: bool = (
        False  # True if the event answers a question that was shown for another chat's handler, and that is over
    )
    is_void: bool = False  # True if the delivery means nothing, such as the timeout of a question that was answered
    is_whole: bool = False  # True if a text ends the question to which no further one belongs, such as a choice

    @property
    def question(self) -> OpenQuestion | None:
        return None if self.asked is None else self.asked.question

    @property
    def is_of_another_chat(self) -> bool:
        """True if the delivery ends or answers a question of a handler that waits in another chat."""
        is_shown = self.asked is not None and self.asked.question.shown_for is not None
        return is_shown and (self.is_late or self.outcome is not None)


ANSWERS: Final = (
    "message.edited",
    "reaction.added",
    "poll.reaction.added",
    "poll.vote.added",
    "poll.vote.removed",
    "poll.updated",
    "participant.added",
    "participant.removed",
    "location.sharing.started",
    "contact_card.received",
    "payment.succeeded",
    "payment.declined",
    "payment.canceled",
    "payment.expired",
)
"""The types of events, besides messages, by which `ctx.ask`, `ctx.pay`, `ctx.location` and `ctx.vote` go on. A bot needs
them although no handler takes them. Edits also change messages that wait."""

NOTHING = Arrival()
VOID = Arrival(is_void=True)


@dataclass(slots=True)
class Arriving:
    """A delivery that may concern the conversations of its chat.

    `put_back`: an operator has put it back into the inbox. Then it answers only the question that it had answered when
    it failed. `unreadable`: the conversations that were read and whose question another release has stored.
    `known`: the conversations that were read, by their ids.
    """

    delivery: Delivery
    conversations: Sequence[ConversationSummary]
    dispatcher: Handling
    storage: Storage
    put_back: bool = False
    unreadable: list[Conversation] = field(default_factory=list)
    known: dict[str, Asked | None] = field(default_factory=dict)

    async def arrival(self, others_since: float) -> Arrival:
        """Return the meaning of the delivery for the conversations.

        Those that it concerns and whose handler is gone, or whose question cannot be read, are abandoned; but raises
        OfOtherRelease for a question without a handler here that was asked since `others_since` (Unix time), by a
        process with another release of the bot. Raises ChoiceFailed if the bot's `allow` or a filter raised an error.
        """
        if self.delivery.id.startswith(ENDING_ID):
            found = await self._of_ending(others_since)
        else:
            found = await self.meaning()
            asked = found.asked
            has_handler = asked is None or self.dispatcher.routes.named(asked.conversation.handler) is not None
            if asked is not None and not has_handler and asked.question.shown_for is None:
                found = _abandoned(asked.conversation, others_since)
        for each in self.unreadable:
            # Else each message of the chat would become a dead letter, and so would the timeout of the question.
            _log_abandoned(each, "Its record cannot be read: another release of linqbot may have stored it.")
        if self.unreadable:
            found = replace(found, ended=(*found.ended, *(each.id for each in self.unreadable)))
        return found

    async def meaning(self) -> Arrival:
        """Return the meaning of an event from Linq for the conversations, whether or not the bot has their handlers.

        The worker and a dry deploy both decide with this function. Raises ChoiceFailed.
        """
        event = understood(self.delivery)
        # A message by which a person opts out ends all questions of the chat: `features/optout.py`.
        if (
            event is None
            or (event.is_own and event.echoes and not _removes_us(event))
            or opts_out(event)
            or self.dispatcher.takes_keyword(event, during_ask=True)
        ):
            return NOTHING
        person = person_key(event.actor or "")
        # A question to this person comes before a question to anyone.
        mine = [each for each in self.conversations if is_for(each.person, person)]
        mine.sort(key=lambda each: each.person == ANYONE)
        answer = Answer(event, self.delivery, self.put_back, await self._replied_to(event, mine))
        late: Arrival | None = None
        may_have_begun = []
        for summary in mine:
            may_be_late = isinstance(event, MessageReceived) or summary.id.startswith(SHOWN_ID)
            asked = await self._read_if(summary, self._open, "timed_out" if may_be_late else self._open)
            if asked is None:
                continue
            verdict = judge(asked, answer)
            if isinstance(verdict, Ends):
                return self._of_asked(asked, verdict, event)
            if isinstance(verdict, Late):
                # It is late for this question only if it answers no other one.
                late = late or _late(asked, event)
            elif isinstance(verdict, NotForMe) and verdict.may_answer_begun:
                may_have_begun.append(asked.changed(is_begun_missed=True))
        found = await self._of_another(answer) or await self._of_wait(answer) or late
        return found or (Arrival(changed=tuple(may_have_begun)) if may_have_begun else NOTHING)

    def _of_asked(self, asked: Asked, verdict: Ends, event: Event) -> Arrival:
        """Return the meaning of an event that ends the question of its person, unless a handler takes it meanwhile."""
        ended = Arrival(asked, verdict.end, verdict.event, is_whole=verdict.is_whole)
        is_cancelled = verdict.end["outcome"] == "cancelled"
        if verdict.is_exact and self.dispatcher.is_command(event, during_ask=True):
            return ended
        if isinstance(event, MessageEdited) and (is_cancelled or verdict.is_side):
            return ended  # an edit gives way only if it answers
        is_side = verdict.is_side or self.dispatcher.has_side_handler(event, for_word=is_cancelled)
        return Arrival(asked, answer=ended) if is_side else ended

    async def _of_another(self, answer: Answer) -> Arrival | None:
        """Return the meaning of a yes or no for the questions that others are asked, and that this person may answer too.

        None if it answers none of them, or if it is not clear which one.
        """
        event = answer.event
        is_message = isinstance(event, MessageReceived)
        if not (is_message or isinstance(event, ReactionAdded | PollReactionAdded)):
            return None
        if is_message and not self.dispatcher.rules.has_languages and not says_yes_or_no(event, None):
            return None  # without reading the questions
        others = [
            each for each in self.conversations if is_of_words(each.person) and not is_for(each.person, answer.person)
        ]
        open_to = []
        for summary in others:
            asked = await self._read_if(summary, self._open)
            if asked is not None and isinstance(verdict := judge(asked, answer), Ends):
                open_to.append((asked, verdict))
        if isinstance(event, MessageReceived) and len(open_to) > 1:
            replied_to = event.reply_to.message_id if event.reply_to else None
            open_to = [(asked, verdict) for asked, verdict in open_to if replied_to in asked.question.messages]
        if len(open_to) != 1:
            return None
        (asked, verdict), *_ = open_to
        return Arrival(asked, verdict.end, event, is_whole=verdict.is_whole)

    async def _of_wait(self, answer: Answer) -> Arrival | None:
        """Return the meaning of an event for what the chat waits for besides answers in words, the newest first."""
        event = answer.event
        if _removes_us(event):
            # Payments stay: their requests are closed at Linq when they end.
            left = (each for each in self.conversations if each.status == "waiting" and not is_payment(each.person))
            return Arrival(ended=tuple(each.id for each in left))
        recounted: list[Asked] = []
        status: ConversationStatus = "waiting" if event.type in OF_MEMBERS else self._open
        for summary in reversed(self.conversations):
            asked = await self._read_if(summary, status) if is_wait(summary.person) else None
            if asked is None or asked.question.takes_words:
                continue
            verdict = judge(asked, answer)
            if isinstance(verdict, Ends):
                return Arrival(asked, verdict.end, event)
            if not isinstance(verdict, CountedVote):
                continue
            voted = asked.changed(ballot=verdict.ballot)
            if event.type in OF_MEMBERS:
                recounted.insert(0, voted)
            elif not self.dispatcher.allows(event):
                return None
            elif verdict.end is None:
                return Arrival(voted, is_counted=True)
            else:
                return Arrival(voted, verdict.end, event)
        return Arrival(changed=tuple(recounted)) if recounted else None

    async def _of_ending(self, others_since: float) -> Arrival:
        delivery = self.delivery
        end = ending_of(delivery)
        for summary in self.conversations:
            if end is None or summary.id != end.conversation or summary.status == "timed_out":
                continue
            found = await self._read(summary)
            if found is None or found.question.n != end.n:
                continue
            conversation, question = found.conversation, found.question
            is_open = conversation.status == "waiting" or question.failed_by == delivery.id
            if not is_open and end.outcome.get("reason") != "operator":
                continue
            if self.dispatcher.routes.named(conversation.handler) is None and question.shown_for is None:
                return replace(_abandoned(conversation, others_since), is_void=True)
            if "body" in end.outcome:
                event = event_of(end.outcome, conversation.chat_id)
            else:
                chat_id = conversation.chat_id
                event = Event.model_validate({"event_id": delivery.id, "event_type": delivery.type, "chat_id": chat_id})
            return Arrival(found, with_choice(end.outcome, question), event)
        return VOID

    @property
    def _open(self) -> ConversationStatus:
        """The status of a conversation whose question the delivery may answer."""
        # A dead letter comes back by an operator only, so the many other messages need not read what has failed.
        return "failed" if self.put_back else "waiting"

    async def _read_if(self, summary: ConversationSummary, *statuses: ConversationStatus) -> Asked | None:
        return await self._read(summary) if summary.status in statuses else None

    async def _replied_to(self, event: Event, mine: Iterable[ConversationSummary]) -> str | None:
        """Return the turn whose message an event replies to, if a question of its person is open; else None."""
        if not isinstance(event, MessageReceived) or event.reply_to is None:
            return None
        is_open = any(each.status == self._open for each in mine)
        entry = await self.storage.entry_of(event.reply_to.message_id) if is_open else None
        return None if entry is None else entry.turn

    async def _read(self, summary: ConversationSummary) -> Asked | None:
        """Read a conversation; None if its question cannot be read, or `linqbot person forget` has just erased it."""
        if summary.id not in self.known:
            found = await self.storage.conversation(summary.id)
            self.known[summary.id] = asked = None if found is None else Asked.read(*found)
            if found is not None and asked is None:
                self.unreadable.append(found[0])
        return self.known[summary.id]

    async def in_chat(self) -> Delivery | None:
        """Return an answer that came outside of every chat, such as a contact card, as a delivery of its question's chat.

        None if no open question takes the event.
        """
        delivery = self.delivery
        event = understood(delivery) if delivery.type in ANSWERS_WITHOUT_CHAT else None
        if event is None:
            return None
        person = person_key(event.actor or "")
        open_to = (*self.storage.conversations_of(person), *self.storage.conversations_of(f"{person} {LOCATION}"))
        for summary in open_to:
            asked = await self._read_if(summary, "waiting")
            if asked is not None and isinstance(verdict := judge(asked, Answer(event, delivery)), Ends):
                return ending(asked, verdict.end, name=delivery.id, now=delivery.received_at)
        return None


def _removes_us(event: Event) -> bool:
    if event.type != "participant.removed":
        return False
    from linqbot.linq.events.chat import ParticipantRemoved

    if not isinstance(event, ParticipantRemoved):
        return False
    return event.participant.is_me or person_key(event.participant.handle) == person_key(event.line or "") != ""


def _late(late: Asked, event: Event) -> Arrival:
    """Return the meaning of an event that answers a question which is over."""
    conversation, question = late.conversation, late.question
    if conversation.id.startswith(SHOWN_ID):
        return Arrival(late, event=event, is_late=True)
    asked_at = datetime.fromtimestamp(conversation.asked_at, UTC)
    after_ask = AskedBefore(question.text, question.key, conversation.handler, asked_at)
    return Arrival(after_ask=after_ask, ended=(conversation.id,))


def _abandoned(conversation: Conversation, others_since: float) -> Arrival:
    """Return the arrival of a delivery that concerns a conversation without a handler; else raises OfOtherRelease."""
    if conversation.asked_at > others_since:
        raise OfOtherRelease(conversation.handler)
    _log_abandoned(conversation, "The bot has no handler of this name any more, so the question cannot go on.")
    return Arrival(ended=(conversation.id,))


def _log_abandoned(conversation: Conversation, why: str) -> None:
    log.error(
        "ask.abandoned",
        conversation=conversation.id,
        chat_id=conversation.chat_id,
        handler=conversation.handler,
        why=f"{why} The message is handled as if no question were open.",
    )


def with_arrival(opening: Opening, arrival: Arrival) -> Opening:
    return replace(opening, event=arrival.event, data=Bag({Arrival: arrival}))


def write_arrival(arrival: Arrival, now: float, commit: Commit) -> None:
    """Add what a delivery changes besides its handling: the questions that it ends, and the ballots that it changes.

    A vote that is complete now ends with a timer that is due at once.
    """
    commit.ended += arrival.ended
    if arrival.is_counted and arrival.asked is not None:
        commit.conversations.append(arrival.asked.conversation)
    for each in arrival.changed:
        commit.conversations.append(each.conversation)
        if each.question.ballot is not None and each.question.ballot.is_complete:
            commit.timers.append(look(each, {"outcome": "answered", "text": ""}, now))


def end_of_arrival(turn: Turn, commit: Commit) -> None:
    """Add what a delivery that concerns open questions changes, if no handler has seen it, or if it has failed.

    The conversation that it belongs to has failed with it, and a retry of the dead letter can go on.
    """
    arrived, conversation, lease = turn.opening.data.find(Arrival), turn.opening.conversation, turn.lease
    if arrived is None or not isinstance(commit.outcome, Ack | DeadLetter):
        return
    if isinstance(commit.outcome, Ack) or conversation is None or arrived.asked is None:
        # A vote counts although the handler of the same event has failed.
        write_arrival(arrived, lease.delivery.received_at, commit)
    else:
        log.error(
            "ask.failed", conversation=conversation.id, chat_id=conversation.chat_id, handler=conversation.handler
        )
        commit.conversations.append(failed(arrived.asked, by=lease.delivery.id))
