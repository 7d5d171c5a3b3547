"""The bot's storage as JSON, for the page of `linqbot dev`. It holds texts of people: nothing of it may be logged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import from_json

from linqbot.bot.asking.question import OpenQuestion
from linqbot.bot.conversation.state import BOT, CHAT, PERSON
from linqbot.cli.output import iso_time
from linqbot.events.delivery import decode
from linqbot.events.lane import chat_of_lane, lane_of_chat
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, Conversation
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Waiting
from linqbot.worker.due.recurring import REPEAT, SCHEDULE
from linqbot.worker.due.scheduled_send import KIND as SEND

MOST: Final = 100
_MOST_TIMERS: Final = 10_000
_SCHEDULED: Final = frozenset({SEND, REPEAT, SCHEDULE})


async def everything(
    storage: Storage, chat_id: str | None, people: Sequence[str], turns: Sequence[str]
) -> dict[str, Any]:
    """Return the scheduled sends of all chats, the state of the bot and, of one chat, what else the bot stores.

    Only for the process that serves: its memory knows the open questions of a chat.

    Args:
        chat_id: The chat; None leaves out everything but the scheduled sends and the state of the bot.
        people: The handles of the people in the chat, whose state is wanted.
        turns: Ids of the deliveries whose journal entries are wanted, oldest first.
    """
    of_all = {
        "available": True,
        "scheduled": await _scheduled(storage),
        "bot_state": await _state(storage, BOT),
    }
    if chat_id is None:
        return of_all
    lane = lane_of_chat(chat_id)
    waiting = await storage.waiting(lane=lane, limit=MOST)
    dead = await storage.dead_letters(lane=lane, limit=MOST)
    known = dict.fromkeys([*turns, *(each.id for each in waiting), *(each.delivery.id for each in dead)])
    entries = [entry for turn in known for entry in await _entries(storage, turn)]
    return of_all | {
        "questions": await _questions(storage, chat_id),
        "waiting": [_waiting(each) for each in waiting],
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
        "handler": each.handler,
        "text": question.text,
        "person": None if each.person == ANYONE else each.person,
        "status": each.status,
        "asked_at": iso_time(each.asked_at),
        "until": iso_time(each.until),
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
        "id": timer.id,
        "due": iso_time(timer.due),
        "grace_s": timer.grace_s,
        "chat_id": chat_of_lane(timer.lane) or "",
        "text": f"@bot.every: {timer.id}"
        if timer.kind == SCHEDULE
        else " ".join(text for call in calls for text in _texts(call)),
        "calls": [_name(call) for call in calls],
    }


def _waiting(each: Waiting) -> dict[str, Any]:
    return {
        "id": each.id,
        "type": each.type,
        "state": each.state,
        "attempts": each.attempts,
        "crashes": each.crashes,
        "not_before": iso_time(each.not_before),
        "error": each.error,
    }


def _dead(each: DeadDelivery) -> dict[str, Any]:
    return {
        "id": each.delivery.id,
        "type": each.delivery.type,
        "attempts": each.attempts,
        "crashes": each.crashes,
        "dead_lettered_at": iso_time(each.dead_lettered_at),
        "handler": each.handler,
        "error": each.error,
    }


def _entry(entry: JournalEntry) -> dict[str, Any]:
    call = decode(entry.call) or {}
    return {
        "turn": entry.turn,
        "replay": entry.replay,
        "slot": entry.slot,
        "call": _name(call),
        "text": " ".join(_texts(call)),
        "status": entry.status,
        "delivery": entry.delivery,
        "message_id": entry.message_id,
        "at": iso_time(entry.first_at),
    }


def _name(call: dict[str, Any]) -> str:
    return f"{call.get('noun')}.{call.get('verb')}"


def _texts(call: dict[str, Any]) -> list[str]:
    """Return the texts of the message that a call sends, with a word for each other part."""
    message = (call.get("body") or {}).get("message") or {}
    return [str(part.get("value") or f"[{part.get('type')}]") for part in message.get("parts") or ()]
