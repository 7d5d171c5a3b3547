"""The SQL function `post`: a program posts in a transaction of its own connection to the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from linqbot_postgres.address import Address
from linqbot_postgres.storage import PostgresStorage
from patience import PATIENCE_S
from postgres_server import connected, empty_storage_url, server_url
from storage.conftest import NOON, delivery

from linqbot.clock import SystemClock
from linqbot.features.posts import post_delivery

pytestmark = pytest.mark.process

ANN = "+14155550142"


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[PostgresStorage, asyncpg.Connection, str]]:
    """Open a storage, and a program's own connection with the name of its schema."""
    url = empty_storage_url("posts")
    async with PostgresStorage(url) as storage, connected(server_url()) as program:
        yield storage, program, Address.parse(url).schema


async def test_a_post_becomes_the_same_delivery_as_one_of_the_bots_own_process() -> None:
    rows: list[dict[str, str]] = [{"chat": "9e1f"}, {"person": "Ann@example.org"}, {}]
    async with opened() as (storage, program, schema):
        for number, to in enumerate(rows):
            sql = f"SELECT {schema}.post('order.shipped', $1::jsonb, $2, chat => $3, person => $4)"
            about = (json.dumps({"é": [1, None]}), str(number), to.get("chat"), to.get("person"))
            assert await program.fetchval(sql, *about) is True
            assert await program.fetchval(sql, *about) is False
        assert await storage.fire(SystemClock().now() + 1) == 3
        found = {each.delivery.id: each.delivery for each in await storage.take(10, lease_s=60)}
        for number, to in enumerate(rows):
            wanted = post_delivery("order.shipped", {"é": [1, None]}, NOON, post_id=str(number), **to)
            got = found[wanted.id]
            assert (got.lane, got.content) == (wanted.lane, wanted.content)
            assert await program.fetchval(sql, json.dumps({}), str(number), to.get("chat"), to.get("person")) is False
            assert not await storage.put(wanted)


async def test_a_post_is_made_when_its_transaction_commits_and_keeps_no_webhook_waiting() -> None:
    async with opened() as (storage, program, schema):
        sql = f"SELECT {schema}.post('order.paid', '{{}}', '7', chat => '1')"
        begun = program.transaction()
        await begun.start()
        await program.execute(sql)
        assert await asyncio.wait_for(storage.put(delivery("c:1", name="w.message")), PATIENCE_S)
        assert await storage.fire(SystemClock().now() + 1) == 0
        await begun.rollback()
        assert await storage.next_timer() is None

        while await storage.next_timer() is None:
            async with program.transaction():
                await program.execute(sql)
            await asyncio.wait_for(storage.changed(), PATIENCE_S)
        assert await storage.fire(SystemClock().now() + 1) == 1


async def test_what_cannot_be_posted_is_refused(subtests: pytest.Subtests) -> None:
    async with opened() as (storage, program, schema):
        wrong = {
            "a name has 1 to 64": "'order shipped', '{}', '1'",
            "id is a text": "'order.paid', '{}', ''",
            "at most 127": f"'order.paid', '{{}}', '{'x' * 127}'",
            "is a JSON object": "'order.paid', '[]', '1'",
            "256 KiB": f"'order.paid', '{{\"a\": \"{'x' * 270_000}\"}}', '1'",
            "or neither": f"'order.paid', '{{}}', '1', '9e1f', '{ANN}'",
            "the handle to person": f"'order.paid', '{{}}', '1', chat => '{ANN}'",
            "E.164": "'order.paid', '{}', '1', person => '4155550142'",
            "an e-mail address": "'order.paid', '{}', '1', person => 'ann at example.com'",
        }
        for why, given in wrong.items():
            with subtests.test(why=why), pytest.raises(asyncpg.RaiseError, match=why):
                await program.execute(f"SELECT {schema}.post({given})")
        assert await storage.next_timer() is None


async def test_a_user_without_a_right_to_the_tables_may_post_if_the_function_is_granted() -> None:
    async with opened() as (storage, program, schema):
        shop = f"shop_{schema}"
        await program.execute(f"CREATE ROLE {shop}; GRANT USAGE ON SCHEMA {schema} TO {shop}; SET ROLE {shop}")
        try:
            # A table of the user's own with the name of one of ours must not come first.
            await program.execute("CREATE TEMP TABLE timer (id text); CREATE TEMP TABLE seen (id text)")
            assert await program.fetchval(f"SELECT {schema}.post('order.paid', '{{}}', '7')")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await program.fetchval(f"SELECT count(*) FROM {schema}.timer")
        finally:
            await program.execute(f"RESET ROLE; DROP OWNED BY {shop}; DROP ROLE {shop}")
        assert await storage.next_timer() is not None
