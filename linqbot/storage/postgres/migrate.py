"""Bring the schema of a PostgreSQL storage up to date, in one transaction under a lock, or inspect it for `linqbot check`.

The inspection works also while servers use the storage. It changes nothing and opens no storage: opening would update
the schema, and so the doctor of a newer linqbot would lock out an older server.

The tables are created in the bot's own schema. pgmq is installed once for the whole database, in its schema `pgmq`: from
the pinned SQL, unless the database has pgmq already, as an extension or from SQL.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

import asyncpg

from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.storage import conversations
from linqbot.storage.backend import NewerSchema
from linqbot.storage.dialect import schemas_in
from linqbot.storage.postgres.address import MISSING_ADVICE, Address, Connection, close, reason_of, translated
from linqbot.storage.postgres.transaction import PostgresReader

OLDEST: Final = 14
"""The lowest major version of the server."""

_ENCODINGS: Final = frozenset({"UTF8", "SQL_ASCII"})
"""Encodings of a database that can hold every text. SQL_ASCII stores the bytes as they are."""

PGMQ_SQL: Final = "pgmq-1.13.0.sql"
"""The pinned SQL. Its functions read the heads of groups, which pgmq has had since 1.11.1."""

_LOCK = 0x6C696E71626F7401
"""One lock for all bots of a database, because they share pgmq."""

_CLOCK = """
CREATE SCHEMA IF NOT EXISTS "{schema}_clock";
CREATE OR REPLACE FUNCTION "{schema}_clock".clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(to_timestamp(nullif(current_setting('linqbot.now', true), '')::double precision),
                    pg_catalog.clock_timestamp())
$$;
"""


async def migrate(connection: Connection, address: Address, *, create: bool) -> None:
    """Create the schema, or apply what a newer release added. Only with `create` is a missing schema created.

    Raises ConfigError if server, pgmq or rights do not suffice, and NewerSchema.
    """
    check_server(connection, address)
    have = await schema_of(connection, address)
    if not have and not create:
        raise ConfigError(
            f"There is no storage yet: {address.name}. Check LINQBOT_STORAGE, or --storage; linqbot serve creates it."
        )
    is_current = have == newest_schema()
    if is_current and (not address.movable_clock or await _has_clock(connection, address)):
        return
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await _migrate(connection, address)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            f"The user of {address.name} may not create schemas and tables: {reason_of(error)}. Grant CREATE on the database, or let "
            "its owner start linqbot once. If another user has installed pgmq in the database, grant USAGE and CREATE on "
            "its schema pgmq, and SELECT and INSERT on pgmq.meta, too."
        ) from error


def check_server(connection: Connection, address: Address) -> None:
    """Raise ConfigError if the server is too old, or the database cannot hold every text."""
    have = connection.get_server_version()
    if have.major < OLDEST:
        raise ConfigError(f"{address.name} runs version {have.major}. linqbot needs PostgreSQL {OLDEST} or newer.")
    encoding = connection.get_settings().server_encoding
    if encoding not in _ENCODINGS:
        raise ConfigError(
            f"The database of {address.name} has the encoding {encoding}, which cannot hold all that people write, such as emoji. "
            "Use a database that was created with ENCODING 'UTF8' TEMPLATE template0."
        )


async def schema_of(connection: Connection, address: Address) -> int:
    """Return the number of the newest schema that was applied; 0 if there is none. Raises NewerSchema for an unknown one."""
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f'"{address.schema}".meta'):
        return 0
    have = int(await connection.fetchval(f"SELECT value FROM \"{address.schema}\".meta WHERE key = 'schema'"))
    NewerSchema.refuse(have, newest_schema(), address.name, instead="schema")
    return have


def newest_schema() -> int:
    return max(schemas())


async def _migrate(connection: Connection, address: Address) -> None:
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{address.schema}"')
    if address.movable_clock:
        await connection.execute(_CLOCK.format(schema=address.schema))
    have = await schema_of(connection, address)
    known = schemas()
    newest = max(known)
    await _install_pgmq(connection, address)
    for number in sorted(number for number in known if number > have):
        await connection.execute(known[number].replace(":queue", address.schema))
    if not have:
        await connection.execute("SELECT pgmq.create($1)", address.schema)
        # As for the tables of the schema, because of dead rows.
        await connection.execute(
            f"ALTER TABLE pgmq.q_{address.schema} SET (autovacuum_vacuum_scale_factor = 0, "
            "autovacuum_vacuum_threshold = 5000)"
        )
        await connection.execute("INSERT INTO meta VALUES ('install', $1)", secrets.token_hex(16))
    await connection.execute(
        "INSERT INTO meta VALUES ('schema', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value", str(newest)
    )


async def _install_pgmq(connection: Connection, address: Address) -> None:
    heads = "SELECT to_regprocedure('pgmq.read_grouped_head(text, integer, integer)') IS NOT NULL"
    if await connection.fetchval(heads):
        return
    if await connection.fetchval("SELECT to_regclass('pgmq.meta') IS NOT NULL"):
        raise ConfigError(
            f"The database of {address.name} has a pgmq older than 1.11.1. Update it (ALTER EXTENSION pgmq UPDATE), or "
            "use another database."
        )
    # The functions of pgmq name its schema, so the search path does not matter.
    await connection.execute((files("linqbot.storage.postgres") / "schema" / PGMQ_SQL).read_text("utf-8"))


async def _has_clock(connection: Connection, address: Address) -> bool:
    sql = "SELECT to_regprocedure($1) IS NOT NULL"
    return bool(await connection.fetchval(sql, f'"{address.schema}_clock".clock_timestamp()'))


def schemas() -> dict[int, str]:
    return schemas_in("linqbot.storage.postgres")


@dataclass(frozen=True, slots=True)
class PostgresCheckup:
    name: str  # its place, without a password
    version: str
    schema: int | None  # the number of its schema; None if nothing was created yet
    waiting: int  # deliveries in the inbox
    dead: int  # dead letters
    serving: int  # number of processes that serve it
    # Number of open questions of `ctx.ask`, by the name of the handler that asked.
    questions: Mapping[str, int] = field(default_factory=dict)
    # A right that the user needs and does not have, such as `INSERT on linqbot.journal`; None if it has all.
    lacks: str | None = None
    is_read_only: bool = False  # the server is a standby, or default_transaction_read_only is on


_LACKING_TO_CREATE: Final = """
    SELECT 'CREATE on the database ' || current_database()
    WHERE NOT has_database_privilege(current_database(), 'CREATE')
    UNION ALL
    SELECT format('%s on the schema pgmq', needed)
    FROM pg_namespace, unnest(ARRAY['USAGE', 'CREATE']) AS needed
    WHERE nspname = 'pgmq' AND NOT has_schema_privilege(pg_namespace.oid, needed)
    UNION ALL
    SELECT format('%s on pgmq.meta', needed)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace, unnest(ARRAY['SELECT', 'INSERT']) AS needed
    WHERE nspname = 'pgmq' AND relname = 'meta' AND NOT has_table_privilege(pg_class.oid, needed)
    LIMIT 1"""

_LACKING: Final = """
    SELECT format('%s on %s.%s', needed, nspname, relname)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
    WHERE relkind = 'r' AND (nspname = $1 OR (nspname = 'pgmq' AND relname = 'q_' || $1))
      AND NOT has_table_privilege(pg_class.oid, needed)
    ORDER BY nspname, relname LIMIT 1"""


async def refuse_without_queue(connection: Connection, address: Address) -> None:
    """Raise StorageUnavailable if the schema is there, but not its queue in pgmq, as after a restore of the schema alone."""
    found = "SELECT 1 FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'pgmq') AND relname = $1"
    if await connection.fetchval(found, f"q_{address.schema}") is None:
        raise StorageUnavailable(f"{address.name} has no table pgmq.q_{address.schema}. {MISSING_ADVICE}.")


async def check_up(url: str) -> PostgresCheckup:
    """Inspect the storage of a URL."""
    address = Address.parse(url)
    with translated(address.name):
        connection = await address.connect()
        try:
            await address.refuse_pool(connection)
            version = connection.get_server_version()
            number = f"{version.major}.{version.micro}"  # asyncpg reads 18.4 as 18.0.4
            check_server(connection, address)
            is_read_only = await connection.fetchval("SHOW transaction_read_only") == "on"
            schema = await schema_of(connection, address)
            if not schema:
                lacks = await connection.fetchval(_LACKING_TO_CREATE)
                return PostgresCheckup(address.name, number, None, 0, 0, 0, lacks=lacks, is_read_only=is_read_only)
            await refuse_without_queue(connection, address)
            counts = "SELECT (SELECT count(*) FROM delivery), (SELECT count(*) FROM dead)"
            ((waiting, dead),) = await connection.fetch(counts)
            alive = "SELECT count(*) FROM process WHERE NOT pg_try_advisory_xact_lock(lock)"
            serving = await connection.fetchval(alive)
            questions = await conversations.waiting_by_handler(PostgresReader(connection, 0.0))
            lacks = await connection.fetchval(_LACKING, address.schema)
            return PostgresCheckup(address.name, number, schema, waiting, dead, serving, questions, lacks, is_read_only)
        finally:
            await close(connection)
