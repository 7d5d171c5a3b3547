"""Media: fetched from addresses that others chose. Uploads ask the same guard (`transport.py`).

A media part's URL comes with a message, an upload's from an answer; both may lead anywhere, and this process stands
inside a private network. So one guard stands before every connection:

- https on port 443 only, except at the origin of the client's own base URL: the emulator is http on 127.0.0.1;
- a name is resolved once, every address must be public (`addresses.py`), and the connection goes to one of these,
  with the name's own certificate (`checked.py`): there is no second look-up for a rebinding server to answer
  differently;
- redirects are walked here, each checked as the first, at most five, never to plain http;
- bytes are counted while they come, undecoded: compression is neither asked for nor accepted; one limit of time
  spans look-up, redirects and the last byte.

No key is ever known here, so none can leave: media URLs are signed. No cookies are kept. The environment's proxies
are not used, because a proxy resolves names by itself and what was checked would not be what is reached.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import urljoin

from linqbot.client.http.addresses import PORTS, Target, UnsafeURL, is_public, literal, target
from linqbot.client.http.connector import trust
from linqbot.client.http.filenames import bare_name, disposed_name
from linqbot.errors import ConfigError, LinqbotError
from linqbot.types.message import MediaPart

if TYPE_CHECKING:
    import httpx

MAX_BYTES: Final = 25 << 20
MAX_REDIRECTS: Final = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({401, 403, 404, 410})
_WRITE_BYTES = 1 << 20
_LONGEST_LENGTH = 20

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")

Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""Gives every IP address of a name; raises OSError when there is none."""


class FetchRefused(LinqbotError):
    """Media was not fetched, or not uploaded, because of where its URL leads or how large it is.

    Why: People choose these addresses. One that leads into a private network, is no https, or whose file is larger
        than the limit is not asked at all.
    To do: Use a public https address, or hand the bytes over yourself. Trying again would end the same way.
    """

    lqb = "LQB3101"


class FetchFailed(LinqbotError):
    """Media could not be fetched or uploaded: no answer, an error, an answer cut off, or too slow.

    Why: The other side is away, or its link has expired; Linq's own links live for a short time only.
    To do: Try again; for an attachment of Linq's, ask for a new link with `client.attachments.retrieve` first.

    Attributes:
        status: What the other side answered, or None.
    """

    lqb = "LQB3102"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file in memory.

    Attributes:
        content_type: As its server says, lower-case and without parameters: `image/jpeg`.
        filename: A bare name, or None. The sender chose it: do not use it as a path.
    """

    content: bytes = field(repr=False)
    content_type: str
    filename: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Saved:
    """A file on disk; the rest is as in `Fetched`."""

    path: Path
    size_bytes: int
    content_type: str
    filename: str | None = field(repr=False)


async def resolve(name: str) -> Sequence[str]:
    """Every address the system's resolver knows for a name.

    Raises:
        OSError: it knows none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Fetcher:
    """Fetches and uploads media behind the guard this module describes. Holds no connection and needs no closing.

    Args:
        base_url: The client's own; its origin is the one that may be plain http, or not public.
        resolve: Looks names up.
    Raises:
        ConfigError: the base URL is no plain http(s) address.
    """

    def __init__(self, base_url: str, *, resolve: Resolve = resolve) -> None:
        try:
            self._own = target(base_url).origin
        except UnsafeURL as error:
            raise ConfigError(f"The base URL cannot be used to fetch media from. {error}") from None
        self._resolve = resolve

    async def fetch(self, media: MediaPart | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 30.0) -> Fetched:
        """Read a file into memory.

        Args:
            media: A part of a received message, or a URL. Linq's URLs are short-lived: fetch soon.
            timeout_s: Seconds for all of it, from the look-up to the last byte.
        Raises:
            FetchRefused: its address is not one to go to, or it is larger than `max_bytes`.
            FetchFailed: no complete answer of 2xx within `timeout_s`.
        """
        async with self._answer(media, timeout_s) as answer:
            content = bytearray()
            async for chunk in _chunks(answer, max_bytes):
                content += chunk
            return Fetched(bytes(content), _content_type(answer), _filename(media, answer))

    async def fetch_to(
        self, media: MediaPart | str, path: Path | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 300.0
    ) -> Saved:
        """Write a file to `path`, a megabyte in memory at a time. It appears there whole or not at all.

        Args:
            path: A file that is there is replaced.
        Raises:
            FetchRefused, FetchFailed: as `fetch` does.
            OSError: it cannot be written.
        """
        place = Path(path)
        beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
        try:
            async with self._answer(media, timeout_s) as answer:
                size = await _write(beside, _chunks(answer, max_bytes))
                saved = Saved(place, size, _content_type(answer), _filename(media, answer))
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
        return saved

    @asynccontextmanager
    async def _answer(self, media: MediaPart | str, timeout_s: float) -> AsyncIterator[httpx.Response]:
        """The answer behind a URL's redirects, its head read and its body not."""
        goal = _checked(_url_of(media))
        async with _limited(goal, timeout_s):
            is_own = goal.origin.is_same(self._own)
            for _ in range(MAX_REDIRECTS + 1):
                addresses = await self.admitted(goal, may_be_own=is_own)
                async with _asked(goal, addresses) as answer:
                    if answer.status_code not in _REDIRECTS:
                        _expect_success(answer, goal)
                        yield answer
                        return
                    before, goal = goal, _redirected(goal, answer.headers.get("Location"))
                # A stranger must not send us to our own origin: nobody else can reach the one on this machine.
                is_own = is_own and goal.origin.is_same(before.origin)
            raise FetchRefused(f"{goal.origin} redirects more than {MAX_REDIRECTS} times.")

    async def admitted(self, goal: Target, *, may_be_own: bool = True) -> Sequence[str]:
        """The addresses a connection may go to, looked up and checked now.

        Args:
            may_be_own: False where a stranger chose the target: our own origin is checked as any other then.
        Raises:
            FetchRefused: this is not an origin to go to, or one of its addresses is not public.
            FetchFailed: it has no address.
        """
        origin = goal.origin
        is_own = may_be_own and origin.is_same(self._own)
        if not is_own and (origin.scheme != "https" or origin.port != PORTS["https"]):
            raise FetchRefused(f"{origin} is not fetched from: only https on port 443 is.")
        own_address = literal(origin.host)
        try:
            addresses = [own_address] if own_address else await self._resolve(origin.host)
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise FetchFailed(f"{origin} has no address.")
        if not is_own and not all(is_public(address) for address in addresses):
            raise FetchRefused(f"{origin} is not fetched from: it leads to an address that is not public.")
        return addresses


_ASKED: Final = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "linqbot"}


@asynccontextmanager
async def _asked(goal: Target, addresses: Sequence[str]) -> AsyncIterator[httpx.Response]:
    """The answer to one request, over a connection of its own.

    A transport is used and not an httpx client, which would follow redirects, keep cookies, unpack, and log whole URLs.
    """
    from linqbot.client.http.checked_transport import CheckedTransport, request

    transport = CheckedTransport(addresses, trust() if goal.origin.scheme == "https" else None)
    try:
        answer = await transport.handle_async_request(request(goal, _ASKED))
        try:
            yield answer
        finally:
            await answer.aclose()
    finally:
        await transport.aclose()


def _url_of(media: MediaPart | str) -> str:
    if isinstance(media, str):
        return media
    if not media.url:
        raise FetchRefused("This media part has no URL. Only those Linq sent have one.")
    return media.url


def _checked(url: str) -> Target:
    try:
        return target(url)
    except UnsafeURL as error:
        raise FetchRefused(str(error)) from None


def _redirected(here: Target, location: str | None) -> Target:
    if not location:
        raise FetchFailed(f"{here.origin} redirects to nowhere.")
    try:
        goal = target(urljoin(f"{here.origin}{here.path}", location))
    except ValueError as error:
        said = str(error) if isinstance(error, UnsafeURL) else "The URL cannot be read."
        raise FetchRefused(f"{here.origin} redirects to where we do not go. {said}") from None
    if here.origin.scheme == "https" and goal.origin.scheme != "https":
        raise FetchRefused(f"{here.origin} redirects from https to plain http.")
    return goal


@asynccontextmanager
async def _limited(goal: Target, timeout_s: float) -> AsyncIterator[None]:
    """One limit of time, and our own words for what the network does wrong."""
    from linqbot.client.http.checked_transport import ERRORS

    # `from None`: a library's errors may quote whole URLs, and a traceback is kept with a dead letter.
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise FetchFailed(f"{goal.origin} was too slow: no complete answer within {timeout_s:g} s.") from None
    except ERRORS as error:
        raise FetchFailed(f"{goal.origin} gave no complete answer ({_name_of(error)}).") from None


def _name_of(error: BaseException) -> str:
    """The class of what went wrong first. httpcore keeps it as the context only."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return type(error).__name__


def _expect_success(answer: httpx.Response, goal: Target) -> None:
    status = answer.status_code
    if not 200 <= status < 300:
        gone = " Its address may have expired: ask Linq for the message again." if status in _GONE else ""
        raise FetchFailed(f"{goal.origin} answered {status}.{gone}", status=status)
    if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchRefused(f"{goal.origin} sent compressed bytes, which were not asked for and are not unpacked.")


async def _chunks(answer: httpx.Response, max_bytes: int) -> AsyncIterator[bytes]:
    announced = answer.headers.get("Content-Length", "")
    size = int(announced) if announced.isdecimal() and len(announced) <= _LONGEST_LENGTH else 0
    if size <= max_bytes:
        size = 0
        async for chunk in cast("httpx.AsyncByteStream", answer.stream):
            size += len(chunk)
            if size > max_bytes:
                break
            yield chunk
    if size > max_bytes:
        raise FetchRefused(f"The file is larger than {max_bytes} bytes. Ask for more with max_bytes=.")


async def _write(path: Path, chunks: AsyncIterator[bytes]) -> int:
    """Write chunks to a new file; its size."""
    size, buffer = 0, bytearray()
    with await asyncio.to_thread(path.open, "xb") as file:
        async for chunk in chunks:
            size += len(chunk)
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await asyncio.to_thread(file.write, buffer)
                buffer = bytearray()
        await asyncio.to_thread(file.write, buffer)
    return size


def _content_type(answer: httpx.Response) -> str:
    kind = str(answer.headers.get("Content-Type", "")).partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"


def _filename(media: MediaPart | str, answer: httpx.Response) -> str | None:
    """A bare name, from the part or from the answer."""
    name = None if isinstance(media, str) else media.filename
    return bare_name(disposed_name(answer.headers.get("Content-Disposition", "")) if name is None else name)
