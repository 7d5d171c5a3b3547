"""Data of models, tools, MCP servers and frameworks, made such that it can be stored, said, and sent to a provider again.

Models write numbers without an end and halves of emoji, pages are scraped in bytes, and a tool may return any object. JSON holds
none of this, or not each reader of JSON reads it. So all that comes from them passes `clean` before it is recorded: an odd byte
costs a character, and never a second call of a tool. Nothing here knows a framework.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import pydantic_core
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_jsonable_python

from linqbot.characters import whole

NO_OBJECT: Final = "The arguments are no JSON object, so nothing was done. Call the tool again, with an object."
"""The text that a model reads in place of the result of a call whose arguments no tool can take."""

_MOST_LEVELS: Final = 100
"""The most lists and dicts inside of one another. Readers of JSON give up at two hundred, and data is put into other data."""
_DEEPER: Final = "[There is more inside, which cannot be shown.]"
_MOST_DIGITS: Final = 4000
"""The most digits of a whole number. Python itself reads no longer ones."""
_TOO_LONG: Final = "[a number that is too long]"
_ODD: Final = (b"NaN", b"Infinity", rb"\u0000")
"""The marks of odd data in JSON: numbers that are none, and a character that not each storage holds."""

_UNREADABLE: Final = (PydanticSerializationError, ValueError, RecursionError)

Holders: TypeAlias = frozenset[int]
"""The ids of the lists and dicts around a value. One that holds itself has no end."""


def clean(value: Any, *, text_of: Callable[[Any], str] = str) -> Any:
    """Return any value as JSON data that each storage can hold and each reader of JSON can read.

    Half a character becomes U+FFFD, U+0000 is left out, and a number that is none a text, such as `Infinity`. Bytes that are no
    text become a text that says so.

    Args:
        text_of: Returns the text that stands for an object without a JSON form.
    """
    try:
        data = pydantic_core.to_json(value)
        if not _is_odd(data):
            return from_json(data)
    except _UNREADABLE:
        pass
    return _Cleaner(text_of).cleaned(value, frozenset())


def read_json(text: str) -> Any:
    """Read JSON with half characters and numbers of any length, which pydantic's reader refuses. The data is not clean yet.

    Raises ValueError if it is no JSON, and RecursionError if it is too deep to be read.
    """
    return json.loads(text, parse_int=_int_in)


def _int_in(digits: str) -> Any:
    return int(digits) if len(digits) <= _MOST_DIGITS else _TOO_LONG


def json_text(value: Any) -> str:
    """Return any value as JSON text; see `clean`."""
    return pydantic_core.to_json(clean(value)).decode()


def arguments_in(written: Any) -> dict[str, Any] | None:
    """Return the arguments of a call, which a model has written as JSON text or which its client has read, as a clean object.

    None if they are no object.
    """
    if isinstance(written, str):
        try:
            written = read_json(written or "{}")
        except (RecursionError, ValueError):
            return None
    return clean(written) if isinstance(written, Mapping) else None


def clean_arguments(written: str) -> str:
    """Return the arguments of a call with what is odd in them replaced, as JSON text. What is no JSON stays no JSON."""
    try:
        found = read_json(written)
    except RecursionError:
        return json_text(_DEEPER)  # frameworks fail to read it
    except ValueError:
        return _clean_text(written)
    cleaned = clean(found)
    # Most stay as the model has written them. A number that is too long is in no short text.
    return written if cleaned == found and len(written) <= _MOST_DIGITS else json_text(cleaned)


def _is_odd(data: bytes) -> bool:
    return any(map(data.__contains__, _ODD)) or _is_deep(data)


def _is_deep(data: bytes) -> bool:
    """Return True for JSON with more levels than `_MOST_LEVELS`: with so many around it, pydantic's reader gives up."""
    if data.count(b"[") + data.count(b"{") <= _MOST_LEVELS:
        return False
    try:
        from_json(b"[" * _MOST_LEVELS + data + b"]" * _MOST_LEVELS)
    except ValueError:
        return True
    return False


class _Cleaner(NamedTuple):
    text_of: Callable[[Any], str]

    def cleaned(self, value: Any, around: Holders) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if (clean_kind := next((each for kind, each in _KINDS.items() if isinstance(value, kind)), None)) is not None:
            return clean_kind(value)
        if id(value) in around or len(around) >= _MOST_LEVELS:
            return _DEEPER
        return self._of_object(value, around | {id(value)})

    def _of_object(self, value: Any, around: Holders) -> Any:
        if isinstance(value, list | tuple | set | frozenset):
            return [self.cleaned(each, around) for each in value]
        if (items := _items(value)) is not None:
            return self._of_names(items, around)
        try:
            plain = to_jsonable_python(value)  # a date, a path, an enumeration …
        except _UNREADABLE:
            plain = self.text_of(value)
        return self.cleaned(plain, around)

    def _of_names(self, items: Iterable[tuple[Any, Any]], around: Holders) -> dict[str, Any]:
        found = dict[str, Any]()
        for name, each in items:
            plain = self.cleaned(name, around)
            text = plain if isinstance(plain, str) else pydantic_core.to_json(plain).decode()
            while text in found:  # two names may differ in half characters only
                text += "_"
            found[text] = self.cleaned(each, around)
        return found


def _items(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return the names and the values of a dict or an object that has a JSON form; None of another one."""
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, BaseModel):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(each.name, getattr(value, each.name)) for each in dataclasses.fields(value)]
    return None


def _clean_text(text: str) -> str:
    return whole(text).replace("\0", "")


def _of_int(number: int) -> Any:
    return number if abs(number) < 10**_MOST_DIGITS else _TOO_LONG


def _of_float(number: float) -> Any:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _of_bytes(data: bytes) -> str:
    try:
        return _clean_text(bytes(data).decode())
    except UnicodeDecodeError:
        return f"[{len(data)} bytes that are no text]"


_KINDS: Final[dict[Any, Callable[[Any], Any]]] = {
    str: _clean_text,
    int: _of_int,
    float: _of_float,
    bytes | bytearray | memoryview: _of_bytes,
}
