"""The base of the client's resources: check a call against Linq's rules, run it, and parse the response; and lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import GenericAlias
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import PydanticSerializationError, from_json, to_json

from linqbot.characters import has_half, whole
from linqbot.characters import to_json as to_whole_json
from linqbot.client.call import ApiResponse, Call, Put, Run, prepare
from linqbot.errors import LinqApiError, RuleBroken
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.rules.check import check
from linqbot.linq.rules.values import NOTHING, JsonObject, filled_text
from linqbot.linq.types.data import Data, unfitting_fields, validated_leniently

T = TypeVar("T")
DataT = TypeVar("DataT", bound=Data)

_MAX_FIELDS_NAMED = 10
"""Unreadable fields named in an error message."""


class Caller:
    """A client, or a resource of it: what makes calls."""

    __slots__ = ("_run",)
    _run: Run


class Uploader(Caller):
    """A client: it also uploads the bytes of files."""

    __slots__ = ("_put",)
    _put: Put


class ApiResource(Caller):
    """A group of methods such as `client.chats`. It holds only `run`, so the client creates a new one on each access.

    Every method raises `RuleBroken` if the call would break one of Linq's rules; then nothing was sent. Every method
    may raise `RateLimited`, `LinqUnavailable` and `LinqApiError`: a 404 for an id or a line that Linq does not know, with the
    code 2001 for a chat, 2002 for a message and 2003 for an attachment. The section *Raises* of a method adds what is
    special to it.

    Every method takes `extra_body`: fields that linqbot does not know yet, by their names at Linq, as in the official client.
    They are added to the JSON body, or to the query of a GET, and replace a field of that name. They are journalled with the
    call, and sent as they are: only Linq checks them. `RuleBroken` if they cannot be written as JSON.
    """

    def __init__(self, holder: Caller) -> None:
        """Take `run` from the client, or from the resource that this one is below."""
        self._run = holder._run  # noqa: SLF001 - both are of this package

    async def _call(self, name: str, given: Mapping[str, Any]) -> ApiResponse:
        """Make the call of an endpoint from the arguments of a method, by their names: its `locals()`.

        An argument is in the path if the endpoint's path names it. Others are in the query of a GET, else in the body, in their
        order: the journal recognizes a call of an earlier run by a digest of its content. The fields of `extra_body` follow.
        """
        endpoint = ENDPOINTS[name]
        path: dict[str, str] = {}
        fields: dict[str, Any] = {}
        for argument, value in given.items():
            if f"{{{argument}}}" in endpoint.path:
                path[argument] = value
            elif argument not in ("self", "idempotency_key", "extra_body"):
                fields[argument.rstrip("_")] = _as_list(value)
        query, body = (fields, None) if endpoint.method == "GET" else (None, fields or None)
        key, extra_body = given.get("idempotency_key"), given.get("extra_body")
        return await self._run(checked_call(name, path=path, body=body, query=query, key=key, extra_body=extra_body))

    async def _read(
        self, kind: type[DataT], name: str, given: Mapping[str, Any], *, known: Mapping[str, Any] | None = None
    ) -> DataT:
        return read(kind, await self._call(name, given), name, known)

    def _list(self, kind: type[DataT], name: str, key: str, given: Mapping[str, Any]) -> Listing[DataT]:
        """Return the listing of an endpoint whose response has the items under `key`, and a cursor if more follow."""

        async def page(at: str | None) -> Page[DataT]:
            found = await self._read(_page_of(kind, key), name, {**given, "cursor": at})
            items, cursor = getattr(found, key), found.next_cursor or None
            if isinstance(cursor, str | None):
                return Page(items, cursor)
            return Page(items, is_cut_off=True)

        return Listing(page, given.get("cursor"))


def below(place: str, doc: str) -> Any:
    """Return a property of a client or resource: the resource `module.Class` of this folder, imported at its first use."""
    module, _, name = place.partition(".")

    def found(holder: Caller) -> ApiResource:
        resource: type[ApiResource] = getattr(import_module(f"linqbot.client.resources.{module}"), name)
        return resource(holder)

    return property(found, doc=doc)


def checked_call(
    name: str,
    *,
    path: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
    key: str | None = None,
    extra_body: Mapping[str, Any] | None = None,
) -> Call:
    """Return the call of an endpoint, or RuleBroken. Body fields and query values that are None are left out.

    Args:
        extra_body: Further fields, which are not checked against the rules; see `ApiResource`.
    """
    wire = None if body is None else _json_object({name: value for name, value in body.items() if value is not None})
    given = {} if query is None else {name: _query_text(value) for name, value in query.items() if value is not None}
    path = path or {}
    # An empty key would be replaced by a new one for every call, so a repeated payment would be made twice.
    broken = None if key is None else filled_text(key, "idempotency_key")
    if broken is None and key is not None and has_half(key):
        raise _broken_key()
    if broken is None:
        broken = check(name, wire, given, path)
    if broken is not None:
        raise RuleBroken(broken.message, rule=broken.rule, status=broken.status, code=broken.code)
    if extra_body is not None:
        if ENDPOINTS[name].method == "GET":
            given |= _in_query(_extra(extra_body, wire))
        else:
            wire = {**(wire or {}), **_extra(extra_body, wire)}
    call = prepare(name, path=path, body=wire, query=_pairs(given) if given else ())
    if key is None and len(call.key_in) > 1:
        key = call.key  # a key that the caller put in one place must be in all places that Linq reads
    return call.with_key(key) if key else call


def read(kind: type[DataT], response: ApiResponse, name: str, known: Mapping[str, Any] | None = None) -> DataT:
    """Parse the response's data as `kind`.

    Fields that do not fit are left out, as in events. A required field must fit, and so must each item of a page.
    `known` has values of fields that the response may lack.

    Raises:
        LinqApiError: Linq accepted the call, but the response cannot be parsed as `kind`. `status` is then 2xx.
    """
    data = {} if response.data is None else response.data
    try:
        return validated_leniently(kind, data, known=known or NOTHING)[0]
    except ValidationError as error:
        places = ", ".join(unfitting_fields(error)[:_MAX_FIELDS_NAMED])
        said = f"accepted, but the response cannot be parsed as {kind.__name__} (at {places})"
        # `from None`: a ValidationError quotes the response, and so people's handles and texts.
        raise LinqApiError(said, status=response.status, call=name) from None


def _as_list(value: Any) -> Any:
    """Convert a sequence to a list. A string stays a string: the rules must refuse it, not read it letter by letter."""
    is_sequence = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | BaseModel)
    return list(value) if is_sequence else value


def _json_object(body: Mapping[str, Any], what: str = "the body") -> dict[str, Any]:
    """Return the JSON object to send: a copy of plain JSON values, equal to what a journal reads back."""
    try:
        try:
            data = to_json(body, by_alias=True, exclude_none=True)
        except PydanticSerializationError:  # nearly no body has half characters, and each call comes here
            data = _repaired_json(body)
        wire: dict[str, Any] = from_json(data, cache_strings="keys", allow_inf_nan=False)
    except ValueError:
        # `from None`: the cause quotes the value that could not be encoded.
        raise RuleBroken(
            f"{what} cannot be written as JSON: it has a value of a foreign type, or a number that is not finite. Give "
            "strings, finite numbers, lists, mappings and linqbot's own types.",
            rule="R2", status=400, code=1003,
        ) from None  # fmt: skip
    return wire


def _repaired_json(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON with its half characters repaired. Raises ValueError, and RuleBroken for half of one in a key."""
    for each in body.values():
        key = each.get("idempotency_key") if isinstance(each, Mapping) else getattr(each, "idempotency_key", None)
        if isinstance(key, str) and has_half(key):
            raise _broken_key()
    return to_whole_json(body, by_alias=True, exclude_none=True)


def _broken_key() -> RuleBroken:
    # Repaired, two keys would be equal, and of two sends only the first would go out.
    said = "idempotency_key has half of a character (a lone surrogate) in it. Give another key."
    return RuleBroken(said, rule="R4", status=400, code=1005)


def _extra(extra_body: Mapping[str, Any], body: JsonObject | None) -> dict[str, Any]:
    """Return the fields of `extra_body` as JSON, or RuleBroken. A field that is None is sent as null."""
    if not isinstance(extra_body, Mapping) or not all(isinstance(name, str) and name for name in extra_body):
        said = "extra_body is no JSON object. Give a mapping of names to values, such as {'priority': 'high'}."
        raise RuleBroken(said, rule="R2", status=400, code=1003)
    extra = _json_object(extra_body, "extra_body")
    for name, value in extra.items():
        # Other code reads these objects and lists: keys are put into them, guards look who is addressed.
        known = (body or {}).get(name)
        if isinstance(known, dict | list) and not isinstance(value, type(known)):
            kind = "a list" if isinstance(known, list) else "an object"
            said = f"extra_body replaces {name}, which is {kind}, by something else. Give {kind}, or another name."
            raise RuleBroken(said, rule="R4", status=400, code=1005)
    return extra


def _in_query(extra: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Return fields as they are in a URL: a GET has no body, and its own arguments are there too."""
    return {name: _query_text(_plain(name, value)) for name, value in extra.items() if value is not None}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return [_plain(name, each) for each in value]
    if isinstance(value, dict) or value is None:
        said = f"this call is a GET, so extra_body goes into its URL, where {name} cannot be an object or contain null."
        raise RuleBroken(said, rule="R2", status=400, code=1003)
    return value


def _query_text(value: Any) -> str | list[str]:
    return [whole(str(each)) for each in value] if isinstance(value, list) else whole(str(value))


def _pairs(query: Mapping[str, str | list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value) for name, given in query.items() for value in ([given] if isinstance(given, str) else given)
    )


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; it behaves like a tuple of its items.

    Attributes:
        next_cursor: Pass it as `cursor` to continue; None on the last page.
        total: The number of items on all pages, where Linq says so (V2 only).
        is_cut_off: True if more pages follow, but Linq's cursor is in a form that this release cannot read.
    """

    items: tuple[T, ...]
    next_cursor: str | None = None
    total: int | None = None
    is_cut_off: bool = False

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        return self.items[index]


class Listing(Generic[T]):
    """A list that is read page by page.

    `async for chat in listing` iterates over all items, `await listing` returns the first page, and
    `async for page in listing.pages()` iterates over the pages. Each iteration starts again at the first page. Nothing
    is requested before the first iteration.
    """

    __slots__ = ("_cursor", "_page")

    def __init__(self, page: Callable[[str | None], Awaitable[Page[T]]], cursor: str | None) -> None:
        self._page = page
        self._cursor = cursor

    async def pages(self) -> AsyncIterator[Page[T]]:
        """Iterate over the pages.

        Raises:
            LinqApiError: Linq returned a cursor for the second time, and following it would never end; or a cursor that
                cannot be read, after the items before it.
        """
        cursor, seen = self._cursor, {self._cursor}
        while True:
            page = await self._page(cursor)
            yield page
            if page.is_cut_off:
                raise LinqApiError("the list goes on, but its next_cursor cannot be read", status=200)
            cursor = page.next_cursor
            if cursor is None:
                return
            if cursor in seen:
                raise LinqApiError("the list leads back to a page it showed before", status=200)
            seen.add(cursor)

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item

    def __await__(self) -> Generator[Any, None, Page[T]]:
        return self._page(self._cursor).__await__()


class _ListPage(Data):
    next_cursor: Any = None


@cache
def _page_of(kind: type[Data], key: str) -> type[_ListPage]:
    """Return the type of a response with a list of a kind under a key."""
    fields: Any = {key: (GenericAlias(tuple, (kind, ...)), ())}
    found = create_model(f"{kind.__name__}List", __base__=_ListPage, **fields)
    found.entire = key
    return found
