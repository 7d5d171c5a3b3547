"""The URL of a PostgreSQL storage, and connections to its server.

Errors of the server and of connections are sorted by what a storage does about them. Messages of PostgreSQL may quote a
value that was to be stored, so only messages of classes that never do are repeated.
"""

from __future__ import annotations

import errno
import hashlib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from linqbot.errors import ConfigError, StorageError, StorageUnavailable
from linqbot.text_files import written_text

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_S: Final = 5.0
"""Seconds that connecting may take."""

_CLOSE_S: Final = 2.0
"""Seconds that closing a connection may take."""

ANSWER_S: Final = 30.0
"""Seconds after which a statement counts as lost, with its connection."""

FEWEST: Final = 3
"""Lowest number of connections of one process: one writes, one listens, and one reads."""

_OURS: Final = frozenset({"schema", "password_file", "connections"})
"""The options of the URL that libpq does not know."""

_FILES: Final = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl"})

_TAKEN: Final = frozenset({"information_schema"})

# A process that is suspended in a transaction must not keep the lanes of others locked. A machine that is gone sends nothing:
# its locks are free after 30 s, not after the system's 2 hours. A role or a database may have other defaults for the rest: what
# is read after a lock must be what the process before has committed, and the connection that listens says nothing for hours.
# linqbot has its own limit for a statement, `ANSWER_S`, but a migration, a copy and a VACUUM may take longer.
_SETTINGS: Final = (
    "SET default_transaction_isolation = 'read committed'; SET idle_session_timeout = 0; "
    "SET statement_timeout = 0; SET lock_timeout = 0; SET standard_conforming_strings = on; "
    "SET client_min_messages = warning; SET idle_in_transaction_session_timeout = 20000; "
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
_SETTINGS_OF_17: Final = "; SET transaction_timeout = 0"

_SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,39}")
_ADVICE = "Write postgresql://USER@HOST/DATABASE, or postgresql://USER@HOST/DATABASE?schema=NAME"


@dataclass(frozen=True, slots=True)
class Address:
    """The place of a storage: a PostgreSQL schema of its own in a database."""

    dsn: str = field(repr=False)  # The URL for asyncpg. It may contain a password.
    schema: str  # the PostgreSQL schema
    name: str  # Host, database and schema, for messages. It contains no password.
    password_file: Path | None = None  # the file with the password; None if the URL or libpq's places have it
    connections: int = 6  # maximum number of connections of one process
    # True if `clock_timestamp()` shall be the function of the schema `<schema>_clock`, so that transactions run at the
    # time of the clock that was passed to the storage.
    movable_clock: bool = False

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address that a storage URL names. Raises ConfigError, which does not repeat a password in the URL.

        Args:
            url: `postgresql://user:password@host:port/database`, with any option of libpq that asyncpg knows, such as
                `sslmode=verify-full`. linqbot's own options are `schema=NAME`, `password_file=PATH` and `connections=NUMBER`.
        """
        try:
            parts = urlsplit(url)
            for host in parts.netloc.rpartition("@")[2].split(","):
                _ = urlsplit(f"//{host}").port
            options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise ConfigError(f"The storage URL of PostgreSQL cannot be read. {_ADVICE}") from None
        if parts.fragment or "@" in parts.path:
            raise ConfigError(
                "The storage URL of PostgreSQL cannot be read: write % as %25, @ as %40, / as %2F, ? as %3F and # as %23 in "
                f"its user and its password. {_ADVICE}"
            )
        ours = {key: value for key, value in options if key in _OURS}
        schema = ours.get("schema", "linqbot")
        if not _SCHEMA.fullmatch(schema) or schema in _TAKEN:
            raise ConfigError(
                "The schema in the storage URL must be 1 to 40 of a-z, 0-9 and _, and begin with a letter or _, not with pg_. "
                f"It must be linqbot's own. {_ADVICE}"
            )
        count = ours.get("connections", "6")
        if not (count.isdecimal() and FEWEST <= int(count) <= 100):
            raise ConfigError(
                f"The option connections of the storage URL must be a number from {FEWEST} to 100: a process needs one connection "
                f"to write, one to listen, and the others to read. {_ADVICE}"
            )
        hosts = [value for key, value in options if key == "host"]
        host = (parts.netloc.rpartition("@")[2] or "".join(hosts)) or "localhost"
        query = urlencode([(key, value) for key, value in options if key not in _OURS])
        dsn = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
        file = Path(ours["password_file"]) if "password_file" in ours else None
        return cls(dsn, schema, f"PostgreSQL at {host}{parts.path} (schema {schema})", file, int(count))

    @property
    def channel(self) -> str:
        """The channel of NOTIFY on which the processes of this storage wake each other."""
        return f"linqbot.{self.schema}"

    def lock(self, name: str) -> int:
        """Return the number of an advisory lock of this storage. Locks are shared by all users of the database."""
        digest = hashlib.blake2b(f"{self.schema}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    async def connect(self, *, answer_s: float = ANSWER_S) -> Connection:
        """Return a new connection whose names belong to the schema. asyncpg's own errors pass; see `unavailable`.

        Raises ConfigError if an option is not known to asyncpg, or the password file cannot be read.
        """
        path = f'"{self.schema}", "{self.schema}_clock", pg_catalog' if self.movable_clock else f'"{self.schema}"'
        password = None if self.password_file is None else _password_in(self.password_file)
        try:
            connection = await asyncpg.connect(
                self.dsn,
                password=password,
                timeout=CONNECT_S,
                command_timeout=answer_s,
                server_settings={"application_name": f"linqbot {self.schema}"},
            )
        except ssl.CertificateError:
            raise  # a ValueError, but about the server and not about the URL
        except (asyncpg.exceptions.ClientConfigurationError, ValueError) as error:
            # Of these errors, asyncpg's own names a file or an option, and says what to do. Others may quote the URL.
            named = isinstance(error, asyncpg.exceptions.ClientConfigurationError)
            why = f": {str(error).rstrip('.')}." if named else f". {_ADVICE}"
            raise ConfigError(f"The storage URL of PostgreSQL has a part that asyncpg does not accept{why}") from None
        except FileNotFoundError:
            # It does not say which file. The path of a Unix socket, at which no server listens, is none of these.
            if (missing := self._missing_file()) is not None:
                raise ConfigError(
                    f"The storage URL of PostgreSQL names a file that does not exist: {missing}."
                ) from None
            raise
        try:
            # Not with the connection's first message: PgBouncer refuses or drops what it does not know there.
            newer = _SETTINGS_OF_17 if connection.get_server_version().major >= 17 else ""
            await connection.execute(f"SET search_path = {path}; {_SETTINGS}{newer}")
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _missing_file(self) -> str | None:
        """Return the option of the URL that names a file that does not exist; None if there is no such option."""
        options = parse_qsl(urlsplit(self.dsn).query)
        return next((f"{key}={file}" for key, file in options if key in _FILES and not Path(file).exists()), None)

    async def refuse_pool(self, connection: Connection) -> None:
        """Look with a second connection if the first goes through a pool in transaction mode. Raises as `refuse_shared` does."""
        other = await self.connect()
        try:
            await self.refuse_shared(connection, other)
        finally:
            await close(other)

    async def refuse_shared(self, one: Connection, other: Connection) -> None:
        """Raise ConfigError if a pool in transaction mode lends both connections sessions for single transactions."""
        try:
            sessions = [await each.fetchval("SELECT pg_backend_pid()") for each in (one, other, other, one, one)]
        except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
            sessions = []
        if len(set(sessions)) == 2 and sessions[1] == sessions[2] and sessions[0] == sessions[3] == sessions[4]:
            return
        raise ConfigError(
            f"There is a connection pool in transaction mode, such as PgBouncer's, in front of {self.name}. linqbot needs "
            "sessions of its own, for LISTEN and for locks that end with a process. Name the server itself in LINQBOT_STORAGE, or "
            "a pool in session mode."
        )


async def close(connection: Connection) -> None:
    """Close a connection; end it at once if that fails, or takes longer than `_CLOSE_S`."""
    try:
        await connection.close(timeout=_CLOSE_S)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def _password_in(file: Path) -> str:
    """Return the password. It is read for each connection, so that it can be changed while the bot runs."""
    try:
        return written_text(file).rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f"The password file {file} of the storage URL cannot be read: {reason}. Check its path and its rights."
        ) from error


_CAUSED_BY_VALUES = ("22", "23", "54")
# 42501: a right is missing; the message names the table or the schema. 42704: the URL sets what the server does not know. 3F,
# 42883 and 42P01: a schema, function or table does not exist.
_NAMES_NO_VALUE = ("08", "25", "28", "3D", "3F", "42501", "42704", "42883", "42P01", "53", "55", "57")
# 0A000: a newer linqbot has changed a table since the statement was prepared.
_TO_REPEAT = frozenset({"40001", "40P01", "0A000"})
_LOST = ("08", "57P")
_REASONS = {
    TimeoutError: "no answer in time",
    asyncpg.TargetServerAttributeNotMatched: "no server in the storage URL is now as its target_session_attrs says, such as read-write",
}
READ_ONLY_ADVICE: Final = (
    "The server is a standby, or default_transaction_read_only is on: name the primary in the storage URL, or several "
    "servers with target_session_attrs=read-write, or end what has made the database read-only"
)
_READ_ONLY = "25006"
MISSING_ADVICE: Final = (
    "The database lacks a part of the storage: a dump or a restore has left it out, or another program has removed it. "
    "Restore all of its schema"
)
_POOLED_ADVICE = (
    "There is a connection pool in transaction mode, such as PgBouncer's, in front of the server. Name the server itself in the "
    "storage URL, or a pool in session mode"
)
_FAULT_ADVICE = {
    _READ_ONLY: READ_ONLY_ADVICE,
    "26000": _POOLED_ADVICE,
    "3F000": MISSING_ADVICE,
    "42883": MISSING_ADVICE,
    "42P01": MISSING_ADVICE,
    "42P05": _POOLED_ADVICE,
    "42501": "Let the owner of the schema grant the user of the storage URL USAGE on the schema, and ALL on its tables "
    "and sequences",
    "53300": "The server has no connection left: raise its max_connections, or lower connections= in the storage URL",
}
_POOL_FULL = "The connection pool has no connection left: raise its default_pool_size to 3 or more for each process"
# ENOENT: no server listens at the path of a Unix socket. EAI_AGAIN: the name server does not answer.
_NO_ROUTE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENOENT, socket.EAI_AGAIN})
# InternalClientError: the connection ended between two steps of an operation.
_OF_CONNECTIONS = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def is_of_values(error: BaseException) -> bool:
    """Return True if PostgreSQL cannot hold the values of an operation, so that a repetition would fail too."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_CAUSED_BY_VALUES)
    # asyncpg.DataError of the client is a ValueError: half a surrogate pair, or a number of 65 bits.
    return isinstance(error, ValueError | TypeError | OverflowError)


def is_to_repeat(error: BaseException) -> bool:
    """Return True if two transactions were in each other's way, so that this one succeeds if it is repeated."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _TO_REPEAT


def is_lost(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith(_LOST) or state == _READ_ONLY
    return isinstance(error, _OF_CONNECTIONS) and not isinstance(error, ValueError)


def is_away(error: BaseException) -> bool:
    """Return True if the server cannot be reached now, though nothing says that a setting is wrong: it may come back."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith("57P")
    # A refused TLS, an unknown host and a wrong certificate are OSErrors too. asyncio has no class for several addresses of a
    # host of which none could be connected to.
    no_route = isinstance(error, OSError) and error.errno in _NO_ROUTE
    several = type(error) is OSError and str(error).startswith("Multiple exceptions")
    return no_route or several or isinstance(error, TimeoutError | ConnectionRefusedError | ConnectionResetError)


def is_known(error: BaseException, connection: Connection | None = None) -> bool:
    """Return True if the error comes from PostgreSQL, from asyncpg, or from the network.

    With a connection also if it has ended between two steps of a statement: asyncpg has no class for that.
    """
    if isinstance(error, AttributeError):
        return connection is not None and connection.is_closed()
    return isinstance(error, (asyncpg.PostgresError, *_OF_CONNECTIONS))


def describe(error: BaseException) -> str:
    """Return the reason, and what to do if that is known, in a form that repeats no value."""
    if isinstance(error, StorageError | ConfigError):
        return str(error).rstrip(".")
    advice = _FAULT_ADVICE.get(error.sqlstate or "") if isinstance(error, asyncpg.PostgresError) else None
    if "query_wait_timeout" in str(error):  # PgBouncer says so with the code of a lost connection
        advice = _POOL_FULL
    return reason_of(error) if advice is None else f"{reason_of(error)}. {advice}"


def reason_of(error: BaseException) -> str:
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or "no code"
        said = str(error.args[0]) if error.args and state.startswith(_NAMES_NO_VALUE) else type(error).__name__
        return f"{said} ({state})"
    for kind, why in _REASONS.items():
        if isinstance(error, kind):
            return why
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, OSError) and len(error.args) == 1:
        return str(error.args[0])  # asyncpg's own words, such as for a server without TLS
    is_closed = isinstance(error, (*_OF_CONNECTIONS, AttributeError))  # see `is_known`
    return "the connection is closed" if is_closed else type(error).__name__


def unavailable(name: str, error: BaseException) -> StorageUnavailable:
    """Return the error for callers. Set its cause: `raise unavailable(...) from error`."""
    return StorageUnavailable(f"{name} does not answer as it should, and nothing was stored: {describe(error)}.")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise errors of PostgreSQL and of the network as StorageUnavailable. `name` is for the message."""
    try:
        yield
    except Exception as error:
        if is_known(error):
            raise unavailable(name, error) from error
        raise
