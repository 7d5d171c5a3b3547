"""A broken rule as data, and functions that create one. This module contains no rule itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as it is sent."""


@dataclass(frozen=True, slots=True)
class Broken:
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
