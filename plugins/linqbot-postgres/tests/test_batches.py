"""Batches of operations on a PostgreSQL storage: how many statements they take, and what a batch may hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import fakes
import httpx
import pytest
from linqbot_postgres.address import Address, Connection
from linqbot_postgres.lanes import following
from linqbot_postgres.storage import PostgresStorage
from linqbot_postgres.transaction import PostgresReader
from patience import PATIENCE_S
from postgres_server import empty_storage_url
from storage.conftest import delivery, entry, leased

from linqbot import Bot, Client, Context, MessageReceived
from linqbot.clock import MovableClock
from linqbot.errors import LaneFull, LeaseLost, StorageBusy
from linqbot.server.app import create_app, running
from linqbot.storage.inbox import Ack, Commit, Lease

pytestmark = pytest.mark.process

ACK = Commit(Ack())


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of all connections that are made from now on."""
    found: list[str] = []
    connect = Address.connect

    async def logged(self: Address) -> Connection:
        connection = await connect(self)
        connection.add_query_logger(lambda record: found.append(record.query))
        return connection

    monkeypatch.setattr(Address, "connect", logged)
    return found


@pytest.fixture
async def busy(statements: list[str]) -> AsyncIterator[PostgresStorage]:
    """A storage on the clock of the database, after the first batch, which also deletes what is old."""
    async with PostgresStorage(empty_storage_url("batches")) as storage:
        await storage.put(delivery("c:first", name="w.first"))
        for lease in await storage.take(1, lease_s=60):
            await storage.finish(lease, ACK)
        statements.clear()
        yield storage


@pytest.fixture
async def storage(clock: MovableClock) -> AsyncIterator[PostgresStorage]:
    url = empty_storage_url("batches")
    async with PostgresStorage(url, clock=clock, max_lane_backlog=40, max_backlog=60) as storage:
        yield storage


def accepted(lease: Lease) -> Commit:
    """Return the end of a turn whose only call was accepted."""
    return Commit(Ack(), entries=[entry(lease.delivery.id, status="accepted")], has_all_entries=True)


class Followed(PostgresStorage):
    """A storage that notes when the worker waits, with nothing left to do."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.at_rest = asyncio.Event()
        self.expected = 0

    async def finish(self, lease: Lease, commit: Commit) -> None:
        await super().finish(lease, commit)
        self.expected -= 1

    async def changed(self) -> None:
        if not self.expected:
            self.at_rest.set()
        await super().changed()


async def test_an_echo_takes_few_round_trips_and_twenty_together_take_no_more(statements: list[str]) -> None:
    bot = Bot(read=False, typing=False, max_age_s=None)
    replied: list[str] = []

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        replied.append((await ctx.reply(message.text)).status)

    def answer(request: httpx.Request) -> httpx.Response:
        message = {"id": str(uuid4()), "delivery_status": "pending", "parts": []}
        return httpx.Response(202, json={"chat_id": request.url.path.split("/")[3], "message": message})

    storage = Followed(empty_storage_url("batches"))
    client = Client("key", transport=httpx.MockTransport(answer))
    app = create_app(bot, client=client, storage=storage, secrets=["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="])
    found: dict[int, list[list[str]]] = {1: [], 20: []}
    async with running(app):
        for count, rounds in found.items():
            for _ in range(3):
                bodies = [fakes.text_body("hello", chat=str(uuid4())) for _ in range(count)]
                await asyncio.wait_for(storage.at_rest.wait(), PATIENCE_S)
                storage.expected += count
                storage.at_rest.clear()
                statements.clear()
                await asyncio.gather(*(storage.put(fakes.delivery(body)) for body in bodies))
                await asyncio.wait_for(storage.at_rest.wait(), PATIENCE_S)
                rounds.append(list(statements))
    assert replied == ["accepted"] * 63
    # Accept, lease, begin, end, and look if there is more. The first echo also counts the inbox, and turns of one batch may end
    # in several batches.
    for count, most in ((1, 5), (20, 7)):
        fewest = min(found[count], key=len)
        assert len(fewest) <= most, (
            f"{count} echoes took {len(fewest)} round trips, and {most} are allowed: {fewest}. A statement is a round trip, and so "
            "are BEGIN and COMMIT: let one statement do what belongs together."
        )


async def test_a_batch_of_deliveries_is_one_statement(busy: PostgresStorage, statements: list[str]) -> None:
    assert all(await asyncio.gather(*(busy.put(delivery(f"c:{n % 7}")) for n in range(100))))
    assert len(statements) == 1


async def test_what_waits_in_one_lane_is_not_read_for_another() -> None:
    url = empty_storage_url("batches")
    async with PostgresStorage(url, max_lane_backlog=600) as storage:
        await asyncio.gather(*(storage.put(delivery("c:stuck")) for _ in range(500)))
        connection = await Address.parse(url).connect()
        try:
            # These statistics say that all deliveries are in one lane.
            await connection.execute("ANALYZE")
            await asyncio.gather(*(storage.put(delivery(f"c:{n % 5}")) for n in range(20)))
            _, *others = await storage.take(10, lease_s=60)
            async with connection.transaction():
                found = await following(PostgresReader(connection, 0.0), "c:4", 10)
                assert [each.lane for each in found] == ["c:4"] * 3
                lanes, tokens = zip(*((lease.delivery.lane, lease.token) for lease in others), strict=True)
                await connection.fetch("SELECT end_turns($1, $2, NULL, 0, 60)", lanes, tokens)
                read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'delivery'::regclass"
                assert await connection.fetchval(read) < 50
        finally:
            await connection.close()


async def test_entries_that_begin_together_are_one_statement(busy: PostgresStorage, statements: list[str]) -> None:
    # asyncpg looks up the types of a statement's arguments when it is prepared.
    await busy.begin(entry("w.first"))
    statements.clear()
    await asyncio.gather(*(busy.begin(entry(f"w.{n}")) for n in range(20)))
    assert len(statements) == 1
    assert len(await busy.entries("w.19")) == 1


async def test_what_comes_together_is_one_statement(busy: PostgresStorage, statements: list[str]) -> None:
    await asyncio.gather(*(busy.put(delivery(f"c:{n % 5}", name=f"w.{n}")) for n in range(10)))
    leases = await busy.take(10, lease_s=60)
    assert [lease.delivery.id for lease in leases] == [f"w.{n}" for n in range(5)]
    *ending, going_on = leases
    await asyncio.gather(*(busy.begin(entry(lease.delivery.id), lease) for lease in ending))
    statements.clear()
    *_, following = await asyncio.gather(
        busy.begin(entry("w.4"), going_on),
        busy.put(delivery("c:new", name="w.10")),
        *(busy.finish(lease, accepted(lease)) for lease in ending),
        busy.take(10, lease_s=60),
    )
    assert len(statements) == 1
    assert isinstance(following, list)
    assert [lease.delivery.id for lease in following] == ["w.5", "w.6", "w.7", "w.8", "w.10"]
    found = [[each.status for each in await busy.entries(f"w.{n}")] for n in (0, 3, 4)]
    assert found == [["accepted"], ["accepted"], ["attempting"]]


async def test_a_turn_ends_in_the_batch_that_begins_its_last_entry(busy: PostgresStorage) -> None:
    lease = await leased(busy, delivery(name="w.1"))
    await asyncio.gather(busy.begin(entry("w.1"), lease), busy.finish(lease, accepted(lease)))
    assert [found.status for found in await busy.entries("w.1")] == ["accepted"]
    assert await busy.depth() == 0


async def test_a_turn_that_ended_before_is_told_apart_from_those_that_end_with_it(busy: PostgresStorage) -> None:
    await asyncio.gather(*(busy.put(delivery(f"c:{n}", name=f"w.{n}")) for n in range(3)))
    leases = await busy.take(3, lease_s=60)
    await busy.finish(leases[1], ACK)
    ends = await asyncio.gather(*(busy.finish(lease, ACK) for lease in leases), return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), LeaseLost, type(None)]
    assert await busy.depth() == 0


async def test_the_inbox_takes_as_many_as_fit_though_not_counted_for_each(storage: PostgresStorage) -> None:
    for lane, fit, error in (("c:1", 40, LaneFull), ("c:2", 20, StorageBusy)):
        for _ in range(fit):
            assert await storage.put(delivery(lane)) is True
        with pytest.raises(error):
            await storage.put(delivery(lane))
