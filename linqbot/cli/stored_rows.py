"""The JSON of what is stored: `linqbot waiting list --json` prints these rows, and the page of `linqbot dev` gets them.

None holds what people wrote. The texts of questions are the bot's.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from linqbot.cli.output import call_name, columns, iso_time
from linqbot.features.asking.question import OpenQuestion
from linqbot.linq.events.delivery import decode
from linqbot.storage.acts import OperatorAct
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.timers import Timer
from linqbot.storage.upkeep import Waiting


def waiting_row(waiting: Waiting) -> dict[str, Any]:
    names = "id", "state", "type", "lane", "received_at", "attempts", "crashes", "replay", "not_before", "error"
    return columns(waiting, *names)


def dead_row(letter: DeadDelivery, error: str) -> dict[str, Any]:
    """Return the row of a dead letter with as much of its error as may be shown."""
    about = columns(letter, "dead_lettered_at", "attempts", "crashes", "handler")
    return columns(letter.delivery, "id", "type", "lane") | about | {"error": error}


def question_row(conversation: Conversation) -> dict[str, Any]:
    question = OpenQuestion.read(conversation.question)
    return {
        **columns(conversation, "id", "status", "handler"),
        "chat": conversation.chat_id,
        "person": conversation.person.partition(" ")[0],
        "waits_for": question.waits_for if question else "unreadable",
        **columns(conversation, "asked_at", "until"),
        "invalid_answers": question.tries if question else None,
        "question": question.text if question else None,
    }


def timer_row(timer: Timer) -> dict[str, Any]:
    """Return the row of a timer, without the text that it will send."""
    payload = decode(timer.payload) or {}
    people = (payload.get("origin") or {}).get("handles") or []
    about = {"people": people, "calls": list(map(call_name, payload.get("calls") or ()))}
    return columns(timer, "id", "due", "kind") | about | columns(timer, "lane")


def act_row(act: OperatorAct) -> dict[str, Any]:
    return asdict(act) | {"at": iso_time(act.at)}


def act_for_people(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a row of the log, or of a receipt."""
    to = row["target"]
    if row["counts"] is not None:
        to = ", ".join(f"{count} {table}" for table, count in row["counts"].items()) or "nothing was kept"
    return {"at": row["at"], "who": row["who"], "did": row["what"], "to": to, "reason": row["reason"]}
