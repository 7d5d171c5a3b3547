"""`McpServer`: a server of the Model Context Protocol whose tools agents of any framework call, each call recorded.

A process has one connection to each server, made when a run first needs it, and again after it broke. A call whose outcome is
unknown is made again, with the same key, so this module reports a failure to the model only if the server itself has said so.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from inspect import isawaitable
from operator import methodcaller
from pathlib import Path
from string import ascii_letters, digits
from typing import Any, Final, TypeAlias, TypeVar

import httpx2
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from pydantic import ValidationError

from linqbot import BotError
from linqbot.errors import TurnDeferred
from linqbot_agent.entries import idempotency_key, with_cut_texts
from linqbot_agent.foreign_data import clean, json_text
from linqbot_agent.run import ServerAway, ServerTool, Settings
from linqbot_agent.server_messages import read_response, stdio

T = TypeVar("T")

Token: TypeAlias = Path | Callable[[], str | Awaitable[str]]
"""A file that holds a token, or a function that returns one. It is read for each request, so a token may be rotated."""

_KEY: Final = "idempotency-key"
_OPEN: Final = (
    *(types.CONNECTION_CLOSED, types.INTERNAL_ERROR, types.INVALID_REQUEST),
    *(types.METHOD_NOT_FOUND, types.PARSE_ERROR, types.REQUEST_TIMEOUT),
)
"""Errors of the way to a server, such as a proxy's 502. They do not say if the tool has acted."""
_UNREADABLE: Final = "The tool was called, but its result cannot be read."
_OF_NAMES: Final = frozenset(f"{ascii_letters}{digits}_-")
_LONGEST_NAME: Final = 64
"""The characters of a tool's name that each provider takes, and the most of them."""
_LONGEST_EVENT: Final = 32 << 20
"""The most bytes of a result. A picture may have some megabytes."""


@dataclass(frozen=True, eq=False)
class McpServer:
    """An MCP server. Make it once, outside of handlers, for the `run` of any framework: `run(…, servers=[ledger])`.

    The model knows the tool `book` of the server `ledger` as `ledger_book`, and so do `needs_approval=`, `unapproved=` and
    `elsewhere=` of `LinqAgent`. A tool with `destructiveHint`, and without `readOnlyHint`, needs approval.

    Args:
        id: The name of the server in the record, of letters, digits and hyphens. Calls are found again by it, so it stays
            the same.
        server: The URL of a server, or the words of a command that runs one on its standard input and output. Or
            `StdioServerParameters` of the package `mcp`, for a command with variables, or an `MCPServer` of this process.
        token: For a URL: a file with a bearer token, or a function, also a coroutine function, that returns one, such as an
            access token of OAuth. It is read for each request.
        timeout_s: The longest time of one call, in seconds.
    Raises:
        BotError: the id has other characters, a text is no URL, or the token is a text.

    Example: `ledger = McpServer("ledger", "https://ledger.example/mcp", token=Path("/run/secrets/ledger"))`
    """

    id: str
    server: str | Sequence[str] | StdioServerParameters | MCPServer
    token: Token | None = field(default=None, repr=False, kw_only=True)
    timeout_s: float = field(default=60.0, kw_only=True)

    def __post_init__(self) -> None:
        if not (self.id.isascii() and self.id.replace("-", "").isalnum()):
            raise BotError(
                f"McpServer({self.id!r}, …): the id has letters, digits and hyphens only. Calls are found again by it. "
                'Write: McpServer("ledger", "https://ledger.example/mcp").'
            )
        if isinstance(self.server, str) and not self.server.startswith(("http://", "https://")):
            raise BotError(
                f"McpServer({self.id!r}, …): a text is the URL of a server, with http:// or https://. Give a command as its "
                'words: ["python", "menu_server.py"].'
            )
        if isinstance(self.token, str):
            raise BotError(
                f"McpServer({self.id!r}, token=…): give a file or a function, so that the token may change while the bot "
                'runs, such as token=lambda: os.environ["LEDGER_TOKEN"].'
            )


async def tools_of(settings: Settings) -> list[ServerTool]:
    """Return the tools of the servers of a run. A run that goes on has those with which it began.

    Raises:
        BotError: two servers have the same id.
        ServerAway: a server is away.
    """
    turn, tools = settings.turn, list[ServerTool]()
    for server in settings.servers:
        link = turn.shared.connections.setdefault(server.id, _Link(server))
        if link.server is not server:
            # It may have another token. And a connection for each message would be left open.
            raise BotError(
                f"Two MCP servers have the id {server.id!r}. Make each McpServer once, outside of the handler, with an id of "
                "its own."
            )
        step = f"{settings.name}/mcp/{server.id}"
        try:
            recorded = await settings.ctx.once(step, link.tools, retry=True, restartable=True)
        except ConnectionError as error:
            raise ServerAway(error) from error
        for listed in recorded:
            # An id has no underscore, so the names of servers stay apart.
            plain = "".join(each if each in _OF_NAMES else "_" for each in listed["name"])
            name = f"{server.id}_{plain}"[:_LONGEST_NAME]
            asks = listed["destroys"] and name not in turn.options.unapproved
            call = partial(_called, settings, link, listed["name"])
            tools.append(ServerTool(name, listed["description"], listed["schema"], asks, call))
    return tools


async def _called(settings: Settings, link: _Link, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
    try:
        return await link.call(tool, arguments)
    except ConnectionError as error:
        # A call that itself ends its server must not hold the chat: it is a failure of the tool.
        if settings.turn.options.outage == "defer" and not isinstance(error, ConnectionResetError):
            settings.entries.deferred = TurnDeferred(str(error))
        raise  # the call may have been made, so the turn runs again in any case


class _Link:
    """The way to a server: a connection, and another one when it breaks."""

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self._current: _Connection | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}  # in the order of their making

    async def tools(self, _: str) -> Any:
        """Return what is recorded of the server's tools, as JSON data."""
        try:
            page: types.ListToolsResult = await self._request(methodcaller("list_tools"))
            tools = [*page.tools]
            while (cursor := page.next_cursor) is not None:
                page = await self._request(methodcaller("list_tools", cursor=cursor))
                tools += page.tools
        except ValidationError:
            raise ConnectionError(
                f"The MCP server {self.server.id} did not name its tools in a form that can be read."
            ) from None
        return with_cut_texts(clean([_recorded(tool) for tool in tools]))

    async def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Call a tool. Return its result as a text, and True if the server says that the call has failed.

        Raises:
            ConnectionError: the server did not answer. The turn runs again, and the call is made again with the same key. It
                is a ConnectionResetError if the connection was a new one, and broke while the call was made.
        """
        meta: Any = {_KEY: idempotency_key()}
        try:
            result = await self._request(lambda client: client.call_tool(tool, arguments, meta=meta))
        except MCPError as error:
            return without_secrets(error.message), True
        except ValidationError:
            return _UNREADABLE, True
        text = _text(result)
        return (without_secrets(text), True) if result.is_error else (text, False)

    async def _request(self, make: Callable[[Client], Awaitable[T]]) -> T:
        failed, error_class = Exception(), ConnectionError
        try:
            async with asyncio.timeout(self.server.timeout_s):
                # The connection may have broken while it was not used, such as when the server was restarted.
                for _ in range(2):
                    connection = self._connection()
                    try:
                        async with connection.using() as client:
                            if connection.is_new:  # what breaks it now is this request, and not a restart before
                                error_class = ConnectionResetError
                            answer = await make(client)
                            connection.is_new = False
                            return answer
                    except Exception as error:
                        is_of_server = isinstance(error, MCPError) and error.code not in _OPEN
                        if is_of_server or isinstance(error, ValidationError):
                            connection.is_new = False  # an error of the server is an answer
                            raise
                        failed = error
                        self._leave()
        except TimeoutError as error:
            failed = error
            self._leave()
        while isinstance(failed, ExceptionGroup):
            failed = failed.exceptions[0]
        # Without the error itself, whose text is the server's.
        raise error_class(f"The MCP server {self.server.id} did not answer: {type(failed).__name__}") from None

    def _connection(self) -> _Connection:
        if self._current is None or self._current.task.done():
            self._current = _Connection(self.server)
            self._tasks[self._current.task] = None
            self._current.task.add_done_callback(self._tasks.pop)
        return self._current

    def _leave(self) -> None:
        if self._current is not None:
            self._current.leave()
            self._current = None

    async def close(self) -> None:
        self._leave()
        for task in [*self._tasks]:
            await asyncio.wait([task])


def _recorded(tool: types.Tool) -> dict[str, Any]:
    hints = tool.annotations or types.ToolAnnotations()
    destroys = hints.destructive_hint is True and hints.read_only_hint is not True
    facts = {"name": tool.name, "description": tool.description or "", "schema": tool.input_schema}
    return {**facts, "destroys": destroys}


class _Connection:
    """One connection. The client of `mcp` is entered and left in the same task, so it has a task of its own.

    Attributes:
        is_new: True until the server has answered. Later, the connection may break while it is not used.
    """

    def __init__(self, server: McpServer) -> None:
        self.is_new = True
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._users = 0
        self._is_left = False
        self.task = asyncio.create_task(self._live(server))

    @asynccontextmanager
    async def using(self) -> AsyncIterator[Client]:
        self._users += 1
        try:
            await asyncio.wait([self._client])
            yield self._client.result()
        finally:
            self._users -= 1
            self._close_if_left()

    def leave(self) -> None:
        """Close the connection, when the calls that are being made on it have ended."""
        self._is_left = True
        self._close_if_left()

    def _close_if_left(self) -> None:
        if self._is_left and not self._users:
            self.task.cancel()

    async def _live(self, server: McpServer) -> None:
        try:
            async with _client_of(server) as client:
                self._client.set_result(client)
                await asyncio.get_running_loop().create_future()  # until this task is cancelled
        except Exception as error:  # noqa: BLE001 - raised by the calls that wait for the client
            if not self._client.done():
                self._client.set_exception(error)
                self._client.exception()  # the call that waits for it may have been cut off
        finally:
            self._client.cancel()


@asynccontextmanager
async def _client_of(server: McpServer) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        way: Any = server.server
        if isinstance(way, str):
            auth = None if server.token is None else _Bearer(server.token)
            verify = await asyncio.to_thread(_trust)
            http = httpx2.AsyncClient(
                auth=auth,
                verify=verify,
                timeout=httpx2.Timeout(server.timeout_s, read=None),
                headers={"accept-encoding": "identity"},
                event_hooks={"response": [read_response]},
            )
            await stack.enter_async_context(http)
            way = streamable_http_client(way, http_client=http, max_sse_event_size=_LONGEST_EVENT)
        elif isinstance(way, Sequence):
            way = StdioServerParameters(command=way[0], args=[*way[1:]])
        if isinstance(way, StdioServerParameters):
            way = stdio(way)
        yield await stack.enter_async_context(Client(way))


@cache
def _trust() -> ssl.SSLContext:
    """Return the certificates that are trusted. To load them takes longer than other chats may wait."""
    return httpx2.create_ssl_context()


class _Bearer(httpx2.Auth):
    def __init__(self, token: Token) -> None:
        self._token = token

    async def async_auth_flow(self, request: httpx2.Request) -> Any:
        if isinstance(self._token, Path):
            found = await asyncio.to_thread(self._token.read_text)
        else:
            made = self._token()
            found = await made if isawaitable(made) else made
        request.headers["Authorization"] = f"Bearer {found.strip()}"
        response = yield request
        if response.status_code in (401, 403):
            raise PermissionError  # the operator sees why there is no answer


def _text(result: types.CallToolResult) -> str:
    texts = [*map(_text_of, result.content)]
    if not texts and result.structured_content is not None:
        return json_text(result.structured_content)
    return "\n\n".join(texts)


def _text_of(content: Any) -> str:
    match content:
        case types.TextContent():
            return content.text
        case types.ResourceLink():
            return f"{content.title or content.name}: {content.uri}"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
    kind = getattr(content, "mime_type", None) or "file"
    return f"[{kind}, which cannot be shown here]"


_TRACE: Final = re.compile(r"Traceback \(most recent call last\)[\s\S]*\n(?=\S)")
_PLACE: Final = re.compile(
    r"(?<=[\"'`])(?:[A-Za-z]:)?[/\\][^\"'`\n]+"  # a quoted path may have spaces
    r"|\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"'`<>]+"
    r"|(?<![\w.<])[~.]{0,2}/[^\s\"'`<>:,;)]+"
    r"|(?:\b[A-Za-z]:|\\)\\[^\s\"'`<>]+"
    r"|(?<![\w./-])[\w.-]{1,64}(?:/[\w.-]{1,64}){2,}"
)
_NAMED: Final = re.compile(
    r"((?:key|token|secret|passw(?:or)?d|pwd|authorization|credentials?|cookie)[\w-]{0,20}[\"']?\s{0,3}[=:]\s{0,3}[\"']?"
    r"|\b(?=(?:bearer|basic)\s))(?:(?:bearer|basic)\s{1,3})?[^\s\"',;&]+",
    re.IGNORECASE,
)
_OPAQUE: Final = re.compile(r"[\w+/=-]{20,}")
_REMOVED: Final = "[removed]"
_LONGEST_ERROR: Final = 2000


def without_secrets(text: str) -> str:
    """Return the text of a server's error without what is for its operator only: paths, addresses, secrets, a traceback."""
    text = _TRACE.sub("", text[: 8 * _LONGEST_ERROR])
    text = _NAMED.sub(rf"\1{_REMOVED}", _PLACE.sub(_REMOVED, text))
    text = _OPAQUE.sub(lambda found: found[0] if found[0].isalpha() else _REMOVED, text)
    return text[:_LONGEST_ERROR]


async def with_key(_: object, call_tool: Callable[..., Awaitable[Any]], name: str, arguments: dict[str, Any]) -> Any:
    """Give the server of an `MCPToolset` of pydantic-ai the idempotency key of each call.

    Example: `MCPToolset("https://ledger.example/mcp", id="ledger", process_tool_call=with_key)`
    """
    return await call_tool(name, arguments, metadata={_KEY: idempotency_key()})
