"""Clocks: `now`, `monotonic` and `wait_until`, passed as an argument to all code that depends on the time.

`SystemClock` is the wall clock. `MovableClock` is for tests, for the emulator and for `linqbot dev`: it can be advanced
or frozen, and tasks that wait on it wake as soon as it reaches their time. The verification of signatures never uses a
movable clock, because the sender's clock does not move with ours. `zone` finds a time zone by its name, and `clock_time` writes
a time for people.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, tzinfo
from operator import itemgetter
from typing import ClassVar, Protocol


class Clock(Protocol):
    """A source of the current time. Times are Unix seconds, as floats."""

    def now(self) -> float:
        """Return the current time, in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some moment, to measure durations. They do not jump when the machine's clock is set."""
        ...

    async def wait_until(self, at: float) -> None:
        """Return once `now() >= at`."""
        ...


class SystemClock:
    """The wall clock."""

    # Without functions of our own around them: each event asks for the time some ten times.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def wait_until(self, at: float) -> None:
        # In steps of at most a minute, because a laptop may be suspended and the clock may be set meanwhile.
        while (left := at - time.time()) > 0:  # noqa: ASYNC110 - no event exists to wait for
            await asyncio.sleep(min(left, 60.0))


class MovableClock:
    """A clock that can be advanced and frozen.

    Args:
        start: The first reading, in Unix seconds; None means the time of the wall clock.
        frozen: True moves the clock only by `advance`. False lets it run at the pace of the wall clock.
    """

    def __init__(self, start: float | None = None, *, frozen: bool = False) -> None:
        self._offset = 0.0 if start is None else start - time.time()
        self._frozen_at: float | None = None
        self._waiters: list[tuple[float, asyncio.Future[None]]] = []
        if frozen:
            self._frozen_at = time.time() if start is None else start

    def now(self) -> float:
        return time.time() + self._offset if self._frozen_at is None else self._frozen_at

    def monotonic(self) -> float:
        """Return the same as `now`: a test that moves this clock means that the time passes."""
        return self.now()

    @property
    def is_frozen(self) -> bool:
        return self._frozen_at is not None

    @property
    def ahead_s(self) -> float:
        """Seconds by which this clock is ahead of the wall clock."""
        return self._offset if self._frozen_at is None else self._frozen_at - time.time()

    def run_ahead(self, seconds: float) -> None:
        """Let the clock run at the pace of the wall clock, `seconds` ahead of it. This may move the clock back."""
        self._frozen_at = None
        self._offset = seconds
        self._wake()

    def stop_at(self, at: float) -> None:
        """Stop the clock at a time in Unix seconds. This may move the clock back."""
        self._frozen_at = at
        self._wake()

    def advance(self, seconds: float) -> None:
        """Move the clock ahead, and wake the tasks whose time has come, the earliest first."""
        if self._frozen_at is None:
            self._offset += seconds
        else:
            self._frozen_at += seconds
        self._wake()

    async def wait_until(self, at: float) -> None:
        while self.now() < at:
            waiter = (at, asyncio.get_running_loop().create_future())
            self._waiters.append(waiter)
            try:
                await asyncio.wait_for(waiter[1], None if self.is_frozen else at - self.now())
            except TimeoutError:
                continue
            finally:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        """Wake the tasks whose time has come. On a running clock wake all: each must sleep for another time now."""
        now = self.now()
        for at, moved in sorted(self._waiters, key=itemgetter(0)):
            if not moved.done() and (at <= now or not self.is_frozen):
                moved.set_result(None)


def clock_time(at: float) -> str:
    """Return a time in Unix seconds as operators read it, such as `2026-11-30 00:49:48 UTC`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


class WrongCall(ValueError):
    """A mistake of an author, raised by a function whose other ValueErrors are sentences for a person.

    Attributes:
        sentence: The name of the sentence for a person whose text has caused it; empty if only an author can cause it.
    """

    sentence: ClassVar[str] = ""


class NoSuchZone(WrongCall):
    """There is no time zone of a name, or this machine has no data about it."""


def zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name. Raises NoSuchZone if there is none, or this machine has no data about it."""
    if name == "UTC":
        return UTC  # also on a machine without time zone data
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # imported late: most processes name no zone

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        from linqbot.installing import install_command

        raise NoSuchZone(
            f"There is no time zone {name!r}. Give an IANA name such as Europe/Paris. If this is one, install the "
            f"machine's time zones (Debian: apt-get install tzdata) or: {install_command('tzdata')}"
        ) from error
