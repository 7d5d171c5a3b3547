"""A call to Linq as data. Client methods build it; transport, rule checks and ledger pass it on and know no nouns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Safety: TypeAlias = Literal["keyed", "natural", "once", "hint", "read"]
"""What may be done after a crash or a lost answer.

`keyed`: repeat under the same idempotency key. `natural`: repeat, the end state is the same. `once`: look, never
repeat blindly. `hint`: forget it. `read`: just do it again.
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Linq's API.

    Attributes:
        noun, verb: Where it lives in the client: `chats.messages`, `send`.
        path: From the version on, with ids filled in: `/v3/chats/…/messages`.
        body: The JSON object to send; None sends no body.
        query: Pairs, because Linq repeats the key for lists.
    """

    noun: str
    verb: str
    method: str
    path: str
    safety: Safety
    body: Mapping[str, Any] | None = None
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`noun.verb`, as it is written in code."""
        return f"{self.noun}.{self.verb}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What Linq answered with 2xx.

    Attributes:
        data: The decoded JSON; None for an empty body.
    """

    status: int
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Run: TypeAlias = Callable[[Call], Awaitable[Answer]]
"""Sends a call and returns its answer, or raises. Whatever wraps a call has this shape too."""
