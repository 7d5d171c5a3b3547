"""Characters as people see them: none goes out in halves, and no cut falls inside of one.

Models, pages and databases hand over texts in which an emoji was cut in two: half of it is a lone surrogate, which neither UTF-8
nor a storage can hold. Whatever is said, stored or recorded comes through this module, and is repaired before it is checked. So a
broken emoji costs a character, and never an answer. What names something, such as a `key=`, is not repaired but refused: two
broken keys would become equal.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final

import pydantic_core
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

if TYPE_CHECKING:
    import regex

REPLACEMENT: Final = "\ufffd"
"""What stands for a character that is lost."""
_BEGINS: Final = frozenset({"Lu", "Ll", "Lt", "Lo", "Nd", "Po", "Ps", "Pi", "Pd", "Sc"})
"""Categories of characters that begin a character that people see, so that `regex` need not be imported to know it."""
_SURE_EDGE: Final = re.compile(r"[\n -~](?=[ -~])")
"""Between two printable characters of ASCII is an edge, whatever is around them, and behind a line break."""
_NEAR: Final = 100
"""The characters before a cut that are looked through for a sure edge."""
_JOINED_LETTERS: Final = "\u0e33\u0eb3"
"""The letters, of Thai and Lao, that people see as a part of the letter before. All else that is so has other categories."""


def _is_high(character: str) -> bool:
    return "\ud800" <= character <= "\udbff"


def _is_low(character: str) -> bool:
    return "\udc00" <= character <= "\udfff"


def has_half(text: str) -> bool:
    """Return True if a text has half of a character, a lone surrogate, in it."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def whole(text: str) -> str:
    """Return a text without half characters: two halves are joined, and one that is alone becomes U+FFFD.

    The text has the same length in UTF-16 code units, so that Linq's ranges stay right.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") if has_half(text) else text


def whole_so_far(text: str) -> tuple[str, str]:
    """Return a text that grows without half characters, and the first half at its end, whose other half may follow."""
    half = text[-1:] if _is_high(text[-1:]) else ""
    return whole(text.removesuffix(half)), half


def whole_indexes(text: str) -> list[int]:
    """Return the place in `whole(text)` of each index of a text, and of its end."""
    is_second = (_is_high(before) and _is_low(each) for before, each in pairwise(f" {text}"))
    return list(accumulate((0 if each else 1 for each in is_second), initial=0))


def storable(text: str) -> str:
    """Return a text that a column of each storage can hold: without half characters, and without U+0000."""
    return whole(text).replace("\0", REPLACEMENT)


def repaired(value: Any) -> Any:
    """Return texts, lists, dicts and pydantic models with all their texts `whole`; the same object if they are.

    Raises ValueError if two names of a dict differ only in half characters: one of their values would be lost.
    """
    match value:
        case str():
            return whole(value)
        case BaseModel():
            fields = {**value.__dict__, **(value.__pydantic_extra__ or {})}
            changed = {name: new for name, old in fields.items() if (new := repaired(old)) is not old}
            return value.model_copy(update=changed) if changed else value
        case dict():
            found = {repaired(name): repaired(each) for name, each in value.items()}
            if len(found) < len(value):
                raise ValueError("two names differ only in half characters (lone surrogates)")
            is_same = all(map(_is, (*found, *found.values()), (*value, *value.values())))
            return value if is_same else found
        case list() | tuple():
            items = [repaired(each) for each in value]
            return value if all(map(_is, items, value)) else type(value)(items)
    return value


def _is(one: object, other: object) -> bool:
    return one is other


def to_json(value: Any, **options: Any) -> bytes:
    """Return a value as JSON, as pydantic's `to_json` does, with all texts `whole`.

    Raises PydanticSerializationError if it has no JSON form, or two names of a dict would become one.
    """
    try:
        return pydantic_core.to_json(value, **options)
    except PydanticSerializationError:
        pass
    try:
        # First for the names in dicts, which pydantic takes only whole; then for what only pydantic looks into, such as a set.
        return pydantic_core.to_json(repaired(to_jsonable_python(repaired(value), **options)))
    except ValueError as error:
        raise PydanticSerializationError(str(error)) from None


# Cuts


class Edges:
    """The indexes of a text between two characters as people see them: `at in Edges(text)`. Both ends are edges too.

    Flags, families, keycaps, and letters with their accents and vowel signs are one character (UAX #29, extended
    grapheme clusters). The text must begin with a whole one.
    """

    __slots__ = ("_found", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: frozenset[int] | None = None

    def __contains__(self, at: int) -> bool:
        if not 0 < at < len(self._text):
            return True
        before, after = self._text[at - 1], self._text[at]
        if before.isascii() and after.isascii():
            return before + after != "\r\n"
        if self._found is None:  # most texts are not cut between others
            self._found = frozenset(each.end() for each in _characters().finditer(self._text))
        return at in self._found


def last_edge(text: str, most: int) -> int:
    """Return the last index up to `most` that is between two characters as people see them, or the end of the text.

    A single character may have thousands of accents. If the text begins with one that is longer than `most`, it is `most`.
    """
    if most >= len(text):
        return len(text)
    around = text[most - 1 : most + 1]
    if around.isascii() and around != "\r\n":
        return most
    # What is before an edge that is sure need not be read.
    near = max((each.end() for each in _SURE_EDGE.finditer(text, max(0, most - _NEAR), most)), default=0)
    last = sure = near or text.rfind("\n", 0, most) + 1
    for found in _characters().finditer(text, sure, most + 1):
        last = found.start()
    return last or most


def cut(text: str, most: int) -> str:
    """Return the beginning of a text, of at most `most` code points, without a part of a character at its end."""
    return text[: last_edge(text, most)]


def joins_before(character: str) -> bool:
    """Return True if people see a character as a part of the one before it, such as an accent, whatever that is."""
    if character < "\u0300" or (unicodedata.category(character) in _BEGINS and character not in _JOINED_LETTERS):
        return False
    found = _characters().match(f"a{character}")
    return found is not None and found.end() == 2


@cache
def _characters() -> regex.Pattern[str]:
    # Imported late: it takes a tenth of a second.
    import regex

    # Flags have a pattern of their own: before each letter of a flag, \X looks back through all flags before it.
    flag = r"\p{Regional_Indicator}{2}[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]*+"
    return regex.compile(rf"{flag}|\X")
