"""The messages of MCP servers, in a form that the client of `mcp` reads: it refuses half characters, and JSON that is too deep.

A message that it refuses counts as no answer, so a call whose tool has acted would be made again. What is no JSON at all, such as
the page of a gateway, stays as it is: it does not say if the tool has acted.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import httpx2
import mcp_types as types
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.message import SessionMessage
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from linqbot.characters import whole
from linqbot_agent.foreign_data import clean, read_json

_ID: Final = re.compile(rb'"id"\s{0,9}:\s{0,9}(\d{1,18}|"[^"\\]{1,200}")')


def readable(message: bytes) -> bytes:
    """Return a message of a server as JSON that its client reads. What is no JSON stays as it is."""
    try:
        found = from_json(message)
    except ValueError:
        try:
            found = clean(read_json(message.decode(errors="replace")))
        except RecursionError:
            found = {"jsonrpc": "2.0", "id": _id_of(message), "result": None}
        except ValueError:
            return message
    else:
        if not isinstance(found, dict) or isinstance(found.get("result", {}), dict):
            return message
    if isinstance(found, dict) and not isinstance(found.get("result", {}), dict):
        found["result"] = {}  # which is no result of a call either, but an answer
    return to_json(found)


def _id_of(message: bytes) -> Any:
    """Return the id of a message that is too deep to be read."""
    found = _ID.search(message)
    return None if found is None else from_json(found[1])


async def read_response(response: httpx2.Response) -> None:
    """Let a response of a server be read as JSON that its client reads. A hook of an HTTP client whose answers are not packed."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if kind in ("application/json", "text/event-stream"):
        response.stream = _Readable(response.stream, is_stream=kind == "text/event-stream")


class _Readable(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, *, is_stream: bool) -> None:
        self._inner = inner
        self._is_stream = is_stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        waiting = b""
        async for chunk in self._inner:
            waiting += chunk
            if self._is_stream and b"\n" in chunk:
                *lines, waiting = waiting.split(b"\n")
                yield b"".join(_line(each) + b"\n" for each in lines)
        yield _line(waiting) if self._is_stream else readable(waiting)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _line(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    return name + colon + b" " + readable(value.strip()) if name == b"data" else line


@asynccontextmanager
async def stdio(server: StdioServerParameters) -> AsyncIterator[Any]:
    """Run a server on its standard input and output for the duration of a block, and give it the streams of messages."""
    server = server.model_copy(update={"encoding_error_handler": "replace"})
    async with stdio_client(server) as (read, write):
        yield _Messages(read), write


class _Messages:
    """The messages that a server writes, with those repaired that the client could not read."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def receive(self) -> Any:
        return _repaired(await self._inner.receive())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return _repaired(await self._inner.__anext__())

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self._inner.__aexit__(*error)


def _repaired(item: Any) -> Any:
    if not isinstance(item, ValidationError):
        return item
    given = item.errors(include_url=False)[0]["input"]
    message = readable(whole(given).encode() if isinstance(given, str) else to_json(given))
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(message, by_name=False))
    except ValidationError:
        return item
