"""Questions to people who are not in the chat of the handler: each is asked in their own direct chat with the bot.

The handler waits in its chat, whose lane has its conversation. For each person, an errand brings the question to their chat: the
first delivery finds it, and the second one shows the question there, in the lane of that chat. So no turn changes what belongs to
another lane, and the question is shown between two turns of the person's chat. If there is no chat, the first delivery opens it
with the question, and the new chat waits for the end of its turn: see `new_chats.py`.

What shows the question there is a conversation too, without a handler of its own. The questions of a person are shown one at a
time: a further one is stored as `queued`, and is shown when no other one is open. An answer ends what shows the question, and
becomes an ending in the lane of the handler. If the question is over by then, the person reads that the answer came too late.
When a question is over, an errand brings that to the others, so that they read who has decided. Next step: `shown.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_json

from linqbot.content.message_split import bubbles
from linqbot.engine.steps import Steps
from linqbot.errors import PersonUnreachable
from linqbot.features.asking.admission import KIND
from linqbot.features.asking.question import OpenQuestion, Question, QuestionEnd, as_prompt
from linqbot.features.asking.records import ELSEWHERE, Asked
from linqbot.features.lookups import given
from linqbot.language.spoken import sentences, spoken
from linqbot.linq.events.delivery import retention_mark
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import lane_of_chat, lane_of_post
from linqbot.linq.handles import person_key
from linqbot.linq.rules.message import first_message
from linqbot.linq.types.chat import Chat
from linqbot.linq.types.data import Data
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE
from linqbot.storage.timers import Timer

TO_PERSON: Final = "ask_to"
"""The kind of the delivery that finds the direct chat of a person, or opens it."""
IN_CHAT: Final = "ask_in"
"""The kind of the delivery that shows a question in that chat, or says that it is over."""


class Errand(Data):
    """A question that is brought to the chat of a person, or that it is over. It is the body of a delivery.

    `handles` are the people whom it concerns, and `data` says if their line keeps nothing.
    """

    shown_as: str = ""  # the id of the conversation that shows the question in the person's chat
    to: str = ""
    line: str | None = None
    conversation: str = ""  # this, replay, n and chat_id: the question, and the chat of its handler
    replay: int = 0
    n: int = 0
    chat_id: str = ""
    tries: int = 0  # the number of answers that were not valid before it is shown
    handler: str = ""
    until: float = 0.0
    question: dict[str, Any] | None = None  # the `OpenQuestion` to show; None for what is over
    meanwhile: tuple[dict[str, Any], ...] = ()  # what the handler's chat reads once the person is asked
    say: str | None = None  # what the person reads: why the last answer was not valid, or that the question is over
    sent: tuple[str, ...] = ()  # the ids of the messages that have opened the chat with the question
    since: float | None = None  # when Linq took the first of these
    handles: tuple[str, ...] = ()
    data: Mapping[str, Any] = {}

    @property
    def person(self) -> str:
        return person_key(self.to)

    @property
    def is_off_the_record(self) -> bool:
        return self.data.get("zero_retention") is True

    @property
    def prompt(self) -> Sequence[dict[str, Any]]:
        """The messages that ask the question, behind the reason why the last answer was not valid."""
        if self.question is None:
            return ()
        why = () if self.say is None else ({"parts": [{"type": "text", "value": self.say}]},)
        return (*why, *OpenQuestion.model_validate(self.question).prompt)

    def kept(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def body(self) -> bytes:
        return to_json(self.kept())

    def timer(self, name: str, now: float) -> Timer:
        """Return the timer of the delivery that finds the person's chat. Equal names make one delivery."""
        return Timer(f"{self.shown_as}.{name}", now, lane_of_post(self.person), TO_PERSON, self.body())

    async def is_open(self, storage: Storage) -> bool:
        """Return True if the question still waits for an answer, and for this try of the person."""
        found = await storage.conversation(self.conversation)
        if found is None or found[0].status != "waiting":
            return False
        question = OpenQuestion.read(found[0].question)
        if question is None or question.n != self.n:
            return False
        return any((each.shown_as, each.tries) == (self.shown_as, self.tries) for each in brought(question))

    def ended(self, outcome: QuestionEnd, name: str, now: float) -> Timer:
        """Return the timer that ends the question, in the lane of its handler."""
        body: dict[str, Any] = {"conversation": self.conversation, "n": self.n, "outcome": outcome}
        # As in every ending: the lane is sorted by it.
        body["created_at"] = datetime.fromtimestamp(now, UTC).isoformat()
        body |= {"chat_id": self.chat_id, "handles": [self.person]} | retention_mark(
            off_the_record=self.is_off_the_record
        )
        timer_id = f"{self.conversation}.{self.replay}.{self.n}.{name}"
        return Timer(timer_id, now, lane_of_chat(self.chat_id), KIND, to_json(body))


@dataclass(frozen=True, slots=True)
class Places:
    """The people who decide about a question, by where they are asked.

    Attributes:
        here: The handles, in lower case, of those in the chat of the handler.
        elsewhere: The handles of the others.
        line: The line of the chat; empty if all are asked there.
    """

    here: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()
    line: str = ""

    def person(self, question: Question, asked: str, turn_id: str) -> str:
        """Return the `person` of the conversation, of whom each message is an answer; `asked` is the one who must answer.

        No message of the people in `also` is an answer, unless it says yes or no.
        """
        is_here = question.who != "others" and asked in (*self.here, ANYONE)
        return asked if is_here else f"{asked} {ELSEWHERE}{turn_id}"


async def places_of(
    question: Question,
    person: str,
    root: Event,
    steps: Steps,
    *,
    number: int,
    admits: Callable[[str], bool],
    find_chat: Callable[[], Awaitable[Chat]],
    find_line: Callable[[], Awaitable[str]],
) -> Places:
    """Return where the people who are named in a question are asked.

    Args:
        person: The one who must answer, in lower case.
        number: The number of the question in its conversation.
        admits: Returns True if the bot's `allow` admits what a person writes.
        find_chat: Asks Linq for the chat of the handler. It is called if an event does not say who is in the chat.
        find_line: Returns the line that writes to people if the event names none.
    Raises:
        PersonUnreachable: the bot's `allow` does not admit the answer of a person.
        BotError: it is not known which line writes to a person.
    """
    named = {person_key(handle): handle for handle in question.named}
    members = await _members(named, root, steps, number, find_chat)
    here = tuple(each for each in dict.fromkeys((person, *named)) if each not in named or each in members)
    elsewhere = {each: handle for each, handle in named.items() if each not in members}
    if not elsewhere:
        return Places(here)
    if any(not admits(each) for each in elsewhere):
        raise PersonUnreachable("Bot(allow=…) does not admit what this person writes, so no answer could ever come.")
    return Places(here, tuple(elsewhere.values()), root.line or await find_line())


async def _members(
    named: Iterable[str], root: Event, steps: Steps, number: int, find_chat: Callable[[], Awaitable[Chat]]
) -> frozenset[str]:
    """Return those people among the named ones, in lower case, who are in the chat of the handler."""
    writer = "" if root.is_own else person_key(root.actor or "")
    others = set(named) - {writer}
    if not others or (root.is_group is False and writer):
        return frozenset({writer})

    async def ask() -> list[str]:
        chat = await given(find_chat())
        if chat is None:
            return sorted(others)  # nothing is known of it, so all are asked there
        active = (each for each in chat.handles if each.status in (None, "active") and not each.is_me)
        return [person_key(each.handle) for each in active]

    # Recorded, so that a further run asks the same people at the same places.
    found: list[str] = await steps.recorded(f"linqbot members {number}", ask, kind=list[str])
    return frozenset({writer, *found})


def errands(question: Question, asked: Asked, places: Places, root: Event) -> list[Errand]:
    """Return what brings a question to the people who are asked elsewhere."""
    found, meanwhile = [], as_prompt(bubbles(() if question.meanwhile is None else (question.meanwhile,)))
    for number, handle in enumerate(places.elsewhere):
        is_main = handle == question.who
        messages = as_prompt(question.messages(numbered=bool(question.choices)))
        asker = root.actor if root.actor and not root.is_own and person_key(root.actor) != person_key(handle) else None
        shown = OpenQuestion(
            n=asked.question.n,
            key=question.key,
            text=asked.question.text,
            choices=question.choices,
            reactions=question.reactions,
            events=question.events,
            cancel=asked.question.cancel if is_main else (),
            repeat=question.repeat and is_main,
            side_questions=question.side_questions or not is_main,
            prompt=messages if asker is None else _named(messages, asker),
            language=spoken().stored,
        )
        said = meanwhile if number == 0 else ()
        people = tuple(dict.fromkeys(person_key(person) for person in (handle, asker) if person))
        errand = _errand(asked, handle, places.line).model_copy(
            update={
                "question": shown.model_dump(mode="json", exclude_defaults=True),
                "meanwhile": said,
                "handles": people,
            }
        )
        found.append(errand)
    return found


def _named(messages: Sequence[dict[str, Any]], asker: str) -> tuple[dict[str, Any], ...]:
    """Return the messages of a question that name the person whom it is for."""
    first, *others = messages
    parts = list(first.get("parts") or ())
    # The first message of a chat must have no address, and this may be one.
    if parts and parts[0].get("type") == "text" and first_message(first) is None:
        text = sentences().asked_for.format(name=asker, question=parts[0]["value"])
        # Places in the text, such as those of a style, no longer fit.
        parts[0] = {"type": "text", "value": text}
        return ({**first, "parts": parts}, *others)
    text = sentences().asked_for.format(name=asker, question="").strip()
    return ({"parts": [{"type": "text", "value": text}]}, first, *others)


def _errand(asked: Asked, handle: str, line: str | None) -> Errand:
    conversation, question = asked.conversation, asked.question
    made_of = f"{conversation.id}|{conversation.replay}|{question.n}|{person_key(handle)}"
    return Errand(
        shown_as=f"i.{IN_CHAT}.{hashlib.sha256(made_of.encode()).hexdigest()[:32]}",
        to=handle,
        line=line,
        conversation=conversation.id,
        replay=conversation.replay,
        n=question.n,
        chat_id=conversation.chat_id,
        tries=question.tries,
        handler=conversation.handler,
        until=conversation.until,
        handles=(person_key(handle),),
        **retention_mark(off_the_record=conversation.off_the_record),
    )


def asked_again(asked: Asked, person: str, why: str, now: float) -> tuple[Asked, list[Timer]]:
    """Return the timers that ask a person again whose answer was not valid, with the reason in front of the question.

    The question notes for which try of the person it is open now.
    """
    tries, again, noted = asked.question.tries, [], []
    for each in brought(asked.question):
        errand = each.model_copy(update={"tries": tries}) if each.person == person else each
        noted.append(errand.kept())
        if each.person == person and errand.question is not None:
            # With the answers that were not valid, because an edit of one is a new answer.
            changed = {"question": {**errand.question, "refused": asked.question.refused}, "meanwhile": (), "say": why}
            again.append(errand.model_copy(update=changed).timer(str(tries), now))
    return asked.changed(elsewhere=tuple(noted)), again


def brought(question: OpenQuestion) -> list[Errand]:
    """Return the errands that have brought a question to people elsewhere."""
    return [Errand.model_validate(each) for each in question.elsewhere]


def decision(person: str | None, value: Any) -> str | None:
    """Return who has decided, and how, as the others read it; None if no person has, or if it was no yes or no."""
    if person is None or not isinstance(value, bool):
        return None
    answer = sentences().yes if value else sentences().no
    return sentences().has_decided.format(name=person, answer=answer.lower())


def over(question: OpenQuestion, decided_by: str | None, text: str | None, now: float) -> list[Timer]:
    """Return the timers that bring to the people who were asked elsewhere that a question is over.

    Args:
        decided_by: The person whose answer ended it, in lower case: they know it. None if no person has.
        text: What the others read; None for nothing.
    """
    others = (each for each in brought(question) if each.person != decided_by)
    changed = {"question": None, "meanwhile": (), "say": text}
    return [each.model_copy(update=changed).timer("over", now) for each in others]
