"""The connection pool: order of waiting requests, reuse, and that no request gets another request's response."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from client.raw_server import LOOPS, Peer, Raw, always, get, once, pooled, raw, said

from linqbot.client.http.connector import Connector
from linqbot.client.http.http11 import Response, ServerDisconnectedError
from linqbot.client.http.pool import Pool

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


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
        target, peer = await asyncio.wait_for(self.came.get(), 5)
        await peer.say(said(str(peer.number).encode()))
        return target


def whole(pool: Pool, slots: int) -> None:
    """Assert that no slot of the pool was lost or duplicated."""
    assert pool._free_slots + len(pool._idle) == slots
    assert not pool._waiting
    assert len(pool._open) >= len(pool._idle)


async def test_the_connection_used_last_is_used_first() -> None:
    held = Held()
    async with raw(held.play) as server, pooled(server) as pool:
        both = [asyncio.create_task(pool.send(get(server))) for _ in range(2)]
        await held.answer()
        await held.answer()
        first, last = [(await task).content for task in both]
        assert first != last
        newest = next(reversed(pool._idle))
        task = asyncio.create_task(pool.send(get(server)))
        await held.answer()
        await task
        assert next(reversed(pool._idle)) is newest
        assert len(server.peers) == 2


async def test_a_connection_that_rested_too_long_is_not_used_again() -> None:
    async with raw(echo) as server, pooled(server) as pool:
        await pool.send(get(server))
        pool._idle[next(iter(pool._idle))] = 0.0
        await pool.send(get(server))
        assert len(server.peers) == 2
        whole(pool, 256)


async def test_connections_that_are_idle_too_long_are_closed_without_a_request() -> None:
    async with raw(echo) as server, pooled(server) as pool:
        await asyncio.gather(*[pool.send(get(server)) for _ in range(3)])
        assert pool._sweep is not None
        old = list(pool._idle)[:2]
        for connection in old:
            pool._idle[connection] = 0.0
        pool._end_old()
        await asyncio.wait([connection.lost for connection in old])
        assert len(pool._idle) == len(pool._open) == 1
        assert pool._sweep is not None
        whole(pool, 256)


# --- requests that must not be repeated -----------------------------------------------------------------------------


async def test_a_request_that_must_not_be_repeated_gets_a_new_connection_which_is_kept_afterwards() -> None:
    async with raw(always(said(b"here"))) as server, pooled(server) as pool:
        await pool.send(get(server))
        await pool.send(get(server, needs_new_connection=True))
        assert len(server.peers) == 2
        await pool.send(get(server))
        assert len(server.peers) == 2
        whole(pool, 256)


async def test_a_server_that_closes_after_every_answer_leaves_no_such_request_unanswered() -> None:
    async with raw(once(said(b"here"))) as server, pooled(server) as pool:
        for _ in range(100):
            assert (await pool.send(get(server, needs_new_connection=True))).content == b"here"
        whole(pool, 256)


async def test_a_new_connection_takes_the_place_of_the_longest_idle_one_when_all_are_taken() -> None:
    async with raw(always(said(b"here"))) as server, pooled(server, max_connections=2) as pool:
        await asyncio.gather(*[pool.send(get(server)) for _ in range(2)])
        oldest, newest = pool._idle
        await pool.send(get(server, needs_new_connection=True))
        assert not oldest.is_open
        assert newest.is_open
        assert len(server.peers) == 3
        whole(pool, 2)


async def test_a_new_connection_takes_the_place_of_one_that_becomes_free() -> None:
    held = Held()
    async with raw(held.play) as server, pooled(server, max_connections=1) as pool:
        first = asyncio.create_task(pool.send(get(server, "/first")))
        target, peer = await held.came.get()
        second = asyncio.create_task(pool.send(get(server, "/second", needs_new_connection=True)))
        third = asyncio.create_task(pool.send(get(server, "/third")))
        await asyncio.sleep(0)
        await peer.say(said(b"0"))
        assert [await held.answer(), await held.answer()] == ["/second", "/third"]
        assert [(await task).content for task in (first, second, third)] == [b"0", b"1", b"1"]
        assert target == "/first"
        whole(pool, 1)


async def test_a_request_cancelled_while_it_waits_for_a_new_connection_loses_no_place() -> None:
    held = Held()
    async with raw(held.play) as server, pooled(server, max_connections=1) as pool:
        first = asyncio.create_task(pool.send(get(server)))
        _, peer = await held.came.get()
        waiting = [asyncio.create_task(pool.send(get(server, needs_new_connection=True))) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await peer.say(said(b"0"))
        await first
        waiting[1].cancel()
        await held.answer()
        assert (await waiting[2]).status == 200
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        whole(pool, 1)


# --- idle connections -----------------------------------------------------------------------------------------------


async def test_a_connection_at_rest_holds_nothing_of_what_it_brought() -> None:
    async with raw(always(said(b"hello there", "200 OK", "X-A: secret"))) as server, pooled(server) as pool:
        assert (await pool.send(get(server))).headers["x-a"] == "secret"
        (connection,) = pool._idle
        assert (bytes(connection._content), connection._fields) == (b"", {})


async def test_how_long_a_server_keeps_a_connection_is_respected() -> None:
    async with raw(always(said(b"", "200 OK", "Keep-Alive: max=5, timeout=4"))) as server, pooled(server) as pool:
        await pool.send(get(server))
        (until,) = pool._idle.values()
        assert until <= asyncio.get_running_loop().time() + 3


async def test_a_connection_the_server_closed_while_it_rested_is_never_handed_out() -> None:
    async with raw(once(said(b"fine"))) as server, pooled(server, max_connections=2) as pool:
        for _ in range(5):
            await pool.send(get(server))
            if pool._idle:
                await asyncio.wait([next(iter(pool._idle)).lost])
        assert not pool._open
        whole(pool, 2)


async def test_what_a_server_says_unasked_ends_the_connection() -> None:
    talk = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(said(b"fine"))
        await talk.wait()
        await peer.say(said(b"evil"))
        await peer.reader.read()

    async with raw(play) as server, pooled(server) as pool:
        await pool.send(get(server))
        (connection,) = pool._idle
        talk.set()
        await asyncio.wait_for(asyncio.wait([connection.lost]), 5)
        assert (await pool.send(get(server))).content == b"fine"
        assert len(server.peers) == 2
        whole(pool, 256)


async def test_a_reused_connection_without_a_response_is_marked_and_closes_the_other_idle_ones() -> None:
    leave = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(said(b"fine"))
        await peer.request()
        await leave.wait()

    async with raw(play) as server, pooled(server) as pool:
        await asyncio.gather(*[pool.send(get(server)) for _ in range(3)])
        request = get(server)
        task = asyncio.create_task(pool.send(request))
        while not request.is_sent:
            await asyncio.sleep(0)
        leave.set()
        with pytest.raises(ServerDisconnectedError) as caught:
            await task
        assert caught.value.was_kept
        assert request.is_sent
        assert not pool._idle
        assert (await pool.send(get(server))).content == b"fine"
        whole(pool, 256)


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
        whole(pool, 1)


async def test_a_waiting_request_opens_its_own_when_a_connection_ends_instead_of_coming_back() -> None:
    async with raw(once(b"")) as server, pooled(server, max_connections=1) as pool:
        outcomes = await asyncio.wait_for(
            asyncio.gather(*[pool.send(get(server)) for _ in range(5)], return_exceptions=True), 10
        )
        assert all(isinstance(outcome, ServerDisconnectedError) for outcome in outcomes)
        assert len(server.peers) == 5
        whole(pool, 1)


async def test_a_request_cancelled_while_it_gets_a_connection_passes_it_on() -> None:
    async with raw(echo) as server, pooled(server, max_connections=1) as pool:
        await pool.send(get(server))
        connection = pool._take_idle()
        assert connection is not None
        tasks = [asyncio.create_task(pool.send(get(server, f"/{number}"))) for number in range(3)]
        while len(pool._waiting) < 3:
            await asyncio.sleep(0)
        pool._put_back(connection)
        tasks[0].cancel()
        await asyncio.wait_for(asyncio.wait(tasks), 5)
        assert tasks[0].cancelled()
        assert [task.result().content for task in tasks[1:]] == [b"/1 ", b"/2 "]
        assert len(server.peers) == 1
        whole(pool, 1)


async def test_a_connection_lost_while_it_is_handed_over_is_replaced() -> None:
    async with raw(echo) as server, pooled(server, max_connections=1) as pool:
        await pool.send(get(server))
        connection = pool._take_idle()
        assert connection is not None
        task = asyncio.create_task(pool.send(get(server, "/x")))
        while not pool._waiting:
            await asyncio.sleep(0)
        pool._put_back(connection)
        connection.abort()
        assert (await asyncio.wait_for(task, 5)).content == b"/x "
        assert len(server.peers) == 2
        whole(pool, 1)


async def test_a_thousand_calls_share_256_connections_and_each_gets_its_own_answer() -> None:
    async with raw(echo) as server, pooled(server) as pool:
        requests = [get(server, f"/{number}", "POST", content=b"x" * (number % 50)) for number in range(1000)]
        answers = await asyncio.wait_for(asyncio.gather(*map(pool.send, requests)), 60)
        assert [answer.content for answer in answers] == [
            f"/{number} {'x' * (number % 50)}".encode() for number in range(1000)
        ]
        assert len(server.peers) == server.most_open == 256
        whole(pool, 256)


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
            answers = await asyncio.wait_for(asyncio.gather(task, *others, return_exceptions=True), 5)
            gone = answers[0]
            assert isinstance(gone, asyncio.CancelledError) or cast("Response", gone).content == b"/gone abcabcabc"
            assert [other.result().content for other in others] == [f"/{steps}/{n} ".encode() for n in range(3)]
            whole(pool, 2)
            for connection in tuple(pool._idle)[steps % 3 :]:  # start with idle connections, and without
                connection.abort()
                await asyncio.wait([connection.lost])
            steps += 1
        assert steps > 5


async def test_calls_that_run_out_of_time_anywhere_disturb_no_other() -> None:
    chance = random.Random(7)

    async def hurried(number: int) -> None:
        try:
            async with asyncio.timeout(chance.random() * 0.02):
                answer = await pool.send(get(server, f"/{number}"))
        except TimeoutError:
            return
        assert answer.content == f"/{number} ".encode()

    async with raw(echo) as server, pooled(server, max_connections=8) as pool:
        for batch in range(5):
            await asyncio.gather(*[hurried(batch * 100 + number) for number in range(100)])
            answer = await asyncio.wait_for(pool.send(get(server, "/patient")), 5)
            assert answer.content == b"/patient "
        whole(pool, 8)


async def test_closing_ends_what_is_under_way_and_refuses_what_comes() -> None:
    held = Held()
    async with raw(held.play) as server, pooled(server, max_connections=2) as pool:
        tasks = [asyncio.create_task(pool.send(get(server))) for _ in range(3)]
        for _ in range(2):
            await held.came.get()
        await pool.aclose()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ServerDisconnectedError] * 2 + [RuntimeError]
        with pytest.raises(RuntimeError, match="closed"):
            await pool.send(get(server))
        assert not pool._open
        await pool.aclose()


async def test_a_connection_that_opens_after_the_pool_closed_is_ended() -> None:
    async with raw(echo) as server, pooled(server) as pool:
        task = asyncio.create_task(pool.send(get(server)))
        await asyncio.sleep(0)
        await pool.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await task
        await asyncio.sleep(0.01)
        assert not pool._open


def test_a_pool_that_never_sent_anything_can_be_closed() -> None:
    pool = Pool(Connector(Raw(echo).origin, connect_timeout_s=5))
    asyncio.run(pool.aclose())
