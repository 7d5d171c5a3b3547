"""Tells the owner of a bot about its troubles, by a text, an e-mail or a webhook. It works without Prometheus.

A task looks once a minute: it never runs on the way of an event, and a target that does not answer delays nothing. `troubles.py`
decides what is said. The watch does not depend on what it watches: while the storage fails it goes on with a record in memory,
messages are sent in threads of their own, and while the event loop is blocked, a thread says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import structlog

from linqbot.client.client import Client
from linqbot.client.http.http11 import reason_of
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, LinqbotError, StorageError
from linqbot.frames import place_of
from linqbot.interrupts import RunningTask
from linqbot.linq.types.line import PhoneNumber
from linqbot.options import DAY_S
from linqbot.server.refusals import RefusalRecord
from linqbot.server.targets import SEND_S, NotSent, Telling, apart, id_of, is_by_linq, request, send, text_of
from linqbot.server.troubles import (
    BLOCKED,
    KEY,
    LINE,
    UNANSWERED,
    WAITING,
    OpenTrouble,
    TroubleFacts,
    TroubleMessage,
    TroubleRecord,
    adopt,
    blocked,
    claim,
    follow,
    note_sent,
    read_record,
)
from linqbot.storage.backend import Storage
from linqbot.turn_events import Reason

log = structlog.get_logger("linqbot.server")

T = TypeVar("T")

Answered: TypeAlias = tuple[bool | None, dict[str, str | None] | None]
"""True if Linq refuses the key, and the trouble of each line in words; None for what it has not answered."""

Change: TypeAlias = Callable[[TroubleRecord, str | None], T]
"""A function that changes a record. It gets the reason why the record is not stored, None if it is."""

LOOK_EVERY_S: Final = 60.0
ASK_EVERY_S: Final = 300.0
"""Seconds between two looks, and the least between two questions to Linq: does it accept the key, and how are the lines? While it
does not, a line is flagged, or messages wait, each look asks."""

STORAGE_S: Final = 10.0
"""Seconds that the storage may take for one answer. Then it counts as failing."""

UNSTORED_EVERY_S: Final = 120.0
"""Shortest time between two messages to a target while it cannot be stored what was said."""

ASK_S: Final = 5.0
"""Seconds that a look waits for Linq's answers. Later ones are for the next look."""

LOOP_EVERY_S: Final = 5.0
"""Seconds between two questions of a thread to the event loop."""

RESUMED_S: Final = 1.0
"""Seconds that a loop gets to answer after the whole process was stopped for a while, such as by SIGSTOP."""

MOST_COUNTED: Final = 10_000
"""Largest number of messages that wait, or were given up, that a look counts: it must cost little in the worst outage."""


@dataclass(slots=True, eq=False, repr=False)
class TroubleWatch:
    """Looks for troubles once a minute, and tells the owner.

    Attributes:
        client: The client of calls outside of a turn.
        refusals: Counts refused deliveries.
        lost: Returns the number of messages that had to be fetched.
        is_ready: Returns True while the process does its part of the work.
        storage_trouble: Returns the reason why this process cannot store or handle deliveries; None if none is known.
    """

    telling: Telling
    client: Client
    storage: Storage
    clock: Clock
    refusals: RefusalRecord
    lost: Callable[[], int]
    is_ready: Callable[[], Awaitable[bool]]
    storage_trouble: Callable[[], str | None] = lambda: None
    _targets: dict[str, str] = field(init=False)  # by their ids
    _since: float = field(init=False)
    _beats: bool = field(default=True, init=False)  # False while the last heartbeat has failed
    _asked_at: float = field(default=-ASK_EVERY_S, init=False)
    _asking: asyncio.Task[Answered] | None = field(default=None, init=False)
    _counted: tuple[Counter[Reason], int] = field(init=False)  # what the record knows of the two counts
    # The record as it was last stored, or as it goes on in memory while the storage fails, since `_unstored` is True.
    _record: TroubleRecord = field(default_factory=TroubleRecord, init=False)
    _unstored: bool = field(default=False, init=False)
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _said_at: dict[str, float] = field(default_factory=dict, init=False)  # by target, while the storage fails
    # The trouble of a loop that is blocked, which only the thread uses; and one that is over, for the next look.
    _blocked: OpenTrouble | None = field(default=None, init=False)
    _was_blocked: OpenTrouble | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._targets = {id_of(each): each for each in self.telling.targets}
        self._since = self.clock.now()
        # What was refused until now came while the app was starting: Linq delivers it again.
        self._counted = Counter(self.refusals.of_people), 0

    @property
    def _limit_s(self) -> float:
        return self.telling.wait_min * 60

    async def run(self) -> None:
        """Look until the task is cancelled."""
        task, ended = RunningTask(), threading.Event()
        watched = asyncio.get_running_loop(), ended
        threading.Thread(target=self.watch_loop, args=watched, name="linqbot loop alarm", daemon=True).start()
        try:
            while True:
                began = self.clock.now()
                try:
                    await self.look()
                except Exception as error:
                    if task.is_ended_by(error):
                        raise
                    log.error("troubles.failed", error=type(error).__name__)
                await self.clock.wait_until(began + LOOK_EVERY_S)
        finally:
            ended.set()
            if self._asking is not None:
                self._asking.cancel()

    async def look(self) -> None:
        """Look once, and send the messages that are due, and the heartbeat if people are answered."""
        found, counts = await self._found()
        was_blocked, self._was_blocked = self._was_blocked, None

        def change(record: TroubleRecord, unstored: str | None) -> list[TroubleMessage]:
            if was_blocked is not None:
                adopt(record, TroubleRecord(troubles={BLOCKED: was_blocked}))
            follow(record, found if unstored is None else replace(found, storage_trouble=unstored))
            return self._claim(record, found.now, is_stored=unstored is None)

        messages = await self._change(change)
        self._counted = counts
        sends: list[Coroutine[Any, Any, None]] = [self._tell(message) for message in messages]
        is_answering = not self._unstored and not any(map(self._record.is_open, UNANSWERED))
        if self.telling.heartbeat_url is not None and is_answering:
            sends.append(self._beat(self.telling.heartbeat_url))
        await asyncio.gather(*sends)

    def _claim(self, record: TroubleRecord, now: float, *, is_stored: bool) -> list[TroubleMessage]:
        reached = {target_id: is_by_linq(given) for target_id, given in self._targets.items()}
        if is_stored:
            return claim(record, reached, now)
        # A record that is not stored might be wrong: it must not flood anyone.
        latest = now - UNSTORED_EVERY_S
        reached = {each: by_linq for each, by_linq in reached.items() if self._said_at.get(each, latest) <= latest}
        messages = claim(record, reached, now, one_each=True, keep=True)
        self._said_at |= dict.fromkeys((each.target for each in messages), now)
        return messages

    async def _beat(self, url: str) -> None:
        before, self._beats = self._beats, False
        try:
            async with asyncio.timeout(SEND_S):
                if not await self.is_ready():
                    self._beats = before
                    return
                await apart(partial(request, url))
        except Exception as error:  # noqa: BLE001 - troubles must be said all the same
            if before:
                log.warning("heartbeat.not_sent", error=_reason(error))
        else:
            self._beats = True

    async def _found(self) -> tuple[TroubleFacts, tuple[Counter[Reason], int]]:
        """Return the facts, and the counts that they are up to."""
        now, storage = self.clock.now(), self.storage
        waiting = await self._read(storage.oldest_webhooks(MOST_COUNTED))
        dead = await self._read(storage.given_up(since=now - DAY_S, limit=MOST_COUNTED))
        heard_at = await self._read(storage.last_activity())
        key_refused, lines = await self._heard_of_linq(now)
        # Read last: what is refused while Linq is asked is not older than the other facts.
        refused, lost = counts = Counter(self.refusals.of_people), self.lost()
        found = TroubleFacts(
            now,
            self._limit_s,
            refused=refused - self._counted[0],
            refused_at=self.refusals.people_at,
            storage_trouble=self.storage_trouble(),
            waiting=waiting,
            dead=dead,
            key_refused=key_refused,
            lines=lines,
            lost=lost - self._counted[1],
            heard_at=heard_at,
            watched_since=self._since,
            silence_s=self.telling.silence_min * 60,
        )
        return found, counts

    async def _read(self, answer: Awaitable[T]) -> T | None:
        """Return what the storage answers; None while it does not. Whatever fails there, the other troubles must be found."""
        try:
            async with asyncio.timeout(STORAGE_S):
                return await answer
        except (StorageError, TimeoutError):
            pass  # that it fails is noticed when the record is changed
        except Exception as error:  # noqa: BLE001 - a mistake in linqbot
            log.error("troubles.unread", error=type(error).__name__, at=place_of(error))
        return None

    async def _heard_of_linq(self, now: float) -> Answered:
        """Return what Linq has answered since the last look. A Linq that does not answer delays the look only shortly."""
        # Messages may wait because of the key or the line.
        causes = KEY, LINE, WAITING
        is_wrong = any(name.startswith(causes) and self._record.is_open(name) for name in self._record.troubles)
        if self._asking is None and (is_wrong or now - self._asked_at >= ASK_EVERY_S):
            self._asked_at = now
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="linqbot asks about lines")
        asking = self._asking
        if asking is None:
            return None, None
        await asyncio.wait({asking}, timeout=ASK_S)
        if not asking.done():
            return None, None
        self._asking = None
        return asking.result()

    async def _ask(self) -> Answered:
        """Ask Linq if it accepts the key, and how each line is. What it does not answer is not known."""
        try:
            async with asyncio.timeout(SEND_S):
                every = [line async for line in self.client.phone_numbers.list()]
                return False, {line.phone_number: await self._problem(line, every) for line in every}
        except LinqApiError as error:
            return (True if error.status in (401, 403) else None), None
        except (LinqbotError, TimeoutError):
            return None, None
        except Exception as error:  # noqa: BLE001 - such as an answer that linqbot does not understand
            log.error("troubles.unasked", error=type(error).__name__, at=place_of(error))
            return None, None

    async def _problem(self, line: PhoneNumber, every: Sequence[PhoneNumber]) -> str | None:
        """Return the trouble of a line in words; None if there is none."""
        if not await can_send(self.client, line, every):
            return "is not allowed to send now"
        standing = line.reputation.status if line.reputation else ""
        return f"is {standing}" if standing in ("AT_RISK", "CRITICAL") else None

    async def _change(self, to: Change[T]) -> T:
        """Change the stored record; while the storage fails, the record in memory, which is stored once the storage works."""
        async with self._changing:
            return await self._change_alone(to)

    async def _change_alone(self, to: Change[T]) -> T:
        own = self._record if self._unstored else None

        def change(text: str | None) -> tuple[str, tuple[TroubleRecord, T]]:
            record = read_record(text)
            if own is not None:
                adopt(record, own)
            result = to(record, None)
            return record.model_dump_json(exclude_defaults=True), (record, result)

        try:
            async with asyncio.timeout(STORAGE_S):
                record, result = await self.storage.change_troubles(change)
        except Exception as error:  # noqa: BLE001 - whatever fails in the storage, the owner must learn of it
            why = _why(error)
            if not self._unstored:
                log.warning("troubles.unstored", error=why)
            self._unstored = True
            return to(self._record, why)
        self._record, self._unstored = record, False
        self._said_at.clear()
        return result

    async def _tell(self, message: TroubleMessage) -> None:
        given = self._targets[message.target]
        facts = _facts(message, given)
        try:
            async with asyncio.timeout(SEND_S):
                if is_by_linq(given):
                    await self._text(given.partition(":")[2], message)
                else:
                    await apart(partial(send, self.telling, given, message, self.storage.install))
        except Exception as error:  # noqa: BLE001 - the messages to the other targets must be sent
            log.warning("trouble.not_sent", **facts, error=_reason(error))
        else:
            log.info("trouble.sent", **facts)
            await self._change(lambda record, _: note_sent(record, message))

    async def _text(self, person: str, message: TroubleMessage) -> None:
        made = "\0".join((self.storage.install, message.id, message.target))
        key = hashlib.blake2b(made.encode(), digest_size=16).hexdigest()
        # From the line that Linq chooses: that of the chat with the owner, or else the best one.
        await self.client.messages.create(
            to=[person], message={"parts": [{"type": "text", "value": text_of(message)}]}, idempotency_key=key
        )

    # In a thread, because a loop that is blocked runs no task

    def watch_loop(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        """Ask the event loop for an answer now and then, and tell the owner while it gives none."""
        while not ended.wait(LOOP_EVERY_S):
            answered, began = threading.Event(), time.monotonic()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # the loop is closed
                return
            while not (answered.wait(min(self._limit_s, LOOK_EVERY_S)) or answered.wait(RESUMED_S) or ended.is_set()):
                self.tell_blocked(time.monotonic() - began)
            self.end_blocked()

    def tell_blocked(self, blocked_s: float) -> None:
        """Tell the owner, if it is time, that the event loop has been blocked for so long. No text: Linq's client needs the loop."""
        now = self.clock.now()
        trouble = blocked(now - blocked_s, now, self._limit_s)
        if trouble.size < 1:
            return
        if self._blocked is not None:
            trouble.since, trouble.notified = self._blocked.since, self._blocked.notified
        self._blocked = trouble
        record = TroubleRecord(troubles={BLOCKED: trouble})
        reached = {target_id: False for target_id, given in self._targets.items() if not is_by_linq(given)}
        for message in claim(record, reached, now):
            given = self._targets[message.target]
            try:
                send(self.telling, given, message, self.storage.install)
            except Exception as error:  # noqa: BLE001 - the other targets must be notified
                log.warning("trouble.not_sent", **_facts(message, given), error=_reason(error))
            else:
                log.info("trouble.sent", **_facts(message, given))
                note_sent(record, message)

    def end_blocked(self) -> None:
        """Let the next look of the event loop, which runs again, say that the trouble is over."""
        self._was_blocked, self._blocked = self._blocked or self._was_blocked, None


async def can_send(client: Client, line: PhoneNumber, every: Sequence[PhoneNumber]) -> bool:
    """Return True if Linq lets a line send.

    Linq's list of lines does not say so. But Linq names a line to send from on request, and lines can be excluded: this
    asks with all other lines excluded. Linq says 400 if these are all that may send, and 409 or 503 if none may.
    """
    others = [each.phone_number for each in every if each is not line]
    try:
        await client.available_number.retrieve(exclude_from=others or None)
    except LinqApiError as error:
        return error.status not in {400, 409, 503}
    return True


def _facts(message: TroubleMessage, given: str) -> dict[str, object]:
    """Return the facts of a message for the log, without the number of a line: the log has no phone numbers."""
    name, by = message.name.partition(" ")[0], given.partition(":")[0]
    return {"trouble": name, "state": message.state, "size": message.size, "by": by, "target": message.target}


def _why(error: Exception) -> str:
    """Return why the storage fails, as a sentence."""
    if isinstance(error, StorageError):
        return str(error)
    return (
        "The storage does not answer." if isinstance(error, TimeoutError) else f"{type(error).__name__} in the storage."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, LinqApiError):
        return f"Linq answered {error.status}/{error.code}"
    return str(error) if isinstance(error, NotSent) else reason_of(error)
