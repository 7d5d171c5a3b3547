"""Fetch media from URLs that other people chose. Uploads check their URL with `Fetcher.admitted` too (`sender.py`).

The URL of a media part comes with a message, that of an upload with a response. Both may point anywhere, and this
process runs inside a private network. So every connection passes the same checks against server-side request forgery:

- Only https on port 443 is allowed, except at the origin of the client's own base URL: the emulator is http on
127.0.0.1.
- A name is resolved once, all its addresses must be public (`addresses.py`), and the connection goes to one of these
  addresses, with the certificate of the name (`connector.py`). There is no second resolution in which a DNS
  rebinding attack could return another address.
- Redirects are followed here, at most five, each checked like the first URL, and never from https to plain http.
- Bytes are counted while they arrive. Compression is neither requested nor accepted. One time limit covers name
  resolution, redirects, repetitions and the last byte.

No API key is known in this module, so none can leak: media URLs are signed. No cookies are kept. Proxies from the
environment are not used: a proxy resolves names itself, so it could connect to another address than the checked one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias, TypeVar
from urllib.parse import urljoin

from linqbot.client.http.addresses import (
    PORTS,
    Origin,
    Target,
    UnsafeURL,
    bare_name,
    disposed_name,
    is_public,
    literal,
    target,
)
from linqbot.client.http.connector import Connector
from linqbot.client.http.http11 import Request, RequestHeaders, StreamedResponse, TransportError, reason_of
from linqbot.errors import FetchFailed, FetchRefused
from linqbot.linq.types.files import HEAD_BYTES, MAX_BYTES, Fetched, Saved, sniffed
from linqbot.linq.types.message import MediaPart

if TYPE_CHECKING:
    from linqbot.client.http.httpx_adapter import HttpxAdapter

T = TypeVar("T")

MAX_REDIRECTS: Final = 5
CONNECT_TIMEOUT_S: Final = 10.0

EXPIRED: Final = frozenset({401, 403, 404, 410})
"""Statuses with which a server refuses a link that has expired."""

_TEMPORARY = frozenset({None, 408, 429, 500, 502, 503, 504})  # None: there was no whole response
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WRITE_BYTES = 1 << 20
_LONGEST_LENGTH = 20

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")

Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Returns every IP address of a name; raises OSError if there is none."""


async def resolve(name: str) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass
class Fetcher:
    """Fetches media with the checks that the module describes. Keeps no connection and needs no closing.

    Attributes:
        base_url: The client's base URL. Only its origin may be plain http, or not public.
        own: Sends the requests to the origin of the base URL, in place of a connection.
        max_retries: How often a fetch is repeated, from the first byte, after a failure that may pass: a connection
            that breaks, a name that cannot be resolved, or a status such as 503.
        pause: Waits before a repetition, given the number of failed attempts before the last.
    """

    base_url: str
    resolve: Resolve = resolve
    own: HttpxAdapter | None = None
    max_retries: int = 0
    pause: Callable[[int], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._own_origin = target(self.base_url).origin

    async def fetch(self, media: MediaPart | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 30.0) -> Fetched:
        """Read a file into memory: a part of a received message, or a URL. Linq's URLs are short-lived: fetch soon.

        The time limit is for the whole fetch, from name resolution to the last byte, with all repetitions.
        """

        async def read(response: StreamedResponse) -> Fetched:
            content = bytearray()
            async for chunk in _chunks(response, max_bytes):
                content += chunk
            kind = sniffed(bytes(content[:HEAD_BYTES])) or _mime_type(response)
            return Fetched(bytes(content), kind, _filename(media, response))

        return await self._repeated(media, timeout_s, read)

    async def fetch_to(
        self, media: MediaPart | str, path: Path | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 300.0
    ) -> Saved:
        """Write a file to `path`, complete or not at all, with one megabyte in memory. An existing file is replaced."""
        place = Path(path)

        async def read(response: StreamedResponse) -> Saved:
            partial = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
            try:
                size, head = await _write(partial, _chunks(response, max_bytes))
                partial.replace(place)
            finally:
                partial.unlink(missing_ok=True)
            return Saved(place, size, sniffed(head) or _mime_type(response), _filename(media, response))

        return await self._repeated(media, timeout_s, read)

    async def _repeated(
        self, media: MediaPart | str, timeout_s: float, read: Callable[[StreamedResponse], Awaitable[T]]
    ) -> T:
        goal = _goal_of(media)
        try:
            async with asyncio.timeout(timeout_s):
                for attempt in range(self.max_retries):
                    try:
                        return await self._once(goal, read)
                    except FetchFailed as error:
                        if error.status not in _TEMPORARY:
                            raise
                    await self.pause(attempt)
                return await self._once(goal, read)
        except TimeoutError:
            # Its context may be a library's error, which may quote the whole URL.
            raise FetchFailed(f"{goal.origin} was too slow: no complete response within {timeout_s:g} s.") from None

    async def _once(self, goal: Target, read: Callable[[StreamedResponse], Awaitable[T]]) -> T:
        try:
            async with self._response(goal) as response:
                return await read(response)
        except TransportError as error:
            # `from None`: a library's errors may quote whole URLs, and a traceback is kept with a dead letter.
            raise FetchFailed(f"{goal.origin} sent no complete response ({reason_of(error)}).") from None

    @asynccontextmanager
    async def _response(self, goal: Target) -> AsyncIterator[StreamedResponse]:
        """Follow redirects and yield the final response, with its head read and its body unread."""
        is_own = goal.origin.is_same(self._own_origin)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._asked(goal, is_own=is_own) as response:
                if response.status not in _REDIRECTS:
                    _expect_success(response, goal)
                    yield response
                    return
                before, goal = goal, _redirected(goal, response.headers.get("Location"))
            # Another server must not redirect us to our own origin, which may be reachable only from this machine.
            is_own = is_own and goal.origin.is_same(before.origin)
        raise FetchRefused(f"{goal.origin} redirects more than {MAX_REDIRECTS} times.")

    @asynccontextmanager
    async def _asked(self, goal: Target, *, is_own: bool) -> AsyncIterator[StreamedResponse]:
        request = Request("GET", goal.origin, goal.target, RequestHeaders({"Host": goal.origin.authority, **_ASKED}))
        if is_own and self.own is not None:
            async with self.own.stream(request) as response:
                yield response
            return
        addresses = await self.admitted(goal.origin, is_own=is_own)
        connector = Connector(goal.origin, connect_timeout_s=CONNECT_TIMEOUT_S, addresses=addresses)
        connection = await connector.connect(lambda _: None)
        try:
            yield await connection.stream(request, request.head())
        finally:
            connection.abort()

    async def admitted(self, origin: Origin, *, is_own: bool = False) -> Sequence[str]:
        """Resolve and check a URL's host, and return the addresses that a connection may go to.

        Our own origin is not checked (`is_own`), unless another server chose it by a redirect.
        """
        if not is_own and (origin.scheme != "https" or origin.port != PORTS["https"]):
            raise FetchRefused(f"{origin} is not fetched from: only https on port 443 is allowed.")
        own_address = literal(origin.host)
        try:
            addresses = [own_address] if own_address else await self.resolve(origin.host)
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise FetchFailed(f"{origin} has no address.")
        if not is_own and not all(is_public(address) for address in addresses):
            raise FetchRefused(f"{origin} is not fetched from: it resolves to an address that is not public.")
        return addresses


_ASKED: Final = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "linqbot", "Connection": "close"}


def _goal_of(media: MediaPart | str) -> Target:
    url = media if isinstance(media, str) else media.url
    if url is None:
        raise FetchRefused("This media part has no URL. Only received media parts have one.")
    try:
        return target(url)
    except UnsafeURL as error:
        raise FetchRefused(str(error)) from None


def _redirected(here: Target, location: str | None) -> Target:
    if not location:
        raise FetchFailed(f"{here.origin} redirects without a Location.")
    try:
        goal = target(urljoin(f"{here.origin}{here.path}", location))
    except ValueError as error:
        said = str(error) if isinstance(error, UnsafeURL) else "The URL cannot be parsed."
        raise FetchRefused(f"{here.origin} redirects to a URL that is not allowed. {said}") from None
    if here.origin.scheme == "https" and goal.origin.scheme != "https":
        raise FetchRefused(f"{here.origin} redirects from https to plain http.")
    return goal


def _expect_success(response: StreamedResponse, goal: Target) -> None:
    status = response.status
    if not 200 <= status < 300:
        hint = " The URL may have expired: get the message from Linq again." if status in EXPIRED else ""
        raise FetchFailed(f"{goal.origin} responded with {status}.{hint}", status=status)
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchRefused(f"{goal.origin} sent compressed content, which was not requested and is not accepted.")


async def _chunks(response: StreamedResponse, max_bytes: int) -> AsyncIterator[bytes]:
    announced = response.headers.get("Content-Length", "")
    size = int(announced) if announced.isdecimal() and len(announced) <= _LONGEST_LENGTH else 0
    if size <= max_bytes:
        size = 0
        async for chunk in response.chunks:
            size += len(chunk)
            if size > max_bytes:
                break
            yield chunk
    if size > max_bytes:
        raise FetchRefused(f"The file is larger than {max_bytes} bytes. Set a higher limit with max_bytes=.")


async def _write(path: Path, chunks: AsyncIterator[bytes]) -> tuple[int, bytes]:
    size, buffer, head = 0, bytearray(), b""
    with await _opened(path) as file:
        async for chunk in chunks:
            size += len(chunk)
            buffer += chunk
            head = head if len(head) == HEAD_BYTES else (head + chunk)[:HEAD_BYTES]
            if len(buffer) >= _WRITE_BYTES:
                await asyncio.to_thread(file.write, buffer)
                buffer = bytearray()
        await asyncio.to_thread(file.write, buffer)
    return size, head


async def _opened(path: Path) -> BinaryIO:
    """Open a new file for writing. If this is cancelled meanwhile, the file is closed all the same."""
    opening = asyncio.ensure_future(asyncio.to_thread(path.open, "xb"))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            (await opening).close()  # its thread cannot be cancelled
        raise


def _mime_type(response: StreamedResponse) -> str:
    kind = str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"


def _filename(media: MediaPart | str, response: StreamedResponse) -> str | None:
    name = None if isinstance(media, str) else media.filename
    return bare_name(disposed_name(response.headers.get("Content-Disposition", "")) if name is None else name)
