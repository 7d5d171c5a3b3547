"""The connection pool: order of waiting requests, reuse, and that no request gets another request's response."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncGenerator
from contextvars import Context
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import cast

import pytest
from client.raw_server import Peer, Raw, always, anyio_backend, get, once, pooled, raw, said, whole  # noqa: F401
from patience import PATIENCE_S, until

from linqbot.client.http.connection import IDLE_S, Connection
from linqbot.client.http.http11 import Response, ServerDisconnectedError
from linqbot.client.http.pool import Pool


async def echo(peer: Peer) -> None:
    """Respond with the target and the content of each request, in two chunks."""
    while True:
        head, content = await peer.request()
        answer = said(f"{head.split(' ')[1]} {content.decode()}".encode())
        await peer.say(answer[:25])
        await asyncio.sleep(0)
        await peer.say(answer[25:])


class Held:
    """A server that responds only when the test allows it, with the number of the connection."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[str, Peer]] = asyncio.Queue()

    async def play(self, peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            self.came.put_nowait((head.split(" ")[1], peer))

    async def answer(self) -> str:
        """Respond to the oldest request without a response, and return its path."""
        target, peer = await asyncio.wait_for(self.came.get(), PATIENCE_S)
        await peer.say(said(str(peer.number).encode()))
        return target


async def two_idle(held: Held, server: Raw, pool: Pool) -> tuple[int, int]:
    """Leave two connections idle. Return the number of the one that was used earlier, and of the one used last."""
    both = {asyncio.create_task(pool.send(get(server))) for _ in range(2)}
    await held.answer()
    (earlier,), (pending,) = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    await held.answer()
    return int(earlier.result().content), int((await pending).content)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Put the clock of the running event loop forward."""
    loop = asyncio.get_running_loop()
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + seconds)


NOT_ITS_OWN = (asyncio.AbstractEventLoop, Context, ModuleType, FunctionType, CodeType, FrameType, type)
"""Objects that lead from a connection to the whole program, and so to the test's own variables and constants."""


def held_bytes(connection: Connection) -> bytes:
    """Return all bytes in memory to which a connection leads, directly or through other objects of its own."""
    seen: set[int] = set()
    found = b""
    todo: list[object] = [connection]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, NOT_ITS_OWN):
            continue
        seen.add(id(thing))
        found += bytes(thing) if isinstance(thing, bytes | bytearray) else b""
        todo += gc.get_referents(thing)
    return found


def connections_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


async def test_the_connection_used_last_is_used_first() -> None:
    held = Held()
    async with raw(held.play) as server, pooled(server) as pool:
        earlier, last = await two_idle(held, server, pool)
        assert earlier != last
        for _ in range(3):
            task = asyncio.create_task(pool.send(get(server)))
            await held.answer()
            assert int((await task).content) == last
        assert len(server.peers) == 2


@pytest.mark.parametrize(("keeps", "seconds"), [("X-A: b", IDLE_S), ("Keep-Alive: max=5, timeout=4", 3)])
async def test_a_connection_that_rested_longer_than_we_or_the_server_keep_it_is_not_used_again(
    keeps: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw(always(said(b"", "200 OK", keeps))) as server, pooled(server, max_connections=2) as pool:
        await pool.send(get(server))
        later(monkeypatch, seconds - 1)
        await pool.send(get(server))
        assert len(server.peers) == 1
        later(monkeypatch, seconds)
        await pool.send(get(server))
        assert len(server.peers) == 2
        await asyncio.wait_for(server.peers[0].ended.wait(), PATIENCE_S)
        await whole(server, pool, 2)


# --- requests that must not be repeated -----------------------------------------------------------------------------


async def test_a_request_that_must_not_be_repeated_gets_a_new_connection_which_is_kept_afterwards() -> None:
    async with raw(always(said(b"here"))) as server, pooled(server, max_connections=4) as pool:
        await pool.send(get(server))
        await pool.send(get(server, needs_new_connection=True))
        assert len(server.peers) == 2
        await pool.send(get(server))
        assert len(server.peers) == 2
        await whole(server, pool, 4)


async def test_a_new_connection_takes_the_place_of_the_longest_idle_one_when_all_are_taken() -> None:
    held = Held()
    async with raw(held.play) as server, pooled(server, max_connections=2) as pool:
        oldest, newest = await two_idle(held, server, pool)
        task = asyncio.create_task(pool.send(get(server, needs_new_connection=True)))
        await held.answer()
        assert (await task).content == b"2"
        await asyncio.wait_for(server.peers[oldest].ended.wait(), PATIENCE_S)
        assert not server.peers[newest].ended.is_set()
        assert len(server.peers) == 3
        await whole(server, pool, 2)


# --- idle connections -----------------------------------------------------------------------------------------------


async def test_a_connection_at_rest_holds_nothing_of_what_it_brought() -> None:
    opened: list[Connection] = []
    async with (
        raw(always(said(b"hello there", "200 OK", "X-A: secret"))) as server,
        pooled(server, opened=opened) as pool,
    ):
        request = get(server, "/path", "POST", content=b"good bye")
        assert (await pool.send(request)).headers["x-a"] == "secret"
        (connection,) = opened
        assert connection.is_open
        held = held_bytes(connection)
        assert [text for text in (b"hello there", b"secret", b"/path", b"good bye") if text in held] == []


async def test_a_connection_the_server_closed_while_it_rested_is_never_handed_out() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(said(b"fine"))
        peer.writer.write_eof()
        await peer.reader.read()  # ends when the client has noticed and closed its side

    before = connections_in_memory()
    async with raw(play) as server, pooled(server, max_connections=2) as pool:
        for _ in range(5):
            assert (await asyncio.wait_for(pool.send(get(server)), PATIENCE_S)).content == b"fine"
            await server.all_ended()
        assert len(server.peers) == 5
        assert connections_in_memory() == before
        await whole(server, pool, 2)


async def test_what_a_server_says_unasked_ends_the_connection() -> None:
    talk = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(said(b"fine"))
        await talk.wait()
        await peer.say(said(b"evil"))
        await peer.reader.read()

    async with raw(play) as server, pooled(server, max_connections=4) as pool:
        await pool.send(get(server))
        talk.set()
        await server.all_ended()
        assert (await pool.send(get(server))).content == b"fine"
        assert len(server.peers) == 2
        await whole(server, pool, 4)


@pytest.mark.parametrize("unasked", [said(b"evil"), b""], ids=["a response", "the end"])
async def test_what_a_server_says_while_the_loop_is_busy_ends_the_connection_too(unasked: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(said(b"fine"))
        await peer.reader.read()

    async with raw(play) as server, pooled(server, max_connections=2) as pool:
        await pool.send(get(server))
        (peer,) = server.peers
        sock = peer.writer.get_extra_info("socket")
        # Past the event loop, which notices it only after the next request was sent.
        with socket.socket(fileno=os.dup(sock.fileno())) as own:
            own.send(unasked) if unasked else own.shutdown(socket.SHUT_WR)
        assert (await pool.send(get(server))).content == b"fine"
        assert len(server.peers) == 2
        await whole(server, pool, 2)


async def test_a_reused_connection_without_a_response_is_marked_and_closes_the_other_idle_ones() -> None:
    leave = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(said(b"fine"))
        await peer.request()
        await leave.wait()

    async with raw(play) as server, pooled(server, max_connections=4) as pool:
        await asyncio.gather(*[pool.send(get(server)) for _ in range(3)])
        request = get(server)
        task = asyncio.create_task(pool.send(request))
        await until(lambda: request.is_sent)
        leave.set()
        with pytest.raises(ServerDisconnectedError) as caught:
            await task
        assert caught.value.was_kept
        assert request.is_sent
        await server.all_ended()
        assert (await pool.send(get(server))).content == b"fine"
        assert len(server.peers) == 4
        await whole(server, pool, 4)


async def test_the_request_that_waits_longest_for_a_connection_is_next() -> None:
    held = Held()
    async with raw(held.play) as server, pooled(server, max_connections=1) as pool:
        tasks = []
        for number in range(6):
            tasks.append(asyncio.create_task(pool.send(get(server, f"/{number}"))))
            await asyncio.sleep(0)
        tasks[3].cancel()
        assert [await held.answer() for _ in range(5)] == ["/0", "/1", "/2", "/4", "/5"]
        await asyncio.gather(*tasks, return_exceptions=True)
        assert server.most_open == 1
        await whole(server, pool, 1)


async def test_a_waiting_request_opens_its_own_when_a_connection_ends_instead_of_coming_back() -> None:
    async with raw(once(b"")) as server, pooled(server, max_connections=1) as pool:
        outcomes = await asyncio.wait_for(
            asyncio.gather(*[pool.send(get(server)) for _ in range(5)], return_exceptions=True), 10
        )
        assert all(isinstance(outcome, ServerDisconnectedError) for outcome in outcomes)
        assert len(server.peers) == 5
        await whole(server, pool, 1)


async def test_a_request_cancelled_while_it_gets_a_connection_passes_it_on() -> None:
    held = Held()

    async def first() -> None:
        await pool.send(get(server, "/first"))
        tasks[0].cancel()  # it has been given the connection, and has not run since

    async with raw(held.play) as server, pooled(server, max_connections=1) as pool:
        running = asyncio.create_task(first())
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(pool.send(get(server, f"/{number}"))) for number in range(3)]
        assert [await held.answer() for _ in range(3)] == ["/first", "/1", "/2"]
        await asyncio.wait_for(asyncio.wait([running, *tasks]), PATIENCE_S)
        assert tasks[0].cancelled()
        assert [task.result().content for task in tasks[1:]] == [b"0", b"0"]
        await whole(server, pool, 1)


async def test_a_connection_lost_while_it_is_handed_over_is_replaced() -> None:
    held = Held()
    opened: list[Connection] = []

    async def first() -> None:
        await pool.send(get(server, "/first"))
        opened[0].abort()  # the next request has been given the connection, and has not run since

    async with raw(held.play) as server, pooled(server, opened=opened, max_connections=1) as pool:
        running = asyncio.create_task(first())
        await asyncio.sleep(0)
        task = asyncio.create_task(pool.send(get(server, "/x")))
        assert [await held.answer() for _ in range(2)] == ["/first", "/x"]
        assert (await asyncio.wait_for(task, PATIENCE_S)).content == b"1"
        await running
        await whole(server, pool, 1)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_cancelled_at_any_await_a_call_disturbs_no_other(is_streamed: bool) -> None:
    async def slowly() -> AsyncGenerator[bytes, None]:
        for _ in range(3):
            yield b"abc"
            await asyncio.sleep(0)

    def upload(server: Raw) -> asyncio.Future[Response]:
        content = slowly() if is_streamed else b"abcabcabc"
        return asyncio.ensure_future(pool.send(get(server, "/gone", "PUT", content=content, size=9)))

    async with raw(echo) as server, pooled(server, max_connections=2) as pool:
        steps, was_done = 0, False
        while not was_done:
            task = upload(server)
            others = [asyncio.ensure_future(pool.send(get(server, f"/{steps}/{number}"))) for number in range(3)]
            for _ in range(steps):
                await asyncio.sleep(0)
            was_done = task.done() and all(other.done() for other in others)
            task.cancel()
            answers = await asyncio.wait_for(asyncio.gather(task, *others, return_exceptions=True), PATIENCE_S)
            gone = answers[0]
            assert isinstance(gone, asyncio.CancelledError) or cast("Response", gone).content == b"/gone abcabcabc"
            assert [other.result().content for other in others] == [f"/{steps}/{n} ".encode() for n in range(3)]
            await whole(server, pool, 2)
            steps += 1
            await asyncio.gather(*[pool.send(get(server)) for _ in range(steps % 3)])  # the idle ones of the next run
        assert steps > 5


async def test_closing_ends_what_is_under_way_and_refuses_what_comes() -> None:
    held = Held()
    async with raw(held.play) as server, pooled(server, max_connections=2) as pool:
        tasks = [asyncio.create_task(pool.send(get(server))) for _ in range(3)]
        for _ in range(2):
            await held.came.get()
        await pool.aclose()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
        assert [type(outcome) for outcome in outcomes] == [ServerDisconnectedError] * 2 + [RuntimeError]
        with pytest.raises(RuntimeError, match="closed"):
            await pool.send(get(server))
        await server.all_ended()
        await pool.aclose()
