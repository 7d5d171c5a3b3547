"""Checks of single values and of JSON objects, and a broken rule as data.

The values are strings, numbers, lists, ids, handles and URLs (R4, R5, R7-R9). A `Schema` describes an object: its
required fields, the checks of its values, and checks across fields. Next step: `message.py` and `check.py` have the
rules that need more than one value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from linqbot.linq.handles import is_handle, is_phone
from linqbot.linq.types.names import LIKE_A_SLIP, misspelt

# Written out: with a repeated group and with IGNORECASE it takes more than twice as long, and every call has an id.
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_HTTPS = re.compile(r"https://[^\s/?#]++\S*+", re.IGNORECASE)
# Linq itself cannot reach a loopback address. The emulator can, and has no https.
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?([/?#]\S*)?", re.IGNORECASE)
WEB = re.compile(r"https?://[^\s/?#]++\S*+", re.IGNORECASE)


JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as it is sent."""


class Broken(NamedTuple):
    """A rule that a request breaks.

    Attributes:
        rule: `R1` to `R96`.
        status, code: The status and the code with which Linq responds.
        message: The error and its fix; never the text of the request.
    """

    rule: str
    status: int
    code: int
    message: str


Check: TypeAlias = Callable[[Any, str], Broken | None]
"""Checks a value; the second argument is its position, such as `message.parts[2].url`."""
Across: TypeAlias = Callable[[JsonObject], Broken | None]
"""Checks several fields of one object."""
NOTHING: Final[JsonObject] = {}


def breaks(rule: str, message: str, *, code: int = 1005) -> Broken:
    """Return a broken rule with status 400 and, by default, code 1005: a value that Linq does not accept."""
    return Broken(rule, 400, code, message)


def bad_content(rule: str, message: str) -> Broken:
    """Return a broken rule with 400/1004: parts or fields of a message that do not fit together."""
    return Broken(rule, 400, 1004, message)


def missing(at: str) -> Broken:
    return Broken("R3", 400, 1001, f"{at} is missing. It is required.")


def must(rule: str, fits: Callable[[Any], object], says: str, *, code: int = 1005) -> Check:
    """Return a check that a value fits. Of one that does not, the message is its position and `says`."""

    def is_fitting(value: Any, at: str) -> Broken | None:
        return None if fits(value) else breaks(rule, f"{at} {says}", code=code)

    return is_fitting


def matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    """Return a predicate: a value is a string that the whole pattern matches."""
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return True if a value is an int or a float; booleans do not count."""
    return isinstance(value, int | float) and not isinstance(value, bool)


is_web = matches(WEB)


def is_https(value: Any) -> bool:
    """Return True if a value is an https URL, or an http URL of the local machine (the emulator)."""
    return isinstance(value, str) and (_HTTPS.fullmatch(value) or _LOOPBACK.fullmatch(value)) is not None


def _is_page_limit(value: Any) -> bool:
    digits = str(value)
    return digits.isascii() and digits.isdigit() and len(digits) <= 3 and 1 <= int(digits) <= 100


text = must("R4", lambda value: isinstance(value, str), "must be a string.")
filled_text = must("R4", lambda value: isinstance(value, str) and value, "must be a string that is not empty.")
flag = must("R4", lambda value: isinstance(value, bool), "must be true or false.")
phone = must("R7", is_phone, "is not E.164: a plus and 2 to 15 digits, without spaces or brackets.", code=1002)
handle = must("R8", is_handle, "is neither an E.164 phone number nor an e-mail address.", code=1002)
page_limit = must("R9", _is_page_limit, "must be 1 to 100.")
# Not `math.isfinite`, which raises for the largest integers. Linq clamps `scale` to 0.05-2.5 itself.
number = must("R83", lambda value: is_number(value) and -math.inf < value < math.inf, "must be a number.")


def uuid(value: Any, at: str) -> Broken | None:
    """Check R5: a UUID. Written out, because every call has an id."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return None
    return breaks("R5", f"{at} is not a UUID. Pass an id that Linq returned.")


def whole(least: int, rule: str = "R4") -> Check:
    return must(rule, lambda value: is_whole(value) and value >= least, f"must be a whole number, {least} or more.")


def https(rule: str) -> Check:
    return must(rule, is_https, "must be a public https address.")


def name_of(
    rule: str,
    field: str,
    known: Collection[str],
    *,
    likeness: float = LIKE_A_SLIP,
    others: Collection[str] = (),
    otherwise: str = "",
) -> Check:
    """Return a check that a value is a name, and no misspelt one of the known names.

    Any other name passes, with a warning: only Linq can judge it.

    Args:
        field: The list, for the warning, such as `reaction.type`.
        likeness: The least likeness of a misspelt name.
        others: Further names, which look misspelt and are not.
        otherwise: The end of the message about a value that has not the form of a name.
    """

    def is_name(value: Any, at: str) -> Broken | None:
        if isinstance(value, str) and (value in known or value in others):
            return None
        if not isinstance(value, str) or not value or not value.isascii():
            hint = f"Linq's names are: {', '.join(sorted(known))}. {otherwise}".rstrip()
            return breaks(rule, f"{at} is not a name in Latin letters. {hint}")
        if near := misspelt(field, value, known, likeness=likeness):
            return breaks(rule, f"{at} is not a value Linq knows. Did you mean {near}?")
        return None

    return is_name


def list_of(item: Check, *, least: int = 0, most: int | None = None, rule: str = "R4") -> Check:
    """Return a check that a value is a list of `least` to `most` items that pass `item`."""

    def is_list(value: Any, at: str) -> Broken | None:
        if not isinstance(value, list | tuple):
            return breaks("R4", f"{at} must be a list.")
        if not least <= len(value) <= (len(value) if most is None else most):
            wanted = f"{least} or more" if most is None else f"{least} to {most}"
            return breaks(rule, f"{at} has {len(value)} entries. Linq takes {wanted}.")
        for i, each in enumerate(value):
            if broken := item(each, f"{at}[{i}]"):
                return broken
        return None

    return is_list


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a JSON object: required fields are checked first, then each value, then rules across fields.

    It is also a `Check` that a value is such an object.
    """

    required: tuple[str, ...] = ()
    values: Mapping[str, Check] = field(default_factory=dict)
    across: tuple[Across, ...] = ()

    def __call__(self, value: Any, at: str) -> Broken | None:
        if not isinstance(value, Mapping):
            return breaks("R4", f"{at} must be an object.")
        return self.broken(value, f"{at}.")

    def broken(self, given: JsonObject, at: str = "") -> Broken | None:
        """Return the first rule that an object breaks, or None. `at` is its position with a dot, such as `message.effect.`."""
        for name in self.required:
            if given.get(name) is None:
                return missing(at + name)
        for name, rule in self.values.items():
            if (value := given.get(name)) is not None and (broken := rule(value, at + name)):
                return broken
        for between in self.across:
            if broken := between(given):
                return broken
        return None
