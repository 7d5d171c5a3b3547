"""The bubbles of a conversation on the operator's page: who said something, what it was, and what became of it.

Each is made of a message that Linq lists, of an event on record, of a call that was not made, or of a send that waits.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from pydantic_core import from_json

from linqbot.characters import whole
from linqbot.client.call import Call, id_in_path
from linqbot.engine.call_lookup import content_of, stop_of
from linqbot.engine.rate_limit import SENDS
from linqbot.errors import Muted
from linqbot.features.history import written_at
from linqbot.features.later import StoredSend
from linqbot.linq.types.message import AppPart, MediaPart, Message, Part, UnknownPart, text_of
from linqbot.ops import why
from linqbot.ops.explanations import first_sentence, with_full_stop
from linqbot.options import DAY_S
from linqbot.storage.acts import OperatorAct
from linqbot.storage.journal import ENTRIES_KEPT_S, RECORDED, JournalEntry
from linqbot.storage.timers import Timer

Who: TypeAlias = Literal["person", "bot", "you", "operator", "hand", "line", "event"]
"""Who has said something. `hand`: a text of ours that neither the bot nor this page has sent. `line`: a text of ours that is too
old to know. `event`: no one, because it is no message."""

IsYou: TypeAlias = Callable[[str, str], bool]
"""Returns True if the message of an id, which the operator of a name has sent, is of the one who looks."""

_NAMES: Final[dict[Who, str]] = {
    "bot": "Bot",
    "you": "You",
    "hand": "Linq's dashboard, or a program",
    "line": "Bot or operator",
}
_STATES: Final = {
    "pending": "Being sent",
    "queued": "Being sent",
    "sent": "Sent",
    "delivered": "Delivered",
    "read": "Read",
}
_TAPBACKS: Final = {"love": "❤️", "like": "👍", "dislike": "👎", "laugh": "😂", "emphasize": "‼️", "question": "❓"}
_OF_CALLS: Final = {"chats.send_voicememo": "Voice memo", "chats.polls.create": "Poll"}
_SILENT: Final = frozenset({"linqbot.send", "linqbot.repeat", "linqbot.broadcast"})
"""Events whose messages are shown, so that they are not."""
_A_MOMENT_S: Final = 60.0
PRIVATE: Final = "Not kept: the line has zero retention."
NOT_KEPT: Final = "Not kept: see LINQBOT_KEEP_DAYS."
NOT_LISTED: Final = "Not kept, and Linq does not list it."


@dataclass(slots=True)
class ChatItem:
    """A bubble of the conversation, or an event between two.

    Attributes:
        id: Unique in the conversation, and the same whenever it is shown.
        at: Unix seconds.
        name: The speaker, as shown; of an event, what it is.
        no_text: Why there is no text, if there should be one.
        tapbacks: The sign and the words of each.
        mark: What failed, waits or was muted, in a sentence; empty if all is well.
        state: How far a message of ours came, as people read it.
        why: What the view *why* is asked for; None if it knows nothing.
        retry: The id of the delivery that can be handled again.
        kept_in: The id of the delivery that has the text, if it is kept; None if the text is here.
        day: The day that begins with it; empty if it is that of the one before.
        opens: True if another one spoke before, or on another day.
    """

    id: str
    at: float
    who: Who
    name: str
    text: str = ""
    no_text: str = ""
    files: Sequence[str] = ()
    tapbacks: Sequence[tuple[str, str]] = ()
    is_edited: bool = False
    mark: str = ""
    is_bad: bool = False
    state: str = ""
    why: str | None = None
    retry: str | None = None
    kept_in: str | None = None
    day: str = ""
    opens: bool = True


@dataclass
class Teller:
    """Makes the bubbles of a chat of what Linq lists and what the storage knows.

    Attributes:
        messages: As Linq lists them, the oldest first.
        listed: The ids of messages that Linq lists: those, and more.
        not_listed: Why a message that Linq does not list has no text.
        keep_days: For how many days it is known what became of a delivery.
        first_at: When the bot received its first webhook, in Unix seconds; None if it is not known.
    """

    chat_id: str
    messages: Sequence[Message]
    listed: AbstractSet[str]
    cases: Sequence[why.Case]
    entries: Sequence[JournalEntry]
    timers: Sequence[Timer]
    sends: Sequence[OperatorAct]
    is_you: IsYou
    now: float
    not_listed: str
    keep_days: float
    first_at: float | None
    _failed: Mapping[str, list[dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self._failed = defaultdict(list)
        for case in self.cases:
            for row in case.rows:
                self._failed[row.turn or row.delivery] += json.loads(row.calls or "[]")

    def all(self) -> Iterator[ChatItem]:
        """Yield the bubbles, in no order."""
        cases = {case.message_id: case for case in self.cases if case.type == "message.received"}
        made = {entry.message_id: entry for entry in reversed(self.entries) if entry.message_id}
        by = {act.target: act.who for act in self.sends}
        is_private = any(entry.off_the_record for entry in self.entries)
        for message in self.messages:
            if message.is_from_me:
                said = self._of_us(message, made.get(message.id), by.get(message.id))
            else:
                said = self._of_person(message, cases.get(message.id))
            said.text, said.files = content_shown(message.parts)
            said.tapbacks = [*_tapbacks(message.parts)]
            said.is_edited = (
                None not in (message.updated_at, message.created_at) and message.updated_at != message.created_at
            )
            if not message.parts and not said.files:
                said.no_text = PRIVATE if is_private else "Linq lists no content of it."
            yield said
        for case in self.cases:
            if case.type != "message.received":
                yield from self._event(case)
            elif case.message_id not in self.listed:
                yield self._unlisted(case, PRIVATE if is_private else self.not_listed)
        for entry in self.entries:
            if entry.message_id is None or (entry.message_id not in self.listed and made[entry.message_id] is entry):
                yield from self._unlisted_call(entry)
        yield from map(self._waiting, self.timers)

    def _of_person(self, message: Message, case: why.Case | None) -> ChatItem:
        sender = message.from_handle.handle if message.from_handle else message.from_
        said = ChatItem(message.id, time_of(message), "person", sender or "A person", why=message.id)
        if case is not None:
            said.why = case.ids[-1]
            self._mark(said, case)
        elif self._is_missing(said.at):
            said.mark, said.is_bad = "Never received: no webhook of it arrived.", True
        return said

    def _is_missing(self, at: float) -> bool:
        since = self.now - self.keep_days * DAY_S
        return self.first_at is not None and max(self.first_at, since) < at < self.now - _A_MOMENT_S

    def _of_us(self, message: Message, entry: JournalEntry | None, by: str | None) -> ChatItem:
        at, who = time_of(message), self._who(message, entry, by)
        said = ChatItem(message.id, at, who, _name(who, by), why=None if entry is None else entry.turn)
        state = message.delivery_status or (None if entry is None else entry.delivery)
        if state == "failed":
            said.mark, said.is_bad = "Not delivered.", True
        else:
            said.state = _STATES.get(state or "", "")
        return said

    def _who(self, message: Message, entry: JournalEntry | None, by: str | None) -> Who:
        if by is not None:
            return "you" if self.is_you(message.id, by) else "operator"
        if entry is not None:
            return "bot"
        return "line" if time_of(message) < self.now - ENTRIES_KEPT_S else "hand"

    def _unlisted(self, case: why.Case, no_text: str) -> ChatItem:
        key = case.message_id or case.ids[-1]
        said = ChatItem(key, case.at, "person", "A person", no_text=no_text, why=case.ids[-1], kept_in=case.ids[-1])
        self._mark(said, case)
        return said

    def _mark(self, said: ChatItem, case: why.Case) -> None:
        """Mark what a person has written, unless a handler took it."""
        last = case.last
        if case.dead is not None:
            where = f" in {case.dead.handler}" if case.dead.handler else ""
            said.mark, said.is_bad, said.retry = (
                with_full_stop(f"Given up{where}: {case.dead.error}"),
                True,
                case.dead.delivery.id,
            )
        elif case.behind is not None:
            said.mark = "Waits behind an earlier message."
        elif case.waiting is not None:
            said.mark = why.answer_of(case, keep_days=self.keep_days, now=self.now, first_at=None)
        elif last is None or last.outcome in ("handled", "joined"):
            pass
        elif last.outcome == "muted":
            said.mark = "Muted: the bot did not answer it."
        elif last.outcome == "ignored":
            said.mark = with_full_stop(f"No handler took it: {last.why}")
        elif last.outcome == "dead_letter":
            said.mark, said.is_bad = with_full_stop(f"Given up: {last.why}"), True
        else:
            said.mark = with_full_stop(f"It was to run again: {last.why}")

    def _event(self, case: why.Case) -> Iterator[ChatItem]:
        """Yield an event that is no message, if a handler took it or something is wrong with it."""
        said = ChatItem(case.ids[-1], case.at, "event", case.type, why=case.ids[-1])
        last = case.last
        is_open = case.dead is not None or case.waiting is not None
        if is_open or (last is not None and last.outcome in ("dead_letter", "retry", "deferred")):
            self._mark(said, case)
            yield said
        elif last is not None and last.handler is not None and case.type not in _SILENT:
            said.name = f"{case.type}: {last.handler}"
            yield said

    def _unlisted_call(self, entry: JournalEntry) -> Iterator[ChatItem]:
        """Yield what the bot has said that Linq does not list, or wanted to say."""
        if entry.safety in RECORDED:
            return
        call = Call.from_json(entry.call)
        if call.name not in SENDS or self.chat_id not in (_chat_in_path(call), entry.chat_id):
            return
        place = f"{entry.turn}.{entry.replay}.{entry.slot}"
        said = ChatItem(entry.message_id or place, entry.first_at, "bot", _NAMES["bot"], why=entry.turn)
        said.text, said.files = content_shown(content_of(call) or ())
        said.files = said.files or [_OF_CALLS[call.name]] if call.name in _OF_CALLS else said.files
        if not (said.text or said.files):
            said.no_text = PRIVATE if entry.off_the_record else self.not_listed
        if entry.delivery == "failed":
            said.mark, said.is_bad = "Not delivered.", True
        elif entry.status != "accepted":
            said.mark, said.is_bad = self._why_not(entry, call)
            if not said.mark:
                return
            said.no_text = said.no_text and (PRIVATE if entry.off_the_record else NOT_KEPT)
        yield said

    def _why_not(self, entry: JournalEntry, call: Call) -> tuple[str, bool]:
        """Return why a call is not known to be made, and True if that is a fault; an empty text if something else says so."""
        if entry.status == "attempting":
            return "Being sent.", False
        if entry.status != "refused":
            return "It is not known if Linq has it.", True
        answer = from_json(entry.answer) if entry.answer else {}
        failed = next((each for each in self._failed[entry.turn] if each["call"] == call.name), None)
        if failed is not None:
            self._failed[entry.turn].remove(failed)
        if isinstance(stop_of(entry, call.name), Muted) or (
            failed is not None and failed.get("why") == str(Muted.before(call.name))
        ):
            return "Muted: not sent.", False
        if isinstance(answer, dict) and answer.get("until") is not None:
            return "", False  # it waits, and is shown at that time
        if failed is None:
            return "Not sent.", True
        reason = first_sentence(failed["why"])[0] if "why" in failed else why.refusal(failed)
        return f"Not sent. {reason}", "why" not in failed

    def _waiting(self, timer: Timer) -> ChatItem:
        said = ChatItem(f"t.{timer.id}", max(timer.tick, self.now), "bot", _NAMES["bot"])
        with suppress(ValueError):  # another release may have stored it
            contents = [content_shown(content_of(call) or ()) for call in StoredSend.read(timer.payload).as_calls()]
            said.text = "\n".join(text for text, _ in contents if text)
            said.files = [name for _, files in contents for name in files]
        again = ", and again later" if timer.is_recurring else ""
        is_late = timer.tick < self.now
        said.mark = "Waits until it may be sent." if is_late else f"Waits until {time_by(timer.tick, self.now)}{again}."
        return said


def time_of(message: Message) -> float:
    return written_at(message).timestamp()


def time_by(at: float, now: float) -> str:
    """Return a time, with its day if that is not today."""
    then, today = datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(now, UTC)
    return f"{then:%H:%M} UTC" if then.date() == today.date() else f"{then:%Y-%m-%d %H:%M} UTC"


def content_shown(parts: Iterable[Part]) -> tuple[str, list[str]]:
    """Return the text of a message, and what it has besides, each in a few words. No picture is ever loaded."""
    parts = tuple(parts)
    return whole(text_of(parts)), [words for part in parts if (words := _words_of(part))]


def _words_of(part: Part) -> str:
    if isinstance(part, MediaPart):
        name = part.filename or part.mime_type or "File"
        return name if part.size_bytes is None else f"{name}, {_size(part.size_bytes)}"
    if isinstance(part, AppPart):
        return " · ".join(filter(None, [f"Card of {part.app.name}", part.layout.caption or part.fallback_text]))
    return part.type or "Something that this linqbot does not know" if isinstance(part, UnknownPart) else ""


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _tapbacks(parts: Iterable[Part]) -> Iterator[tuple[str, str]]:
    for part in parts:
        for each in getattr(part, "reactions", None) or ():
            by = "the line" if each.is_me else each.handle.handle if each.handle else "a person"
            yield each.custom_emoji or _TAPBACKS.get(each.type, each.type), f"{each.type} by {by}"


def _name(who: Who, by: str | None) -> str:
    return _NAMES.get(who) or ("Operator" if by in (None, "operator") else str(by))


def _chat_in_path(call: Call) -> str | None:
    return id_in_path(call) if call.name.startswith("chats.") and call.name != "chats.create" else None
