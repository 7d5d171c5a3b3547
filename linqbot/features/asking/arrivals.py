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
from linqbot.features.asking.admission import ENDING_ID, FOUND_ID, SHOWN_ID
from linqbot.features.asking.answers import (
    Verdict,
    choice_of,
    counted,
    judge,
    judge_wait,
    says_yes_or_no,
    voted_option,
    with_members,
)
from linqbot.features.asking.question import AskedBefore, Ballot, OpenQuestion
from linqbot.features.asking.records import (
    LOCATION,
    Asked,
    QuestionEnd,
    ending,
    ending_of,
    event_of,
    failed,
    is_of_words,
    is_over_for,
    is_payment,
    is_wait,
    look,
)
from linqbot.language.reading import says
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageReceived, PollReactionAdded, ReactionAdded
from linqbot.linq.events.parse import understood
from linqbot.linq.handles import person_key
from linqbot.linq.rules.keywords import opts_out
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, Conversation, ConversationSummary
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

_OF_MEMBERS: Final = frozenset({"participant.added", "participant.removed"})

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
        of_person = sorted(
            (
                each
                for each in self.conversations
                if person and (each.person in (person, ANYONE) or is_over_for(each, person))
            ),
            key=lambda each: each.person == ANYONE,
        )
        if isinstance(event, MessageEdited):
            return await self._of_edit(event, of_person) or await self._of_wait(event)
        late: Arrival | None = None
        for summary in of_person:
            if summary.status == "timed_out":
                # It is late for this question only if it answers no other one.
                late = late or await self._too_late(summary, event)
                continue
            found = await self._read_open(summary, event)
            if found is None or await _replies_to_another(event, found, self.storage):
                continue
            if (verdict := judge(found.question, event)) is not None:
                answer = self._ended(found, verdict, event)
                is_cancel = verdict is Verdict.CANCEL_WORD
                if self._is_exact_answer(found.question, event):
                    return answer
                if verdict is Verdict.SIDE_QUESTION or self.dispatcher.has_side_handler(event, for_word=is_cancel):
                    return Arrival(found, answer=answer)
                return answer
        meaning = await self._of_another(event) or await self._of_wait(event)
        return (late or self._of_begun(of_person, event)) if meaning is NOTHING else meaning

    async def _too_late(self, summary: ConversationSummary, event: Event) -> Arrival | None:
        """Return the meaning of an event for a question that is over; None if it is no late answer."""
        if self.put_back:
            return None
        if summary.id.startswith(SHOWN_ID):
            return await self._late_elsewhere(summary, event)
        timed_out = await self._read(summary) if isinstance(event, MessageReceived) else None
        return _late(timed_out) if timed_out is not None and timed_out.question.may_answer(event) else None

    def _of_begun(self, of_person: Iterable[ConversationSummary], event: Event) -> Arrival:
        """Return the meaning of a text that may answer a question which an interrupted run has begun, and which is not open."""
        if self.put_back:
            return NOTHING
        read = [self.known.get(each.id) for each in of_person if each.status == "waiting"]
        missed = [each for each in read if each is not None and each.question.may_answer_begun(event)]
        return Arrival(changed=tuple(each.changed(is_begun_missed=True) for each in missed)) if missed else NOTHING

    def _is_exact_answer(self, question: OpenQuestion, event: Event) -> bool:
        """Return True for a command of an owner that is, word for word, a choice of the question, or its yes or no."""
        if not isinstance(event, MessageReceived) or not self.dispatcher.is_command(event, during_ask=True):
            return False
        is_choice = bool(question.choices) and says(event.text_to_me, question.choices)
        return is_choice or (bool(question.reactions) and says_yes_or_no(event, question.language))

    async def _late_elsewhere(self, summary: ConversationSummary, event: Event) -> Arrival | None:
        """Return the meaning of an event for a question of another chat's handler that is over; None if it does not answer it."""
        found = await self._read(summary)
        if found is None or not found.question.may_answer(event) or not _answers_late(found, event):
            return None
        return Arrival(found, event=event, is_late=True)

    async def _of_edit(self, edit: MessageEdited, of_person: Iterable[ConversationSummary]) -> Arrival | None:
        """Return the meaning of an edit of an answer that was not valid: the message with its new words is a new answer."""
        for summary in of_person:
            found = await self._read_open(summary, edit)
            answer = None if found is None else found.question.edited_answer(self.delivery)
            message = None if answer is None else understood(answer)
            if found is None or answer is None or message is None:
                continue
            if (verdict := judge(found.question, message)) is not None:
                ended = self._ended(found, verdict, message, answer)
                is_side = verdict is Verdict.ANSWER and self.dispatcher.has_side_handler(edit)
                return Arrival(found, answer=ended) if is_side else ended
        return None

    async def _of_another(self, event: Event) -> Arrival | None:
        """Return the meaning of a yes or no for the questions that others are asked, and that this person may answer too.

        None if it answers none of them, or if it is not clear which one.
        """
        person = person_key(event.actor or "")
        is_message = isinstance(event, MessageReceived)
        if not (is_message or isinstance(event, ReactionAdded | PollReactionAdded)):
            return None
        if is_message and not self.dispatcher.rules.has_languages and not says_yes_or_no(event, None):
            return None  # without reading the questions
        others = [
            each for each in self.conversations if each.person not in (person, ANYONE) and is_of_words(each.person)
        ]
        read = [await self._read_open(each, event) for each in others]
        open_to = [
            each for each in read if each is not None and person in each.question.also and judge(each.question, event)
        ]
        if is_message:
            open_to = [each for each in open_to if says_yes_or_no(event, each.question.language)]
        if isinstance(event, MessageReceived) and len(open_to) > 1:
            replied_to = event.reply_to.message_id if event.reply_to else None
            open_to = [each for each in open_to if replied_to in each.question.messages]
        return self._ended(open_to[0], Verdict.ANSWER, event) if len(open_to) == 1 else None

    async def _of_wait(self, event: Event) -> Arrival:
        """Return the meaning of an event for what the chat waits for besides answers in words, the newest first."""
        waits = [each for each in self.conversations if is_wait(each.person)]
        if event.type in _OF_MEMBERS:
            if _removes_us(event):
                # Payments stay: their requests are closed at Linq when they end.
                left = (each for each in self.conversations if each.status == "waiting" and not is_payment(each.person))
                return Arrival(ended=tuple(each.id for each in left))
            recounted = await self._with_members(event, waits)
            return Arrival(changed=recounted) if recounted else NOTHING
        for summary in reversed(waits):
            found = await self._read_open(summary, event)
            if found is None:
                continue
            if (verdict := judge_wait(found.question, event)) is not None:
                return self._ended(found, verdict, event)
            at = event.written_at
            # What was found at Linq may have a time of our clock.
            seconds = None if at is None or self.delivery.id.startswith(FOUND_ID) else at.timestamp()
            votes = found.question.ballot
            if votes is not None and (ballot := counted(votes, event, seconds)) is not None:
                return self._of_vote(found, ballot, event)
        return NOTHING

    def _of_vote(self, found: Asked, ballot: Ballot, event: Event) -> Arrival:
        """Return the meaning of an event that changes a vote: it ends the vote, or the ballot is stored."""
        if not self.dispatcher.allows(event):
            return NOTHING
        voted = found.changed(ballot=ballot)
        if not ballot.is_complete:
            return Arrival(voted, is_counted=True)
        return Arrival(voted, {**self._answer(voted.question, event), "result": ballot.result()}, event)

    def _ended(self, found: Asked, verdict: Verdict, event: Event, by: Delivery | None = None) -> Arrival:
        """Return the arrival of an event that ends a question. `by` is the delivery of the event, if it is another one."""
        if verdict is Verdict.CANCEL_WORD:
            return Arrival(found, {"outcome": "cancelled", "reason": "word"}, event)
        return Arrival(found, self._answer(found.question, event, by), event)

    def _answer(self, question: OpenQuestion, event: Event, by: Delivery | None = None) -> QuestionEnd:
        """Return the end of a question that the event answers."""
        by = by or self.delivery
        if isinstance(event, MessageReceived):
            text = event.text_to_me
        else:
            text = question.options.get(voted_option(event) or "", "")
        answered = _with_choice({"outcome": "answered", "text": text}, question)
        return {**answered, "type": by.type, "body": by.content}

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
            return Arrival(found, _with_choice(end.outcome, question), event)
        return VOID

    async def _read_open(self, summary: ConversationSummary, event: Event) -> Asked | None:
        """Read a conversation, if the event of the delivery may answer its question; None otherwise.

        With `put_back` it must have failed with this delivery, otherwise it must wait for an answer.
        """
        # A dead letter comes back by an operator only, so the many other messages need not read what has failed.
        if summary.status != ("failed" if self.put_back else "waiting"):
            return None
        found = await self._read(summary)
        if found is None:
            return None
        question = found.question
        fits = question.failed_by == self.delivery.id if self.put_back else question.may_answer(event)
        return found if fits else None

    async def _read(self, summary: ConversationSummary) -> Asked | None:
        """Read a conversation; None if its question cannot be read, or `linqbot person forget` has just erased it."""
        if summary.id not in self.known:
            found = await self.storage.conversation(summary.id)
            self.known[summary.id] = asked = None if found is None else Asked.read(*found)
            if found is not None and asked is None:
                self.unreadable.append(found[0])
        return self.known[summary.id]

    async def _with_members(self, event: Event, waits: Sequence[ConversationSummary]) -> tuple[Asked, ...]:
        changed = []
        for summary in waits:
            found = await self._read(summary) if summary.status == "waiting" else None
            if found is not None and found.question.ballot is not None:
                ballot = with_members(found.question.ballot, event)
                if ballot is not None:
                    changed.append(found.changed(ballot=ballot))
        return tuple(changed)

    async def in_chat(self) -> Delivery | None:
        """Return an answer that came outside of every chat, such as a contact card, as a delivery of its question's chat.

        None if no open question takes the event.
        """
        delivery = self.delivery
        event = understood(delivery) if delivery.type in ANSWERS_WITHOUT_CHAT else None
        if event is None:
            return None
        person = person_key(event.actor or "")
        for summary in (*self.storage.conversations_of(person), *self.storage.conversations_of(f"{person} {LOCATION}")):
            found = await self._read(summary) if summary.status == "waiting" else None
            if found is not None and delivery.type in found.question.events and found.question.may_answer(event):
                outcome = self._answer(found.question, event)
                return ending(found, outcome, name=delivery.id, now=delivery.received_at)
        return None


async def _replies_to_another(event: Event, asked: Asked, storage: Storage) -> bool:
    """Return True if an event replies to a message of the bot that the conversation of the question has not sent."""
    if not isinstance(event, MessageReceived) or event.reply_to is None:
        return False
    replied_to = event.reply_to.message_id
    if replied_to in asked.question.messages or replied_to == asked.question.poll:
        return False
    entry = await storage.entry_of(replied_to)
    return entry is not None and entry.turn != asked.conversation.id


def _removes_us(event: Event) -> bool:
    from linqbot.linq.events.chat import ParticipantRemoved

    if not isinstance(event, ParticipantRemoved):
        return False
    return event.participant.is_me or person_key(event.participant.handle) == person_key(event.line or "") != ""


def _with_choice(outcome: QuestionEnd, question: OpenQuestion) -> QuestionEnd:
    """Add the choice that an answer in words means, if the question showed choices."""
    if not question.choices or outcome["outcome"] != "answered":
        return outcome
    text = outcome.get("text", "")
    return {**outcome, "choice": choice_of(text, question.choices, numbered=question.is_numbered) or text}


def _late(late: Asked) -> Arrival:
    conversation, question = late.conversation, late.question
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


def _answers_late(asked: Asked, event: Event) -> bool:
    """Return True if an event clearly answers a question that was shown, and that is over."""
    question = asked.question
    if not isinstance(event, MessageReceived):
        return judge(question, event) is not None
    if event.reply_to is not None and event.reply_to.message_id in question.messages:
        return True
    if question.choices:
        return choice_of(event.text_to_me, question.choices, numbered=True) is not None
    return bool(question.reactions) and says_yes_or_no(event, question.language)


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
