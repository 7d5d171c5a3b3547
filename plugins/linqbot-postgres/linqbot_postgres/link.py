"""The connections of a storage: one that writes, some that read, and one that listens for what other processes did.

They are lost together and made again together, because most reasons concern the server. While they are lost, every
operation fails at once with StorageUnavailable, so that a webhook is answered 503 without a wait.

A process reads the clock of the database from the clock of its own machine and the difference that it has measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import asyncpg
import structlog

from linqbot.errors import ConfigError, StorageUnavailable
from linqbot_postgres.address import (
    Address,
    Connection,
    close,
    describe,
    is_away,
    is_known,
    is_lost,
    translated,
    unavailable,
)

log = structlog.get_logger("linqbot.storage")

_SETTLED_S: Final = 1.0
"""Seconds after which the server has ended the transactions of connections that were lost."""

_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ServerLink:
    """The connections, opened with `open` and kept open.

    `ready` is called with the one that writes and the one that listens each time they were made, `heard` with the
    payload of each notification, `changed` when the connections were lost and when they were made again.
    """

    def __init__(
        self,
        address: Address,
        *,
        ready: Callable[[Connection, Connection], Awaitable[None]],
        heard: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.trouble: str | None = None
        self._address = address
        self._ready = ready
        self._heard = heard
        self._changed = changed
        self._writer: Connection | None = None
        self._listener: Connection | None = None
        self._idle: list[Connection] = []
        self._reading: dict[Connection, None] = {}  # in the order in which they began
        self._slots = asyncio.Semaphore(address.connections - 2)
        self._again: asyncio.Task[None] | None = None
        self._is_open = False
        # What was heard before `follow`; None after it.
        self._early: list[str] | None = []

    async def open(self, *, wait: bool) -> None:
        """Connect. With `wait`, wait for a server that is away; what looks like a wrong setting is raised at once."""
        self.trouble = None
        for attempt in itertools.count():
            try:
                with translated(self._address.name):
                    await self._connect()
            except BaseException as error:
                self._drop()
                # A password file that is missing is a ConfigError with a similar cause.
                reason = error.__cause__ if isinstance(error, StorageUnavailable) else None
                if not (wait and reason is not None and is_away(reason)):
                    raise
                if attempt == 0:
                    log.warning("storage.awaited", error=f"{error} The start goes on when it answers.")
                await asyncio.sleep(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
            else:
                break
        self._is_open = True

    def follow(self) -> None:
        """Call `heard` for what was heard since the connections were made, and from now on at once."""
        early, self._early = self._early, None
        for payload in early or ():
            self._heard(payload)

    async def close(self) -> None:
        self._is_open = False
        if self._again is not None:
            self._again.cancel()
            await asyncio.wait([self._again])
            self._again = None
        connections = [self._writer, self._listener, *self._idle, *self._reading]
        await asyncio.gather(*(self._close(each) for each in connections if each is not None and not each.is_closed()))
        self._forget()

    def give_up(self) -> None:
        """End the connections at once, and make none again: what is being written fails with StorageUnavailable."""
        self._is_open = False
        log.warning("storage.unanswered", storage=self._address.name)
        self._drop()

    @property
    def writer(self) -> Connection:
        """The connection that writes. Raises StorageUnavailable if the connections are lost, or not open."""
        if self._writer is None or self.trouble is not None:
            raise self._refusal()
        return self._writer

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Lend a connection that reads. Raises StorageUnavailable as `writer` does."""
        async with self._slots:
            if self._writer is None or self.trouble is not None:
                raise self._refusal()
            connection: Connection | None = None
            try:
                while self._idle and (connection := self._idle.pop()).is_closed():
                    connection = None
                connection = connection or await self._address.connect()
                self._reading[connection] = None
                try:
                    yield connection
                except (asyncio.CancelledError, TimeoutError):
                    # The server may still run the statement, or be in a transaction: this connection reads no more.
                    connection.terminate()
                    raise
                finally:
                    self._reading.pop(connection, None)
                    if not connection.is_closed() and not connection.is_in_transaction():
                        self._idle.append(connection)
            except Exception as error:
                # A ConfigError is a password file or a certificate that was there at the start: the turn waits for it.
                if not is_known(error, connection) and not isinstance(error, ConfigError):
                    raise
                if not isinstance(error, TimeoutError):
                    self.note(error)
                raise unavailable(self._address.name, error) from error

    def note(self, error: BaseException) -> None:
        """Take note of an error of a connection. If it is lost, make all connections again, in the background."""
        if is_lost(error):
            self.lost(describe(error))

    def lost(self, why: str) -> None:
        if not self._is_open or self.trouble is not None:
            return
        self.trouble = f"{self._address.name} cannot be reached: {why}."
        log.error("storage.lost", error=self.trouble)
        self._drop()
        self._again = asyncio.get_running_loop().create_task(self._reconnect(), name="linqbot storage reconnects")
        self._changed()

    def _refusal(self) -> StorageUnavailable:
        if not self._is_open:
            return StorageUnavailable("The storage is not open. Use it inside `async with storage:`.")
        return StorageUnavailable(f"{self.trouble} Nothing was stored.")

    def _terminated(self, _: object) -> None:
        self.lost("the server closed the connection")

    async def _reconnect(self) -> None:
        for pause_s in itertools.chain(_PAUSES_S, itertools.repeat(_PAUSES_S[-1])):
            await asyncio.sleep(pause_s)
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - any error, such as a refused schema, is tried again
                self._drop()
                self.trouble = f"{self._address.name} cannot be reached: {describe(error)}."
            else:
                self.trouble = None
                self._again = None
                log.warning("storage.found", storage=self._address.name)
                self.follow()
                self._changed()
                # Transactions of the lost connections may have kept lanes locked until now.
                asyncio.get_running_loop().call_later(_SETTLED_S, self._changed)
                return

    async def _connect(self) -> None:
        self._writer = await self._address.connect()
        self._listener = await self._address.connect()
        # One that reads, too: without it, what is accepted could not be handled.
        self._idle.append(await self._address.connect())
        await self._address.refuse_shared(self._writer, self._listener)
        # Before the first look, so that nothing is missed that another process commits between the two.
        self._early = []
        await self._listener.add_listener(self._address.channel, self._on_notification)
        await self._ready(self._writer, self._listener)
        for connection in (self._writer, self._listener):
            connection.add_termination_listener(self._terminated)
            if connection.is_closed():
                # It ended before it had this listener, which it will not call any more.
                raise asyncpg.ConnectionDoesNotExistError("the server closed the connection")

    def _on_notification(self, _: object, __: int, ___: str, payload: object) -> None:
        if self._early is None:
            self._heard(str(payload))
        else:
            self._early.append(str(payload))

    async def _close(self, connection: Connection) -> None:
        connection.remove_termination_listener(self._terminated)
        await close(connection)

    def _drop(self) -> None:
        for connection in [self._writer, self._listener, *self._idle, *self._reading]:
            if connection is not None and not connection.is_closed():
                connection.remove_termination_listener(self._terminated)
                connection.terminate()
        self._forget()

    def _forget(self) -> None:
        self._writer = self._listener = None
        self._idle.clear()
        self._reading.clear()


STEP_S: Final = 1.0
"""Seconds from which on a difference between two clocks of a machine means that one was set: to read both takes time."""


def steady() -> float:
    """Return the seconds since some moment, by a clock that cannot be set. Where the system has one, it runs while suspended."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class ServerTime:
    """The distance between the clocks of database and storage. It stays right if the latter is set."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ahead_s = 0.0
        self._began_at: float | None = None

    def note(self, ahead_s: float) -> None:
        """Note a measurement: the seconds by which the clock of the database is ahead of the storage's clock now."""
        self._ahead_s = ahead_s
        self._began_at = self._beginning()

    @property
    def set_by_s(self) -> float:
        """The seconds by which the storage's clock was set since the measurement; 0 if that is less than `STEP_S`."""
        if self._began_at is None:
            return 0.0
        by_s = self._beginning() - self._began_at
        return by_s if abs(by_s) >= STEP_S else 0.0

    @property
    def ahead_s(self) -> float:
        """The seconds by which the clock of the database is ahead of the storage's clock; 0 if nothing was measured."""
        return self._ahead_s - self.set_by_s

    def _beginning(self) -> float:
        """Return the reading of the storage's clock at which the steady clock began."""
        before, now, after = steady(), self._now(), steady()
        return now - (before + after) / 2
