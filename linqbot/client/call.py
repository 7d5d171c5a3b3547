"""A call to Linq as data. Resource methods build calls; the sender, the rule checks and the outbox pass them on.

Next step: `sender.py` sends a call.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias
from urllib.parse import quote

from pydantic_core import from_json, to_json

from linqbot.characters import has_half
from linqbot.errors import RuleBroken
from linqbot.linq.endpoints import ENDPOINTS, KeyPlace, Safety
from linqbot.linq.types.proactive import Purpose

KEY_HEADER = "Idempotency-Key"


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Call:
    """One request to Linq's API. Its repr shows neither message text nor handles, so a call may be logged.

    Attributes:
        name: The resource and the method in the client, such as `chats.messages.send`.
        method: The HTTP method, such as `POST`.
        path: The path from the version on, with ids filled in: `/v3/chats/…/messages`.
        safety: `read`, `natural`, `keyed`, `hint` or `once`: what may be done after a lost response; see `Safety`.
        body: The JSON object to send; None sends no body.
        query: Pairs, because Linq expects the key to be repeated for every value of a list.
        headers: Headers of this call, beyond those of every call.
        key_in: Every place where Linq reads the idempotency key; empty if Linq accepts none for this call.
        label: The name that the author of the bot gave the call within a turn; not sent. See `Client.named`.
        refusal_stands: True if something else is sent when Linq refuses the call's content. Then no later run of the
            turn makes the call again, because Linq might accept it. Not sent.
        purpose: Why it is made; None for the purpose of its turn. Not sent.
    """

    name: str
    method: str
    path: str = field(repr=False)
    safety: Safety
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key_in: tuple[KeyPlace, ...] = ()
    label: str | None = field(default=None, repr=False, compare=False)
    refusal_stands: bool = field(default=False, repr=False, compare=False)
    purpose: Purpose | None = field(default=None, repr=False, compare=False)
    _content: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def content(self) -> bytes | None:
        """The body as JSON, which is sent and which the journal keeps; None without a body. It is encoded once."""
        if self._content is None and self.body is not None:
            self._content = to_json(self.body)
        return self._content

    @property
    def key(self) -> str | None:
        """Return the idempotency key of this call, or None."""
        for place in self.key_in:
            holder = self.headers if place == "header" else (self.body or {}).get(place) or {}
            if key := holder.get(KEY_HEADER if place == "header" else "idempotency_key"):
                return str(key)
        return None

    def with_key(self, key: str) -> Call:
        """Return the same call with `key` in every place where Linq reads it.

        A call for which Linq accepts no key is returned unchanged.
        """
        if not self.key_in:
            return self
        body, headers = self.body, self.headers
        for place in self.key_in:
            if place == "header":
                headers = {**headers, KEY_HEADER: key}
            else:
                body = {**(body or {}), place: {**((body or {}).get(place) or {}), "idempotency_key": key}}
        # `dataclasses.replace` is slower, because it looks up every field by name, and this runs for every message.
        return Call(
            self.name,
            self.method,
            self.path,
            self.safety,
            body,
            self.query,
            headers,
            self.key_in,
            self.label,
            self.refusal_stands,
            self.purpose,
        )

    def to_json(self) -> bytes:
        """Return the call as JSON for the journal. `Call.from_json` restores an equal call."""
        noun, _, verb = self.name.rpartition(".")
        # In this order, because a call is recognised by what stands before its body, once its body is removed.
        head = {"noun": noun, "verb": verb, "method": self.method, "path": self.path, "safety": self.safety}
        tail = {"query": self.query, "headers": self.headers, "key_in": self.key_in}
        return b'%b,"body":%b,%b' % (to_json(head)[:-1], self.content or b"null", to_json(tail)[1:])

    @classmethod
    def from_json(cls, data: bytes) -> Call:
        """Restore a call written by `to_json`. Fields that another release added are ignored."""
        stored = from_json(data)
        values = {name: stored[name] for name in _FIELDS if name in stored}
        values["name"] = f"{stored['noun']}.{stored['verb']}"
        values["query"] = tuple((name, value) for name, value in stored.get("query", ()))
        values["key_in"] = tuple(stored.get("key_in", ()))
        return cls(**values)


_FIELDS = tuple(each.name for each in fields(Call) if each.compare)


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class ApiResponse:
    """A 2xx response of Linq's API.

    Attributes:
        status: The HTTP status, such as 202.
        data: The decoded JSON; None for an empty body.
        headers: Looked up by name, in any case.
        content: The JSON of `data` as Linq sent it; None if it is not known. Who replaces `data` leaves it out.
    """

    status: int
    data: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> bytes:
        return to_json(self.data) if self.content is None else self.content


Run: TypeAlias = Callable[[Call], Awaitable[ApiResponse]]
"""Sends a call and returns its response, or raises. Middleware and the outbox wrap a `Run` in another `Run`."""

Put: TypeAlias = Callable[[str, Callable[[], AsyncGenerator[bytes, None]], Mapping[str, str], int], Awaitable[None]]
"""`put(url, chunks, headers, size)`: PUT `size` bytes from `chunks()` to the upload address, without the API key."""


_EMPTY: Mapping[str, str] = {}
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]+")
"""Path values that need no escaping, such as UUIDs."""


def prepare(
    name: str,
    *,
    path: Mapping[str, str] = _EMPTY,
    body: Mapping[str, Any] | None = None,
    query: tuple[tuple[str, str], ...] = (),
    headers: Mapping[str, str] = _EMPTY,
) -> Call:
    """Build the call of an endpoint.

    Args:
        name: `noun.verb`, a key of `ENDPOINTS`.
        path: Values for the `{names}` in the endpoint's path; escaped here.
    Raises:
        RuleBroken: A path value is empty, or would lead to another path, such as `..` (R5).
    """
    endpoint = ENDPOINTS[name]
    safety = endpoint.safety
    if endpoint.natural_for and any((body or {}).get(field) not in known for field, known in endpoint.natural_for):
        safety = "once"
    filled = endpoint.path
    for place, value in path.items():
        # A proxy or server that normalises the URL would resolve `..` to the path of another endpoint.
        if not isinstance(value, str) or value in {"", ".", ".."} or has_half(value):
            raise RuleBroken(f"{place} is not an id. Pass an id that Linq returned.", rule="R5", status=400, code=1005)
        escaped = value if _UNRESERVED.fullmatch(value) else quote(value, safe="")
        filled = filled.replace("{" + place + "}", escaped, 1)
    if endpoint.accept:
        headers = {"accept": endpoint.accept, **headers}
    # Without keywords, which take as long as the rest of the call's creation.
    return Call(name, endpoint.method, filled, safety, body, query, headers, endpoint.key_in)


def id_in_path(call: Call) -> str:
    """Return the id after the noun in a call's path, such as that of the chat in `/v3/chats/…/messages`.

    Raises:
        IndexError: the path has no id.
    """
    return call.path.split("/")[3]
