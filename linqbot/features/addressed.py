"""For whom a text of an owner is, as far as the text itself says so: `Ann: come at ten`, `#done Ann`, `#answer yes`.

On SMS no one can reply to a message, so these words do what a reply does on iMessage. They count wherever they stand alone at
the beginning of a text. Next step: `handoff.py`, which decides about a text that says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic_core import to_json

from linqbot.language.reading import emoji_in, folded, plain, says
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import as_object
from linqbot.linq.types.proactive import ChatHandoff
from linqbot.storage.mutes import Mute

_DONE: Final = ("#done",)
_CHECK_MARKS: Final = frozenset("👍✔✅☑✓")
_COMMAND: Final = re.compile(r"\s{0,20}[#＃]\s?(?P<word>answer|done)\b[\s:,]{0,20}", re.IGNORECASE)
_COLON: Final = re.compile("[:：]")
_LONGEST_NAME: Final = 100
"""Characters before the colon that are compared with names."""
_NUMBER: Final = re.compile(r"\+?[0-9 ().-]{4,30}")
_FEWEST_DIGITS: Final = 4
"""The last digits of a phone number that name its person: no one copies a whole number for each text."""


def is_answer(text: str) -> bool:
    """Return True for `#answer yes`: the text answers the bot's question, whoever the owner talks to."""
    command = _COMMAND.match(text)
    return command is not None and command["word"].casefold() == "answer"


def as_answer(delivery: Delivery) -> Delivery:
    """Return the delivery of a message `#answer yes` as if the person had written `yes`, in reply to nothing."""
    content = _without_command(delivery.content)
    joined = delivery.joined
    if joined.burst:  # edits of the message
        joined = replace(joined, burst=tuple(map(_without_command, joined.burst)))
        return replace(delivery, decoded=content).with_joined(joined)
    return replace(delivery, body=to_json(content), decoded=content)


def _without_command(body: dict[str, Any]) -> dict[str, Any]:
    data = {**as_object(body.get("data"))}
    if body.get("event_type") == "message.edited":
        part = as_object(data.get("part"))
        return {**body, "data": {**data, "part": {**part, "text": _behind_command(str(part.get("text") or ""))}}}
    if "parts" not in data:  # the payload version 2025-01-01 nests the message
        message = as_object(data.get("message"))
        return {**body, "data": {**data, "message": _message_without_command(message)}}
    return {**body, "data": _message_without_command(data)}


def _message_without_command(message: dict[str, Any]) -> dict[str, Any]:
    parts = [_part_without_command(as_object(part)) for part in message.get("parts") or ()]
    return {**message, "parts": [part for part in parts if part.get("value") != ""], "reply_to": None}


def _part_without_command(part: dict[str, Any]) -> dict[str, Any]:
    text = part.get("value") if part.get("type") == "text" else None
    if not isinstance(text, str) or (words := _behind_command(text)) == text:
        return part
    return {"type": "text", "value": words}


def _behind_command(text: str) -> str:
    command = _COMMAND.match(text)
    return text if command is None else text[command.end() :]


def is_done(text: str) -> bool:
    """Return True for `#done`, by which an owner gives a chat back to the bot."""
    return says(text, _DONE)


def is_check_mark(text: str) -> bool:
    """Return True if a text is a 👍 or a check mark and nothing else: `thanks 👍` is for the person."""
    return not any(map(str.isalnum, text)) and _CHECK_MARKS.issuperset(found := emoji_in(text)) and bool(found)


def done_with(text: str) -> str | None:
    """Return the words behind `#done`, which name a person; None if there are none, such as in `#done, thanks`."""
    command = _COMMAND.match(text)
    if command is None or command["word"].casefold() != "done" or is_done(text):
        return None
    return text[command.end() :].strip() or None


def named_in(text: str, mutes: Sequence[Mute]) -> list[Mute]:
    """Return the handoffs whose person a text names: at its beginning, with a colon behind it, or behind `#done`."""
    name = done_with(text)
    if name is not None:
        return [each for each in mutes if each.handoff is not None and _names(name, each.handoff)]
    return [each for each in mutes if each.handoff is not None and _end_of_name(text, each.handoff)]


def words_for(text: str, handoff: ChatHandoff) -> str:
    """Return a text without the name of the person of a handoff in front of it."""
    return text[_end_of_name(text, handoff) :].strip() if _end_of_name(text, handoff) else text


def ends(text: str, handoff: ChatHandoff) -> bool:
    """Return True if a text that is for the person of a handoff ends it: `#done`, a 👍 alone, `#done Ann`, `Ann: #done`."""
    words = words_for(text, handoff)
    name = done_with(words)
    return is_done(words) or is_check_mark(words) or (name is not None and _names(name, handoff))


def ways_to_name(handoffs: Sequence[ChatHandoff]) -> list[tuple[str, str]]:
    """Return the name of each person as a notice shows it, and as a text may begin with it."""
    return [_way(each, [other for other in handoffs if other is not each]) for each in handoffs]


def _way(handoff: ChatHandoff, others: Sequence[ChatHandoff]) -> tuple[str, str]:
    name, person = handoff.name, handoff.person
    if name != person and not any(_names(name, other) for other in others) and not _COLON.search(name):
        return name, name
    last = person[-_FEWEST_DIGITS:]
    key = last if _NUMBER.fullmatch(last) and not any(_names(last, other) for other in others) else person
    return (person if name == person else f"{name} ({key})"), key


def _end_of_name(text: str, handoff: ChatHandoff) -> int:
    """Return the place behind the name of a person and its colon, with which a text begins; 0 if it begins with none."""
    for colon in _COLON.finditer(text, 0, _LONGEST_NAME):
        if _names(text[: colon.start()], handoff):
            return colon.end()
    return 0


def _names(words: str, handoff: ChatHandoff) -> bool:
    """Return True if words are the name of a person, their handle, or the last digits of their number."""
    said = plain(words)
    if said and said in (plain(handoff.name), plain(handoff.person)):
        return True
    if not _NUMBER.fullmatch(folded(words).strip()):
        return False
    digits = "".join(filter(str.isdigit, folded(words)))
    return len(digits) >= _FEWEST_DIGITS and handoff.person.startswith("+") and handoff.person.endswith(digits)
