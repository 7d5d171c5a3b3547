"""The server of a bot: slow, endless and too many clients do not stop it, and none of them gets a 4xx."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import structlog
from patience import PATIENCE_S
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from linqbot.clock import SystemClock
from linqbot.server import connection, uvicorn_server
from linqbot.server.connection import MAX_HEAD_BYTES
from linqbot.server.secret_file import KnownSecrets
from linqbot.server.webhook import CLOSE, Answer, WebhookEndpoint
from linqbot.storage.sqlite.memory import MemoryStorage

GET = b"GET / HTTP/1.1\r\nhost: bot\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: bot\r\n"
WEBHOOK = b"POST /webhook HTTP/1.1\r\nhost: bot\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
MAX_BODY_BYTES = 200_000


def webhook(body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    """Return a request that the server answers itself."""
    lines = (b"POST /webhook HTTP/" + version, b"host: bot", b"content-length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Endpoint(WebhookEndpoint):
    """Answers with the body in a header, `echo` also with a body a hundred times as long.

    `held` is answered when the test releases it, and `fails` and `is cancelled` not at all.
    """

    def __init__(self) -> None:
        secrets = KnownSecrets(["whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="])
        super().__init__(
            MemoryStorage(),
            secrets,
            SystemClock(),
            max_body_bytes=MAX_BODY_BYTES,
            body_timeout_s=PATIENCE_S,
            max_held_bytes=300_000,
        )
        self.seen: list[bytes | str] = []
        self.scopes: list[Scope] = []
        self.held: list[asyncio.Future[None]] = []

    async def answer(self, scope: Scope, body: bytes | Exception) -> Answer:
        self.seen.append(body if isinstance(body, bytes) else type(body).__name__)
        self.scopes.append(scope)
        if not isinstance(body, bytes) or len(body) > self.max_body_bytes:
            return 503, [CLOSE], b""
        if body == b"held":
            self.held.append(asyncio.get_running_loop().create_future())
            await self.held[-1]
        if body == b"fails":
            raise RuntimeError(body)
        if body == b"is cancelled":
            raise asyncio.CancelledError
        content = 100 * body if body.startswith(b"echo") else b""
        return 200, [(b"method", scope["method"].encode()), (b"said", body[:20])], content

    def release(self) -> None:
        """Let all requests be answered that are held."""
        for each in self.held:
            each.get_loop().call_soon_threadsafe(each.set_result, None)
        self.held.clear()


class App(Starlette):
    """Answers with the length of the body; `/early` before the body arrived, `/held` when the test releases it.

    `/endless` begins an answer that ends when its client goes. Requests for `/webhook` go to `endpoint`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self.held = 0
        self.left = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.endpoint = Endpoint()
        self.state.webhooks = {"/webhook": self.endpoint}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(dict(scope))
        body, more = b"", scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body, more = body + message["body"], message["more_body"]
        if scope["path"] == "/held":
            self.held += 1
            await asyncio.to_thread(self.let_go.wait, 30)
        if scope["path"] == "/endless":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            assert (await receive())["type"] == "http.disconnect"
            self.left.set()
            return
        said = str(len(body)).encode()
        headers = [(b"content-length", str(len(said)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})


class Served:
    """The server in a thread, and raw sockets to it."""

    def __init__(self, loop: str = "uvloop", bound: socket.socket | None = None, trusted: Sequence[str] = ()) -> None:
        self.app = App()
        self.bound = bound or uvicorn_server.listen("127.0.0.1", 0)
        self._name = self.bound.getsockname()
        up = threading.Event()
        self.server = uvicorn_server.Server(self.app, graceful_s=PATIENCE_S, trusted_proxies=trusted, when_ready=up.set)
        self.connections = self.server.shared
        self.clients: list[socket.socket] = []
        self._new_loop = import_module(loop).new_event_loop
        # A daemon: a server that a failed test leaves behind does not keep the run from ending.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert up.wait(PATIENCE_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            runner.run(self.server.serve(self.bound))

    def connect(self, *sent: bytes) -> socket.socket:
        if isinstance(self._name, str):
            client = socket.socket(socket.AF_UNIX)
            client.connect(self._name)
        else:
            client = socket.create_connection(("127.0.0.1", self._name[1]), timeout=PATIENCE_S)
        self.clients.append(client)
        with suppress(BrokenPipeError, ConnectionResetError):  # if the server closes it before all is sent
            for piece in sent:
                client.sendall(piece)
        return client

    def hold(self) -> list[socket.socket]:
        """Return two connections with a request, of the app and of the endpoint, that are not answered until `release`."""
        busy = [self.connect(sent) for sent in (b"GET /held HTTP/1.1\r\n\r\n", webhook(b"held"))]
        until(lambda: self.app.held and self.app.endpoint.held)
        return busy

    def release(self) -> None:
        self.app.let_go.set()
        self.app.endpoint.release()

    def refuses(self) -> bool:
        """Return True once the server has begun to stop: then it accepts no connection."""
        try:
            self.connect().close()
        except ConnectionError:
            return True
        return False

    def stop(self) -> None:
        self.release()
        self.server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.bound.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that lets the time for headers end soon. It is for tests that need no answer to headers from then on."""
    return lambda: monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)


def running_on(loop: str) -> Iterator[Served]:
    running = Served(loop)
    yield running
    running.stop()
    for client in running.clients:
        client.close()


@pytest.fixture
def served() -> Iterator[Served]:
    yield from running_on("uvloop")


@pytest.fixture(params=["uvloop", "asyncio"])
def on_any_loop(request: pytest.FixtureRequest) -> Iterator[Served]:
    yield from running_on(request.param)


def until(ready: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.005)


def rest(client: socket.socket) -> bytes:
    """Return everything that arrives until the server closes the connection."""
    received = bytearray()
    with closing(client), suppress(ConnectionResetError):
        while piece := client.recv(1 << 20):
            received += piece
    return bytes(received)


def answer(client: socket.socket) -> bytes:
    """Return one response: its status line and headers."""
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        assert piece, f"closed after {received!r}"
        received += piece
    return received


def said(received: bytes) -> list[bytes]:
    """Return what `Endpoint` has said in its responses."""
    return re.findall(rb"\r\nsaid: (.*)\r\n", received)


def flood(client: socket.socket, piece: bytes) -> bytes:
    """Send a piece again and again until the server closes the connection. Returns the response."""
    try:
        for _ in range(4 * MAX_HEAD_BYTES // len(piece)):
            client.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return rest(client)


BEGUN = (b"", b"\r\n", b"G", b"GET / HT", b"GET / HTTP/1.1\r\nhost", b"GET / HTTP/1.1\r\na: b\r\n", WEBHOOK)


def test_a_client_that_does_not_finish_its_headers_is_closed_without_an_answer(
    served: Served, impatient: Callable[[], None]
) -> None:
    clients = {(True, begun): served.connect(webhook(b"one")) for begun in BEGUN[1:]}
    for later in clients.values():
        assert answer(later).startswith(OK)
    impatient()
    for (_, begun), later in clients.items():
        later.sendall(begun)  # the headers of a later request
    clients |= {(False, begun): served.connect(begun) for begun in BEGUN}
    assert {which: left for which, client in clients.items() if (left := rest(client))} == {}


def test_a_header_a_moment_does_not_prolong_the_time_for_all_headers(
    served: Served, impatient: Callable[[], None]
) -> None:
    impatient()
    client = served.connect(b"GET / HTTP/1.1\r\n")
    started = time.monotonic()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - whichever of them sees it
        while time.monotonic() < started + 10:
            client.sendall(b"a: b\r\n")
            time.sleep(0.01)
    client.close()


def test_an_idle_connection_is_kept_for_the_next_request_for_a_while(
    served: Served, impatient: Callable[[], None]
) -> None:
    assert served.server.config.timeout_keep_alive == 65
    client = served.connect(webhook(b"one"))
    answer(client)
    impatient()
    assert rest(served.connect(b"G")) == b"", "the time for headers ends later here than it would on the idle one"
    client.sendall(webhook(b"two"))
    assert said(answer(client)) == [b"two"]
    served.server.config.timeout_keep_alive = 0
    client.sendall(webhook(b"three"))
    assert said(rest(client)) == [b"three"]


def test_a_long_head_is_read_and_a_longer_one_is_closed_without_an_answer(served: Served) -> None:
    cookie = b"cookie: " + b"x" * (MAX_HEAD_BYTES - 2000)
    for begun in (b"GET / HTTP/1.1\r\n", b"POST /webhook HTTP/1.1\r\n"):
        assert rest(served.connect(begun + cookie + b"\r\nconnection: close\r\n\r\n")).startswith(OK)
        assert rest(served.connect(begun + 2 * (cookie + b"\r\n") + b"\r\n")) == b""


CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


def test_what_never_becomes_a_body_is_bounded(served: Served) -> None:
    rows: dict[str, tuple[bytes, bytes]] = {
        "address": (b"GET /", b"x" * 512),
        "headers": (b"GET / HTTP/1.1\r\n", b"name: value\r\n"),
        "name": (b"GET / HTTP/1.1\r\n", b"n" * 512),
        "value": (b"GET / HTTP/1.1\r\nname: ", b"v" * 512),
    }
    for head in (POST, WEBHOOK):
        begun = head + CHUNKED + b"1\r\nx\r\n"
        rows |= {
            f"trailers {head!r}": (begun + b"0\r\n", b"name: value\r\n"),
            f"trailer {head!r}": (begun + b"0\r\nname: ", b"v" * 512),
            f"chunk extension {head!r}": (head + CHUNKED + b"1;", b"x" * 512),
        }
    assert [name for name, (begun, piece) in rows.items() if OK in flood(served.connect(begun), piece)] == []
    until(lambda: not served.connections.connections)


def test_a_body_may_come_in_the_smallest_of_chunks(served: Served) -> None:
    for head, end in (
        (POST, b"\r\n\r\n30000"),
        (WEBHOOK, b"\r\nsaid: " + b"x" * 20 + b"\r\ncontent-length: 0\r\n\r\n"),
    ):
        client = served.connect(head + CHUNKED)
        for _ in range(100):
            client.sendall(b"1\r\nx\r\n" * 300)
        client.sendall(b"0\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert rest(client).replace(b"connection: close\r\n", b"").endswith(end)
    assert served.app.endpoint.seen == [b"x" * 30_000]


def test_trailers_are_no_headers_neither_of_their_request_nor_of_the_next(served: Served) -> None:
    body = CHUNKED + b"1\r\nx\r\n0\r\nx-forwarded-for: 203.0.113.7\r\n\r\n"
    client = served.connect(WEBHOOK + body + webhook(b"two"))
    assert said(answer(client) + answer(client)) == [b"x", b"two"]
    client.sendall(POST + body)
    assert rest(client).startswith(OK)
    scopes = (*served.app.endpoint.scopes, *served.app.requests)
    assert [[name for name, _ in scope["headers"]] for scope in scopes] == [
        [b"host", b"transfer-encoding"],
        [b"host", b"content-length"],
        [b"host", b"transfer-encoding", b"connection"],
    ]


def test_an_answer_before_the_end_of_its_request_closes_the_connection(served: Served) -> None:
    client = served.connect(b"POST /early HTTP/1.1\r\nhost: bot\r\ncontent-length: 1000\r\n\r\nbegun")
    assert rest(client).startswith(OK)


def malformed(head: bytes) -> dict[str, bytes]:
    """Return requests that are not HTTP. Those that begin like HTTP begin with `head`, without its last line."""
    return {
        "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "two lengths": head + b"content-length: 4\r\ncontent-length: 4\r\n\r\nbody",
        "two different lengths": head + b"content-length: 4\r\ncontent-length: 5\r\n\r\nbody",
        "length and chunks": head + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "negative length": head + b"content-length: -4\r\n\r\nbody",
        "NUL in a header": head + b"webhook-id: a\x00b\r\ncontent-length: 4\r\n\r\nbody",
        "space in a name": head + b"webhook id: a\r\ncontent-length: 4\r\n\r\nbody",
        "unknown version": head.replace(b"HTTP/1.1", b"HTTP/7.3") + b"\r\n",
        "no path": b"CONNECT bot:80 HTTP/1.1\r\nhost: bot\r\n\r\n",
        "path that is none": b"POST http://[::1 HTTP/1.1\r\nhost: bot\r\n\r\n",
        "path that is not ASCII": b"POST /\xe9 HTTP/1.1\r\nhost: bot\r\n\r\n",
        "chunk of no size": head + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        "chunk that is longer than its size": head + b"transfer-encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
    }


def test_a_request_that_is_not_http_is_closed_without_a_response(served: Served) -> None:
    answered = {}
    for head in (POST, WEBHOOK):
        for name, sent in malformed(head).items():
            client = served.connect(webhook(b"one"))
            assert said(answer(client)) == [b"one"]
            client.sendall(sent)
            if (received := rest(served.connect(sent)) + rest(client)) != b"":
                answered[name, head] = received
    assert answered == {}
    # The app or the endpoint saw the headers of one whose body was wrong.
    assert {request["method"] for request in served.app.requests} == {"POST"}


def test_complete_webhooks_before_malformed_ones_are_answered(served: Served) -> None:
    client = served.connect(webhook(b"held") + webhook(b"two") + malformed(WEBHOOK)["two lengths"])
    until(lambda: served.app.endpoint.held)
    client.sendall(malformed(WEBHOOK)["no HTTP"])
    served.app.endpoint.release()
    received = rest(client)
    assert said(received) == [b"held", b"two"]
    assert received.count(b"HTTP/1.1 ") == 2
    assert received.partition(OK)[2].partition(OK)[2].count(b"connection: close") == 1


def test_garbage_behind_a_request_for_the_app_does_not_reach_it(served: Served) -> None:
    held = GET.replace(b" / ", b" /held ")
    for garbage in (malformed(POST)["no HTTP"], held, webhook(b"behind")):
        served.app.let_go.clear()
        client = served.connect(held + garbage)
        until(lambda: served.app.held)
        client.sendall(garbage)
        served.app.let_go.set()
        received = rest(client)
        assert received.count(OK) == 1
        assert b"\r\nconnection: close\r\n" in received
        assert (served.app.held, served.app.endpoint.seen) == (1, [])
        served.app.held = 0


def test_a_flood_of_requests_that_are_not_http_writes_a_few_lines(served: Served) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(50):
            rest(served.connect(malformed(POST)["no HTTP"]))
        served.stop()
    line = ("request.malformed", "127.0.0.1", "Invalid method encountered")
    assert [(each["event"], each["client"], each["why"]) for each in logs] == [line] * len(logs)
    assert len(logs) + logs[-1]["suppressed"] - 1 == 50
    assert len(logs) < 10


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
WEBSOCKET = b"upgrade: websocket\r\nconnection: keep-alive, Upgrade\r\nsec-websocket-key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n"


def test_an_offer_of_another_protocol_is_ignored(served: Served, subtests: pytest.Subtests) -> None:
    """RFC 9110, 7.8: Java's HttpClient, Spring and Ktor offer HTTP/2 with each POST over plain http."""
    chunks = b"transfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
    length = b"content-length: 4\r\n\r\nbody"
    plain = {
        **{f"{head!r} {rest[:9]!r}": (head, rest) for head in (POST, WEBHOOK) for rest in (chunks, length)},
        "GET of the app": (GET[:-2], b"\r\n"),
        "GET of a webhook's path": (b"GET /webhook HTTP/1.1\r\n", b"\r\n"),
        "HTTP/1.0": (POST.replace(b"1.1", b"1.0"), length),
        "no body": (POST, b"content-length: 0\r\n\r\n"),
    }
    ends = b"connection: close\r\n"
    for name, (head, body) in plain.items():
        wanted = rest(served.connect(head + ends + body))
        assert wanted.startswith(OK)
        for offer in (H2C, WEBSOCKET):
            with subtests.test(name, offer=offer[:20]):
                sent = head + ends + offer + body
                assert rest(served.connect(sent)) == wanted
                assert rest(served.connect(*(sent[n : n + 1] for n in range(len(sent))))) == wanted
    assert all(
        name not in (b"upgrade", b"http2-settings") for each in served.app.requests for name, _ in each["headers"]
    )


def test_webhooks_with_an_offer_may_be_pipelined(on_any_loop: Served) -> None:
    offering = webhook(b"one", *H2C.splitlines())
    client = on_any_loop.connect(
        offering + webhook(b"two") + offering + GET.replace(b"\r\n\r\n", b"\r\n" + H2C + b"\r\n")
    )
    received = answer(client) + answer(client) + answer(client)
    assert said(received) == [b"one", b"two", b"one"]
    assert rest(client) == b""


def test_what_is_closed_without_an_answer_is_logged_with_its_cause(
    served: Served, impatient: Callable[[], None], subtests: pytest.Subtests
) -> None:
    rows = {
        "Duplicate Content-Length": malformed(POST)["two lengths"],
        "a URL without a path": malformed(POST)["path that is none"],
        "CONNECT, which only a proxy answers": malformed(POST)["no path"],
        f"{MAX_HEAD_BYTES} bytes without whole headers or a part of a body": POST + b"a: " + b"x" * 2 * MAX_HEAD_BYTES,
        "no whole headers in 0.2 s": b"GET / HTTP/1.1\r\nhost",
        "the client closed its side before its request was whole": POST + b"content-length: 9\r\n\r\nhalf",
        "the server stops before the request is whole": POST + b"content-length: 9\r\n\r\nhalf",
    }
    impatient()
    for why, sent in rows.items():
        with subtests.test(why), structlog.testing.capture_logs() as logs:
            client = served.connect(sent)
            if "its side" in why:
                client.shutdown(socket.SHUT_WR)
            if "stops" in why:
                until(lambda: len(served.app.requests) == 2)
                served.stop()
            assert rest(client) == b""
            until(lambda: logs)
            assert [(each["why"], each["client"]) for each in logs] == [(why, "127.0.0.1")]
            assert logs[0]["event"] in ("request.malformed", "request.unanswered")


def test_a_connection_without_a_request_is_closed_without_a_line(served: Served, impatient: Callable[[], None]) -> None:
    impatient()
    with structlog.testing.capture_logs() as logs:
        gone, silent = served.connect(), served.connect()
        gone.shutdown(socket.SHUT_WR)
        assert rest(gone) == rest(silent) == b""
    assert logs == []


# --- requests for the app ---------------------------------------------------------------------------------------------


def test_the_app_gets_one_request_of_a_connection_as_it_was_sent(served: Served) -> None:
    sent = (
        b"PUT http://bot/a%20b?c=d&e HTTP/1.1\r\nHost: bot\r\nX-Two: 1\r\nX-Two: 2\r\nConnection: keep-alive, x-two\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    )
    client = served.connect(*(sent[n : n + 1] for n in range(len(sent) - 20)), sent[-20:] + GET)
    received = rest(client)
    assert received.startswith(OK)
    assert received.endswith(b"\r\ncontent-length: 1\r\nconnection: close\r\n\r\n5")
    (request,) = served.app.requests
    shown = {name: request[name] for name in ("method", "path", "raw_path", "query_string", "http_version", "headers")}
    assert shown == {
        "method": "PUT",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=d&e",
        "http_version": "1.1",
        "headers": [
            (b"host", b"bot"),
            (b"x-two", b"1"),
            (b"x-two", b"2"),
            (b"transfer-encoding", b"chunked"),
            (b"connection", b"close"),
        ],
    }


def test_a_request_for_the_app_may_come_after_the_answer_to_a_webhook_but_not_before(served: Served) -> None:
    client = served.connect(webhook(b"one"))
    assert said(answer(client)) == [b"one"]
    client.sendall(GET)
    assert rest(client).endswith(b"\r\n\r\n0")
    client = served.connect(webhook(b"held") + webhook(b"two") + GET + webhook(b"three"))
    until(lambda: served.app.endpoint.held)
    served.app.endpoint.release()
    received = rest(client)
    assert said(received) == [b"held", b"two"]
    assert received.count(OK) == 2
    assert len(served.app.requests) == 1


def test_a_client_that_expects_100_continue_gets_it(served: Served) -> None:
    for head in (POST, WEBHOOK):
        client = served.connect(head + b"content-length: 4\r\nExpect: 100-Continue\r\n\r\n")
        assert answer(client) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert answer(client).startswith(OK)


# --- webhooks ---------------------------------------------------------------------------------------------------------


def test_a_webhook_may_be_split_at_any_byte_and_is_answered_without_the_app(on_any_loop: Served) -> None:
    sent = webhook(b"{}", b"webhook-id: 1", b"Webhook-Signature: v1,x")
    client = on_any_loop.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for end in range(1, len(sent)):
        client.sendall(sent[:end])
        until(lambda: not on_any_loop.connections.kept)
        client.sendall(sent[end:])
        received = answer(client)
        assert said(received) == [b"{}"], sent[:end]
    assert received.startswith(OK)
    assert b"\r\ndate: " in received
    assert received.endswith(b"\r\nmethod: POST\r\nsaid: {}\r\ncontent-length: 0\r\n\r\n")
    for end in range(len(sent)):
        client.sendall(sent[end : end + 1])
    assert said(answer(client)) == [b"{}"]
    client.sendall(sent[:-1])
    until(lambda: on_any_loop.app.endpoint.held_bytes == 1)
    client.sendall(sent[-1:])
    assert said(answer(client)) == [b"{}"]
    until(lambda: on_any_loop.connections.kept)
    assert not on_any_loop.connections.waiting
    assert on_any_loop.app.endpoint.seen == [b"{}"] * (len(sent) + 1)
    assert on_any_loop.app.requests == []


def test_each_way_to_write_the_path_is_a_webhook_and_every_method_is_answered(served: Served) -> None:
    one = webhook(b"one")
    rows = {
        "query": (one.replace(b"/webhook", b"/webhook?version=2026-02-03"), b"POST"),
        "absolute": (one.replace(b"/webhook", b"http://bot/webhook"), b"POST"),
        "percent": (one.replace(b"/webhook", b"/web%68ook"), b"POST"),
        "GET": (one.replace(b"POST", b"GET"), b"GET"),
        "HEAD": (one.replace(b"POST", b"HEAD"), b"HEAD"),
        "OPTIONS": (one.replace(b"POST", b"OPTIONS"), b"OPTIONS"),
    }
    client = served.connect()
    for name, (sent, method) in rows.items():
        client.sendall(sent)
        assert b"\r\nmethod: " + method + b"\r\n" in answer(client), name
    assert served.app.requests == []
    assert rest(served.connect(one.replace(b"/webhook", b"/webhook/x"))).endswith(b"\r\n\r\n3")


def test_the_last_webhook_of_a_connection_closes_it(on_any_loop: Served, caplog: pytest.LogCaptureFixture) -> None:
    rows = {
        "HTTP/1.0": webhook(b"one", version=b"1.0"),
        "kept alive with HTTP/1.0": webhook(b"one", b"connection: keep-alive", version=b"1.0"),
        "asked to close": webhook(b"one", b"connection: close"),
    }
    for name, sent in rows.items():
        received = rest(on_any_loop.connect(sent[:-1], sent[-1:]))
        assert said(received) == [b"one"], name
        assert b"\r\nconnection: close\r\n" in received, name
    client = on_any_loop.connect(webhook(b"echo" + b"x" * 99_996, b"connection: close"))
    until(lambda: len(on_any_loop.app.endpoint.seen) == len(rows) + 1)
    assert len(rest(client).partition(b"\r\n\r\n")[2]) == 10_000_000
    assert caplog.records == []


def test_pipelined_webhooks_begin_and_are_answered_in_order_and_a_flood_of_them_is_closed(served: Served) -> None:
    bodies = [b"held", *(b"%d" % n for n in range(15))]
    client = served.connect(b"".join(map(webhook, bodies)))
    until(lambda: served.app.endpoint.seen == bodies)
    client.sendall(webhook(b"last", b"connection: close")[:-1])
    served.app.endpoint.release()
    received = b""
    while received.count(OK) < len(bodies):
        received += client.recv(65536)
    client.sendall(b"t")
    assert said(received + rest(client)) == [*bodies, b"last"]
    assert flood(served.connect(webhook(b"held")), webhook(b"more") * 30) == b""


def test_a_client_that_reads_no_answers_is_read_no_more_and_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = served.app.endpoint
    echo = webhook(b"echo" + b"x" * 100_000)

    def flooded() -> tuple[socket.socket, int]:
        """Send until the server reads no more. Return the connection, and the number of requests."""
        endpoint.seen.clear()
        client, sent = served.connect(), 0
        until(lambda: served.connections.connections)
        connected: Any = next(iter(served.connections.connections))
        transport = connected.transport

        def has_answered_or_reads_no_more() -> bool:
            is_answered = len(endpoint.seen) == sent and connected in served.connections.kept
            return is_answered or not transport.is_reading()

        # Not before the last one is answered: the server would read no more in the middle of a body, which has another limit.
        while transport.is_reading() and sent < 50:
            client.sendall(echo)
            sent += 1
            until(has_answered_or_reads_no_more)
        return client, sent

    client, sent = flooded()
    assert sent < 50
    client.shutdown(socket.SHUT_WR)
    assert rest(client).count(OK) == sent
    # Idle between two webhooks, in the middle of a body, and after the last one.
    served.server.config.timeout_keep_alive = 1
    flooded()
    endpoint.body_timeout_s = 0.5
    monkeypatch.setattr(connection, "RESPONSE_TIMEOUT_S", 0.5)
    for sent_last in (WEBHOOK, WEBHOOK + b"content-length: 9\r\n\r\nhalf"):
        served.connect(echo + sent_last)
    served.connect(echo.replace(b"1.1", b"1.0"))
    until(lambda: not served.connections.connections)


def test_a_body_that_is_too_large_or_too_slow_or_one_of_too_many_is_refused(served: Served) -> None:
    endpoint = served.app.endpoint
    large = WEBHOOK + b"content-length: %d\r\n\r\n" % (10 * MAX_BODY_BYTES) + b"x" * (MAX_BODY_BYTES + 1)
    slow = WEBHOOK + b"content-length: 9\r\n\r\nhalf"
    for sent, seen, timeout_s in ((large, len(large), PATIENCE_S), (slow, "TimeoutError", 0.2)):
        endpoint.seen.clear()
        endpoint.body_timeout_s = timeout_s
        received = rest(served.connect(sent))
        assert received.startswith(b"HTTP/1.1 503 ")
        assert received.count(b"connection: close") == 1
        (one,) = endpoint.seen
        assert one == seen or MAX_BODY_BYTES < len(one) < len(sent)
    endpoint.seen.clear()
    endpoint.body_timeout_s = PATIENCE_S
    begun = WEBHOOK + b"content-length: 190000\r\n\r\n" + b"x" * 160_000
    first = served.connect(begun)
    until(lambda: endpoint.held_bytes == 160_000)
    assert rest(served.connect(begun)).startswith(b"HTTP/1.1 503 ")
    first.sendall(b"x" * 30_000)
    assert answer(first).startswith(OK)
    assert endpoint.seen == ["MemoryError", b"x" * 190_000]
    assert endpoint.held_bytes == 0
    first.sendall(begun)
    until(lambda: endpoint.held_bytes == 160_000)
    first.close()
    until(lambda: endpoint.seen[2:] == ["ConnectionError"])
    assert endpoint.held_bytes == 0


def test_a_webhook_whose_answer_fails_is_closed_without_one(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    for body in (b"is cancelled", b"fails"):
        assert rest(served.connect(webhook(body) + webhook(b"two"))) == b""
    until(lambda: any(record.exc_info for record in caplog.records))  # logged after the connection is closed
    assert rest(served.connect(webhook(b"one", b"connection: close"))).startswith(OK)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


def test_a_client_that_is_gone_when_answered_harms_no_other(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with closing(served.connect(webhook(b"held"))) as client:
        until(lambda: served.app.endpoint.held)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, instead of closed
    until(lambda: not served.connections.connections)
    served.app.endpoint.release()
    assert said(answer(served.connect(webhook(b"one")))) == [b"one"]
    assert caplog.records == []


def test_a_client_that_has_closed_its_side_gets_the_answers_to_its_webhooks(on_any_loop: Served) -> None:
    endpoint = on_any_loop.app.endpoint
    for begun in (b"", b"\r\n", WEBHOOK, WEBHOOK + b"content-length: 9\r\n\r\nhalf"):
        client = half_closed(on_any_loop.connect(webhook(b"held") + webhook(b"two") + begun))
        until(lambda: endpoint.held)
        time.sleep(0.05)  # so that the server notices it before the answer
        endpoint.release()
        received = rest(client)
        assert said(received) == [b"held", b"two"]
        assert received.count(b"\r\nconnection: close\r\n") == 1


def test_what_is_being_answered_is_answered_when_the_server_stops(served: Served) -> None:
    webhooks = served.connect(webhook(b"held") + webhook(b"two"))
    request = served.connect(GET.replace(b" / ", b" /held "))
    until(lambda: served.app.endpoint.held and served.app.held)
    served.server.should_exit = True
    until(served.refuses)
    served.app.endpoint.release()
    served.app.let_go.set()
    received = rest(webhooks)
    assert said(received) == [b"held", b"two"]
    assert received.count(b"\r\nconnection: close\r\n") == 1
    assert rest(request).endswith(b"\r\n\r\n0")


# --- start and stop ---------------------------------------------------------------------------------------------------


async def serve(lifespan: Callable[[Starlette], AsyncIterator[None]], **more: Any) -> None:
    """Serve an app with this lifespan, which finds the server in `app.state.server`."""
    app = Starlette(lifespan=asynccontextmanager(lifespan))
    app.state.server = server = uvicorn_server.Server(app, is_main=False, **more)
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        async with asyncio.timeout(PATIENCE_S):
            await server.serve(bound)


async def test_a_start_that_fails_ends_the_server_with_its_error() -> None:
    async def failing(_: Starlette) -> AsyncIterator[None]:
        raise OSError("no disk")
        yield

    with pytest.raises(OSError, match="no disk"):
        await serve(failing)


async def test_an_app_that_is_asked_to_stop_while_it_starts_and_starts_nevertheless_is_stopped() -> None:
    seen = []

    async def stubborn(app: Starlette) -> AsyncIterator[None]:
        app.state.server.should_exit = True
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        seen.append("started")
        yield
        seen.append("stopped")

    await serve(stubborn, when_ready=lambda: seen.append("serves"))
    assert seen == ["started", "stopped"]


async def test_a_start_that_fails_because_it_was_cancelled_is_no_error() -> None:
    async def failing(app: Starlette) -> AsyncIterator[None]:
        app.state.server.should_exit = True
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("The connection was closed.") from None
        yield

    logged: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: logged.append(facts))
    await serve(failing)
    gc.collect()
    assert logged == []


async def test_an_app_that_the_bots_code_has_cancelled_is_not_served_any_more() -> None:
    running: list[asyncio.Task[Any] | None] = []

    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running.append(asyncio.current_task())
        yield

    def cancel() -> None:
        assert running[0] is not None
        running[0].cancel()

    with pytest.raises(asyncio.CancelledError):
        await serve(lifespan, when_ready=cancel)


def half_closed(client: socket.socket) -> socket.socket:
    client.shutdown(socket.SHUT_WR)
    return client


def test_a_client_that_has_sent_its_request_and_half_closes_is_answered(on_any_loop: Served) -> None:
    for n in range(1, 25):
        for head, end in ((POST, b"\r\n\r\n%d" % n), (WEBHOOK, b"\r\n\r\n")):
            received = rest(half_closed(on_any_loop.connect(head + b"content-length: %d\r\n\r\n" % n + b"x" * n)))
            assert received.startswith(OK)
            assert received.endswith(end)
    until(lambda: not on_any_loop.connections.connections)


def test_a_half_closed_client_gets_a_slow_response_too(on_any_loop: Served) -> None:
    held = POST.replace(b" / ", b" /held ") + b"content-length: 100000\r\n\r\n" + b"x" * 100_000
    client = half_closed(on_any_loop.connect(held))
    until(lambda: on_any_loop.app.held == 1)
    time.sleep(0.05)  # for its FIN to be seen
    on_any_loop.app.let_go.set()
    assert rest(client).endswith(b"\r\n\r\n100000")


def test_a_client_that_half_closes_before_it_has_sent_its_request_is_closed(on_any_loop: Served) -> None:
    half = b"content-length: 9\r\n\r\nhalf"
    for begun in (b"", b"POST / HT", POST, POST + half, WEBHOOK + half):
        assert rest(half_closed(on_any_loop.connect(begun))) == b""
    assert on_any_loop.app.left.wait(PATIENCE_S)
    until(lambda: on_any_loop.app.endpoint.seen == ["ConnectionError"])


def test_a_client_that_half_closes_is_not_kept_forever(on_any_loop: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RESPONSE_TIMEOUT_S", 0.2)
    client = half_closed(on_any_loop.connect(b"GET /held HTTP/1.1\r\n\r\n"))
    assert rest(client) == b""
    until(lambda: on_any_loop.app.held == 1)
    client = on_any_loop.connect(b"GET /endless HTTP/1.1\r\n\r\n")
    received = b""
    while b"begun" not in received:
        received += client.recv(1000)
    rest(half_closed(client))
    assert on_any_loop.app.left.wait(PATIENCE_S)


def test_of_too_many_connections_those_without_a_request_are_dropped_first(served: Served) -> None:
    served.connections.max_connections = 5
    half = b"content-length: 9\r\n\r\nhalf"
    busy = served.hold()
    for slow, arrived in (
        (POST + half, lambda: len(served.app.requests) == 4),
        (WEBHOOK + half, lambda: served.app.endpoint.held_bytes == 12),
        (b"GET /", lambda: True),
        (b"", lambda: True),
    ):
        victims = [served.connect(slow) for _ in range(2)]
        later = served.connect(webhook(b"one"))
        answer(later)
        victims.append(later)
        later.sendall(slow or b"\r\n")
        until(lambda: len(served.connections.connections) == 5 and not served.connections.kept)
        until(arrived)
        newer = [served.connect() for _ in victims]
        assert [rest(victim) for victim in victims] == [b""] * 3
        for client in newer:
            client.sendall(webhook(b"one"))
            assert said(answer(client)) == [b"one"]
            client.close()
        until(lambda: len(served.connections.connections) == 2)
    served.release()
    assert all(answer(client).startswith(OK) for client in busy)


def test_connections_without_a_request_do_not_end_one_that_is_kept(served: Served) -> None:
    served.connections.max_connections = 4
    kept = served.connect(webhook(b"one"))
    answer(kept)
    silent = [served.connect() for _ in range(20)]
    assert [rest(client) for client in silent[:-3]] == [b""] * 17
    kept.sendall(webhook(b"two"))
    assert said(answer(kept)) == [b"two"]


def test_kept_connections_leave_half_of_the_places_to_new_clients(served: Served) -> None:
    served.connections.max_connections = 4
    kept = []
    for _ in range(4):
        kept.append(served.connect(webhook(b"one")))
        answer(kept[-1])
    until(lambda: len(served.connections.kept) == 4)
    new = [served.connect() for _ in range(2)]
    assert [rest(client) for client in kept[:2]] == [b"", b""]
    for client in (*kept[2:], *new):
        client.sendall(webhook(b"two"))
        assert said(answer(client)) == [b"two"]


def test_when_all_of_too_many_are_being_answered_a_new_one_is_asked_to_come_back(served: Served) -> None:
    served.connections.max_connections = 2
    busy = served.hold()
    for head in (POST, WEBHOOK):
        refused = rest(served.connect(head + b"content-length: 4\r\n\r\nbody" + GET))
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert refused.count(b"\r\nretry-after: 5\r\n") == refused.count(b"\r\nconnection: close\r\n") == 1
        assert refused.count(b"HTTP/1.1 ") == 1
    served.release()
    assert all(answer(client).startswith(OK) for client in busy)
    assert answer(served.connect(webhook(b"one"))).startswith(OK)


def test_a_server_that_stops_does_not_wait_for_slow_clients(served: Served) -> None:
    half = b"content-length: 9\r\n\r\nhalf"
    clients = [served.connect(begun) for begun in (b"", b"GET", POST + half, WEBHOOK + half, webhook(b"one"))]
    until(lambda: len(served.connections.waiting) == 4 and served.connections.kept)
    answer(clients[-1])
    served.stop()
    assert [rest(client) for client in clients] == [b""] * 5


def test_connections_use_at_most_half_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    for soft, most in ((1024, 512), (1 << 20, 2048), (resource.RLIM_INFINITY, 2048)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert uvicorn_server.most_connections() == most
        # Together with those of the operator's page, the bot still has a third of the files.
        assert uvicorn_server.Server(Starlette(), is_main=False).shared.max_connections == most // 8


def test_every_kind_of_socket_has_an_address(tmp_path: Path) -> None:
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        assert uvicorn_server.address(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
    with uvicorn_server.listen("::1", 0) as bound:
        assert uvicorn_server.address(bound) == f"http://[::1]:{bound.getsockname()[1]}"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "bot.sock"))
        assert uvicorn_server.address(bound) == f"unix:{tmp_path / 'bot.sock'}"


CLAIM = b"x-forwarded-for: 203.0.113.7"


def test_only_a_trusted_proxy_names_another_client_than_its_connection(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    rows = [
        # An IPv4 client of a socket for all addresses has its IPv4 address.
        ("::", [], "127.0.0.1"),
        ("::", ["::1"], "127.0.0.1"),
        ("::", ["127.0.0.1"], "203.0.113.7"),
        ("unix", [], "unix:"),
        ("unix", ["::1"], "unix:"),
        ("unix", ["unix:"], "203.0.113.7"),
    ]
    for n, (loop, (kind, trusted, seen)) in enumerate(itertools.product(("uvloop", "asyncio"), rows)):
        with subtests.test(loop=loop, kind=kind, trusted=trusted):
            if kind == "unix":
                bound = socket.socket(socket.AF_UNIX)
                bound.bind(str(tmp_path / f"{n}.sock"))
            else:
                bound = uvicorn_server.listen(kind, 0)
            served = Served(loop, bound, trusted)
            client = served.connect(webhook(b"one", CLAIM))
            answer(client)
            client.sendall(GET.replace(b"\r\n\r\n", b"\r\n" + CLAIM + b"\r\n\r\n"))
            rest(client)
            served.stop()
            assert [each["client"][0] for each in (*served.app.endpoint.scopes, *served.app.requests)] == [seen] * 2


async def test_an_answer_is_not_delayed_until_its_headers_are_acknowledged() -> None:
    delays: list[int] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        delays.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        async with await asyncio.start_server(note, sock=bound):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            await reader.read()
            writer.close()
            await writer.wait_closed()
    assert delays == [1]


# --- garbage ----------------------------------------------------------------------------------------------------------


class Knot:
    """A reference cycle with many objects in it, as a run of an agent leaves behind."""

    alive = 0

    def __init__(self) -> None:
        Knot.alive += 1
        self.own = [self, *({"n": [n]} for n in range(100))]

    def __del__(self) -> None:
        Knot.alive -= 1


@pytest.fixture
def tuned() -> Iterator[None]:
    before = gc.get_threshold()
    uvicorn_server.tune_garbage_collector()
    gc.collect()  # or Python waits until a quarter as many objects are new as the tests before have left
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.usefixtures("tuned")
def test_cycles_of_turns_that_were_under_way_during_a_collection_do_not_pile_up() -> None:
    under_way: deque[Knot] = deque(maxlen=60)
    most = 0
    for _ in range(10_000):
        under_way.append(Knot())
        most = max(most, Knot.alive)
    under_way.clear()
    assert most < 600
