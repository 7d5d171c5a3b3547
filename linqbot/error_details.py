"""The record of an error, made when the error happens: the part that operators see, and apart from it the text that may quote a person.

Operators see the class of an error, the places in code through which it passed, and the same of its causes and of the errors of a
group. They see no message and no line of source: both may hold what a person wrote, as the SyntaxError of
`ast.literal_eval(message.text)` does. Python's own traceback has them, and is kept apart for `linqbot why ID --body`. A text that
is stored once is never taken apart again, because a message can imitate a traceback.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from linqbot.characters import storable
from linqbot.errors import error_name
from linqbot.frames import Place, places_of

LONGEST_TEXT: Final = 20_000
"""Maximum characters of a text that is kept of an error. The middle of a longer one is left out."""

OF_OLDER_RELEASE: Final = (
    "An older release of linqbot has stored why. Its words may quote a person: linqbot why ID --body"
)

_MOST_ERRORS: Final = 30
_MOST_PLACES: Final = 40

Role: TypeAlias = Literal["error", "cause", "context", "member"]
"""The part of an exception in an error: the error itself, what it was raised from, what was being handled, or a member of a group."""

_WORDS: Final[dict[Role, str]] = {"error": "", "cause": "raised from ", "context": "while handling ", "member": "with "}


class Raised(NamedTuple):
    """An exception, without its message.

    Attributes:
        type: The name of its class, as the code has it.
        depth: Number of groups that it is in.
        notes: Number of its notes. They may quote a person as its message does.
        places: The author's places in its traceback, the outermost first; without any, the place at which it was raised.
    """

    type: str
    role: Role
    depth: int
    notes: int
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """The exceptions of an error, and its text.

    Attributes:
        raised: The error, then what it is made of and what it came from.
        text: The traceback as Python prints it, or Linq's answer; None if it is not kept. It may quote a person, so that only
            what an operator has asked for with `--body` shows it.
    """

    raised: tuple[Raised, ...] = ()
    text: str | None = None

    @property
    def lines(self) -> list[str]:
        """The exceptions as lines for operators."""
        return [line for each in self.raised for line in _lines(each)]


def details_of(error: BaseException, *, with_text: bool) -> ErrorDetails:
    """Return what is kept of an error.

    Args:
        with_text: Keep its traceback too, as Python prints it.
    """
    try:
        raised = tuple(_raised(error))
    except Exception:  # noqa: BLE001 - the class of an error is the author's code, which may fail
        raised = ()
    return ErrorDetails(raised, _text(error) if with_text else None)


def _raised(error: BaseException) -> Iterator[Raised]:
    waiting: list[tuple[BaseException, Role, int]] = [(error, "error", 0)]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_ERRORS:
        one, role, depth = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        notes = getattr(one, "__notes__", ())
        count = len(notes) if isinstance(notes, list | tuple) else 1
        yield Raised(error_name(one), role, depth, count, tuple(places_of(one)[-_MOST_PLACES:]))
        if one.__cause__ is not None:
            waiting.append((one.__cause__, "cause", depth))
        elif one.__context__ is not None and not one.__suppress_context__:
            waiting.append((one.__context__, "context", depth))
        if isinstance(one, BaseExceptionGroup):
            waiting += [(each, "member", depth + 1) for each in reversed(one.exceptions)]


def _text(error: BaseException) -> str | None:
    try:
        return readable("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001 - formatting runs code of the error's class, such as __str__, which may fail
        return None


def _lines(raised: Raised) -> list[str]:
    indent = "  " * raised.depth
    notes = "" if not raised.notes else " (with a note)" if raised.notes == 1 else f" (with {raised.notes} notes)"
    places = [f'{indent}  File "{file}", line {line}, in {function}' for file, line, function in raised.places]
    return [f"{indent}{_WORDS[raised.role]}{raised.type}{notes}", *places]


def readable(text: str) -> str:
    """Return a text that every storage can keep: of limited length, without lone surrogates and NUL characters."""
    if len(text) > LONGEST_TEXT:
        half = LONGEST_TEXT // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return storable(text)


# --- as stored --------------------------------------------------------------------------------------------------------


def stored_error(said: str, details: ErrorDetails | None) -> str:
    """Return the JSON of a reason and of the details of its error. The reason quotes no person."""
    found: dict[str, Any] = {"said": storable(said)}
    if details is not None:
        found |= {"raised": details.raised, "text": details.text and storable(details.text)}
    return storable(json.dumps(found, ensure_ascii=False))


def read_error(stored: str) -> tuple[str, ErrorDetails | None]:
    """Return the reason and the details of a stored error. Of one that an older release has stored, nothing but its text is known."""
    try:
        found = json.loads(stored)
        if "raised" not in found:
            return found["said"], None
        raised = [
            Raised(name, role, depth, notes, tuple(Place(*place) for place in places))
            for name, role, depth, notes, places in found["raised"]
        ]
        return found["said"], ErrorDetails(tuple(raised), found["text"])
    except (ValueError, TypeError, LookupError):
        return OF_OLDER_RELEASE, ErrorDetails(text=stored)
