"""The promises on the card, and what a trial that breaks a rule says about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ANSWERS: Final = "answers"
ORDER: Final = "order"
ONCE: Final = "once"
LATE: Final = "late"
KILL: Final = "kill"
RESTART: Final = "restart"
KEY: Final = "key"
REFUSED: Final = "refused"
WAITS: Final = "waits"
ROTATED: Final = "rotated"
OVERLAP: Final = "overlap"
FORGED: Final = "forged"
STALE: Final = "stale"
STOP: Final = "stop"
STAYS: Final = "stays"

PROMISES: Final[Mapping[str, str]] = {
    ANSWERS: "answers each text once, and says nothing else",
    ORDER: "answers in the order in which a person wrote",
    ONCE: "answers a webhook that comes twice once",
    LATE: "answers webhooks that come late or in another order",
    KILL: "what it has accepted survives kill -9",
    RESTART: "a restart loses nothing",
    KEY: "repeats a send without an answer under the same key",
    REFUSED: "tries a refused or broken send again",
    WAITS: "waits as long as Retry-After says",
    ROTATED: "takes a new signing secret, and then no more the old one",
    OVERLAP: "takes both secrets while they are rotated",
    FORGED: "refuses a forged webhook",
    STALE: "answers no old webhook that is sent again",
    STOP: "does not go on sending to a person who wrote STOP",
    STAYS: "its process does not end by itself",
}
"""The promises in words, in the order of the card."""

ALWAYS: Final[Mapping[str, str]] = {"out of order": ORDER, "ended": STAYS}
"""The promises that some rules belong to in each trial."""


def promise_of(rule: str, *, main: str, by_rule: Mapping[str, str]) -> str:
    """Return the promise that a broken rule of a trial belongs to.

    Args:
        main: The promise of the trial, for rules that are not in `by_rule`.
    """
    return by_rule.get(rule) or ALWAYS.get(rule) or main
