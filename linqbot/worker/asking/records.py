"""The records of a conversation's questions: journal entries with the safety class `ask`.

The calls between two questions are a part of the conversation. The name of a part is in front of the slots of its calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, TypedDict

from pydantic_core import from_json, to_json

from linqbot.bot.asking.answers import Answer
from linqbot.bot.asking.question import Question
from linqbot.bot.asking.seen import Seen
from linqbot.errors import AskCancelled, AskTimeout
from linqbot.events.delivery import Delivery
from linqbot.events.event import Event
from linqbot.events.lane import lane_of_chat
from linqbot.events.parse import parse
from linqbot.storage.journal import JournalEntry
from linqbot.storage.redaction import RECORDED
from linqbot.worker.calls.slots import OUTSIDE

PROMPT: Final = "?"
"""The first letter of the label of a call that asks a question; the number of the question follows."""

# The `person` of a conversation is a handle. If the conversation waits for something else than words, a space and one of
# these follow: see `key_of_wait`.
PAYMENT: Final = "pay:"
"""For a payment. The id of the conversation is behind it, because a person may have several payments open."""
VOTE: Final = "vote:"
"""For a vote, with the id of the conversation as for a payment."""
LOCATION: Final = "location"
"""For a location. A person has one such conversation in a chat."""


def is_wait(person: str) -> bool:
    """Return True if the `person` of a conversation names what it waits for besides an answer: see `key_of_wait`."""
    return " " in person


def is_payment(person: str) -> bool:
    """Return True if the `person` of a conversation says that it waits for a payment: no message answers that."""
    return person.partition(" ")[2].startswith(PAYMENT)


AskRefusal: TypeAlias = Literal["opted_out", "refused", "unsupported"]
"""The reason why a question could not be asked."""
AskCancellation: TypeAlias = Literal["word", "invalid", "operator", "opted_out", "replaced"]
"""The reason why an open question was cancelled."""

_WHY_CANCELLED: Final[dict[AskCancellation | AskRefusal, str]] = {
    "word": "The person ended the question.",
    "invalid": "The person gave no valid answer.",
    "operator": "The operator ended the question.",
    "opted_out": "The person has opted out of messages.",
    "replaced": "The person began something else, in which they are asked another question.",
    "refused": "A plugin refused to send the question.",
    "unsupported": "This chat does not support it: locations are shared in direct iMessage chats only.",
}


class AskRefused(Exception):
    """A wait could not begin: its messages were not sent. `AskSession` raises AskCancelled instead.

    Attributes:
        reason: The `reason` of AskCancelled.
    """

    def __init__(self, reason: AskRefusal) -> None:
        super().__init__(reason)
        self.reason: AskRefusal = reason


class QuestionEnd(TypedDict, total=False):
    """The end of a question, as it is stored.

    Attributes:
        by, at: The id of the delivery that ended it, and the time at which that was received, in Unix seconds. On record
            only.
        outcome: `answered`, `timed_out` or `cancelled`.
        text: The text of the answer: of a message, of the chosen option, or of the operator.
        choice: See `Answer`. Missing if no choices were shown.
        reason: The reason of `cancelled`; see `AskCancelled`.
        type, body: The event that answered: its type and its body. Missing if the operator answered.
        result: The result of a wait such as `ctx.pay`, as JSON data, once it is known.
    """

    by: str
    at: float
    outcome: Literal["answered", "timed_out", "cancelled"]
    text: str
    choice: str
    reason: AskCancellation
    type: str
    body: Any
    result: Any


def answer_in(outcome: QuestionEnd, event: Event | None) -> Answer:
    """Return the answer that ended a question.

    Args:
        event: The event that answered; None if the operator did.
    """
    return Answer(event, outcome.get("text", ""), outcome.get("choice"))


def end_without_answer(outcome: QuestionEnd) -> AskTimeout | AskCancelled:
    """Return the error that `ctx.ask` raises for a question that timed out or was cancelled."""
    if outcome["outcome"] == "timed_out":
        return AskTimeout("No answer came in time.")
    return cancelled_for(outcome["reason"])


def cancelled_for(reason: AskCancellation | AskRefusal) -> AskCancelled:
    """Return the error of a question that was cancelled, or could not be asked."""
    return AskCancelled(_WHY_CANCELLED[reason], reason=reason)


class Opened(TypedDict):
    """A conversation at the time at which its question was asked. A dry deploy decides with it what a message meant.

    Attributes:
        since: The time at which the delivery was received whose turn asked the question, in Unix seconds. Each later
            delivery of the chat meets the open question.
        chat_id, person, handler, until: See `Conversation`.
        question: The `OpenQuestion` as JSON data.
    """

    since: float
    chat_id: str
    person: str
    handler: str
    until: float
    question: dict[str, Any]


@dataclass(slots=True)
class AskRecord:
    """A question of a conversation, and how it ended.

    Attributes:
        n: The number of the record in the conversation.
        number: The number of the question within the run that asked it.
        key: The `key=` of the question.
        digest: A digest of its words.
        code: A digest of the code that asked it.
        part: The number of the part that the question ended.
        seen: What this part has seen.
        splits: The number of the part into which new code has put the question; None if it ended a part.
        opened: The conversation as it was then; None until the question is sent.
        verb: The method that asked, such as `ctx.vote`; None if it was recorded by a release that did not store it.
        outcome: How it ended; None while it waits.
        is_void: True if today's code has refused the answer, so that the question was asked again.
        is_used: True once the question was met in this run.
    """

    n: int
    number: int
    key: str | None
    digest: str
    code: str
    part: int = 0
    seen: Seen = field(default_factory=Seen)
    splits: int | None = None
    opened: Opened | None = None
    verb: str | None = None
    outcome: QuestionEnd | None = None
    is_void: bool = False
    is_used: bool = False

    @property
    def slot(self) -> str:
        """The slot of the journal entry."""
        return f"ask:{self.n}"

    @property
    def call(self) -> bytes:
        """The `call` of the journal entry."""
        said = {"n": self.n, "number": self.number, "key": self.key, "digest": self.digest, "code": self.code}
        parts = {"part": self.part, "seen": self.seen.state, "times": self.seen.times, "left": self.seen.left}
        asked = {"splits": self.splits, "opened": self.opened, "asked_with": self.verb}
        return to_json({"noun": "ctx", "verb": "ask", **said, **parts, **asked})

    def may_answer(self, question: Question) -> bool:
        """Return True if the record may be that of a question, whose key or words then decide.

        An answer in words is no vote, no payment and no location, although the new code has kept the `key=`.
        """
        return not self.is_used and self.verb in (None, question.verb)

    def written_to(self, entry: JournalEntry, ended_by: Delivery) -> JournalEntry:
        """Return the journal entry with the end of the question.

        Args:
            ended_by: The delivery whose turn stores it.
        """
        if self.is_void:
            return replace(entry, status="refused", answer=None)
        if self.outcome is None:
            return entry
        ended: QuestionEnd = {**self.outcome, "by": ended_by.id, "at": ended_by.received_at}
        return replace(entry, status="accepted", answer=to_json(ended))

    def event(self, chat_id: str) -> Event | None:
        """Return the event that answered the question; None if the operator did, or if it was not answered."""
        if self.outcome is None or "body" not in self.outcome:
            return None
        return event_of(self.outcome, chat_id)


def event_of(outcome: QuestionEnd, chat_id: str) -> Event:
    """Return the event that answered a question. An event without a chat gets that of the question."""
    event = parse(Delivery("i.answer", lane_of_chat(chat_id), outcome["type"], b"", 0.0, decoded=outcome["body"]))
    return event if event.chat_id is not None else event.model_copy(update={"chat_id": chat_id})


def record_of(entry: JournalEntry) -> AskRecord:
    """Read a record from its journal entry."""
    said = from_json(entry.call)
    return AskRecord(
        said["n"],
        said["number"],
        said["key"],
        said["digest"],
        said["code"],
        said["part"],
        Seen(said["seen"], said.get("times", ()), said.get("left", {})),
        said["splits"],
        said.get("opened"),
        said.get("asked_with"),
        from_json(entry.answer) if entry.answer else None,
        is_void=entry.status == "refused",
    )


def part_name(n: int) -> str:
    """Return the name of the part that follows the question `n`; 0 is the part before all questions."""
    return f"@{n}:" if n else ""


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


def prompts_of(n: int, entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    """Return the entries of the calls that asked the question `n`."""
    label = f"k:{PROMPT}{n}"
    parts = [(entry, *entry.slot.partition(label)[1:]) for entry in entries]
    return [entry for entry, found, rest in parts if found and not rest[:1].isdigit()]


def by_part(entries: Iterable[JournalEntry]) -> dict[str, list[JournalEntry]]:
    """Return the entries of calls by the name of their part, without the calls that ask questions."""
    found: dict[str, list[JournalEntry]] = {}
    for entry in entries:
        if entry.safety in RECORDED or f"k:{PROMPT}" in entry.slot or entry.slot.startswith(OUTSIDE):
            continue
        part = entry.slot.partition(":")[0] + ":" if entry.slot.startswith("@") else ""
        found.setdefault(part, []).append(entry)
    return found
