"""Inspect a PostgreSQL storage without changing it, for `linqbot doctor`, also while servers use it.

Opening a storage brings its schema up to date. An inspection must not: the doctor of a newer linqbot would lock out an older
server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from linqbot.storage.postgres import queries
from linqbot.storage.postgres.server.address import Address
from linqbot.storage.postgres.server.faults import translated
from linqbot.storage.postgres.server.migrate import check_server, schema_of
from linqbot.storage.postgres.tables import conversations


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
            tally = await queries.tally(connection)
            alive = "SELECT count(*) FROM process WHERE NOT pg_try_advisory_xact_lock(lock)"
            serving = await connection.fetchval(alive)
            questions = await conversations.waiting_by_handler(connection)
            lacks = await connection.fetchval(_LACKING, address.schema)
            return PostgresCheckup(address.name, number, schema, tally.waiting, tally.dead, serving, questions, lacks)
        finally:
            await connection.close()
