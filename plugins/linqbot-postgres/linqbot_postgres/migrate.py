"""Bring the schema of a PostgreSQL storage up to date, in one transaction under a lock, or inspect it for `linqbot check`.

The inspection works also while servers use the storage. It changes nothing and opens no storage: opening would update
the schema, and so the doctor of a newer linqbot would lock out an older server.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from linqbot.errors import ConfigError
from linqbot.storage import conversation_table
from linqbot.storage.backend import NewerSchema
from linqbot.storage.dialect import schemas_in
from linqbot_postgres.address import Address, Connection, close, reason_of, translated
from linqbot_postgres.transaction import PostgresReader

OLDEST: Final = 14
"""The lowest major version of the server."""

_ENCODINGS: Final = frozenset({"UTF8", "SQL_ASCII"})
"""Encodings of a database that can hold every text. SQL_ASCII stores the bytes as they are."""

_CLOCK = """
CREATE SCHEMA IF NOT EXISTS "{schema}_clock";
CREATE OR REPLACE FUNCTION "{schema}_clock".clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(to_timestamp(nullif(current_setting('linqbot.now', true), '')::double precision),
                    pg_catalog.clock_timestamp())
$$;
"""


async def migrate(connection: Connection, address: Address, *, create: bool) -> None:
    """Create the schema, or apply what a newer release added. Only with `create` is a missing schema created.

    Raises ConfigError if server or rights do not suffice, or if the lanes are those of an older linqbot, and NewerSchema.
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
            await connection.execute("SELECT pg_advisory_xact_lock($1)", address.lock("migration"))
            await _migrate(connection, address)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            f"The user of {address.name} may not create schemas and tables: {reason_of(error)}. Grant CREATE on the database, or let "
            "its owner start linqbot once."
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
    """Return the number of the newest schema that was applied; 0 if there is none.

    Raises NewerSchema for an unknown one, and ConfigError if the table `queue` is missing.
    """
    has_table = "SELECT to_regclass($1) IS NOT NULL"
    if not await connection.fetchval(has_table, f'"{address.schema}".meta'):
        return 0
    if not await connection.fetchval(has_table, f'"{address.schema}".queue'):
        raise ConfigError(
            f"{address.name} has no table queue. An older linqbot has created the storage and keeps its lanes elsewhere: "
            "copy it into a file with `linqbot storage copy` of that version, and the file into another schema with this "
            "one. Or a dump or a restore has left the table out: restore all of the schema."
        )
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
    for number in sorted(number for number in known if number > have):
        await connection.execute(known[number].replace(":schema", address.schema))
    if not have:
        await connection.execute("INSERT INTO meta VALUES ('install', $1)", secrets.token_hex(16))
    await connection.execute(
        "INSERT INTO meta VALUES ('schema', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value", str(newest)
    )


async def _has_clock(connection: Connection, address: Address) -> bool:
    sql = "SELECT to_regprocedure($1) IS NOT NULL"
    return bool(await connection.fetchval(sql, f'"{address.schema}_clock".clock_timestamp()'))


def schemas() -> dict[int, str]:
    return schemas_in("linqbot_postgres")


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
"""

_LACKING: Final = """
    SELECT format('%s on %s.%s', needed, nspname, relname)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
    WHERE relkind = 'r' AND nspname = $1
      AND NOT has_table_privilege(pg_class.oid, needed)
    ORDER BY nspname, relname LIMIT 1"""


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
            counts = "SELECT (SELECT count(*) FROM delivery), (SELECT count(*) FROM dead)"
            ((waiting, dead),) = await connection.fetch(counts)
            alive = "SELECT count(*) FROM process WHERE NOT pg_try_advisory_xact_lock(lock)"
            serving = await connection.fetchval(alive)
            questions = await conversation_table.waiting_by_handler(PostgresReader(connection, 0.0))
            lacks = await connection.fetchval(_LACKING, address.schema)
            return PostgresCheckup(address.name, number, schema, waiting, dead, serving, questions, lacks, is_read_only)
        finally:
            await close(connection)
