"""The way out to Linq: one request, its time limits, its repetitions. The only module that imports httpx.

Uploads leave here too, to the address Linq gives for them: over https or to the base URL's own origin, without the key.

Requests go straight to an httpx transport, past `httpx.AsyncClient`: Linq's API has no redirects, cookies or
authentication rounds, and the client's machinery for them would cost as much as the rest of the call together. The
transport is `httpx-aiohttp`'s, because httpcore's pool slows down with the square of the calls in flight.

No httpx or aiohttp error leaves this room, no body is logged, and the key goes to the base URL's origin only:
redirects are not followed, and paths are appended to the base.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import urlencode
from urllib.request import getproxies, proxy_bypass
from uuid import uuid4

import httpx
from pydantic_core import from_json, to_json

from linqbot.client.addresses import UnsafeURL, target
from linqbot.client.call import Answer, Call
from linqbot.client.envelope import error_for
from linqbot.client.fetch import CheckedAddresses, Fetcher, FetchFailed, FetchRefused
from linqbot.client.retry import Failure, pause_s
from linqbot.clock import Clock
from linqbot.errors import ConfigError, LinqApiError, LinqUnavailable

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

HttpTransport: TypeAlias = httpx.AsyncBaseTransport
"""What a test or the emulator may put in place of the network."""

MAX_CONNECTIONS: Final = 256
"""Open connections to Linq; further calls wait for one within their own time limit."""

SLOWEST_UPLOAD_BYTES_PER_S: Final = 64 * 2**10
"""An upload's time limit grows with the file: a call's own limit, and what this speed needs."""

_UPLOAD: Final = Call("attachments", "upload", "PUT", "/", "natural")

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Transport:
    """Sends calls with one key to one base URL, and repeats those that may be repeated.

    Made anywhere; connections open at the first call, in the event loop that makes it, and stay in that loop.

    Args:
        credentials: Headers that replace the bearer, by noun: V2 knows its callers by another header.
        http: In place of the network. It is closed with this transport.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str,
        timeout_s: float,
        connect_timeout_s: float,
        max_retries: int,
        max_wait_s: float,
        clock: Clock,
        credentials: Mapping[str, Mapping[str, str]],
        http: HttpTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._origin = _origin(self.base_url)
        self.fetcher = Fetcher(self.base_url)
        self._api_key = api_key
        self._timeout_s = timeout_s
        # The whole attempt has a limit of its own; what is left to the transport is the handshake.
        self._extensions = {"timeout": {"connect": connect_timeout_s, "read": None, "write": None, "pool": None}}
        self._max_retries = max_retries
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._http = http
        self._is_given = http is not None
        self._closed = False
        self._url = lru_cache(maxsize=1024)(httpx.URL)  # parsing costs more than sending; chats come again
        self._bearer = _headers({"Authorization": f"Bearer {api_key}"})
        self._credentials = {noun: _headers(shown) for noun, shown in credentials.items()}

    async def run(self, call: Call) -> Answer:
        """Send a call; when it fails and may be repeated, wait and send it again.

        A keyed call without a key gets one here: without it, a repetition could be a second message.

        Raises:
            RateLimited: 429, still so after the last repetition, or Linq asks for more than a minute.
            LinqUnavailable: no answer, 408 or 5xx, still so after the last repetition.
            LinqApiError: any other answer than 2xx.
        """
        if call.safety == "keyed" and call.key is None:
            call = call.with_key(str(uuid4()))
        return await self._repeated(call, self._attempt)

    async def put(
        self, url: str, chunks: Callable[[], AsyncGenerator[bytes, None]], headers: Mapping[str, str], size: int
    ) -> None:
        """PUT bytes to the address Linq gave for an upload, with these headers and no bearer. Follows no redirect.

        Args:
            chunks: Called for the content before every attempt, from its beginning.
            size: How many bytes these are.
        Raises:
            LinqUnavailable: no answer, 408 or 5xx, still so after the last repetition.
            LinqApiError: the file was refused; or the address is neither https nor of the base URL's origin.
        """
        broken: list[Exception] = []

        async def content() -> AsyncIterator[bytes]:
            try:
                async with aclosing(chunks()) as pieces:
                    async for piece in pieces:
                        yield piece
            except Exception as error:
                broken.append(error)  # the transport would hide it behind an error of its own
                raise

        async def attempt(call: Call) -> Answer | Failure:
            request = httpx.Request("PUT", url, headers=headers, content=content(), extensions=self._extensions)
            outcome = await self._exchange(http, call, request, timeout_s)
            if broken:
                raise broken[0]
            return outcome

        timeout_s = self._timeout_s + size / SLOWEST_UPLOAD_BYTES_PER_S
        async with self._open_for(url) as http:
            await self._repeated(_UPLOAD, attempt)

    @asynccontextmanager
    async def _open_for(self, url: str) -> AsyncIterator[HttpTransport]:
        """What reaches an upload's address: our own connections for our own origin, else some for this upload."""
        try:
            goal = target(url).origin
        except UnsafeURL as error:
            raise LinqApiError(f"the address for the upload is not used. {error}", call=_UPLOAD.name) from None
        is_own = goal.is_same(target(self.base_url).origin)
        if goal.scheme != "https" and not is_own:
            raise LinqApiError(f"the upload to {goal} was not made: it is not https", call=_UPLOAD.name)
        if is_own or self._is_given:
            yield self._open()
            return
        http = _network(httpx.URL(f"{goal}/"), await self._admitted(url))
        try:
            yield http
        finally:
            await http.aclose()

    async def _admitted(self, url: str) -> Sequence[str] | None:
        """The checked addresses of an upload's host; None where a proxy of the environment looks them up."""
        goal = target(url)
        if _environment_proxy(httpx.URL(f"{goal.origin}/")) is not None:
            return None
        try:
            return await self.fetcher.admitted(goal)
        except (FetchRefused, FetchFailed) as error:
            raise LinqApiError(f"the address for the upload is not used. {error}", call=_UPLOAD.name) from None

    async def _repeated(self, call: Call, attempt_once: Callable[[Call], Awaitable[Answer | Failure]]) -> Answer:
        attempt = 0
        while True:
            outcome = await attempt_once(call)
            if isinstance(outcome, Answer):
                return outcome
            wait_s = None
            if attempt < self._max_retries:
                jitter = random.random()  # noqa: S311 - spreads callers
                wait_s = pause_s(call, outcome, attempt, max_wait_s=self._max_wait_s, jitter=jitter)
            if wait_s is None:
                raise outcome.error
            await self._clock.wait_until(self._clock.now() + wait_s)
            attempt += 1

    async def aclose(self) -> None:
        """Close the connections. Calls after this raise RuntimeError."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()

    async def _attempt(self, call: Call) -> Answer | Failure:
        return await self._exchange(self._open(), call, self._request(call), self._timeout_s)

    async def _exchange(
        self, http: HttpTransport, call: Call, request: httpx.Request, timeout_s: float
    ) -> Answer | Failure:
        try:
            async with asyncio.timeout(timeout_s):
                response = await http.handle_async_request(request)
                try:
                    content = await _content(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            said = f"no complete answer from {_origin_of(request)} within {timeout_s:g} s"
            return Failure(_unavailable(said, call, error))
        except _network_errors() as error:
            said = f"no answer from {_origin_of(request)} ({_reason(error)})"
            return Failure(_unavailable(said, call, error), sent=_was_sent(error))
        return self._read(call, response, content)

    def _read(self, call: Call, response: httpx.Response, content: bytes) -> Answer | Failure:
        status, headers = response.status_code, response.headers
        if 200 <= status < 300:
            return Answer(status, _decoded(content), headers)
        advice = {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())
        return Failure(
            error_for(call, status, headers, content, now=self._clock.now(), secret=self._api_key), advice=advice
        )

    def _request(self, call: Call) -> httpx.Request:
        if not call.path.startswith("/"):
            raise ValueError("The path of a call begins with a slash, such as /v3/chats.")
        url = self.base_url + call.path
        if call.query:
            url = f"{url}?{urlencode(call.query)}"
        headers = self._credentials.get(call.noun, self._bearer)
        if call.headers:
            headers = httpx.Headers({**headers, **call.headers})
        content = None if call.body is None else to_json(call.body)
        return httpx.Request(call.method, self._url(url), headers=headers, content=content, extensions=self._extensions)

    def _open(self) -> HttpTransport:
        if self._closed:
            raise RuntimeError("This Client is closed. Make a new one, or close it later.")
        if self._http is None:
            self._http = _network(self._origin)
        return self._http


def _network(origin: httpx.URL, addresses: Sequence[str] | None = None) -> HttpTransport:
    """The real network: keep-alive, verified TLS, and the environment's proxy."""
    import aiohttp
    from httpx_aiohttp import AiohttpTransport

    tls = httpx.create_ssl_context() if origin.scheme == "https" else False
    # Not aiohttp's own trust_env: it reads ~/.netrc for every request, and fails when the file names the host.
    proxy = _environment_proxy(origin)

    def session() -> aiohttp.ClientSession:
        resolver = None if addresses is None else cast("AbstractResolver", CheckedAddresses(addresses))
        connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=tls, resolver=resolver)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), proxy=proxy)

    return AiohttpTransport(client=session, verify=tls)


def _environment_proxy(origin: httpx.URL) -> str | None:
    """The proxy the environment names for this origin; none for this machine, where the emulator lives."""
    if origin.host in _LOOPBACK or proxy_bypass(origin.host):
        return None
    proxies = getproxies()
    url = proxies.get(origin.scheme) or proxies.get("all")
    if not url:
        return None
    if url.startswith("socks"):
        raise ConfigError(
            "The environment names a SOCKS proxy, which this client cannot use. "
            "Set HTTPS_PROXY to an http:// proxy, or NO_PROXY to Linq's host."
        )
    return url if "://" in url else f"http://{url}"


def _origin(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise ConfigError(
            "The base URL is not a plain http(s) address. "
            "Set LINQ_API_V3_BASE_URL to one such as https://api.linqapp.com/api/partner."
        )
    return url.copy_with(raw_path=b"/")


def _origin_of(request: httpx.Request) -> httpx.URL:
    return request.url.copy_with(raw_path=b"/")


def _headers(credentials: Mapping[str, str]) -> httpx.Headers:
    plain = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        "User-Agent": _user_agent(),
    }
    return httpx.Headers({**plain, **credentials})


def _user_agent() -> str:
    try:
        return f"linqbot/{version('linqbot')}"
    except PackageNotFoundError:  # run from a source tree
        return "linqbot"


async def _content(response: httpx.Response) -> bytes:
    if "content-encoding" in response.headers:
        return await response.aread()
    # The bytes as they come: `aread` decodes in three more layers, at a tenth of the whole call's cost.
    stream = cast("httpx.AsyncByteStream", response.stream)
    return b"".join([chunk async for chunk in stream])


def _decoded(content: bytes) -> Any:
    try:
        return from_json(content) if content else None
    except ValueError:
        return None  # Linq accepted the call; whoever needs more than that from the answer says so


def _network_errors() -> tuple[type[Exception], ...]:
    # aiohttp is not imported at the top: it takes 0.1 s, and a client over another transport never needs it.
    import aiohttp

    return httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError


def _was_sent(error: BaseException) -> bool:
    """False when surely nothing was sent: no connection was made for this request.

    httpx-aiohttp names several failures ConnectTimeout, lost connections among them: aiohttp's own error decides.
    """
    import aiohttp

    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    if isinstance(cause, aiohttp.ClientError):
        return not isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return not isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout)


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


def _unavailable(said: str, call: Call, cause: BaseException) -> LinqUnavailable:
    error = LinqUnavailable(said, call=call.name)
    error.__cause__ = cause
    return error
