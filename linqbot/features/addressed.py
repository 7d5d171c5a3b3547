"""For whom a text of an owner is, as far as the text itself says so: `Ann: come at ten`, `#done Ann`, `#answer yes`.

On SMS no one can reply to a message, so these words at the beginning of a text do what a reply does on iMessage. Next step:
`relay.py`, which decides about a text that says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from linqbot.features.muted_chats import Mute
from linqbot.language.reading import emoji_in, folded, plain, says
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.rewording import reworded
from linqbot.linq.types.proactive import ChatHandoff

_DONE: Final = ("#done",)
_CHECK_MARKS: Final = frozenset("👍✔✅☑✓")
_ANSWER: Final = re.compile(r"\s{0,20}[#＃]\s?answer\b[\s:,]{0,20}", re.IGNORECASE)
_DONE_WITH: Final = re.compile(r"\s{0,20}[#＃]\s?done\b[\s:,]{0,20}", re.IGNORECASE)
_COLON: Final = re.compile("[:：]")
_LONGEST_NAME: Final = 100
"""Characters before the colon that are compared with names."""
_NUMBER: Final = re.compile(r"\+?[0-9 ().-]{4,30}")
_NO_DIGIT: Final = re.compile("[^0-9]")
_FEWEST_DIGITS: Final = 4
"""The last digits of a phone number that name its person: no one copies a whole number for each text."""


def is_answer(text: str) -> bool:
    """Return True for `#answer yes`: the text answers the bot's question, and is for no person."""
    return _ANSWER.match(text) is not None


def as_answer(delivery: Delivery) -> Delivery:
    """Return the delivery of a message `#answer yes` as if the person had written `yes`, in reply to nothing."""
    return reworded(delivery, _behind_command)


def _behind_command(text: str) -> str:
    command = _ANSWER.match(text)
    return text if command is None else text[command.end() :]


def is_done(text: str) -> bool:
    """Return True for `#done`, by which an owner gives a chat back to the bot."""
    return says(text, _DONE)


def is_check_mark(text: str) -> bool:
    """Return True if a text is a 👍 or a check mark and nothing else: `thanks 👍` is for the person."""
    return not any(map(str.isalnum, text)) and _CHECK_MARKS.issuperset(found := emoji_in(text)) and bool(found)


def done_with(text: str) -> str | None:
    """Return the words behind `#done`, which name a person; None if there are none, such as in `#done, thanks`."""
    command = None if is_done(text) else _DONE_WITH.match(text)
    return None if command is None else text[command.end() :].strip() or None


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
    if name != person and not any(_names(name, other) for other in others):
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
    digits = _NO_DIGIT.sub("", folded(words))
    return len(digits) >= _FEWEST_DIGITS and handoff.person.startswith("+") and handoff.person.endswith(digits)
