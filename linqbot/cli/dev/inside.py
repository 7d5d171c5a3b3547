"""The part of `linqbot dev` in the bot's process: its clock follows the emulator's, and it shows what the bot stores.

It is a plugin with routes under `/plugins/linqbot-dev-runner/`, which `cli/dev/runner.py` calls from the emulator's
process. Each request must carry the API key that `linqbot dev` made up for this run, because a page in the browser can
reach the port too. The storage is shown as JSON, which holds texts of people: none of it may be logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import httpx
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from linqbot.cli.dev.processes import guarded, no_authorities
from linqbot.cli.output import call_name, columns, iso_time
from linqbot.clock import MovableClock
from linqbot.features.asking.question import OpenQuestion
from linqbot.features.later import KIND as SEND
from linqbot.features.schedules import REPEAT, SCHEDULE
from linqbot.features.state import CHAT, PERSON
from linqbot.hookspecs import Running, hookimpl
from linqbot.linq.events.delivery import decode
from linqbot.linq.events.lane import chat_of_lane, lane_of_chat, lane_of_receipts
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, Conversation
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.journal import JournalEntry
from linqbot.storage.state import BOT
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Selection

NAME: Final = "linqbot-dev-runner"
_WAITING: Final = ("id", "type", "state", "attempts", "crashes", "not_before", "error")


class Inside:
    """The plugin. Its clock is set before the bot leases a delivery, and whenever the emulator's is moved."""

    name = NAME

    def __init__(self, clock: MovableClock, emulator: str, key: str) -> None:
        self._clock = clock
        self._emulator = emulator
        self._key = key

    @hookimpl(tryfirst=True)
    async def started(self) -> None:
        """Set the clock to the emulator's, which may have been moved before this process began.

        First, because the report that the bot has started has a time of this clock.
        """
        async with httpx.AsyncClient(trust_env=False, verify=no_authorities(), timeout=None) as client:  # noqa: S113
            with suppress(httpx.TransportError):  # before the emulator listens, its clock has not been moved
                self._set_clock((await client.get(f"{self._emulator}/emulator/clock")).json())

    @hookimpl
    def register_routes(self, running: Running) -> list[BaseRoute]:
        storage = running.storage

        async def put_clock(request: Request) -> Response:
            self._set_clock(await request.json())
            return Response(status_code=204)

        async def get_work(_: Request) -> Response:
            return JSONResponse(await self._work(storage))

        async def get_stored(request: Request) -> Response:
            query = request.query_params
            return JSONResponse(await everything(storage, query.get("chat_id"), query.getlist("person")))

        async def run_again(request: Request) -> Response:
            return JSONResponse({"count": await storage.replay_live([(await request.json())["delivery_id"]])})

        return [
            Route("/clock", guarded(put_clock, self._key), methods=["PUT"]),
            Route("/work", guarded(get_work, self._key)),
            Route("/stored", guarded(get_stored, self._key)),
            Route("/run-again", guarded(run_again, self._key), methods=["POST"]),
        ]

    def _set_clock(self, clock: dict[str, Any]) -> None:
        if clock["is_frozen"]:
            self._clock.stop_at(clock["at"])
        else:
            self._clock.run_ahead(clock["ahead_s"])

    async def _work(self, storage: Storage) -> dict[str, Any]:
        """Return whether the bot has work now, and when it next has some without a webhook, in Unix seconds."""
        now, timers = self._clock.now(), (await storage.next_timer(), await storage.next_broadcast())
        heads: dict[str, Any] = {}
        for waiting in await storage.waiting(limit=1000):
            heads.setdefault(waiting.lane, waiting)  # The deliveries behind the first one of a lane wait for it.
        waits = [head.not_before for head in heads.values() if head.state in {"gathering", "retrying", "deferred"}]
        is_due = any(at is not None and at <= now for at in timers)
        return {
            "is_busy": is_due or len(waits) < len(heads),
            "next_at": min((at for at in [*timers, *waits] if at is not None and at > now), default=None),
        }


MOST: Final = 100
_TURNS: Final = 30
"""The newest turns of a lane whose journal entries are shown."""
_MOST_TIMERS: Final = 10_000
_SCHEDULED: Final = frozenset({SEND, REPEAT, SCHEDULE})


async def everything(storage: Storage, chat_id: str | None, people: Sequence[str]) -> dict[str, Any]:
    """Return the scheduled sends of all chats, the state of the bot and, of one chat, what else the bot stores.

    Only for the process that serves: its memory knows the open questions of a chat.
    """
    of_all = {"available": True, "scheduled": await _scheduled(storage), "bot_state": await _state(storage, BOT)}
    if chat_id is None:
        return of_all
    lane = lane_of_chat(chat_id)
    waiting = await storage.waiting(lane=lane, limit=MOST)
    dead = await storage.dead_letters(lane=lane, limit=MOST)
    handled = [await storage.replayable(Selection(lane=each)) for each in (lane, lane_of_receipts(chat_id))]
    known = dict.fromkeys([*(turn for turns in handled for turn in turns[-_TURNS:]), *(each.id for each in waiting)])
    entries = [entry for turn in known for entry in await _entries(storage, turn)]
    return of_all | {
        "questions": await _questions(storage, chat_id),
        "waiting": [columns(each, *_WAITING) for each in waiting],
        "dead": [_dead(each) for each in dead],
        "journal": [_entry(entry) for entry in sorted(entries, key=lambda entry: entry.first_at)[-MOST:]],
        "state": await _state(storage, CHAT + chat_id),
        "people": [
            {"handle": handle, "state": await _state(storage, PERSON + handle.casefold())} for handle in people[:MOST]
        ],
    }


async def _scheduled(storage: Storage) -> list[dict[str, Any]]:
    """Return what the author has scheduled. Timers of linqbot's own, such as the timeout of a question, send nothing."""
    timers = await storage.scheduled(limit=_MOST_TIMERS)
    return [_timer(timer) for timer in timers if timer.kind in _SCHEDULED][:MOST]


async def _state(storage: Storage, scope: str) -> dict[str, Any]:
    return {name: from_json(value) for name, value in (await storage.load(scope)).items()}


async def _questions(storage: Storage, chat_id: str) -> list[dict[str, Any]]:
    found = [await storage.conversation(each.id) for each in storage.conversations_in(chat_id)]
    return [_question(conversation) for conversation, _ in filter(None, found)]


def _question(each: Conversation) -> dict[str, Any]:
    question = OpenQuestion.model_validate_json(each.question)
    return {
        **columns(each, "handler", "status", "asked_at", "until"),
        "text": question.text,
        "person": None if each.person == ANYONE else each.person,
        "tries": question.tries,
    }


async def _entries(storage: Storage, turn: str) -> list[JournalEntry]:
    found: list[JournalEntry] = []
    replay = 0
    while entries := await storage.entries(turn, replay):
        found += entries
        replay += 1
    return found


def _timer(timer: Timer) -> dict[str, Any]:
    payload = decode(timer.payload) or {}
    calls = [call for call in payload.get("calls") or () if isinstance(call, dict)]
    return {
        **columns(timer, "id", "due", "grace_s"),
        "chat_id": chat_of_lane(timer.lane) or "",
        "text": f"@bot.every: {timer.id}"
        if timer.kind == SCHEDULE
        else " ".join(text for call in calls for text in _texts(call)),
        "calls": [call_name(call) for call in calls],
    }


def _dead(each: DeadDelivery) -> dict[str, Any]:
    more = columns(each, "attempts", "crashes", "dead_lettered_at", "handler", "error")
    return columns(each.delivery, "id", "type") | more


def _entry(entry: JournalEntry) -> dict[str, Any]:
    call = decode(entry.call) or {}
    made = {"call": call_name(call), "text": " ".join(_texts(call)), "at": iso_time(entry.first_at)}
    return columns(entry, "turn", "replay", "slot", "status", "delivery", "message_id") | made


def _texts(call: dict[str, Any]) -> list[str]:
    """Return the texts of the message that a call sends, with a word for each other part."""
    message = (call.get("body") or {}).get("message") or {}
    return [str(part.get("value") or f"[{part.get('type')}]") for part in message.get("parts") or ()]
