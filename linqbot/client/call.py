"""A call to Linq as data. Client methods build it; transport, rule checks and ledger pass it on and know no nouns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from pydantic_core import from_json, to_json

Safety: TypeAlias = Literal["keyed", "natural", "once", "hint", "read"]
"""What may be done after a crash or a lost answer.

`keyed`: repeat under the same idempotency key. `natural`: repeat, the end state is the same. `once`: look, never
repeat blindly. `hint`: forget it. `read`: just do it again.
"""

KeyPlace: TypeAlias = Literal["message", "poll", "header"]
"""Where an idempotency key is written: `idempotency_key` of that object in the body, or the header."""

KEY_HEADER = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Linq's API. Its repr shows neither text nor handles, so it may be logged.

    Attributes:
        noun, verb: Where it lives in the client: `chats.messages`, `send`.
        path: From the version on, with ids filled in: `/v3/chats/…/messages`.
        body: The JSON object to send; None sends no body.
        query: Pairs, because Linq repeats the key for lists.
        key_in: Every place the idempotency key goes; empty when Linq takes none for this call.
        label: The name that its author gave the call within a turn; it is not sent. See `Client.named`.
    """

    noun: str
    verb: str
    method: str
    path: str = field(repr=False)
    safety: Safety
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key_in: tuple[KeyPlace, ...] = ()
    label: str | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """`noun.verb`, as it is written in code."""
        return f"{self.noun}.{self.verb}"

    @property
    def content(self) -> bytes | None:
        """The body as it is sent."""
        return None if self.body is None else to_json(self.body)

    @property
    def key(self) -> str | None:
        """The idempotency key it carries, or None."""
        for place in self.key_in:
            holder = self.headers if place == "header" else (self.body or {}).get(place) or {}
            if key := holder.get(KEY_HEADER if place == "header" else "idempotency_key"):
                return str(key)
        return None

    def with_key(self, key: str) -> Call:
        """The same call with `key` in every place Linq reads it. A call Linq takes no key for stays as it is."""
        body, headers = self.body, self.headers
        for place in self.key_in:
            if place == "header":
                headers = {**headers, KEY_HEADER: key}
            else:
                body = {**(body or {}), place: {**((body or {}).get(place) or {}), "idempotency_key": key}}
        if not self.key_in:
            return self
        # Not `replace`, which goes through the fields by name: this is done for every message.
        return Call(self.noun, self.verb, self.method, self.path, self.safety, body, self.query, headers, self.key_in)

    def to_json(self) -> bytes:
        """The call as JSON, for the ledger: `Call.from_json` gives back an equal call."""
        return to_json({name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def from_json(cls, data: bytes) -> Call:
        """The call that `to_json` wrote. Fields another release added are left out."""
        stored = from_json(data)
        values = {name: stored[name] for name in _FIELDS if name in stored}
        values["query"] = tuple((name, value) for name, value in stored.get("query", ()))
        values["key_in"] = tuple(stored.get("key_in", ()))
        return cls(**values)


_FIELDS = tuple(each.name for each in fields(Call) if each.compare)


@dataclass(frozen=True, slots=True)
class Answer:
    """What Linq answered with 2xx.

    Attributes:
        data: The decoded JSON; None for an empty body.
        headers: Found by their name in any case.
    """

    status: int
    data: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


Run: TypeAlias = Callable[[Call], Awaitable[Answer]]
"""Sends a call and returns its answer, or raises. Whatever wraps a call has this shape too."""
