"""Errors of PostgreSQL and of its connections, sorted by what a storage does about them.

Messages of PostgreSQL may quote a value that was to be stored, so only messages of classes that never do are repeated.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from linqbot.errors import StorageUnavailable
from linqbot.storage.postgres.server.address import Connection

_CAUSED_BY_VALUES = ("22", "23", "54")
# 42501: a right is missing; the message names the table or the schema. 42704: the URL sets what the server does not know.
_NAMES_NO_VALUE = ("08", "25", "28", "3D", "42501", "42704", "53", "55", "57")
# 0A000: a newer linqbot has changed a table since the statement was prepared.
_TO_REPEAT = frozenset({"40001", "40P01", "0A000"})
_LOST = ("08", "57P")
_REASONS = {
    TimeoutError: "no answer in time",
    asyncpg.TargetServerAttributeNotMatched: "no server in the storage URL is now as its target_session_attrs says, such as read-write",
}
_ADVICE = {
    "25006": "The server is a standby, or default_transaction_read_only is on: name the primary in the storage URL, or several "
    "servers with target_session_attrs=read-write, or end what has made the database read-only",
    "42501": "Let the owner of the schema grant the user of the storage URL USAGE on the schema, ALL on its tables and sequences, USAGE "
    "on the schema pgmq, and ALL on the tables q_ and a_ in it that end with the name of the schema",
    "53300": "The server has no connection left: raise its max_connections, or lower connections= in the storage URL",
}
_POOL_FULL = "The connection pool has no connection left: raise its default_pool_size to 3 or more for each process"
_READ_ONLY = "25006"
# ENOENT: no server listens at the path of a Unix socket. EAI_AGAIN: the name server does not answer.
_NO_ROUTE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENOENT, socket.EAI_AGAIN})
_FULL = frozenset({"53300", "08P01"})
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
    """Return True if the connection can be used no more."""
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


def is_full(error: BaseException) -> bool:
    """Return True if the server, or a connection pool in front of it, has no room for a further connection."""
    # A pool lets the client wait, or refuses it with the code of a protocol violation.
    full = isinstance(error, asyncpg.PostgresError) and error.sqlstate in _FULL
    return full or isinstance(error, TimeoutError)


def is_known(error: BaseException) -> bool:
    """Return True if the error comes from PostgreSQL, from asyncpg, or from the network."""
    return isinstance(error, (asyncpg.PostgresError, *_OF_CONNECTIONS))


def is_of_closed(connection: Connection, error: BaseException) -> bool:
    """Return True if an error comes from the end of a connection between two steps of a statement: asyncpg has no class for it."""
    return isinstance(error, AttributeError) and connection.is_closed()


def describe(error: BaseException) -> str:
    """Return the reason, and what to do if that is known, in a form that repeats no value."""
    advice = _ADVICE.get(error.sqlstate or "") if isinstance(error, asyncpg.PostgresError) else None
    if "query_wait_timeout" in str(error):  # PgBouncer says so with the code of a lost connection
        advice = _POOL_FULL
    return reason_of(error) if advice is None else f"{reason_of(error)}. {advice}"


def reason_of(error: BaseException) -> str:
    """Return the reason in a form that repeats no value."""
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
    is_closed = isinstance(error, (*_OF_CONNECTIONS, AttributeError))  # see `is_of_closed`
    return "the connection is closed" if is_closed else type(error).__name__


def unavailable(name: str, error: BaseException) -> StorageUnavailable:
    """Return the error for callers. Set its cause: `raise unavailable(...) from error`."""
    return StorageUnavailable(f"{name} does not answer as it should: {describe(error)}. Nothing was stored.")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise errors of PostgreSQL and of the network as StorageUnavailable.

    Args:
        name: The place of the storage; see `Address.name`.
    Raises:
        StorageUnavailable: the block raised such an error.
    """
    try:
        yield
    except Exception as error:
        if is_known(error):
            raise unavailable(name, error) from error
        raise
