"""The URL of a PostgreSQL storage, and connections to its server."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from linqbot.errors import ConfigError

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_S: Final = 5.0
"""Seconds that connecting may take."""

ANSWER_S: Final = 30.0
"""Seconds after which a statement counts as lost, with its connection."""

_SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,39}")
_ADVICE = "Write postgresql://USER@HOST/DATABASE, or postgresql://USER@HOST/DATABASE?schema=NAME"


@dataclass(frozen=True, slots=True)
class Address:
    """The place of a storage: a PostgreSQL schema of its own in a database.

    Attributes:
        dsn: The URL for asyncpg. It may contain a password.
        schema: The PostgreSQL schema, and the name of the queue in pgmq.
        name: Host, database and schema, for messages. It contains no password.
    """

    dsn: str = field(repr=False)
    schema: str
    name: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address that a storage URL names.

        Args:
            url: `postgresql://user:password@host:port/database`, with any option of libpq that asyncpg knows, such as
                `sslmode=verify-full`, and with `schema=NAME` for another schema than `linqbot`.
        Raises:
            ConfigError: the URL is not valid. The message does not repeat it, because it may contain a password.
        """
        try:
            parts = urlsplit(url)
            _ = parts.port
            options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise ConfigError(f"The storage URL of PostgreSQL cannot be read. {_ADVICE}") from None
        given = [value for key, value in options if key == "schema"]
        schema = given[-1] if given else "linqbot"
        if not _SCHEMA.fullmatch(schema):
            raise ConfigError(
                "The schema in the storage URL must be 1 to 40 of a-z, 0-9 and _, and begin with a letter or _, not with pg_. "
                f"{_ADVICE}"
            )
        hosts = [value for key, value in options if key == "host"]
        host = (parts.netloc.rpartition("@")[2] or "".join(hosts)) or "localhost"
        query = urlencode([(key, value) for key, value in options if key != "schema"])
        dsn = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
        return cls(dsn, schema, f"PostgreSQL at {host}{parts.path} (schema {schema})")

    @property
    def channel(self) -> str:
        """The channel of NOTIFY on which the processes of this storage wake each other."""
        return f"linqbot.{self.schema}"

    def lock(self, name: str) -> int:
        """Return the number of an advisory lock of this storage. Locks are shared by all users of the database."""
        digest = hashlib.blake2b(f"{self.schema}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    async def connect(self, *, movable_clock: bool = False) -> Connection:
        """Return a new connection whose names belong to the schema.

        Args:
            movable_clock: True if `clock_timestamp()` shall be the function of the schema `<schema>_clock`.
        Raises:
            ConfigError: the URL has an option that asyncpg does not know.
            Exception: as asyncpg raises it; see `faults.unavailable`.
        """
        path = f'"{self.schema}", "{self.schema}_clock", pg_catalog' if movable_clock else f'"{self.schema}"'
        try:
            return await asyncpg.connect(
                self.dsn,
                timeout=CONNECT_S,
                command_timeout=ANSWER_S,
                server_settings={
                    "application_name": f"linqbot {self.schema}",
                    "search_path": path,
                    "client_min_messages": "warning",
                    # A process that is suspended in a transaction must not keep the lanes of others locked.
                    "idle_in_transaction_session_timeout": "20000",
                    # A machine that is gone sends nothing: its locks are free after 30 s, not after the system's 2 hours.
                    "tcp_keepalives_idle": "15",
                    "tcp_keepalives_interval": "5",
                    "tcp_keepalives_count": "3",
                },
            )
        except (asyncpg.exceptions.ClientConfigurationError, ValueError):
            raise ConfigError(
                f"The storage URL of PostgreSQL has a part that asyncpg does not accept. {_ADVICE}"
            ) from None
