"""The server goes away and comes back: nothing is lost, nothing is stored twice, and callers are answered meanwhile."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from linqbot_postgres import processes
from linqbot_postgres.address import Address, Connection, is_away
from linqbot_postgres.storage import PostgresStorage
from patience import PATIENCE_S, until
from postgres_server import connected, empty_storage_url, server_url, start
from storage.conftest import delivery, leased, open_and_close
from structlog.testing import capture_logs

from linqbot.errors import LeaseLost, StorageUnavailable
from linqbot.storage.inbox import Ack, Commit

pytestmark = pytest.mark.process

T = TypeVar("T")
ACK = Commit(Ack())


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A server of these tests, with the settings of a real one: durable, and it can be stopped. Each test leaves it running."""
    with tempfile.TemporaryDirectory(prefix="linqbot-pg-") as folder:
        server = start(Path(folder) / "data")
        yield server
        server.cleanup()


@pytest.fixture
def url(server: Any) -> str:
    """The URL of a new storage on this server."""
    return f"{server.get_uri()}&schema=s{secrets.token_hex(4)}"


async def back(storage: PostgresStorage) -> None:
    await until(lambda: storage.trouble is None)


async def test_a_storage_goes_on_when_its_server_was_restarted(server: Any, url: str) -> None:
    async with PostgresStorage(url) as storage:
        for n in range(3):
            await storage.put(delivery(f"c:{n}", name=f"w.{n}"))
        first, second = await storage.take(2, lease_s=600)
        await asyncio.to_thread(server.stop)
        await until(lambda: storage.trouble is not None)
        for call in (storage.put(delivery()), storage.finish(first, ACK), storage.depth(), storage.check()):
            with pytest.raises(StorageUnavailable, match="cannot be reached"):
                await call
        await storage.changed()
        await asyncio.to_thread(server.start)
        await back(storage)
        await storage.check()
        # The leases of this process are still its own.
        await storage.finish(first, ACK)
        (third,) = await storage.take(10, lease_s=600)
        assert (third.delivery.id, third.crashes) == ("w.2", 0)
        await storage.finish(second, ACK)
        await storage.finish(third, ACK)
        assert await storage.put(delivery(name="w.0")) is False
        assert await storage.put(delivery(name="w.3")) is True
        assert await storage.depth() == 1


async def test_a_storage_that_is_opened_while_its_server_is_away_waits_for_it(server: Any, url: str) -> None:
    await asyncio.to_thread(server.stop)
    with capture_logs() as logs:
        storage = PostgresStorage(url)
        opening = asyncio.ensure_future(storage.__aenter__())
        await until(lambda: logs)
        with pytest.raises(StorageUnavailable):
            await open_and_close(PostgresStorage(url, serving=False))
        await asyncio.to_thread(server.start)
        await asyncio.wait_for(opening, PATIENCE_S)
    try:
        assert await storage.put(delivery()) is True
    finally:
        await storage.__aexit__(None, None, None)
    assert [line["event"] for line in logs] == ["storage.awaited"]


async def test_a_server_that_refuses_a_process_is_not_waited_for() -> None:
    scheme, netloc, path, query, _ = urlsplit(server_url())
    failed = []
    for wrong, said in (
        ((scheme, netloc, "/nowhere", query, ""), "does not exist"),
        ((scheme, "nobody@", path, query, ""), "does not exist"),
        ((scheme, "postgres@no-such-host.invalid", path, "", ""), "does not answer"),
    ):
        url = urlunsplit(wrong)
        with pytest.raises(StorageUnavailable) as error:
            await asyncio.wait_for(open_and_close(PostgresStorage(url)), PATIENCE_S)
        if said not in str(error.value):
            failed.append((wrong, str(error.value)))
    assert not failed


def test_only_a_server_that_may_come_back_is_away() -> None:
    away = {
        ConnectionRefusedError(111, "refused"): True,
        OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"): True,
        OSError(113, "No route to host"): True,
        FileNotFoundError(2, "No such file or directory"): True,
        TimeoutError(): True,
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"): True,
        asyncpg.CannotConnectNowError("starting up"): True,
        ConnectionError("rejected SSL upgrade"): False,
        ssl.SSLCertVerificationError(1, "certificate verify failed"): False,
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"): False,
        asyncpg.InvalidPasswordError("wrong"): False,
        asyncpg.InvalidCatalogNameError("no database"): False,
        asyncpg.TooManyConnectionsError("full"): False,
    }
    assert {error: is_away(error) for error in away} == away


async def test_a_storage_without_its_server_closes_and_the_next_start_counts_its_leases(server: Any, url: str) -> None:
    async with PostgresStorage(url) as storage:
        await storage.put(delivery(name="w.1"))
        await storage.take(1, lease_s=600)
        await asyncio.to_thread(server.stop)
        await until(lambda: storage.trouble is not None)
    await asyncio.to_thread(server.start)
    async with connected(server.get_uri()) as watcher:
        while await watcher.fetchval("SELECT clock_timestamp() - pg_postmaster_start_time() < interval '10 s'"):
            await asyncio.sleep(0.1)
    async with PostgresStorage(url) as storage:
        (lease,) = await storage.take(1, lease_s=600)
        assert (lease.delivery.id, lease.crashes) == ("w.1", 1)
        await storage.finish(lease, ACK)


async def test_a_storage_closes_in_time_although_its_server_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot_postgres.storage.CLOSE_S", 0.1)
    url = empty_storage_url("bot")
    storage = await PostgresStorage(url).__aenter__()
    other = await Address.parse(url).connect()
    try:
        async with other.transaction():
            # What the storage writes last waits for this lock, as it would wait for a server that has gone.
            await other.execute("LOCK TABLE process IN ACCESS EXCLUSIVE MODE")
            await asyncio.wait_for(storage.__aexit__(None, None, None), PATIENCE_S)
    finally:
        await other.close()


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the storage is available, as Linq and the worker do."""
    while True:
        try:
            return await call()
        except StorageUnavailable:
            await asyncio.sleep(0.01)


async def handle(storage: PostgresStorage, count: int) -> list[str]:
    """Handle `count` deliveries, and return their ids in the order in which they were leased."""
    handled: list[str] = []
    while len(handled) < count:
        leases = await insist(lambda: storage.take(20, lease_s=600))
        if not leases:
            await storage.changed()
        for lease in leases:
            handled.append(lease.delivery.id)
            try:
                await insist(lambda lease=lease: storage.finish(lease, ACK))  # type: ignore[misc]
            except LeaseLost:
                # The commit was done, and its answer was lost with the connection.
                assert await insist(lambda lease=lease: storage.waiting(delivery_id=lease.delivery.id)) == []  # type: ignore[misc]
    return handled


async def break_connections(storage: PostgresStorage, name: str) -> None:
    """Let the server close the connections of a storage, again each time a moment after it has new ones."""
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE $1"
    async with connected(server_url()) as stranger:
        while True:
            await back(storage)
            await asyncio.sleep(0.25)
            await stranger.fetchval(kill, f"linqbot {name}%")


async def test_nothing_is_lost_or_handled_twice_while_connections_break() -> None:
    lanes, rounds = 7, 12
    async with PostgresStorage(empty_storage_url("breaking")) as storage:

        async def accept() -> None:
            for n in range(rounds):
                made = [delivery(f"c:{lane}", name=f"w.{lane}.{n}") for lane in range(lanes)]
                await asyncio.gather(*(insist(lambda one=one: storage.put(one)) for one in made))  # type: ignore[misc]

        breaking = asyncio.ensure_future(break_connections(storage, "breaking"))
        both = asyncio.gather(accept(), handle(storage, lanes * rounds))
        _, handled = await asyncio.wait_for(both, PATIENCE_S)
        breaking.cancel()
        await asyncio.wait([breaking])
        assert await insist(storage.depth) == 0
    for lane in range(lanes):
        own = [each for each in handled if each.startswith(f"w.{lane}.")]
        assert own == [f"w.{lane}.{n}" for n in range(rounds)]


@pytest.fixture
def second_listener_is_lost(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The listening connections. The second one ends while the storage connects again."""
    join, remember = processes.join, processes.remember
    found: list[Connection] = []

    async def noted(connection: Connection, address: Address, process: str) -> None:
        await join(connection, address, process)
        found.append(connection)

    async def losing(*args: Any) -> None:
        await remember(*args)
        if len(found) == 2:
            found[1].terminate()

    monkeypatch.setattr(processes, "join", noted)
    monkeypatch.setattr(processes, "remember", losing)
    return found


async def test_a_listener_that_is_lost_during_a_reconnection_is_replaced(
    second_listener_is_lost: list[Connection],
) -> None:
    async with PostgresStorage(empty_storage_url("listener")) as storage:
        second_listener_is_lost[0].terminate()
        await until(lambda: storage.trouble is not None)
        await back(storage)
        assert not second_listener_is_lost[-1].is_closed()


async def test_what_others_put_into_a_watched_lane_is_seen_later(second_listener_is_lost: list[Connection]) -> None:
    url = empty_storage_url("listener")
    async with PostgresStorage(url) as storage, PostgresStorage(url, serving=False) as other:
        with storage.watch("c:1") as grew:
            second_listener_is_lost[0].terminate()
            await until(lambda: storage.trouble is not None)
            await other.put(delivery("c:1"))
            grew.clear()
            await back(storage)
            await asyncio.wait_for(grew.wait(), PATIENCE_S)


async def test_the_sweep_goes_on_after_an_unforeseen_error(monkeypatch: pytest.MonkeyPatch) -> None:
    measure, measured = processes.ahead, asyncio.Event()

    async def broken(connection: Connection) -> float:
        monkeypatch.setattr(processes, "ahead", again)
        raise KeyError

    async def again(connection: Connection) -> float:
        measured.set()
        return await measure(connection)

    monkeypatch.setattr(processes, "SWEEP_S", 0.01)
    with capture_logs() as logs:
        async with PostgresStorage(empty_storage_url("listener")):
            monkeypatch.setattr(processes, "ahead", broken)
            await asyncio.wait_for(measured.wait(), PATIENCE_S)
    assert [line["error"] for line in logs if line["event"] == "storage.sweep_failed"] == ["KeyError"]


async def test_a_connection_that_ends_within_a_statement_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, fetchval = asyncpg.Connection.fetch, asyncpg.Connection.fetchval
    armed = False

    def end_once(connection: Connection) -> None:
        nonlocal armed
        if armed:
            armed = False
            connection.terminate()
            raise AttributeError("'NoneType' object has no attribute 'bind_execute'")  # as asyncpg raises it

    async def fetch_or_end(self: Connection, *args: Any) -> Any:
        end_once(self)
        return await fetch(self, *args)

    async def fetchval_or_end(self: Connection, *args: Any) -> Any:
        end_once(self)
        return await fetchval(self, *args)

    monkeypatch.setattr(asyncpg.Connection, "fetch", fetch_or_end)
    monkeypatch.setattr(asyncpg.Connection, "fetchval", fetchval_or_end)
    async with PostgresStorage(empty_storage_url("listener")) as storage:
        lease = await leased(storage, delivery())
        for call in (storage.inbox_counts, lambda: storage.finish(lease, ACK)):
            armed = True
            with pytest.raises(StorageUnavailable, match="the connection is closed"):
                await call()
        await insist(lambda: storage.finish(lease, ACK))
        assert await storage.depth() == 0
