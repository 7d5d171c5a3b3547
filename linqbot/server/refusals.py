"""The deliveries that a server refuses: their record for `linqbot check`, and a log that a flood does not fill.

The server knows what a doctor cannot find out from outside: that Linq's own deliveries are refused, for example because
the secret file holds a wrong secret. The record is a small file next to the storage's file, which only its owner can
read. A file is chosen over a route such as `/readyz`: it is never open to the outside, it also works if the server
listens on a Unix socket, and it outlives the server. The secret's folder may be mounted read-only; the storage's is not.

It holds counts and times by reason, and of the senders only the ids of subscriptions whose secrets are in our own secret
file. So a flood of forged requests cannot make it grow, and writes it at most once in `WRITE_EVERY_S`.

Any client can post to a public webhook as often as it likes. Of each kind of line the log gets a few per minute. The others
are counted, and the count is logged when the minute is over, so a flood ends with a line that shows its size.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter
from pydantic_core import to_json
from structlog.typing import FilteringBoundLogger

from linqbot.clock import Clock
from linqbot.server.secret_file import write_private
from linqbot.turn_events import Reason

log = structlog.get_logger("linqbot.server")

WRITE_EVERY_S: Final = 2.0
"""Shortest time, in seconds, between two writes of the file."""

IDS: Final = 10_000
"""Number of deliveries that are recognised when they come again and are refused again."""

KEEP_S: Final = 7 * 86_400.0
"""Age, in seconds, from which the refusals of earlier servers are left out."""


@dataclass(slots=True)
class RefusalCount:
    """The refused deliveries of one reason and one subscription, with the times (Unix seconds) of the first and the last.

    Attributes:
        subscription_id: The subscription that the sender named, if its secret is in our secret file. Only Linq and the
            owner of the account know such an id, so a forger does not.
    """

    reason: Reason
    subscription_id: str | None
    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True)
class Refusals:
    """The content of a record: the start of the server that wrote it last, in Unix seconds, and what all servers refused."""

    started_at: float
    refused: tuple[RefusalCount, ...]


class RefusalRecord:
    """Counts refused deliveries, and writes the counts to a file, if there is one, from `open` to `close`.

    `of_people` counts, by reason, the deliveries that looked like Linq's and that this process has refused: there may be a message
    of a person in each. Linq delivers most of them again and again, which counts once. The last was at `people_at`, by the clock of the bot.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self.of_people: Counter[Reason] = Counter()
        self.people_at = 0.0
        self._people_ids: dict[str, None] = {}  # the ids of the last of them, in order
        self._path = path
        self._clock = clock
        self._started_at = clock.now()
        self._refused: dict[tuple[Reason, str | None], RefusalCount] = {}
        self._is_open = False
        self._has_news = False
        self._pause: asyncio.TimerHandle | None = None  # between two writes
        self._writing: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Continue the record of an earlier server. Call it once this process owns the storage."""
        if self._path is None:
            return
        earlier = read(self._path)
        for each in earlier.refused if earlier else ():
            if each.last_at > self._clock.now() - KEEP_S:
                self._refused.setdefault((each.reason, each.subscription_id), each)
        self._is_open = True
        self._write()

    def note_people(self, reason: Reason, at: float, delivery_id: str | None = None) -> None:
        """Count, for `LINQBOT_TELL`, a refusal of a delivery that looked like Linq's; one that comes again only once.

        Args:
            delivery_id: The id, if its signature was valid: a stranger chooses the other ids.
        """
        self.people_at = at
        if delivery_id is None:
            self.of_people[reason] += 1
        elif delivery_id not in self._people_ids:
            self.of_people[reason] += 1
            self._people_ids[delivery_id] = None
            if len(self._people_ids) > IDS:
                del self._people_ids[next(iter(self._people_ids))]

    def note(self, reason: Reason, subscription_id: str | None = None) -> None:
        """Count a refusal, for the file."""
        now = self._clock.now()
        each = self._refused.get((reason, subscription_id))
        if each is None:
            each = self._refused[reason, subscription_id] = RefusalCount(reason, subscription_id, 0, now, now)
        each.count += 1
        each.last_at = now
        self._has_news = True
        if self._is_open and self._pause is None:
            self._write()

    async def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        if self._writing is not None:
            await self._writing
        if self._is_open and self._has_news:
            await asyncio.to_thread(_write, self._path, self._content())
        self._is_open = False

    def _write(self) -> None:
        self._has_news, self._pause = False, _later(WRITE_EVERY_S, self._end_pause)
        # In a thread: a disk that hangs must not block the event loop.
        self._writing = asyncio.get_running_loop().run_in_executor(None, _write, self._path, self._content())

    def _end_pause(self) -> None:
        self._pause = None
        if self._has_news:
            self._write()

    def _content(self) -> bytes:
        return to_json(Refusals(self._started_at, tuple(self._refused.values())), indent=1)


def read(path: Path) -> Refusals | None:
    """Return the content of a record; None if there is none, or none that this release can read."""
    try:
        return TypeAdapter(Refusals).validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _write(path: Path | None, content: bytes) -> None:
    assert path is not None
    try:
        write_private(path, content)
    except OSError as error:
        # The full disk that prevents this write is logged by the storage too.
        log.debug("refusals.unwritable", error=error.strerror)


def _later(after_s: float, function: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(after_s, function)


LINES: Final = 5
"""Lines of one kind that are written in one minute; further lines are only counted."""

EVERY_S: Final = 60.0
"""Seconds until the count of suppressed lines is logged and starts again."""


@dataclass(slots=True)
class _Minute:
    """The lines of one kind in one minute: the numbers of those that were written and only counted, and the last of these."""

    written: int = 0
    suppressed: int = 0
    level: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class BoundedLog:
    """Writes warnings and errors to `logger`, at most `LINES` per minute of each event and kind."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        self._logger = logger
        self._minutes: dict[tuple[str, str], _Minute] = {}

    def warning(self, event: str, *, kind: str = "", **facts: Any) -> None:
        """Log a warning, or count it. There must be few kinds, which share a limit: no text that the sender chose."""
        self._write("warning", event, kind, facts)

    def error(self, event: str, *, kind: str = "", **facts: Any) -> None:
        self._write("error", event, kind, facts)

    def end(self) -> None:
        for event, kind in list(self._minutes):
            self._over(event, kind)

    def _write(self, level: str, event: str, kind: str, facts: dict[str, Any]) -> None:
        minute = self._minutes.get((event, kind))
        if minute is None:
            minute = self._minutes[event, kind] = _Minute()
            _later(EVERY_S, partial(self._over, event, kind))
        if minute.written < LINES:
            minute.written += 1
            getattr(self._logger, level)(event, **facts)
        else:
            minute.suppressed += 1
            minute.level, minute.facts = level, facts

    def _over(self, event: str, kind: str) -> None:
        minute = self._minutes.pop((event, kind), None)
        if minute is not None and minute.suppressed:
            getattr(self._logger, minute.level)(event, **minute.facts, suppressed=minute.suppressed)
