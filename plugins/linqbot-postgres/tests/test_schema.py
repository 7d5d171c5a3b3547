"""Opening a PostgreSQL storage: what it creates, what it refuses, and what it can hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from linqbot_postgres import migrate
from linqbot_postgres.storage import PostgresStorage
from linqbot_postgres.transaction import PostgresReader
from patience import PATIENCE_S
from postgres_server import as_role, connected, dropped_storage_url, empty_storage_url, execute, server_url
from storage.conftest import delivery, entry, handle, leased, open_and_close

from linqbot.clock import MovableClock
from linqbot.errors import ConfigError, StorageError, StorageUnavailable
from linqbot.events import Delivery
from linqbot.storage import timers
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Retry
from linqbot.storage.state import StateWrite

pytestmark = pytest.mark.process


@pytest.fixture
def url() -> str:
    return empty_storage_url("schema")


def new_role(name: str, options: str = "") -> None:
    execute(server_url(), f"DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN {options}", one_by_one=True)


def new_database(name: str, options: str = "") -> str:
    """Create a database, and return the URL of a storage in it."""
    base = server_url()
    execute(base, f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} {options}", one_by_one=True)
    return base.replace("/postgres?", f"/{name}?")


async def test_processes_that_start_at_once_create_one_schema() -> None:
    url = dropped_storage_url("fresh")
    storages = [PostgresStorage(url) for _ in range(4)]
    await asyncio.gather(*(storage.__aenter__() for storage in storages))
    assert len({storage.install for storage in storages}) == 1
    await asyncio.gather(*(storage.__aexit__() for storage in storages))


async def test_schemas_of_one_database_are_storages_of_their_own(url: str) -> None:
    async with PostgresStorage(url) as one, PostgresStorage(empty_storage_url("other")) as other:
        await one.put(delivery(name="w.1"))
        assert one.install != other.install
        assert await other.take(1, lease_s=60) == []
        assert await other.put(delivery(name="w.1")) is True
        assert (await one.depth(), await other.depth()) == (1, 1)


async def test_a_schema_that_a_release_adds_is_applied_while_processes_of_the_release_before_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = dropped_storage_url("older")
    async with PostgresStorage(url) as old:
        await old.put(delivery("c:1", name="w.1"))
        schemas = migrate.schemas()
        added = "ALTER TABLE delivery ADD COLUMN added text; COMMENT ON TABLE delivery IS ':schema'"
        monkeypatch.setattr(migrate, "schemas", lambda: {**schemas, max(schemas) + 1: added})
        async with PostgresStorage(url) as new, PostgresStorage(url):
            await old.put(delivery("c:1", name="w.2"))
            await new.put(delivery("c:1", name="w.3"))
            for storage, name in ((old, "w.1"), (new, "w.2"), (old, "w.3")):
                (lease,) = await storage.take(10, lease_s=60)
                assert lease.delivery.id == name
                await storage.finish(lease, Commit(Ack()))
    monkeypatch.undo()
    with pytest.raises(StorageError, match="written by a newer linqbot"):
        await open_and_close(PostgresStorage(url))


async def test_the_scheduled_sends_of_a_chat_are_found_by_an_index(url: str) -> None:
    await open_and_close(PostgresStorage(url))
    asked: list[tuple[str, Any]] = []
    async with connected(url) as connection:
        # With rows and their statistics: to the planner, all indexes of an empty table cost the same.
        await connection.execute("""
            SET enable_seqscan = off; SET enable_bitmapscan = off;
            INSERT INTO timer (id, due, lane, kind, payload)
            SELECT n, n, 'c:' || n, 'repeat', '' FROM generate_series(1, 1000) AS n;
            ANALYZE timer""")
        with connection.query_logger(lambda query: asked.append((query.query, query.args))):
            await timers.scheduled(PostgresReader(connection, 0.0), "c:1", 10)
            await timers.recurring(PostgresReader(connection, 0.0), "repeat", "c:1")
        plans = [[row[0] for row in await connection.fetch(f"EXPLAIN {query}", *args)] for query, args in asked]
    assert len(plans) == 2
    for plan in plans:
        assert any("timer_by_lane" in line for line in plan), plan
        assert any("Index Cond: (" in line and "lane = " in line for line in plan), plan


async def test_a_command_creates_no_schema() -> None:
    with pytest.raises(ConfigError, match="There is no storage yet"):
        await open_and_close(PostgresStorage(dropped_storage_url("missing"), serving=False))


async def test_a_storage_whose_lanes_an_older_linqbot_keeps_elsewhere_is_refused_and_left_as_it_is() -> None:
    old = new_database("old_lanes")
    execute(old, "CREATE SCHEMA linqbot; CREATE TABLE linqbot.meta (key text, value text)")
    execute(old, "INSERT INTO linqbot.meta VALUES ('schema', '1')")
    with pytest.raises(ConfigError, match=r"has no table queue.*`linqbot storage copy` of that version"):
        await open_and_close(PostgresStorage(old))
    async with connected(old) as connection:
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'linqbot'"
        assert [row[0] for row in await connection.fetch(tables)] == ["meta"]


async def test_a_user_who_may_not_create_the_schema_is_told_so() -> None:
    new_role("guest")
    with pytest.raises(ConfigError, match="Grant CREATE"):
        await open_and_close(PostgresStorage(server_url().replace("postgres:@", "guest@") + "&schema=theirs"))


async def test_a_second_bot_of_another_user_needs_one_right_and_has_no_table_of_the_first() -> None:
    shared = new_database("grants")
    new_role("second")
    execute(server_url(), "GRANT CREATE ON DATABASE grants TO second")
    async with PostgresStorage(shared), PostgresStorage(as_role(shared, "second") + "&schema=second") as storage:
        await handle(storage, Delivery("w.1", "c:1", "message.received", b"{}", 1.0))
        readable = "SELECT has_schema_privilege('second', 'linqbot', 'USAGE')"
        async with connected(shared) as connection:
            assert await connection.fetchval(readable) is False
    execute(server_url(), "DROP DATABASE grants WITH (FORCE); DROP ROLE second", one_by_one=True)


async def test_a_database_that_cannot_hold_every_text_is_refused() -> None:
    latin = new_database("latin", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with pytest.raises(ConfigError, match=r"encoding LATIN1.*ENCODING 'UTF8'"):
        await open_and_close(PostgresStorage(latin))


async def test_a_database_that_is_read_only_is_named_with_the_remedy(url: str) -> None:
    await open_and_close(PostgresStorage(url))
    new_role("reader", "SUPERUSER")
    execute(server_url(), "ALTER ROLE reader SET default_transaction_read_only = on")
    with pytest.raises(StorageUnavailable, match=r"read-only.*standby.*target_session_attrs=read-write"):
        await open_and_close(PostgresStorage(as_role(url, "reader")))
    with pytest.raises(
        StorageUnavailable, match=r"no server in the storage URL is now as its target_session_attrs says"
    ):
        await open_and_close(PostgresStorage(as_role(url, "reader") + "&target_session_attrs=read-write"))


async def test_a_user_without_rights_on_a_schema_that_another_user_has_migrated_is_told_which() -> None:
    url = dropped_storage_url("foreign")
    await open_and_close(PostgresStorage(url))
    new_role("guest")
    with pytest.raises(
        StorageUnavailable, match=r"permission denied for schema foreign \(42501\)\. Let the owner .* USAGE"
    ):
        await open_and_close(PostgresStorage(as_role(url, "guest")))


async def test_a_reason_is_stored_without_what_postgresql_cannot_hold(url: str, clock: MovableClock) -> None:
    async with PostgresStorage(url, clock=clock) as storage:
        await handle(storage, delivery(), commit=Commit(Retry(clock.now(), "a\0b")))
        await storage.finish(await leased(storage), Commit(DeadLetter("a\0\ud800b", "bot:\0")))
        (letter,) = await storage.dead_letters()
        assert (letter.error, letter.handler) == ("a\ufffd\ufffdb", "bot:\ufffd")


async def test_a_value_that_postgresql_cannot_hold_is_refused_alone(url: str, clock: MovableClock) -> None:
    async with PostgresStorage(url, clock=clock) as storage:
        ends = await asyncio.gather(
            storage.begin(entry("w.1")),
            storage.begin(entry("w.\0")),
            storage.begin(entry("w.\ud800")),
            storage.put(delivery("c:1")),
            storage.write_state([StateWrite("bot", "a", b"1")]),
            return_exceptions=True,
        )
        assert [type(end) for end in ends] == [type(None), StorageError, StorageError, bool, type(None)]
        assert "w." not in str(ends[1])
        assert len(await storage.entries("w.1")) == 1
        assert await storage.depth() == 1


async def test_a_backup_to_a_file_is_refused(url: str) -> None:
    async with PostgresStorage(url) as storage:
        with pytest.raises(ConfigError, match="pg_dump"):
            await storage.backup("copy.db")


async def test_the_clock_of_the_database_decides_when_a_lease_ends(url: str) -> None:
    async with PostgresStorage(url) as storage:
        await storage.put(delivery())
        (lease,) = await storage.take(1, lease_s=1)
        due = await storage.next_due()
        assert due is not None
        async with asyncio.timeout(PATIENCE_S):
            while not (again := await storage.take(1, lease_s=60)):
                await asyncio.sleep(0.05)
        assert (again[0].delivery.id, again[0].crashes) == (lease.delivery.id, 1)
