"""The server of a bot: slow, endless and too many clients do not stop it, and none of them gets a 4xx."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from starlette.types import Receive, Scope, Send

from linqbot.server import connection, uvicorn_server
from linqbot.server.connection import MAX_HEAD_BYTES, ClientConnection, Connections
from linqbot.server.webhook import ENDPOINT, DirectEndpoint, Taken

GET = b"GET / HTTP/1.1\r\nhost: bot\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: bot\r\n"
CLOSING = b"GET / HTTP/1.1\r\nhost: bot\r\nconnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


class App:
    """Answers with the length of the body; `/early` before the body arrived, `/held` when the test releases it.

    `/endless` begins an answer that ends when its client goes. Requests for `/taken` go to `take`.
    """

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.held = 0
        self.left = threading.Event()
        self.taken: list[bytes] = []
        self.works: list[asyncio.Future[bool]] = []

    def take(self, scope: Scope, body: bytes) -> Taken | None:
        """Begin the work that the body names. Its answer is 200 or 503."""
        loop = asyncio.get_running_loop()
        self.taken.append(body)
        if body == b"left to the app":
            return None
        if body == b"cannot begin":
            raise RuntimeError(body)
        work = loop.create_future()
        self.works.append(work)
        if body == b"fails":
            loop.call_soon(work.set_exception, RuntimeError(body))
        elif body != b"held":
            loop.call_soon(work.set_result, body == b"works")
        return work, lambda done: (200, []) if done.result() else (503, [(b"retry-after", b"5")])

    def end_works(self) -> None:
        """Let all works succeed that are under way."""
        for work in self.works:
            if not work.done():
                work.get_loop().call_soon_threadsafe(work.set_result, True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"][ENDPOINT] = DirectEndpoint(("/taken",), self.take)
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
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

    def __init__(self, loop: Literal["uvloop", "asyncio"] = "uvloop") -> None:
        self.app = App()
        self.bound = uvicorn_server.listen("127.0.0.1", 0)
        self.port = self.bound.getsockname()[1]
        self.server = uvicorn_server.server(self.app, graceful_s=1)
        self.server.config.loop = loop
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.bound]})
        self._thread.start()
        until(lambda: self.server.started)

    @property
    def connections(self) -> Connections:
        state = self.server.server_state
        assert isinstance(state, Connections)
        return state

    def connect(self, *sent: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        for piece in sent:
            client.sendall(piece)
        return client

    def stop(self) -> None:
        self.app.let_go.set()
        self.server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.bound.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    yield running
    running.stop()


@pytest.fixture(params=["uvloop", "asyncio"])
def on_any_loop(request: pytest.FixtureRequest) -> Iterator[Served]:
    running = Served(request.param)
    yield running
    running.stop()


def until(ready: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.005)


def rest(client: socket.socket) -> bytes:
    """Return everything that arrives until the server closes the connection."""
    received = b""
    with closing(client):
        try:
            while piece := client.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
    return received


def answer(client: socket.socket) -> bytes:
    """Return one response of `App`, which has a body."""
    received = b""
    while not received.partition(b"\r\n\r\n")[2]:
        piece = client.recv(65536)
        assert piece, f"closed after {received!r}"
        received += piece
    return received


def flood(client: socket.socket, piece: bytes) -> bytes:
    """Send a piece again and again until the server closes the connection. Returns the response."""
    try:
        for _ in range(4 * MAX_HEAD_BYTES // len(piece)):
            client.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return rest(client)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "begun", [b"", b"\r\n", b"G", b"GET / HT", b"GET / HTTP/1.1\r\nhost", b"GET / HTTP/1.1\r\na: b\r\n"]
)
def test_a_client_that_does_not_finish_its_headers_is_closed_without_an_answer(served: Served, begun: bytes) -> None:
    assert rest(served.connect(begun)) == b""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"\r\n", b"G", b"GET / HTTP/1.1\r\nhost"])
def test_a_client_that_is_slow_with_a_later_request_is_closed(served: Served, begun: bytes) -> None:
    client = served.connect(GET)
    assert answer(client).startswith(OK)
    client.sendall(begun)
    assert rest(client) == b""


@pytest.mark.usefixtures("impatient")
def test_a_header_a_moment_does_not_prolong_the_time_for_all_headers(served: Served) -> None:
    client = served.connect(b"GET / HTTP/1.1\r\n")
    started = time.monotonic()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - whichever of them sees it
        while time.monotonic() < started + 10:
            client.sendall(b"a: b\r\n")
            time.sleep(0.01)
    client.close()


@pytest.mark.usefixtures("impatient")
def test_an_idle_connection_is_kept_for_the_next_request(served: Served) -> None:
    client = served.connect(GET)
    answer(client)
    until(lambda: served.connections.kept)
    (kept,) = served.connections.kept
    assert rest(served.connect(b"G")) == b"", "the time for headers ends later here than it would on the idle one"
    assert kept.timeout_keep_alive_task is not None
    assert kept.timeout_keep_alive == 65
    client.sendall(GET)
    assert answer(client).startswith(OK)
    client.close()


def test_a_long_head_is_read_and_a_longer_one_is_closed_without_an_answer(served: Served) -> None:
    cookie = b"cookie: " + b"x" * (MAX_HEAD_BYTES - 2000) + b"\r\n"
    client = served.connect(b"GET / HTTP/1.1\r\n" + cookie + b"connection: close\r\n\r\n")
    assert rest(client).startswith(OK)
    assert rest(served.connect(b"GET / HTTP/1.1\r\n" + 2 * cookie + b"\r\n")) == b""


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (b"GET /", b"x" * 512),
        (b"GET / HTTP/1.1\r\n", b"name: value\r\n"),
        (b"GET / HTTP/1.1\r\n", b"n" * 512),
        (b"GET / HTTP/1.1\r\nname: ", b"v" * 512),
        (POST + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"name: value\r\n"),
        (POST + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nname: ", b"v" * 512),
        (POST + b"transfer-encoding: chunked\r\n\r\n1;", b"x" * 512),
    ],
    ids=["address", "headers", "name", "value", "trailers", "trailer", "chunk extension"],
)
def test_what_never_becomes_a_body_is_bounded(served: Served, begun: bytes, piece: bytes) -> None:
    client = served.connect(begun)
    assert b"200" not in flood(client, piece)
    until(lambda: not served.connections.connections)


def test_a_body_may_come_in_the_smallest_of_chunks(served: Served) -> None:
    client = served.connect(POST + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n")
    for _ in range(100):
        client.sendall(b"1\r\nx\r\n" * 300)
    client.sendall(b"0\r\n\r\n")
    assert rest(client).endswith(b"\r\n\r\n30000")


def test_an_answer_before_the_end_of_its_request_closes_the_connection(served: Served) -> None:
    client = served.connect(b"POST /early HTTP/1.1\r\nhost: bot\r\ncontent-length: 1000\r\n\r\nbegun")
    assert rest(client).startswith(OK)


def test_a_few_pipelined_requests_are_answered_in_order_and_a_flood_of_them_is_closed(served: Served) -> None:
    requests = [POST + b"content-length: %d\r\n\r\n" % n + b"x" * n for n in (1, 2, 3)]
    last = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    answers = rest(served.connect(b"".join([*requests, last]))).split(b"HTTP/1.1 200 OK")[1:]
    assert [each.partition(b"\r\n\r\n")[2] for each in answers] == [b"1", b"2", b"3", b"0"]
    held = b"GET /held HTTP/1.1\r\n\r\n"
    assert flood(served.connect(held), GET * 100) == b""


UPGRADE = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n"
MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": POST + b"content-length: 4\r\ncontent-length: 4\r\n\r\nbody",
    "two different lengths": POST + b"content-length: 4\r\ncontent-length: 5\r\n\r\nbody",
    "length and chunks": POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": POST + b"content-length: -4\r\n\r\nbody",
    "NUL in a header": POST + b"webhook-id: a\x00b\r\ncontent-length: 4\r\n\r\nbody",
    "space in a name": POST + b"webhook id: a\r\ncontent-length: 4\r\n\r\nbody",
    "unknown version": b"POST / HTTP/7.3\r\nhost: bot\r\n\r\n",
    "body for another protocol": POST + UPGRADE + b"content-length: 4\r\n\r\nbody",
    "no path": b"CONNECT bot:80 HTTP/1.1\r\nhost: bot\r\n\r\n",
    "path that is none": b"POST http://[::1 HTTP/1.1\r\nhost: bot\r\n\r\n",
    "chunk of no size": POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_request_that_is_not_http_is_closed_without_a_response(served: Served, sent: bytes) -> None:
    assert rest(served.connect(sent)) == b""
    client = served.connect(GET)
    assert answer(client).startswith(OK)
    client.sendall(sent)
    assert rest(client) == b""


def test_complete_requests_before_malformed_ones_are_answered(served: Served) -> None:
    whole = POST + b"content-length: 4\r\n\r\nbody"
    client = served.connect(whole.replace(b" / ", b" /held ") + whole + MALFORMED["two lengths"])
    until(lambda: served.app.held == 1)
    client.sendall(MALFORMED["no HTTP"])
    served.app.let_go.set()
    said = rest(client)
    assert said.count(OK) == 2
    assert b"HTTP/1.1 4" not in said
    assert said.partition(OK)[2].partition(OK)[2].count(b"connection: close") == 1


def test_a_flood_of_requests_that_are_not_http_writes_a_few_lines(served: Served) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(50):
            rest(served.connect(MALFORMED["no HTTP"]))
        served.stop()
    assert [(line["event"], line["client"]) for line in logs] == [("request.malformed", "127.0.0.1")] * len(logs)
    assert len(logs) + logs[-1]["suppressed"] - 1 == 50
    assert len(logs) < 10


def test_a_request_for_another_protocol_is_answered_and_closed(served: Served) -> None:
    said = rest(served.connect(GET.replace(b"\r\n\r\n", b"\r\n" + UPGRADE + b"\r\n") + b"more"))
    assert said.startswith(OK)
    assert b"\r\nconnection: close\r\n" in said


def to_take(body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    """Return a request for the endpoint that does without ASGI."""
    lines = (b"POST /taken HTTP/" + version, b"host: bot", b"content-length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_an_endpoint_answers_without_the_app_and_the_connection_stays(on_any_loop: Served) -> None:
    with closing(on_any_loop.connect()) as client:
        for _ in range(2):
            client.sendall(to_take(b"works"))
            received = client.recv(65536)
            assert received.startswith(OK)
            assert b"\r\ndate: " in received
            assert received.endswith(b"\r\ncontent-length: 0\r\n\r\n")
        client.sendall(to_take(b"not stored"))
        refused = client.recv(65536)
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert refused.endswith(b"\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n")
        (one,) = on_any_loop.connections.connections
        assert not one.cycle.body  # type: ignore[union-attr]
    assert on_any_loop.app.taken == [b"works", b"works", b"not stored"]
    until(lambda: on_any_loop.server.server_state.total_requests == 3)


def test_pipelined_requests_are_answered_in_order_whoever_answers_them(served: Served) -> None:
    with closing(served.connect(to_take(b"works") + GET + to_take(b"works") + GET + to_take(b"held")[:-2])) as client:
        received = b""
        while received.count(OK) < 4 or not received.endswith(b"\r\n\r\n0"):
            piece = client.recv(65536)
            assert piece, f"closed after {received!r}"
            received += piece
        # The next request has begun without its whole body, so the app has it.
        client.sendall(b"ld" + CLOSING)
        received += rest(client)
    assert served.app.taken == [b"works", b"works"]
    assert [each[-1:] for each in received.split(OK)[1:]] == [b"\n", b"0", b"\n", b"0", b"4", b"0"]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /taken HTTP/1.1\r\nhost: bot\r\n\r\n"],
        [to_take(b"works", version=b"1.0")],
        [to_take(b"works", b"connection: close")],
        [to_take(b"works")[:-2], b"ks"],
        [to_take(b"works", b"expect: 100-continue")],
        [to_take(b"works").replace(b"/taken", b"/taken/x")],
    ],
    ids=["GET", "HTTP/1.0", "the last request", "a body that comes later", "100-continue", "another path"],
)
def test_an_endpoint_sees_no_request_that_needs_more_than_an_answer(served: Served, pieces: list[bytes]) -> None:
    with closing(served.connect()) as client:
        client.sendall(pieces[0])
        for piece in pieces[1:]:
            # Not before the server has read the first piece: it would read both as one.
            until(lambda: any(each.cycle for each in served.connections.waiting))
            client.sendall(piece)
        assert OK in answer(client)
    assert served.app.taken == []


@pytest.mark.parametrize("body", [b"left to the app", b"cannot begin", b"fails"])
def test_the_app_answers_what_an_endpoint_cannot(served: Served, body: bytes) -> None:
    with closing(served.connect(to_take(body))) as client:
        assert answer(client).endswith(b"\r\n\r\n%d" % len(body))
        client.sendall(to_take(b"works"))
        assert client.recv(65536).endswith(b"\r\ncontent-length: 0\r\n\r\n")
    assert served.app.taken == [body, b"works"]


def test_a_client_that_is_gone_before_its_answer_harms_nobody(served: Served) -> None:
    with closing(served.connect(to_take(b"held"))) as client:
        until(lambda: served.app.works)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, instead of closed
    until(lambda: not served.connections.connections)
    served.app.end_works()
    with closing(served.connect(to_take(b"works"))) as client:
        assert client.recv(65536).startswith(OK)


def test_work_whose_connection_was_dropped_ends_in_silence(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    request_for_another_protocol = MALFORMED["body for another protocol"]
    with closing(served.connect(to_take(b"held") + request_for_another_protocol)) as client:
        assert rest(client) == b""
    served.app.end_works()
    with closing(served.connect(to_take(b"works"))) as client:
        assert client.recv(65536).startswith(OK)
    assert caplog.records == []


def test_a_client_that_has_closed_its_side_gets_the_answer_of_an_endpoint(served: Served) -> None:
    with closing(served.connect(to_take(b"held"))) as client:
        until(lambda: served.app.works)
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.05)  # so that the server notices it before the answer
        served.app.end_works()
        said = rest(client)
    assert said.startswith(OK)
    assert said.endswith(b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


def test_work_that_is_under_way_is_answered_when_the_server_stops(served: Served) -> None:
    with closing(served.connect(to_take(b"held"))) as client:
        until(lambda: served.app.works)
        (one,) = served.connections.connections
        served.server.should_exit = True
        until(lambda: not one.cycle.keep_alive)  # type: ignore[union-attr]
        served.app.end_works()
        said = rest(client)
    assert said.startswith(OK)
    assert b"\r\nconnection: close\r\n" in said


def test_a_start_up_that_fails_ends_the_process_with_an_error() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no disk"})

    bound = uvicorn_server.listen("127.0.0.1", 0)
    with closing(bound), pytest.raises(SystemExit) as ended:
        asyncio.run(uvicorn_server.server(failing).serve(sockets=[bound]))
    assert ended.value.code == uvicorn_server.STARTUP_FAILURE


def half_closed(client: socket.socket) -> socket.socket:
    client.shutdown(socket.SHUT_WR)
    return client


def test_a_client_that_has_sent_its_request_and_half_closes_is_answered(on_any_loop: Served) -> None:
    for n in range(1, 50):
        client = half_closed(on_any_loop.connect(POST + b"content-length: %d\r\n\r\n" % n + b"x" * n))
        said = rest(client)
        assert said.startswith(OK)
        assert said.endswith(b"\r\n\r\n%d" % n)
    until(lambda: not on_any_loop.connections.connections)


def test_a_half_closed_client_gets_slow_and_several_responses_too(on_any_loop: Served) -> None:
    requests = [POST + b"content-length: %d\r\n\r\n" % n + b"x" * n for n in (1, 2)]
    held = POST.replace(b" / ", b" /held ") + b"content-length: 100000\r\n\r\n" + b"x" * 100_000
    client = half_closed(on_any_loop.connect(held, *requests))
    until(lambda: on_any_loop.app.held == 1)
    time.sleep(0.05)  # for its FIN to be seen
    on_any_loop.app.let_go.set()
    answers = rest(client).split(OK)[1:]
    assert [each.partition(b"\r\n\r\n")[2] for each in answers] == [b"100000", b"1", b"2"]


def test_a_client_that_half_closes_before_it_has_sent_its_request_is_closed(on_any_loop: Served) -> None:
    for begun in (b"", b"POST / HT", POST, POST + b"content-length: 9\r\n\r\nhalf"):
        on_any_loop.app.left.clear()
        assert rest(half_closed(on_any_loop.connect(begun))) == b""
    assert on_any_loop.app.left.wait(60)


def test_a_client_that_half_closes_is_not_kept_forever(on_any_loop: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RESPONSE_TIMEOUT_S", 0.2)
    client = half_closed(on_any_loop.connect(b"GET /held HTTP/1.1\r\n\r\n"))
    assert rest(client) == b""
    assert on_any_loop.app.held == 1


def test_an_answer_without_end_ends_when_its_client_half_closes(on_any_loop: Served) -> None:
    client = on_any_loop.connect(b"GET /endless HTTP/1.1\r\n\r\n")
    received = b""
    while b"begun" not in received:
        received += client.recv(1000)
    rest(half_closed(client))
    assert on_any_loop.app.left.wait(60)


def test_of_too_many_connections_those_without_a_request_are_dropped_first(served: Served) -> None:
    served.connections.max_connections = 4
    busy = served.connect(b"GET /held HTTP/1.1\r\n\r\n")
    until(lambda: served.app.held == 1)
    slow_body = served.connect(POST + b"content-length: 9\r\n\r\nhalf")
    until(lambda: any(isinstance(one, ClientConnection) and one.cycle for one in served.connections.waiting))
    half = served.connect(b"GET /")
    silent = served.connect()
    until(lambda: len(served.connections.connections) == 4)
    newer = []
    for victim in (slow_body, half, silent):
        newer.append(served.connect())
        assert rest(victim) == b""
    for client in newer:
        client.sendall(GET)
        assert answer(client).startswith(OK)
        client.close()
    served.app.let_go.set()
    assert answer(busy).startswith(OK)
    busy.close()


def test_connections_without_a_request_do_not_end_one_that_is_kept(served: Served) -> None:
    served.connections.max_connections = 4
    kept = served.connect(GET)
    answer(kept)
    silent = [served.connect() for _ in range(20)]
    assert [rest(client) for client in silent[:-3]] == [b""] * 17
    kept.sendall(GET)
    assert answer(kept).startswith(OK)
    for client in (kept, *silent[-3:]):
        client.close()


def test_kept_connections_leave_half_of_the_places_to_new_clients(served: Served) -> None:
    served.connections.max_connections = 4
    kept = []
    for _ in range(4):
        kept.append(served.connect(GET))
        answer(kept[-1])
    until(lambda: len(served.connections.kept) == 4)
    new = [served.connect() for _ in range(2)]
    assert [rest(client) for client in kept[:2]] == [b"", b""]
    for client in (*kept[2:], *new):
        client.sendall(GET)
        assert answer(client).startswith(OK)
        client.close()


def test_when_all_of_too_many_are_being_answered_a_new_one_is_asked_to_come_back(served: Served) -> None:
    served.connections.max_connections = 2
    busy = [served.connect(b"GET /held HTTP/1.1\r\n\r\n") for _ in range(2)]
    until(lambda: served.app.held == 2)
    refused = rest(served.connect(POST + b"content-length: 4\r\n\r\nbody"))
    assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nretry-after: 5\r\n" in refused
    assert b"\r\nconnection: close\r\n" in refused
    served.app.let_go.set()
    assert all(answer(client).startswith(OK) for client in busy)
    client = served.connect(GET)
    assert answer(client).startswith(OK)
    for each in (*busy, client):
        each.close()


def test_a_server_that_stops_does_not_wait_for_slow_clients(served: Served) -> None:
    clients = [served.connect(begun) for begun in (b"", b"GET", POST + b"content-length: 9\r\n\r\nhalf")]
    until(lambda: len(served.connections.waiting) == 3)
    served.stop()
    assert [rest(client) for client in clients] == [b"", b"", b""]


def test_connections_use_at_most_half_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    for soft, most in ((1024, 512), (1 << 20, 2048), (resource.RLIM_INFINITY, 2048)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert uvicorn_server.most_connections() == most


def test_every_kind_of_socket_has_an_address(tmp_path: Path) -> None:
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        assert uvicorn_server.address(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
    with uvicorn_server.listen("::1", 0) as bound:
        assert uvicorn_server.address(bound) == f"http://[::1]:{bound.getsockname()[1]}"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "bot.sock"))
        assert uvicorn_server.address(bound) == f"unix:{tmp_path / 'bot.sock'}"


async def tell_client(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the address of the client."""
    if scope["type"] == "http":
        said = str(scope["client"][0]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
        await send({"type": "http.response.body", "body": said})
        return
    for done in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{done}.complete"})


def told_client(bound: socket.socket, client: socket.socket, to: Any, trusted: list[str], loop: Any) -> bytes:
    """Serve `bound`, and return the client that the app sees, for a client that claims to be 203.0.113.7."""
    server = uvicorn_server.server(tell_client, trusted_proxies=trusted)
    server.config.loop = loop
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        until(lambda: server.started)
        with client:
            client.settimeout(60)
            client.connect(to)
            client.sendall(CLOSING.replace(b"\r\n\r\n", b"\r\nx-forwarded-for: 203.0.113.7\r\n\r\n"))
            return rest(client).rpartition(b"\r\n\r\n")[2]
    finally:
        server.should_exit = True
        thread.join(60)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(
    ("trusted", "told"), [([], b"127.0.0.1"), (["127.0.0.1"], b"203.0.113.7"), (["::1"], b"127.0.0.1")]
)
def test_an_ipv4_client_of_a_socket_for_all_addresses_has_its_ipv4_address(
    loop: str, trusted: list[str], told: bytes
) -> None:
    with uvicorn_server.listen("::", 0) as bound:
        to = ("127.0.0.1", bound.getsockname()[1])
        assert told_client(bound, socket.socket(), to, trusted, loop) == told


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(("trusted", "told"), [([], b"unix:"), (["unix:"], b"203.0.113.7"), (["::1"], b"unix:")])
def test_a_proxy_behind_a_unix_socket_can_be_trusted(
    loop: str, trusted: list[str], told: bytes, tmp_path: Path
) -> None:
    path = str(tmp_path / "bot.sock")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        assert told_client(bound, socket.socket(socket.AF_UNIX), path, trusted, loop) == told


@pytest.mark.anyio
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
