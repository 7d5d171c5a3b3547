"""The questions of a conversation: as they are stored with it, how they are sent, and the deliveries that end them.

A prompt shows a question to the person: choices are a poll on iMessage, and a numbered list where there are no polls.

linqbot itself ends a question by a delivery, its ending. Timers become endings: the timeout of a question, an opt-out, a
newer question, and a check whether the result of a wait is known. Others are stored at once: when the operator or a
handler ends a question, and for an answer that came outside of the chat. All of them wait in the lane of the chat, so they
never overtake an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict

import structlog
from pydantic_core import to_json

from linqbot.client.outcome import is_refused
from linqbot.content.drafts import numbered_list
from linqbot.content.sending import stopped_by, with_standing_refusal
from linqbot.content.sent import Sent
from linqbot.engine.prompts import PROMPT, Prompt
from linqbot.errors import (
    AskCancellation,
    AskCancelled,
    AskRefusal,
    AskTimeout,
    LinqApiError,
    PersonUnreachable,
    Refused,
)
from linqbot.features.asking.admission import ENDING_ID, ENDING_TYPE, KIND
from linqbot.features.asking.question import (
    AskedBefore,
    LookedUp,
    OpenQuestion,
    Question,
    QuestionEnd,
    as_prompt,
    cancel_words,
    text_to_show,
)
from linqbot.features.lookups import KnownChat, with_chat
from linqbot.language.spoken import spoken
from linqbot.linq.events.delivery import Delivery, decode, retention_mark
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import as_object, lane_of_chat
from linqbot.linq.events.message import MessageReceived, ReactionEvent
from linqbot.linq.events.parse import parse
from linqbot.linq.handles import person_key
from linqbot.linq.types.message import TextPart
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, Conversation, ConversationStatus
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer
from linqbot.turn_events import AnswerResult, Observers, QuestionMet

if TYPE_CHECKING:
    from linqbot.client.client import Client
    from linqbot.features.speaking import Speaker


# The `person` of a conversation is a handle. If the conversation waits for something else than words, a space and one of
# these follow: see `PaymentWait.person`.
PAYMENT: Final = "pay:"
"""For a payment. The id of the conversation is behind it, because a person may have several payments open."""
VOTE: Final = "vote:"
"""For a vote, with the id of the conversation as for a payment."""
LOCATION: Final = "location"
"""For a location. A person has one such conversation in a chat."""
ELSEWHERE: Final = "elsewhere:"
"""For an answer of a person who is asked in another chat, with the id of the conversation: see `elsewhere.py`."""
OVER: Final = "over:"
"""For nothing any more, with the id of the conversation: it has shown a question of another chat's handler, and a late answer to it
is recognised. A person may have several such conversations, and further questions."""


def is_wait(person: str) -> bool:
    """Return True if the `person` of a conversation names what it waits for besides an answer: see `PaymentWait.person`."""
    return " " in person


def is_payment(person: str) -> bool:
    """Return True if the `person` of a conversation says that it waits for a payment: no message answers that."""
    return person.partition(" ")[2].startswith(PAYMENT)


def is_for(of: str, person: str) -> bool:
    """Return True if a person must answer a question, or must have answered one that is over, given the `person` of its conversation."""
    return bool(person) and (of in (person, ANYONE) or of.startswith(f"{person} {OVER}"))


def is_of_words(person: str) -> bool:
    """Return True if the `person` of a conversation says that it waits for an answer of `ask`, here or elsewhere."""
    return not is_wait(person) or is_elsewhere(person)


def is_elsewhere(person: str) -> bool:
    """Return True if the `person` of a conversation says that only people in other chats may answer."""
    return person.partition(" ")[2].startswith(ELSEWHERE)


_WHY_CANCELLED: Final[dict[AskCancellation | AskRefusal, str]] = {
    "word": "The person ended the question.",
    "invalid": "The person gave no valid answer.",
    "operator": "The operator ended the question.",
    "opted_out": "The person has opted out of messages.",
    "replaced": "The person began something else, in which they are asked another question.",
    "refused": "The question was not sent: a plugin refused it, or the bot is muted in the chat.",
    "unsupported": "This chat does not support it: locations are shared in direct iMessage chats only.",
}


def end_without_answer(outcome: QuestionEnd) -> AskTimeout | AskCancelled | PersonUnreachable:
    if outcome["outcome"] == "timed_out":
        return AskTimeout("No answer came in time.")
    if outcome["reason"] == "unreachable":
        return PersonUnreachable(outcome.get("text", ""))
    return cancelled_for(outcome["reason"])


def cancelled_for(reason: AskCancellation | AskRefusal, said: str = "") -> AskCancelled:
    return AskCancelled(_WHY_CANCELLED[reason], reason=reason, said=said)


class QuestionThen(TypedDict):
    """A conversation at the time at which its question was asked. A dry deploy decides with it what a message meant."""

    # Unix time of receipt of the delivery whose turn asked the question. The question is open for each later delivery.
    since: float
    chat_id: str  # this, person, handler and until: see `Conversation`
    person: str
    handler: str
    until: float
    question: dict[str, Any]  # the `OpenQuestion` as JSON data


def event_of(outcome: QuestionEnd, chat_id: str) -> Event:
    """Return the event that answered a question. An event without a chat gets that of the question."""
    event = parse(Delivery("i.answer", lane_of_chat(chat_id), outcome["type"], b"", 0.0, decoded=outcome["body"]))
    return event if event.chat_id is not None else event.model_copy(update={"chat_id": chat_id})


BY_OPERATOR: Final[QuestionEnd] = {"outcome": "cancelled", "reason": "operator"}
"""The end of a question that an operator, or a handler of another chat, has ended."""

_MOST_IN_CHAT: Final = 10_000
"""Maximum number of conversations of one chat that are read at once: many more than a group has people."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation as it is stored, with its question and, where they were read too, its journal entries."""

    conversation: Conversation
    question: OpenQuestion
    known: Sequence[JournalEntry] = ()

    @classmethod
    def read(cls, conversation: Conversation, known: Sequence[JournalEntry] = ()) -> Asked | None:
        """Return a conversation with its question; None if that cannot be read: another release may have stored it."""
        question = OpenQuestion.read(conversation.question)
        return None if question is None else cls(conversation, question, known)

    def note_met(self, result: AnswerResult, observers: Observers) -> None:
        """Notify observers of what an event made of the question."""
        if (notify := observers.get(QuestionMet)) is not None:
            notify(QuestionMet(self.question.text, self.conversation.handler, result))

    def changed(self, *, status: ConversationStatus | None = None, **fields: Any) -> Asked:
        """Return the conversation with another status, and with other values of fields of its question."""
        question = self.question.model_copy(update=fields)
        status = status or self.conversation.status
        conversation = replace(self.conversation, status=status, question=question.to_json())
        return replace(self, conversation=conversation, question=question)


async def open_questions(chat_id: str, storage: Storage) -> list[Asked]:
    """Return the open questions of a chat, those of `ctx.pay` and the like included.

    They are read from the storage: the summaries in memory may be old if several processes share it.
    """
    found = await storage.conversations(chat_id=chat_id, limit=_MOST_IN_CHAT)
    read = (Asked.read(each) for each in found if each.status == "waiting")
    return [asked for asked in read if asked is not None]


@dataclass(frozen=True, slots=True)
class Ending:
    conversation: str  # the id of the conversation
    n: int  # the number of the question; the ending is void if the conversation has gone on
    outcome: QuestionEnd  # how the question ends


def answering(outcome: QuestionEnd, chat_id: str) -> Event | None:
    """Return the event that answered a question; None if the operator did, or if it was not answered."""
    return event_of(outcome, chat_id) if "body" in outcome else None


def ending_of(delivery: Delivery) -> Ending | None:
    """Return what the delivery of an ending says; None if it cannot be read."""
    body = decode(delivery.body)
    return Ending(body["conversation"], body["n"], body["outcome"]) if isinstance(body, dict) else None


def timeout(asked: Asked, *, again: bool = False) -> Timer:
    """Return the timer that ends a question when no answer comes.

    With `again` the question is open again. The timer that it had may have fired, so it gets another one.
    """
    until = asked.conversation.until
    return _timer(asked, f".{until:.0f}" if again else "", {"outcome": "timed_out"}, until)


def look(asked: Asked, outcome: QuestionEnd, due: float) -> Timer:
    """Return the timer that checks whether the result of a wait is known."""
    return _timer(asked, f".look{asked.question.looks}", outcome, due)


def _timer(asked: Asked, name: str, outcome: QuestionEnd, due: float) -> Timer:
    conversation = asked.conversation
    timer_id = f"{conversation.id}.{conversation.replay}.{asked.question.n}{name}"
    return Timer(timer_id, due, lane_of_chat(conversation.chat_id), KIND, _body(asked, outcome, due))


def failed(asked: Asked, *, by: str) -> Conversation:
    """Return a conversation whose question has failed; the delivery `by` may continue it."""
    return asked.changed(status="failed", failed_by=by).conversation


def cancelled(asked: Asked, reason: AskCancellation, now: float, *, by: str = "") -> tuple[Conversation, Timer]:
    """End the question of a conversation by a delivery of its own, so that its handler runs. Return both.

    Until then the conversation counts as failed by that delivery, so that no message in between is an answer.

    Args:
        by: What ends it, if it may end more than once for this reason: a question of another chat's handler is shown again.
    """
    timer = _timer(asked, f".{reason}{by}", {"outcome": "cancelled", "reason": reason}, now)
    return failed(asked, by=timer.fired(now).id), timer


def timed_out(asked: Asked, **kept: Any) -> Conversation:
    """Return a conversation whose question is over, which stays on record so that a late answer is recognised.

    `kept` are the fields of the question that are kept for this, besides its text.
    """
    hidden: dict[str, Any] = {
        "prompt": (),
        "messages": (),
        "choices": (),
        "options": {},
        "after_ask": None,
        "refused": (),
    }
    if asked.conversation.off_the_record:
        hidden["text"] = ""
    return replace(asked.changed(status="timed_out", **{**hidden, **kept}).conversation, root=b"")


def ending(asked: Asked, outcome: QuestionEnd, *, name: str, now: float) -> Delivery:
    """Return the delivery that ends a question in the lane of its chat. Equal endings have equal names."""
    conversation = asked.conversation
    delivery_id = f"{ENDING_ID}{conversation.id}.{conversation.replay}.{asked.question.n}.{name}"
    return Delivery(delivery_id, lane_of_chat(conversation.chat_id), ENDING_TYPE, _body(asked, outcome, now), now)


def _body(asked: Asked, outcome: QuestionEnd, at: float) -> bytes:
    conversation = asked.conversation
    body: dict[str, Any] = {"conversation": conversation.id, "n": asked.question.n, "outcome": outcome}
    # In Linq's own form, so that the lane can be sorted by the time at which each delivery was sent: `Delivery.sent_at`.
    body["created_at"] = datetime.fromtimestamp(at, UTC).isoformat()
    # The handle, without the name of what is awaited, so that `linqbot person forget` finds the delivery.
    body |= {"chat_id": conversation.chat_id, "handles": [conversation.person.partition(" ")[0]]}
    body |= retention_mark(off_the_record=conversation.off_the_record)
    return to_json(body)


log = structlog.get_logger("linqbot.worker")


async def send_question(question: Question, prompt: Prompt, ctx: Speaker, *, is_shown: bool = True) -> OpenQuestion:
    """Send the messages of a question and its poll. Return its stored form.

    Unless `is_shown`, people are asked in their own chats only, and nothing is sent here.

    Raises AskCancelled if the person has opted out, or a plugin refused it.
    """
    shown = await send_choices(question, prompt, ctx) if is_shown else Shown(())
    messages = question.messages(numbered=bool(question.choices) and shown.poll is None, service=ctx.event.service)
    return OpenQuestion(
        n=prompt.n,
        key=question.key,
        text=text_to_show(messages),
        messages=tuple(shown.ids),
        since=shown.at,
        choices=question.choices,
        poll=shown.poll,
        options=shown.options,
        reactions=question.reactions,
        events=question.events,
        cancel=cancel_words(question.cancel, question.choices),
        repeat=question.repeat,
        also=tuple(map(person_key, question.also)),
        side_questions=question.side_questions,
        prompt=as_prompt(messages) if is_shown else (),
        language=spoken().stored,
    )


async def send_again(asked: Asked, client: Client) -> Asked:
    """Ask a question again, and return its conversation, in which a tapback on the repeated question is an answer as well."""
    chat_id, question = asked.conversation.chat_id, asked.question
    sent = [await client.chats.messages.send(chat_id, message=message) for message in question.prompt]
    return asked.changed(messages=(*question.messages, *(each.message.id for each in sent)))


class Shown(NamedTuple):
    """The messages that ask a question.

    Attributes:
        ids: The ids of what was sent as text.
        at: When Linq took the first of these, by its clock, in Unix seconds; None if it is not known.
        poll: The id of the message with the poll; None without one.
        options: The choices by their options in the poll.
    """

    ids: Sequence[str]
    at: float | None = None
    poll: str | None = None
    options: Mapping[str, str] = {}


async def send_choices(question: Question, prompt: Prompt, ctx: Speaker) -> Shown:
    """Send a question with its choices. Raises AskCancelled as `send_question` does."""
    label, service = prompt.label, ctx.event.service
    has_poll = question.fits_poll and service in (None, "iMessage")
    messages = question.messages(numbered=bool(question.choices) and not has_poll, service=service)
    shown = Shown(())
    if messages:
        sent = await ctx.reply(*messages, key=label)
        ids = ids_of(sent)
        times = [each.created_at.timestamp() for each in sent.messages if each.created_at is not None]
        shown = Shown(ids, min(times, default=None))
    if not has_poll:
        return shown
    if (made := await _poll(question, label, ctx)) is not None:
        poll, options = made
        return shown._replace(poll=poll, options=options)
    listed = await ctx.reply(TextPart(value=numbered_list(question.choices)), key=f"{label}l")
    return shown._replace(ids=(*shown.ids, *ids_of(listed)))


async def _poll(question: Question, label: str, ctx: Speaker) -> tuple[str, dict[str, str]] | None:
    """Send the choices as a poll. Return the id of its message and the choices by option; None if Linq or a plugin refused it."""
    options = [{"text": choice} for choice in question.choices]
    client = with_standing_refusal(ctx.client.named(f"{label}p"))
    try:
        made = await client.chats.polls.create(ctx.chat_id, poll={"options": options})
    except Refused as error:
        # Not AskCancelled: the question is sent, and a handler that asks something else then would send it again in each run.
        stopped_by(error, ctx.log)
        return None
    except LinqApiError as error:
        if not is_refused(error):
            raise
        log.info("ask.no_poll", status=error.status, code=error.code, chat_id=ctx.chat_id)
        return None
    ids = (option.option_id for option in made.poll.options)
    return made.message_id, dict(zip(ids, question.choices, strict=False))


def refusal_of(sent: Sent) -> Literal["opted_out", "refused"] | None:
    if sent.status == "opted_out":
        return "opted_out"
    return "refused" if sent.status in ("refused", "muted") else None


def ids_of(sent: Sent) -> tuple[str, ...]:
    """Return the ids of the messages of a question. Raises AskCancelled if they were not sent."""
    if (refused := refusal_of(sent)) is not None:
        raise cancelled_for(refused)
    return tuple(message.id for message in sent.messages)


def looked_up(root: Event, after_ask: AskedBefore | None) -> dict[str, Any]:
    """Return the fields of an `OpenQuestion` that say what was looked up for the event that began the conversation."""
    if isinstance(root, MessageReceived):
        burst = (LookedUp(replies_to_me=each.replies_to_me, answers=each.answers) for each in root.burst)
        found = {"replies_to_me": root.replies_to_me, "answers": root.answers, "burst": tuple(burst)}
        return {**found, "after_ask": after_ask}
    answers = root.answers if isinstance(root, ReactionEvent) else None
    return {"answers": answers, "is_group": root.is_group, "line": root.line, "after_ask": after_ask}


def root_of(asked: Asked) -> Event:
    """Return the event that began a conversation, with what was looked up for it then."""
    conversation, question = asked.conversation, asked.question
    body = decode(conversation.root)
    kind, lane = str(as_object(body).get("event_type") or ""), lane_of_chat(conversation.chat_id)
    event = parse(Delivery(conversation.id, lane, kind, conversation.root, 0.0, decoded=body))
    if isinstance(event, MessageReceived):
        burst = (_with(each, found) for each, found in zip(event.burst, question.burst, strict=False))
        return _with(event, question).model_copy(update={"burst": tuple(burst)} if question.burst else {})
    if isinstance(event, ReactionEvent) and question.answers is not None:
        event = event.model_copy(update={"answers": question.answers})
    return with_chat(event, KnownChat(question.is_group, question.line))


def _with(message: Event, found: OpenQuestion | LookedUp) -> Event:
    return message.model_copy(update={"replies_to_me": found.replies_to_me, "answers": found.answers})


# The labels of calls that say something about a question

AGAIN: Final = f"{PROMPT}again"
"""The label of a call that asks the question of another chat's handler again, after a handler of this chat has answered."""


def refusal_label(n: int, tries: int) -> str:
    """Return the label of the call that says why an answer to the question `n` was not taken."""
    return f"{PROMPT}{n}.{tries}"


def explains_refusal(entry: JournalEntry) -> bool:
    """Return True if a call says why an answer was not taken: its slot ends like `k:?2.1`.

    No refused answer is kept, so a dry deploy cannot make such a call again.
    """
    named, _, number = entry.slot.rpartition(f":{PROMPT}")
    question, dot, tries = number.partition(".")
    return bool(dot) and named.rpartition(":")[2] == "k" and question.isdecimal() and tries.isdecimal()


def decision_label(n: int) -> str:
    """Return the label of the call that says in the chat of the handler who has decided the question `n`."""
    return f"{PROMPT}{n}d"


def end_label(n: int) -> str:
    """Return the label of the call that cancels at Linq what the question `n` has waited for."""
    return f"{PROMPT}{n}x"


def asks_again(entry: JournalEntry) -> bool:
    """Return True if a call asks the question of another chat's handler again. It belongs to no turn of this chat."""
    return entry.slot.endswith(f":{AGAIN}")
