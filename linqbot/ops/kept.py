"""A person in the words of an operator: a few tables in place of the rows of the storage.

The rows are those of `person.export`. Texts are shown as far as they are kept: those of a delivery until it is handled, or
while history is on, and those of the bot in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json

from linqbot.client.call import Call
from linqbot.engine.call_lookup import content_of
from linqbot.error_details import OF_OLDER_RELEASE
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import understood
from linqbot.linq.types.message import text_of

_Row = dict[str, Any]
Tables = Mapping[str, list[_Row]]

MOST_TEXTS: Final = 10
"""The number of texts that are shown, the newest."""
LAST_TEXTS: Final = f"Last texts, as far as they are kept ({MOST_TEXTS} at most)"
_SENT: Final = frozenset({"accepted", "attempting"})
"""The states of calls that were made, or may have been."""
_OF_QUESTIONS: Final = "ask"
"""The kind of the timers that end open questions, which are shown with the questions."""


def summary(found: Mapping[str, Any]) -> dict[str, list[_Row]]:
    """Return the tables to show of a person, by their titles. Only that of the texts may be empty."""
    tables: Tables = found["tables"]
    shown = {
        "Consent": [{name: row[name] for name in ("at", "what", "how")} for row in tables["consent"][-1:]],
        "Mutes": [_mute(row) for row in tables["hold"]],
        "Open questions": [_question(row) for row in tables["conversation"] if row["status"] == "waiting"],
        "Still to be done": [_timer(row) for row in tables["timer"] if row["kind"] != _OF_QUESTIONS],
        "Waiting or given up": [*map(_delivery, tables["delivery"]), *map(_delivery, tables["dead"])],
        LAST_TEXTS: last_texts(tables),
    }
    return {title: rows for title, rows in shown.items() if rows or title == LAST_TEXTS}


def _mute(row: _Row) -> _Row:
    notes = row["notes"] or {}
    return {
        "chat": chat_of_lane(row["lane"]),
        "since": row["since"],
        "until": row["until"] or "for ever",
        "by": "handoff" if "handoff" in notes else row["person"],
        "only_proactive": row["kinds"] is not None or None,
        "reason": notes.get("reason"),
    }


def _question(row: _Row) -> _Row:
    question = row["question"] if isinstance(row["question"], dict) else {}
    return {
        "asked_at": row["asked_at"],
        "until": row["until"],
        "handler": row["handler"],
        "chat": row["chat_id"],
        "question": question.get("text"),
        "invalid_answers": question.get("tries"),
    }


def _timer(row: _Row) -> _Row:
    return {"due": row["due"], "kind": row["kind"], "chat": chat_of_lane(row["lane"]), "id": row["id"]}


def _delivery(row: _Row) -> _Row:
    error = row["error"]
    if row["error"] is not None:
        error = row["error"]["said"] if isinstance(row["error"], dict) else OF_OLDER_RELEASE
    return {
        "received_at": row["received_at"],
        "type": row["type"],
        "given_up": row.get("dead_lettered_at"),
        "error": error,
        "id": row["id"],
    }


def last_texts(tables: Tables) -> list[_Row]:
    """Return the last texts of the person and of the bot to them, with their times and who wrote them, the oldest first."""
    heard = (each for table in ("delivery", "dead", "done") for each in _heard(tables[table]))
    texts = sorted((*heard, *_said(tables["journal"])), key=lambda row: datetime.fromisoformat(row["at"]))
    return texts[-MOST_TEXTS:]


def _heard(rows: Iterable[_Row]) -> Iterator[_Row]:
    for row in rows:
        if not isinstance(row["body"], dict):
            continue
        event = understood(Delivery(row["id"], row["lane"], row["type"], b"", 0.0, decoded=row["body"]))
        if isinstance(event, MessageReceived) and not event.is_own and event.text:
            yield {"at": row["received_at"], "who": event.actor, "text": event.text}


def _said(rows: Iterable[_Row]) -> Iterator[_Row]:
    for row in rows:
        call = row["call"]
        if row["status"] not in _SENT or not isinstance(call, dict) or not isinstance(call.get("body"), dict):
            continue
        if text := text_of(content_of(Call.from_json(to_json(call))) or ()):
            yield {"at": row["first_at"], "who": "the bot", "text": text}
