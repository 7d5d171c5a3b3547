"""One connection, and responses of every kind: framed in all ways, cut off, malformed, early or late."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator

import pytest
from client.raw_server import Nowhere, Peer, Play, always, anyio_backend, get, once, pooled, raw, said  # noqa: F401
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S, until

from linqbot.client.http import connection as connections
from linqbot.client.http.addresses import Origin
from linqbot.client.http.connection import Connection
from linqbot.client.http.connector import Connector
from linqbot.client.http.http11 import (
    MAX_CONTENT_BYTES,
    MAX_HEAD_BYTES,
    ConnectFailed,
    MalformedResponse,
    Request,
    RequestHeaders,
    Response,
    ServerDisconnectedError,
    TransportError,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


# --- framing --------------------------------------------------------------------------------------------------------


async def test_an_answer_ends_where_its_framing_says_and_what_follows_decides_on_the_connection(
    subtests: pytest.Subtests,
) -> None:
    rows: list[tuple[bytes, bytes, bool]] = [
        (said(b"abc"), b"abc", True),
        (said(), b"", True),
        (CHUNKED + b"3\r\nabc\r\n2;some=ext\r\nde\r\n0\r\nTrailer: x\r\n\r\n", b"abcde", True),
        (b"HTTP/1.1 204 No\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not\r\nContent-Length: %d\r\n\r\n" % (MAX_CONTENT_BYTES + 1), b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + said(b"abc"), b"abc", True),
        (b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + said(b"abc"), b"abc", True),
        (said(b"abc", "200 OK", "Connection: close"), b"abc", False),
        (said(b"abc", "200 OK", "Connection: Keep-Alive", "Keep-Alive: timeout=5, max=9"), b"abc", True),
        (said(b"abc", "200 OK", "Keep-Alive: timeout=1"), b"abc", False),
        (said(b"abc").replace(b"1.1", b"1.0"), b"abc", False),
        (said(b"abc", "200 OK", "Connection: keep-alive").replace(b"1.1", b"1.0"), b"abc", True),
        (said(b"abc") + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"abc", False),
        (said(b"abc") + b"garbage", b"abc", False),
        (said(b"abc", "200 OK", "Connection: close") + b"garbage", b"abc", False),
    ]
    for answer, content, is_kept in rows:
        with subtests.test(answer=answer):
            async with raw(always(answer)) as server, pooled(server) as pool:
                for _ in range(3):
                    response = await pool.send(get(server))
                    assert response.content == content
                    assert not {"trailer", "link"} & set(response.headers)
                assert len(server.peers) == (1 if is_kept else 3)


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async with raw(once(b"HTTP/1.1 200 OK\r\n\r\nabc")) as server, pooled(server) as pool:
        assert (await pool.send(get(server))).content == b"abc"
        assert (await pool.send(get(server))).content == b"abc"
        assert len(server.peers) == 2


async def test_a_streamed_answer_waits_at_the_server_until_it_is_read_and_may_be_larger_than_any_other() -> None:
    megabyte, count = bytes(1 << 20), (MAX_CONTENT_BYTES >> 20) + 1
    written = 0

    async def play(peer: Peer) -> None:
        nonlocal written
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n")
        for _ in range(count):
            await peer.say(megabyte)
            written += 1

    async with raw(play) as server:
        connection = await Connector(server.origin, connect_timeout_s=5).connect(lambda _: None)
        request = get(server)
        answer = await connection.stream(request, request.head())
        assert (answer.status, answer.headers["x-a"]) == (200, "b")
        await until(lambda: not connection.transport.is_reading())
        assert written < count
        sizes = [len(chunk) async for chunk in answer.chunks]
        await connection.lost
    assert sum(sizes) == count << 20
    assert max(sizes) <= 1 << 20


async def test_fields_that_come_twice_are_one_list_and_found_in_any_case() -> None:
    async with raw(always(said(b"", "200 OK", "X-A: 1", "x-a: 2", "X-Empty:"))) as server, pooled(server) as pool:
        headers = (await pool.send(get(server))).headers
    assert headers["X-a"] == "1, 2"
    assert headers["x-empty"] == ""
    assert "X-B" not in headers
    assert headers.get("gänge") is headers.get("日本") is None
    assert set(headers) == {"content-length", "x-a", "x-empty"}
    assert len(headers) == 3


# --- invalid responses ----------------------------------------------------------------------------------------------


def fine_after(first: bytes) -> Play:
    """Return a script whose first response is `first`, and all others are fine."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(first if peer.number == 0 else said(b"fine"))
        await peer.request()
        await peer.say(said(b"fine"))

    return play


async def test_what_is_no_answer_is_named_and_its_connection_ended(subtests: pytest.Subtests) -> None:
    not_http = [
        *(b"abc\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"),
        *(b"\x15\x03\x01\x00\x02\x02\x46", CHUNKED + b"zz\r\nabc"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        *(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\nabc" % length for length in (b"-3", b"9" * 23)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        *(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % fields for fields in (b"Bad\x00Name: x", b"A: 1\r\n folded")),
    ]
    rows: list[tuple[bytes, str]] = [
        *((answer, "not HTTP") for answer in not_http),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", "transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "transfer encoding"),
        (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nxx", "another protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n", "head is larger"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * (MAX_HEAD_BYTES // 5), "head is larger"),
        (b"HTTP/1.1 103 Early\r\n\r\n" * (MAX_HEAD_BYTES // 16), "head is larger"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_CONTENT_BYTES + 1), "is larger than"),
        (CHUNKED + b"1;" + b"x" * MAX_HEAD_BYTES, "head is larger"),
        (CHUNKED + b"0\r\nTrailer: " + b"x" * MAX_HEAD_BYTES, "head is larger"),
    ]
    for answer, words in rows:
        with subtests.test(answer=answer[:60], words=words):
            async with raw(fine_after(answer)) as server, pooled(server) as pool:
                request = get(server)
                with pytest.raises(MalformedResponse, match=words) as caught:
                    await asyncio.wait_for(pool.send(request), PATIENCE_S)
                assert request.is_sent
                assert "abc" not in str(caught.value)
                assert (await pool.send(get(server))).content == b"fine"
                assert len(server.peers) == 2


async def test_an_answer_larger_than_the_limit_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONTENT_BYTES", 1000)

    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.say(b"x" * 600)

    async with raw(endless) as server, pooled(server) as pool:
        with pytest.raises(MalformedResponse, match="larger than 1000 bytes"):
            await asyncio.wait_for(pool.send(get(server)), PATIENCE_S)


async def test_an_answer_that_is_cut_off_is_no_answer(subtests: pytest.Subtests) -> None:
    plain = [b"", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
    chunked = [CHUNKED + sent for sent in (b"9\r\nabc", b"3\r\nabc\r\n", b"3\r\nabc\r\n0\r\n")]
    for beginning in plain + chunked:
        with subtests.test(beginning=beginning):
            async with raw(once(beginning)) as server, pooled(server) as pool:
                request = get(server)
                with pytest.raises(ServerDisconnectedError) as caught:
                    await pool.send(request)
                assert request.is_sent
                assert not caught.value.was_kept


@given(
    content=st.binary(max_size=300),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    cuts=st.lists(st.integers(0, 1200), max_size=30),
    is_chunked=st.booleans(),
    interim=st.integers(0, 2),
)
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_answer_is_the_same_however_it_arrives(
    content: bytes, sizes: list[int], cuts: list[int], is_chunked: bool, interim: int
) -> None:
    wire = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * interim + _framed(content, sizes, is_chunked)
    places = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    response, connection = _fed([wire[a:b] for a, b in itertools.pairwise(places)])
    assert isinstance(response, Response)
    assert (response.status, response.content, response.headers["x-a"]) == (200, content, "b")
    assert connection.is_clean


PIECES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.0 204 N\r\n", b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc",
]  # fmt: skip


@pytest.mark.slow
@given(data=st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(PIECES)), max_size=12))
@settings(deadline=None, max_examples=500)
def test_whatever_arrives_the_answer_is_an_answer_or_an_error_of_ours(data: list[bytes]) -> None:
    outcome, connection = _fed(data, ends=True)
    assert isinstance(outcome, Response | TransportError)
    assert not connection.is_open


def _fed(pieces: list[bytes], *, ends: bool = False) -> tuple[Response | BaseException, Connection]:
    """Return the outcome of a request whose connection receives these bytes."""

    async def play() -> tuple[Response | BaseException, Connection]:
        connection = Connection(asyncio.get_running_loop(), lambda _: None)
        transport = Nowhere()
        connection.connection_made(transport)
        request = plain_request()
        task = asyncio.ensure_future(connection.exchange(request, request.head()))
        await asyncio.sleep(0)
        for piece in pieces:
            if not transport.is_aborted:
                connection.data_received(piece)
        if ends:
            if not transport.is_aborted:
                connection.eof_received()
            connection.connection_lost(None)
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        return outcome, connection

    return asyncio.run(play())


def plain_request() -> Request:
    return Request("GET", Origin("http", "linq.test", 80), "/", RequestHeaders({}))


def _framed(content: bytes, sizes: list[int], is_chunked: bool) -> bytes:
    if not is_chunked:
        return said(content, "200 OK", "X-A: b")
    wire, left, turn = b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n", content, 0
    while left:
        piece, left = left[: sizes[turn % len(sizes)]], left[sizes[turn % len(sizes)] :]
        wire += b"%X;n=%d\r\n%s\r\n" % (len(piece), turn, piece)
        turn += 1
    return wire + b"0\r\nX-A: trailer\r\n\r\n"


# --- uploads --------------------------------------------------------------------------------------------------------


async def pieces(*given: bytes, ended: list[bool] | None = None) -> AsyncGenerator[bytes, None]:
    try:
        for piece in given:
            yield piece
    finally:
        if ended is not None:
            ended.append(True)


async def test_content_in_pieces_leaves_no_faster_than_it_is_read() -> None:
    reading, produced = asyncio.Event(), 0

    async def slow(peer: Peer) -> None:
        while True:
            await peer.reader.readuntil(b"\r\n\r\n")
            await reading.wait()
            assert await peer.reader.readexactly(400 * 100_000) == b"x" * 400 * 100_000
            await peer.say(said(b"got it"))

    async def counted() -> AsyncGenerator[bytes, None]:
        nonlocal produced
        for _ in range(400):
            produced += 1
            yield b"x" * 100_000

    async with raw(slow) as server, pooled(server) as pool:
        task = asyncio.create_task(pool.send(get(server, method="PUT", content=counted(), size=400 * 100_000)))
        before = -1
        while produced != before or not produced:
            before = produced
            await asyncio.sleep(0.05)
        assert produced < 300, "chunks that the server does not read are not taken from their source"
        reading.set()
        assert (await asyncio.wait_for(task, PATIENCE_S)).content == b"got it"
        whole = get(server, method="PUT", content=pieces(b"x" * 40_000_000), size=40_000_000)
        assert (await pool.send(whole)).status == 200


@pytest.mark.parametrize("given", [[b"abc"], [b"abc", b"defg"], []], ids=str)
async def test_content_that_is_not_as_long_as_announced_is_an_error_and_ends_the_connection(given: list[bytes]) -> None:
    ended: list[bool] = []

    async with raw(always(said(b"got it"))) as server, pooled(server) as pool:
        with pytest.raises(ValueError, match="5 bytes"):
            await pool.send(get(server, method="PUT", content=pieces(*given, ended=ended), size=5))
        assert (await pool.send(get(server))).content == b"got it"
        assert len(server.peers) == 2
        assert ended == [True]


@pytest.mark.parametrize("piece", [b"x" * 200_000, b"x"])  # of the long ones, some still wait to be written
async def test_an_answer_before_the_upload_ends_is_the_answer_and_the_rest_is_not_sent(piece: bytes) -> None:
    ended: list[bool] = []

    async def refuse(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(said(b"too large", "413 No"))
        await peer.reader.read()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield piece
                await asyncio.sleep(0)
        finally:
            ended.append(True)

    async with raw(refuse) as server, pooled(server) as pool:
        response = await pool.send(get(server, method="PUT", content=endless(), size=10**12))
        assert (response.status, response.content, ended) == (413, b"too large", [True])
        await asyncio.wait_for(pool.send(get(server)), PATIENCE_S)
        assert len(server.peers) == 2, "half a request was on that connection"


async def test_an_upload_whose_connection_is_lost_ends() -> None:
    async def leave(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.transport.abort()

    async with raw(leave) as server, pooled(server) as pool:
        content = pieces(*[b"x" * 200_000] * 500)
        with pytest.raises(ServerDisconnectedError):
            await asyncio.wait_for(pool.send(get(server, method="PUT", content=content, size=100_000_000)), PATIENCE_S)


async def test_a_connection_that_is_gone_takes_no_request() -> None:
    connection = Connection(asyncio.get_running_loop(), lambda _: None)
    connection.connection_made(Nowhere())
    connection.connection_lost(None)
    request = plain_request()
    with pytest.raises(ConnectFailed):
        await connection.exchange(request, request.head())
    assert not request.is_sent
