"""A call to Linq as data. Client methods build it; transport, rule checks and journal pass it on and know no nouns."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias
from urllib.parse import quote

from pydantic_core import from_json, to_json

from linqbot.api import ENDPOINTS, KeyPlace, Safety
from linqbot.errors import RuleBroken

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
        """The call as JSON, for the journal: `Call.from_json` gives back an equal call."""
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
class ApiResponse:
    """What Linq answered with 2xx.

    Attributes:
        data: The decoded JSON; None for an empty body.
        headers: Found by their name in any case.
    """

    status: int
    data: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


Run: TypeAlias = Callable[[Call], Awaitable[ApiResponse]]
"""Sends a call and returns its answer, or raises. Whatever wraps a call has this shape too."""


_NOTHING: Mapping[str, str] = {}
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
"""What needs no escaping, as UUIDs do."""


def prepare(
    name: str,
    *,
    path: Mapping[str, str] = _NOTHING,
    body: Mapping[str, Any] | None = None,
    query: tuple[tuple[str, str], ...] = (),
    headers: Mapping[str, str] = _NOTHING,
) -> Call:
    """Build the call of an endpoint.

    Args:
        name: `noun.verb`, a key of `ENDPOINTS`.
        path: What fills the `{names}` of its path; escaped here.
    Raises:
        RuleBroken: a path value is empty, or would climb out of its place (R5).
    """
    endpoint = ENDPOINTS[name]
    safety = endpoint.safety
    if endpoint.once_for and body and body.get(endpoint.once_for[0]) == endpoint.once_for[1]:
        safety = "once"
    return Call(
        noun=endpoint.noun,
        verb=endpoint.verb,
        method=endpoint.method,
        path=_filled(endpoint.path, path) if path else endpoint.path,
        safety=safety,
        body=body,
        query=query,
        headers={"accept": endpoint.accept, **headers} if endpoint.accept else headers,
        key_in=endpoint.key_in,
    )


def _filled(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        # Whoever normalises a URL would take `..` for a step up, to another endpoint.
        if not isinstance(value, str) or value in {"", ".", ".."}:
            raise RuleBroken(f"{name} is not an id. Give the id Linq answered with.", rule="R5", status=400, code=1005)
        escaped = value if _PLAIN.fullmatch(value) else quote(value, safe="")
        template = template.replace("{" + name + "}", escaped, 1)
    return template
