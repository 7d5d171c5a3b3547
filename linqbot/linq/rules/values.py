"""Checks of single values and of JSON objects, and a broken rule as data.

The values are strings, numbers, lists, ids, handles and URLs (R4, R5, R7-R9). A `Schema` describes an object: its
required fields, the checks of its values, and checks across fields. Next step: `message.py` and `check.py` have the
rules that need more than one value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from linqbot.nearest import nearest_name

E164 = re.compile(r"\+[1-9][0-9]{1,14}")
# Possessive quantifiers, and a lookahead for the dot: linear time in any text, also in a long run of dots.
EMAIL = re.compile(r"[^@\s]++@(?=[^@\s]+\.[^@\s])[^@\s]++")
# Written out: with a repeated group and with IGNORECASE it takes more than twice as long, and every call has an id.
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_HTTPS = re.compile(r"https://[^\s/?#]++\S*+", re.IGNORECASE)
# Linq itself cannot reach a loopback address. The emulator can, and has no https.
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?([/?#]\S*)?", re.IGNORECASE)
WEB = re.compile(r"https?://[^\s/?#]++\S*+", re.IGNORECASE)


def text(value: Any, at: str) -> Broken | None:
    """Check R4: a string."""
    return None if isinstance(value, str) else breaks("R4", f"{at} must be a string.")


def filled_text(value: Any, at: str) -> Broken | None:
    """Check R4: a string that is not empty."""
    return None if isinstance(value, str) and value else breaks("R4", f"{at} must be a string that is not empty.")


def flag(value: Any, at: str) -> Broken | None:
    """Check R4: a boolean."""
    return None if isinstance(value, bool) else breaks("R4", f"{at} must be true or false.")


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def whole(least: int, rule: str = "R4") -> Check:
    """Return a check that a value is an integer of at least `least`."""

    def is_whole_enough(value: Any, at: str) -> Broken | None:
        fits = is_whole(value) and value >= least
        return None if fits else breaks(rule, f"{at} must be a whole number, {least} or more.")

    return is_whole_enough


def one_of(rule: str, allowed: Collection[str], otherwise: str = "") -> Check:
    """Return a check that a value is one of the allowed strings; the message suggests the nearest one, or else `otherwise`."""

    def is_one_of(value: Any, at: str) -> Broken | None:
        if isinstance(value, str) and value in allowed:
            return None
        near = nearest_name(value, allowed) if isinstance(value, str) else None
        hint = f"Did you mean {near}?" if near else f"Use one of: {', '.join(sorted(allowed))}. {otherwise}".rstrip()
        return breaks(rule, f"{at} is not a value Linq knows. {hint}")

    return is_one_of


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


def uuid(value: Any, at: str) -> Broken | None:
    """Check R5: a UUID."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return None
    return breaks("R5", f"{at} is not a UUID. Pass an id that Linq returned.")


def phone(value: Any, at: str) -> Broken | None:
    """Check R7: a phone number in E.164 form."""
    if isinstance(value, str) and E164.fullmatch(value):
        return None
    return breaks("R7", f"{at} is not E.164: a plus and 2 to 15 digits, without spaces or brackets.", code=1002)


def is_handle(value: Any) -> bool:
    return isinstance(value, str) and (E164.fullmatch(value) or EMAIL.fullmatch(value)) is not None


def handle(value: Any, at: str) -> Broken | None:
    """Check R8: a phone number or an e-mail address."""
    if is_handle(value):
        return None
    return breaks("R8", f"{at} is neither an E.164 phone number nor an e-mail address.", code=1002)


def page_limit(value: Any, at: str) -> Broken | None:
    """Check R9: the page size of a list."""
    digits = str(value)
    if digits.isascii() and digits.isdigit() and len(digits) <= 3 and 1 <= int(digits) <= 100:
        return None
    return breaks("R9", f"{at} must be 1 to 100.")


def is_https(value: Any) -> bool:
    """Return True if a value is an https URL, or an http URL of the local machine (the emulator)."""
    return isinstance(value, str) and (_HTTPS.fullmatch(value) or _LOOPBACK.fullmatch(value)) is not None


def https(rule: str) -> Check:
    """Return a check that a value is an https URL."""

    def is_an_address(value: Any, at: str) -> Broken | None:
        return None if is_https(value) else breaks(rule, f"{at} must be a public https address.")

    return is_an_address


def number(value: Any, at: str) -> Broken | None:
    """Check R83: a finite number. Linq clamps `scale` to 0.05-2.5 itself."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return None if fits else breaks("R83", f"{at} must be a number.")


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
    """Return the broken rule R3 for a required field that is missing."""
    return Broken("R3", 400, 1001, f"{at} is missing. It is required.")


class Schema(NamedTuple):
    """The schema of a JSON object: required fields are checked first, then each value, then rules across fields."""

    required: tuple[str, ...] = ()
    values: Mapping[str, Check] = NOTHING
    across: tuple[Across, ...] = ()

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


def an_object(fields: Schema) -> Check:
    """Return a check that a value is an object with these fields."""

    def is_object(value: Any, at: str) -> Broken | None:
        if not isinstance(value, Mapping):
            return breaks("R4", f"{at} must be an object.")
        return fields.broken(value, f"{at}.")

    return is_object
