"""Queries for operators and turns, over a connection that reads, and an inspection for `linqbot doctor`.

The inspection works also while servers use the storage. It changes nothing and opens no storage: opening would update
the schema, and so the doctor of a newer linqbot would lock out an older server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from linqbot.events.delivery import Delivery
from linqbot.storage.postgres.server.address import Address, Connection, translated
from linqbot.storage.postgres.server.migrate import check_server, schema_of
from linqbot.storage.postgres.transaction import PostgresReader
from linqbot.storage.tables import conversations
from linqbot.storage.tables.deliveries import DELIVERY


async def seen(connection: Connection, keys: Sequence[str]) -> dict[str, bool]:
    """Return the known ids and message keys; see `Inbox.seen`."""
    sql = """SELECT id, NOT EXISTS (SELECT FROM delivery WHERE id = seen.delivery_id)
             FROM seen WHERE id = ANY($1)"""
    return {row[0]: row[1] for row in await connection.fetch(sql, list(keys))}


async def following(db: Connection, lane: str, limit: int) -> list[Delivery]:
    """Return the deliveries behind the head of a lane; see `Inbox.following`."""
    # Both columns are compared, so that no plan reads the deliveries of other lanes in the order of their numbers.
    sql = f"""SELECT {DELIVERY} FROM (
                  SELECT * FROM delivery WHERE (lane, seq) >= ($1, 0) ORDER BY lane, seq OFFSET 1 LIMIT $2) AS behind
              JOIN body USING (seq) WHERE lane = $1 ORDER BY seq"""  # noqa: S608 - constant text
    return [Delivery(*row) for row in await db.fetch(sql, lane, limit)]


async def next_due(connection: Connection, queue: str, after: float) -> float | None:
    """Return when the earliest lease or wait ends that ends after a time; None if there is none."""
    sql = f"SELECT extract(epoch FROM min(vt))::float8 FROM pgmq.q_{queue} WHERE vt > to_timestamp($1)"  # noqa: S608 - checked name
    due = await connection.fetchval(sql, after)
    return None if due is None else float(due)


async def activity(connection: Connection) -> tuple[float | None, float | None]:
    """Return when the first and the newest webhook were accepted, as far as the database knows."""
    sql = """SELECT (SELECT value::float8 FROM meta WHERE key = 'first_active_at'),
                 greatest((SELECT value::float8 FROM meta WHERE key = 'active_at'),
                          (SELECT max(received_at) FROM delivery WHERE starts_with(id, 'w.')))"""
    first, newest = (await connection.fetch(sql))[0]
    return first, newest


@dataclass(frozen=True, slots=True)
class PostgresCheckup:
    """The state of a storage.

    Attributes:
        name: Its place, without a password.
        version: The version of the server.
        schema: The number of its schema; None if nothing was created yet.
        waiting, dead: Number of deliveries in the inbox, and of dead letters.
        serving: Number of processes that serve it.
        questions: Number of open questions of `ctx.ask`, by the name of the handler that asked.
        lacks: A right that the user needs and does not have, such as `INSERT on linqbot.journal`; None if it has all.
    """

    name: str
    version: str
    schema: int | None
    waiting: int
    dead: int
    serving: int
    questions: Mapping[str, int] = field(default_factory=dict)
    lacks: str | None = None


_LACKING_TO_CREATE: Final = """
    SELECT 'CREATE on the database ' || current_database()
    WHERE NOT has_database_privilege(current_database(), 'CREATE')"""

_LACKING: Final = """
    SELECT format('%s on %s.%s', needed, nspname, relname)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
    WHERE relkind = 'r' AND (nspname = $1 OR (nspname = 'pgmq' AND relname = 'q_' || $1))
      AND NOT has_table_privilege(pg_class.oid, needed)
    ORDER BY nspname, relname LIMIT 1"""


async def check_up(url: str) -> PostgresCheckup:
    """Inspect the storage of a URL.

    Raises:
        ConfigError: the URL is not valid, or the server is too old.
        NewerSchema: a newer linqbot has written the schema.
        StorageUnavailable: the server cannot be reached or read.
    """
    address = Address.parse(url)
    with translated(address.name):
        connection = await address.connect()
        try:
            version = connection.get_server_version()
            number = f"{version.major}.{version.minor}"
            check_server(connection, address)
            schema = await schema_of(connection, address)
            if not schema:
                lacks = await connection.fetchval(_LACKING_TO_CREATE)
                return PostgresCheckup(address.name, number, None, 0, 0, 0, lacks=lacks)
            counts = "SELECT (SELECT count(*) FROM delivery), (SELECT count(*) FROM dead)"
            ((waiting, dead),) = await connection.fetch(counts)
            alive = "SELECT count(*) FROM process WHERE NOT pg_try_advisory_xact_lock(lock)"
            serving = await connection.fetchval(alive)
            questions = await conversations.waiting_by_handler(PostgresReader(connection, 0.0))
            lacks = await connection.fetchval(_LACKING, address.schema)
            return PostgresCheckup(address.name, number, schema, waiting, dead, serving, questions, lacks)
        finally:
            await connection.close()
