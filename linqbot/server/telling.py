"""Tells the owner of a bot about its troubles, by a webhook. It works without Prometheus.

A task looks once a minute: it never runs on the way of an event, and a target that does not answer delays nothing. `troubles.py`
decides what is said.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from pydantic_core import to_json

from linqbot.client.client import Client
from linqbot.client.http.addresses import UnsafeURL, target
from linqbot.client.http.connector import Connector, environment_proxy
from linqbot.client.http.http11 import Request, RequestHeaders, reason_of
from linqbot.client.http.pool import Pool
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, LinqbotError, StorageError
from linqbot.interrupts import RunningTask
from linqbot.options import DAY_S
from linqbot.server.troubles import TroubleFacts, TroubleMessage, TroubleRecord, claim, follow, note_sent, read_record
from linqbot.storage.backend import Storage

log = structlog.get_logger("linqbot.server")

T = TypeVar("T")

LOOK_EVERY_S: Final = 60.0
ASK_EVERY_S: Final = 300.0
"""Seconds between two looks, and the least between two questions to Linq: does it accept the key?"""

SEND_S: Final = 30.0
"""Seconds that one message may take. It is shorter than the wait before its second attempt."""


@dataclass(frozen=True, slots=True)
class Telling:
    """The targets that the owner's messages go to. Some are secrets, so its repr shows none.

    Attributes:
        targets: `https://…`: a webhook that gets JSON by POST.
    """

    targets: tuple[str, ...] = field(default=(), repr=False)


class NotSent(Exception):
    """A target did not take a message. The text has the reason, and nothing of the target."""


def check_target(given: str) -> None:
    """Check a target.

    Raises:
        ValueError: it is none. The text quotes nothing of it.
    """
    try:
        target(given)
    except UnsafeURL:
        raise ValueError("is no https://… address of a webhook") from None


class TroubleWatch:
    """Looks for troubles once a minute, and tells the owner.

    Args:
        client: The client of calls outside of a turn.
    """

    def __init__(self, telling: Telling, client: Client, storage: Storage, clock: Clock) -> None:
        self._client = client
        self._storage = storage
        self._clock = clock
        self._targets = {_id_of(each): each for each in telling.targets}
        self._asked_at = -ASK_EVERY_S
        self._key_refused: bool | None = None

    async def run(self) -> None:
        """Look until the task is cancelled."""
        task = RunningTask()
        while True:
            try:
                await self.look()
            except StorageError as error:
                log.warning("troubles.unknown", error=str(error))
            except Exception as error:
                if task.is_ended_by(error):
                    raise
                log.error("troubles.failed", error=type(error).__name__)
            await self._clock.wait_until(self._clock.now() + LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once, and send the messages that are due.

        Raises:
            StorageUnavailable: the record cannot be read or written.
        """
        found = await self._found()
        reached = dict.fromkeys(self._targets, False)

        def change(record: TroubleRecord) -> list[TroubleMessage]:
            follow(record, found)
            return claim(record, reached, found.now)

        messages = await self._change(change)
        await asyncio.gather(*(self._tell(message) for message in messages))

    async def _found(self) -> TroubleFacts:
        now, dead = self._clock.now(), 0
        if await self._storage.dead_letters(since=now - DAY_S, limit=1):
            dead = (await self._storage.tally()).dead
        if now - self._asked_at >= ASK_EVERY_S:
            self._asked_at = now
            await self._ask()
        return TroubleFacts(now, dead, self._key_refused)

    async def _ask(self) -> None:
        """Ask Linq if it accepts the key. If it does not answer, it is not known."""
        self._key_refused = None
        try:
            async with asyncio.timeout(SEND_S):
                await self._client.phone_numbers.list()
        except LinqApiError as error:
            self._key_refused = True if error.status in (401, 403) else None
        except (LinqbotError, TimeoutError):
            pass
        else:
            self._key_refused = False

    async def _change(self, to: Callable[[TroubleRecord], T]) -> T:
        def change(text: str | None) -> tuple[str, T]:
            record = read_record(text)
            result = to(record)
            return record.model_dump_json(exclude_defaults=True), result

        return await self._storage.change_troubles(change)

    async def _tell(self, message: TroubleMessage) -> None:
        given = self._targets[message.target]
        facts = {"trouble": message.name, "by": given.partition(":")[0], "target": message.target}
        try:
            async with asyncio.timeout(SEND_S):
                await self._send(given, message)
        except Exception as error:  # noqa: BLE001 - the messages to the other targets must be sent
            reason = str(error) if isinstance(error, NotSent) else reason_of(error)
            log.warning("trouble.not_sent", **facts, error=reason)
        else:
            log.info("trouble.sent", **facts, over=message.ended_at is not None)
            await self._change(partial(note_sent, message=message))

    async def _send(self, given: str, message: TroubleMessage) -> None:
        await _post(given, _as_json(message), {"Content-Type": "application/json", "Idempotency-Key": message.id})


def _id_of(given: str) -> str:
    """Return the id of a target, which is stored and logged: it discloses nothing of the target."""
    return hashlib.blake2b(given.encode(), digest_size=4).hexdigest()


def _as_json(message: TroubleMessage) -> bytes:
    body: dict[str, Any] = {
        "id": message.id,
        "trouble": message.name,
        "state": "began" if message.ended_at is None else "over",
        "text": f"{_here()}: {message.text}",
        "since": _iso(message.since),
        "ended_at": None if message.ended_at is None else _iso(message.ended_at),
    }
    return to_json(body)


def _here() -> str:
    # Without its domain: a name with dots is a link, and the first message of a chat must have none.
    return f"linqbot on {platform.node().partition('.')[0] or 'this machine'}"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


async def _post(url: str, content: bytes | None, headers: Mapping[str, str]) -> None:
    """Send a request without redirects: POST, or GET without content.

    Raises:
        NotSent: the response is no success.
        TransportError: there is no response.
    """
    goal = target(url)
    fields = RequestHeaders({"Host": goal.origin.authority, "User-Agent": "linqbot", **headers})
    request = Request("GET" if content is None else "POST", goal.origin, goal.target, fields, content)
    pool = Pool(Connector(goal.origin, connect_timeout_s=5.0, proxy=environment_proxy(goal.origin)))
    try:
        response = await pool.send(request)
    finally:
        await pool.aclose()
    if not 200 <= response.status < 300:
        raise NotSent(f"status {response.status}")
