"""Send one request to Linq, with its time limits and retries.

Uploads are sent from here too, to the URL that Linq returns for them: over https or to the base URL's own origin, and
without the API key.

Requests use our own connection pool (`http/pool.py`). The client of an HTTP library costs several times the CPU of the
call itself, and its pool slows down with the square of the number of calls in flight. An httpx transport may replace
the network.

Errors of the network or of a library are converted here, so callers see none of them. No body is logged. The API key is
sent to the base URL's origin only: redirects are not followed, and paths are appended to the base URL. The outcome of
an attempt is read by `outcome.py`, which also decides on the next attempt.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode
from uuid import uuid4

from linqbot.client.alarms import Alarms, TimeLimit
from linqbot.client.call import ApiResponse, Call
from linqbot.client.http.addresses import Origin, Target, UnsafeURL, target
from linqbot.client.http.connector import Connector, environment_proxy
from linqbot.client.http.http11 import (
    Request,
    RequestHeaders,
    Response,
    ServerDisconnectedError,
    TransportError,
    reason_of,
)
from linqbot.client.http.pool import CLOSED, Pool
from linqbot.client.outcome import (
    AttemptFailure,
    backoff_s,
    is_deleted_before,
    outcome_of_call,
    outcome_of_upload,
    pause_s,
)
from linqbot.clock import Clock
from linqbot.errors import ConfigError, FetchFailed, FetchRefused, LinqApiError, LinqUnavailable

if TYPE_CHECKING:
    import httpx

    from linqbot.client.http.httpx_adapter import HttpxAdapter
    from linqbot.client.http.media_fetch import Fetcher

SLOWEST_UPLOAD_BYTES_PER_S: Final = 64 * 2**10
"""Slowest upload that does not time out: the time limit of an upload is `timeout_s` plus the size at this speed."""

_UPLOAD: Final = Call("attachments.upload", "PUT", "/", "natural")


@dataclass(slots=True)
class _Failures:
    """The failed attempts of a call.

    Attributes:
        may_be_made: True if Linq may have made the call in one of them.
    """

    count: int = 0
    may_be_made: bool = False


@dataclass(kw_only=True, eq=False, repr=False)
class Sender:
    """Sends calls with one API key to one base URL, and retries the calls that may be repeated.

    A Sender can be created without an event loop. Connections open at the first call, in the event loop that makes this
    call, and stay in that loop.

    Attributes:
        api_key: The key that was valid last: see `read_key`.
        read_key: Returns the key that is valid now, or None if it is not known. It is called when Linq refuses the key; the
            call is repeated if the key is another one.
        httpx_transport: An httpx transport in place of the network. It is closed with this sender.
    Raises:
        ConfigError: The base URL is not a plain http(s) address.
    """

    api_key: str
    base_url: str
    timeout_s: float
    connect_timeout_s: float
    max_retries: int
    max_wait_s: float
    clock: Clock
    read_key: Callable[[], str | None] | None = None
    httpx_transport: httpx.AsyncBaseTransport | None = None

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        base = _base(self.base_url)
        self._origin = base.origin
        self._path = "" if base.path == "/" else base.path
        transport = self.httpx_transport
        self._adapter = None if transport is None else _adapted(transport, self.connect_timeout_s)
        self._wire: Pool | HttpxAdapter | None = self._adapter
        self._closed = False
        self._alarms = Alarms()
        self._use(self.api_key)

    def _use(self, api_key: str) -> None:
        self.api_key = api_key
        self._fields = _fields(self._origin.authority, {"Authorization": f"Bearer {api_key}"})
        # V2 takes the same key under another name.
        self._fields_of_v2 = _fields(self._origin.authority, {"X-LINQ-INTEGRATION-TOKEN": api_key})

    async def run(self, call: Call) -> ApiResponse:
        """Send a call. If it fails and may be repeated, wait and send it again.

        A keyed call without a key gets a key here: without it, a retry could send a second message.

        Raises:
            RateLimited: 429 after the last retry, or Linq asks for a longer wait than `max_wait_s`.
            LinqUnavailable: No response, 408, 5xx or a response that is not Linq's, after the last retry.
            LinqApiError: Linq responded with an error.
            RuntimeError: The client is closed.
        """
        if call.safety == "keyed" and call.key is None:
            call = call.with_key(str(uuid4()))
        failures = _Failures()
        while True:
            wire = self._wire or self._open()
            key, request = self.api_key, self._request(call)
            outcome: ApiResponse | AttemptFailure
            try:
                with TimeLimit(self._alarms, self.timeout_s):
                    response = await wire.send(request)
            except (TransportError, TimeoutError) as error:
                outcome = _without_response(error, call, request, self.timeout_s)
            else:
                outcome = outcome_of_call(call, response, clock=self.clock, secret=key)
            if isinstance(outcome, ApiResponse):
                return outcome
            if failures.may_be_made and is_deleted_before(call, outcome.error):
                return ApiResponse(204)
            # A call whose key is refused is not made, so any call may be repeated.
            if outcome.error.status != 401 or not self._has_other_key(key):
                await self._wait_after(outcome, call, failures)

    def _request(self, call: Call) -> Request:
        path = self._path + call.path
        if call.query:
            path = f"{path}?{urlencode(call.query)}"
        fields = self._fields_of_v2 if call.name.startswith("v2.") else self._fields
        if call.headers:
            fields = fields.replaced(call.headers)
        request = Request(call.method, self._origin, path, fields, call.content)
        request.needs_new_connection = call.safety == "once"
        return request

    async def _wait_after(self, outcome: AttemptFailure, call: Call, failures: _Failures) -> None:
        """Wait before the next attempt of a call. Raises the error of the last attempt if there is none."""
        error = outcome.error
        failures.may_be_made = failures.may_be_made or (outcome.sent and isinstance(error, LinqUnavailable))
        wait_s = None
        if failures.count < self.max_retries:
            wait_s = pause_s(call, outcome, failures.count, max_wait_s=self.max_wait_s, jitter=_jitter())
        if wait_s is not None:
            await self.clock.wait_until(self.clock.now() + wait_s)
        # After a close the failed attempt is reported: "This Client is closed" would hide that Linq may have made the call.
        if wait_s is None or self._closed:
            if isinstance(error, LinqUnavailable):
                error.is_unsent = not failures.may_be_made
            raise error
        failures.count += 1

    def _has_other_key(self, refused: str) -> bool:
        if self.api_key == refused and self.read_key is not None:
            self._use(self.read_key() or refused)
        return self.api_key != refused

    async def put(
        self, url: str, chunks: Callable[[], AsyncGenerator[bytes, None]], headers: Mapping[str, str], size: int
    ) -> None:
        """PUT bytes to the URL that Linq returned for an upload, with these headers and without the API key.

        Redirects are not followed. `chunks` is called before every attempt for the content, from its beginning.

        Raises:
            LinqUnavailable: The host has no address, or there was no response, 408, 5xx or a proxy's response, after
                the last retry.
            LinqApiError: The file was refused, or the URL is neither https nor on the base URL's origin.
            RuntimeError: The client is closed.
        """
        goal = _upload_goal(url, self._origin)
        # `Request.head` writes the length.
        given = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        fields = RequestHeaders({"Host": goal.origin.authority, **given})
        timeout_s = self.timeout_s + size / SLOWEST_UPLOAD_BYTES_PER_S
        broken: list[Exception] = []

        async def content() -> AsyncGenerator[bytes, None]:
            try:
                async with aclosing(chunks()) as pieces:
                    async for piece in pieces:
                        yield piece
            except Exception as error:
                broken.append(error)  # kept, because the transport replaces it by an error of its own
                raise

        async def attempt() -> ApiResponse | AttemptFailure:
            request = Request("PUT", goal.origin, goal.target, fields, content(), size)
            try:
                with TimeLimit(self._alarms, timeout_s):
                    response = await self._upload(request)
            except FetchRefused as error:
                raise LinqApiError(f"the address for the upload is not used. {error}", call=_UPLOAD.name) from None
            except FetchFailed as error:  # the host has no address now
                return AttemptFailure(
                    LinqUnavailable(f"the upload was not made. {error}", call=_UPLOAD.name), sent=False
                )
            except (TransportError, TimeoutError) as error:
                if broken:
                    raise broken[0] from None
                return _without_response(error, _UPLOAD, request, timeout_s)
            return outcome_of_upload(_UPLOAD, response, now=self.clock.now(), secret=self.api_key)

        failures = _Failures()
        while isinstance(outcome := await attempt(), AttemptFailure):
            await self._wait_after(outcome, _UPLOAD, failures)

    async def _upload(self, request: Request) -> Response:
        """Send an upload: over the client's own pool to its own origin, else over a new connection."""
        origin = request.origin
        if origin.is_same(self._origin) or self._adapter is not None:
            return await (self._wire or self._open()).send(request)
        # A proxy from the environment resolves the name itself.
        addresses = None if environment_proxy(origin) else await self.fetcher.admitted(origin)
        async with aclosing(self._pool(origin, addresses)) as pool:
            return await pool.send(request)

    @cached_property
    def fetcher(self) -> Fetcher:
        from linqbot.client.http.media_fetch import Fetcher  # imported late: many bots read no files

        return Fetcher(self.base_url, own=self._adapter, max_retries=self.max_retries, pause=self._pause)

    async def _pause(self, attempt: int) -> None:
        await self.clock.wait_until(self.clock.now() + backoff_s(attempt, jitter=_jitter()))

    async def aclose(self) -> None:
        """Close the connections. Later calls raise RuntimeError."""
        self._closed = True
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()

    def _open(self) -> Pool:
        if self._closed:
            raise RuntimeError(CLOSED)
        self._wire = pool = self._pool(self._origin)
        return pool

    def _pool(self, origin: Origin, addresses: Sequence[str] | None = None) -> Pool:
        """Return a pool over the real network: keep-alive, verified TLS, and the proxy from the environment."""
        proxy, limit_s = environment_proxy(origin), self.connect_timeout_s
        return Pool(Connector(origin, connect_timeout_s=limit_s, proxy=proxy, addresses=addresses))


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads callers


def _adapted(transport: httpx.AsyncBaseTransport, connect_timeout_s: float) -> HttpxAdapter:
    # Imported late: httpx costs more time and memory than the rest of the client, and few bots need it.
    from linqbot.client.http.httpx_adapter import HttpxAdapter

    return HttpxAdapter(transport, connect_timeout_s=connect_timeout_s)


def _base(base_url: str) -> Target:
    try:
        base = target(base_url)
    except UnsafeURL:
        base = None
    if base is None or base.query or "?" in base_url or "#" in base_url:
        raise ConfigError(
            "The base URL is not a plain http(s) address. "
            "Set LINQ_API_V3_BASE_URL to one such as https://api.linqapp.com/api/partner."
        )
    return base


def _upload_goal(url: str, own: Origin) -> Target:
    """Return the target of an upload: over https, or on the base URL's `own` origin. Raises LinqApiError for any other."""
    try:
        goal = target(url)
    except UnsafeURL as error:
        raise LinqApiError(f"the address for the upload is not used. {error}", call=_UPLOAD.name) from None
    if goal.origin.scheme != "https" and not goal.origin.is_same(own):
        raise LinqApiError(f"the upload to {goal.origin} was not made: it is not https", call=_UPLOAD.name)
    return goal


def _fields(host: str, credentials: Mapping[str, str]) -> RequestHeaders:
    plain = {
        "Host": host,
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # answers are short; one that is packed all the same counts as not Linq's
        "Content-Type": "application/json",
        "User-Agent": _user_agent(),
    }
    return RequestHeaders({**plain, **credentials})


@cache
def _user_agent() -> str:
    try:
        return f"linqbot/{version('linqbot')}"
    except PackageNotFoundError:  # run from a source tree
        return "linqbot"


def _without_response(cause: BaseException, call: Call, request: Request, timeout_s: float) -> AttemptFailure:
    if isinstance(cause, TimeoutError):
        said = f"no complete response from {request.origin}/ within {timeout_s:g} s"
    else:
        said = f"no response from {request.origin}/ ({reason_of(cause)})"
    error = LinqUnavailable(said, call=call.name)
    error.__cause__ = cause
    is_stale = isinstance(cause, ServerDisconnectedError) and cause.was_kept
    return AttemptFailure(error, sent=request.is_sent, is_stale=is_stale)
