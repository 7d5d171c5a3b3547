"""Checks of single values: strings, numbers, lists, ids, handles, addresses (R4, R5, R7-R9)."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from linqbot.rules.broken import Broken, Check, breaks

E164 = re.compile(r"\+[1-9][0-9]{1,14}")
# Possessive, and with a look ahead for the dot: linear in any text, also in a long run of dots.
EMAIL = re.compile(r"[^@\s]++@(?=[^@\s]+\.[^@\s])[^@\s]++")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HTTPS = re.compile(r"https://[^\s/?#]++\S*+", re.IGNORECASE)
# Linq itself reaches no loopback address; the emulator does, and there https would only be in the way.
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?([/?#]\S*)?", re.IGNORECASE)
WEB = re.compile(r"https?://[^\s/?#]++\S*+", re.IGNORECASE)


def text(value: Any, at: str) -> Broken | None:
    """R4."""
    return None if isinstance(value, str) else breaks("R4", f"{at} must be a string.")


def filled_text(value: Any, at: str) -> Broken | None:
    """R4."""
    return None if isinstance(value, str) and value else breaks("R4", f"{at} must be a string that is not empty.")


def flag(value: Any, at: str) -> Broken | None:
    """R4."""
    return None if isinstance(value, bool) else breaks("R4", f"{at} must be true or false.")


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def whole(least: int, rule: str = "R4") -> Check:
    def is_whole_enough(value: Any, at: str) -> Broken | None:
        fits = is_whole(value) and value >= least
        return None if fits else breaks(rule, f"{at} must be a whole number, {least} or more.")

    return is_whole_enough


def one_of(rule: str, allowed: Collection[str]) -> Check:
    def is_one_of(value: Any, at: str) -> Broken | None:
        if isinstance(value, str) and value in allowed:
            return None
        near = get_close_matches(value, allowed, 1) if isinstance(value, str) else []
        hint = f"Did you mean {near[0]}?" if near else f"Use one of: {', '.join(sorted(allowed))}."
        return breaks(rule, f"{at} is not a value Linq knows. {hint}")

    return is_one_of


def list_of(item: Check, *, least: int = 0, most: int | None = None, rule: str = "R4") -> Check:
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
    """R5."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return None
    return breaks("R5", f"{at} is not a UUID. Give the id Linq answered with.")


def phone(value: Any, at: str) -> Broken | None:
    """R7."""
    if isinstance(value, str) and E164.fullmatch(value):
        return None
    return breaks("R7", f"{at} is not E.164: a plus and 2 to 15 digits, without spaces or brackets.", code=1002)


def is_handle(value: Any) -> bool:
    return isinstance(value, str) and (E164.fullmatch(value) or EMAIL.fullmatch(value)) is not None


def handle(value: Any, at: str) -> Broken | None:
    """R8."""
    if is_handle(value):
        return None
    return breaks("R8", f"{at} is neither an E.164 phone number nor an e-mail address.", code=1002)


def page_limit(value: Any, at: str) -> Broken | None:
    """R9."""
    digits = str(value)
    if digits.isascii() and digits.isdigit() and len(digits) <= 3 and 1 <= int(digits) <= 100:
        return None
    return breaks("R9", f"{at} must be 1 to 100.")


def is_https(value: Any) -> bool:
    return isinstance(value, str) and (_HTTPS.fullmatch(value) or _LOOPBACK.fullmatch(value)) is not None


def https(rule: str, code: int = 1005) -> Check:
    def is_an_address(value: Any, at: str) -> Broken | None:
        return None if is_https(value) else breaks(rule, f"{at} must be a public https address.", code=code)

    return is_an_address


def number(value: Any, at: str) -> Broken | None:
    """R83. Linq clamps `scale` to 0.05-2.5 by itself."""
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return None if fits else breaks("R83", f"{at} must be a number.")
