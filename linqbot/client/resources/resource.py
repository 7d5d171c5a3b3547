"""Common parts of the client's nouns: build a call, ask the rules, run it, read the answer; and lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from linqbot import rules
from linqbot.api import ENDPOINTS
from linqbot.client.call import ApiResponse, Run, prepare
from linqbot.errors import LinqApiError, RuleBroken
from linqbot.types.data import Data
from linqbot.types.lenient import unfitting_fields, validate_leniently

T = TypeVar("T")
DataT = TypeVar("DataT", bound=Data)

_MOST_PLACES = 10
"""Named in an error message."""


class Resource:
    """A group of methods. It holds nothing but `run`, so making one costs nothing worth keeping it for."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    async def _call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> ApiResponse:
        """Run the endpoint `name`. Fields and query values that are None are left out.

        Raises:
            RuleBroken: it would break one of Linq's rules; nothing was sent.
        """
        wire = None if body is None else _json_object(body)
        asked = {} if query is None else {field: _words(value) for field, value in query.items() if value is not None}
        path = path or {}
        broken = rules.check(name, wire, asked, path)
        if broken is not None:
            raise RuleBroken(broken.message, rule=broken.rule, status=broken.status, code=broken.code)
        call = prepare(name, path=path, body=wire, query=_pairs(asked))
        if key is None and len(call.key_in) > 1:
            key = call.key  # given in one place, it belongs in all of them
        return await self._run(call.with_key(key) if key else call)


def read(kind: type[DataT], answer: ApiResponse, name: str, known: Mapping[str, Any] | None = None) -> DataT:
    """Return the answer's data as `kind`.

    What a call has done stays done, whatever its answer looks like: fields that do not fit are left out of the answer
    of a call that changes something. An answer that was only asked for must fit, because asking again costs nothing and
    a list without its wrong items would be taken for the whole list.

    Args:
        name: The endpoint, a key of `ENDPOINTS`.
        known: Values of fields that the answer may lack.
    Raises:
        LinqApiError: Linq accepted the call, but what it answered is not a `kind`. `status` is then 2xx.
    """
    data = {} if answer.data is None else answer.data
    if known and isinstance(data, dict):
        data = {**known, **data}
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        strict_error = error
    try:
        if ENDPOINTS[name].safety == "read" or not isinstance(data, dict):
            raise strict_error
        return validate_leniently(lambda left, _: kind.model_validate({**(known or {}), **left}), data, strict_error)
    except ValidationError as error:
        said = f"accepted, but the answer cannot be read as {kind.__name__} (at {', '.join(unfitting_fields(error)[:_MOST_PLACES])})"
        # Not from the ValidationError: it quotes the answer, and so people's handles and texts.
        raise LinqApiError(said, status=answer.status, call=name) from None


def many(value: Any) -> Any:
    """A sequence as a list. A lone string stays one, so that the rules refuse it instead of taking it letter by letter."""
    return value if value is None or isinstance(value, str) else list(value)


def _json_object(body: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object Linq gets: a copy of plain JSON values, equal to what a journal reads back."""
    present = {name: value for name, value in body.items() if value is not None}
    try:
        wire: dict[str, Any] = from_json(to_json(present, by_alias=True, exclude_none=True))
    except ValueError:
        # Not from the cause: it quotes what it could not encode.
        raise RuleBroken(
            "the body cannot be written as JSON: a value of a foreign type, or half an emoji (a lone surrogate). "
            "Give strings, numbers, lists, mappings and linqbot's own types.",
            rule="R2", status=400, code=1003,
        ) from None  # fmt: skip
    return wire


def _words(value: Any) -> str | list[str]:
    return [str(each) for each in value] if isinstance(value, list) else str(value)


def _pairs(query: Mapping[str, str | list[str]]) -> tuple[tuple[str, str], ...]:
    """Of a list, Linq reads every value under a key of its own."""
    return tuple(
        (name, value) for name, given in query.items() for value in ([given] if isinstance(given, str) else given)
    )


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; read it like a tuple of its items.

    Attributes:
        next_cursor: Give it as `cursor` to read on; None at the end.
        total: How many there are in all, where Linq says so (V2 only).
    """

    items: tuple[T, ...]
    next_cursor: str | None = None
    total: int | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        return self.items[index]


class Listing(Generic[T]):
    """A list that is read page by page as you go.

    `async for chat in listing` walks over everything, `await listing` is the first page,
    `async for page in listing.pages()` is page after page. Each walk begins anew; nothing is asked before.
    """

    __slots__ = ("_cursor", "_page")

    def __init__(self, page: Callable[[str | None], Awaitable[Page[T]]], cursor: str | None) -> None:
        self._page = page
        self._cursor = cursor

    async def pages(self) -> AsyncIterator[Page[T]]:
        """Page after page.

        Raises:
            LinqApiError: Linq answered with a cursor it gave before; walking on would never end.
        """
        cursor, seen = self._cursor, {self._cursor}
        while True:
            page = await self._page(cursor)
            yield page
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


def at_once(everything: Callable[[], Awaitable[tuple[T, ...]]]) -> Listing[T]:
    """A list Linq does not page, to be read like those it does: its one page is all there is."""

    async def page(_: str | None) -> Page[T]:
        return Page(await everything())

    return Listing(page, None)
