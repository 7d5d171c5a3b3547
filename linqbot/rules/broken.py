"""What a broken rule is, and the three ways to say that one is. Nothing here knows any rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as it goes over the wire."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a request breaks.

    Attributes:
        rule: `R1` to `R96`.
        status, code: What Linq answers to it.
        message: What is wrong and what to do; never the text itself.
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
    return Broken(rule, 400, code, message)


def bad_content(rule: str, message: str) -> Broken:
    return Broken(rule, 400, 1004, message)


def missing(at: str) -> Broken:
    return Broken("R3", 400, 1001, f"{at} is missing. It is required.")
