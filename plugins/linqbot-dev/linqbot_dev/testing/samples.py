"""A new event of each type, as Linq sends it, for trying a bot on events that are hard to cause.

The data are the examples of Linq's documentation (`samples.json`). All have the same person, line and chat, so that
each of the three can be replaced. Linq publishes no payload for `call.*`: those samples are a guess of the minimum.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from linqbot.linq.events.proactive import SCHEDULE_TYPE
from linqbot.linq.signatures import signed_headers
from linqbot_dev.emulator.model.documents import iso

VERSIONS = ("2026-02-03", "2025-01-01")

PERSON = "+14155550142"
LINE = "+12052535597"
CHATS = ("3c99d589-8d03-5753-96bd-addff71de8c2", "1ef09dd6-b7b6-5fef-92ec-43eaf4fb98ae")
MADE_AT = datetime(2026, 11, 5, 17, 30, 0, 120_000, UTC).timestamp()
"""The time of the samples' envelopes. All times in a sample are moved by the distance from this time to now."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def event(
    event_type: str,
    *,
    version: str = VERSIONS[0],
    sender: str | None = None,
    line: str | None = None,
    chat: str | None = None,
    text: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a new event with its own event id, message id and time.

    Args:
        version: Payload version, `2026-02-03` or `2025-01-01`.
        sender, line, chat: Replace the sample's person, our number and the chat's id, wherever they occur.
        text: Replaces the text of the message.
        changes: Values by their path in the envelope, such as `data.service` or `data.parts.0.value`.
    Raises:
        LookupError: the type does not exist, or not in this version, or the event has no field for an argument.
    """
    data = _data(event_type, version)
    for role, value, known in (("person", sender, (PERSON,)), ("line", line, (LINE,)), ("chat", chat, CHATS)):
        if value is not None:
            data = _replaced(data, known, value, f"{event_type} names no {role}")
    if text is not None:
        _set_text(data, text, event_type)
    now = time.time()
    whole = {
        "api_version": "v3",
        "webhook_version": version,
        "event_type": event_type,
        "event_id": str(uuid.uuid4()),
        "created_at": iso(now),
        "trace_id": uuid.uuid4().hex,
        "partner_id": "partner_trigger",
        "data": _mapped(_with_new_ids(data, event_type), lambda value: _moved(value, now - MADE_AT)),
    }
    for path, value in (changes or {}).items():
        _change(whole, path.split("."), value)
    return whole


def schedule(name: str) -> dict[str, Any]:
    """Return a new event that runs a schedule of the bot now, by its name. Linq never sends such an event."""
    now, event_id = iso(time.time()), str(uuid.uuid4())
    return {"event_type": SCHEDULE_TYPE, "event_id": event_id, "created_at": now, "data": {"name": name}}


def signed(body: bytes, event: Mapping[str, Any], *, secret: str) -> dict[str, str]:
    """Return the headers, with both signatures, that Linq would send with an event's body now. Raises ConfigError."""
    return signed_headers(
        body,
        event_id=str(event["event_id"]),
        event_type=str(event["event_type"]),
        subscription_id=str(uuid.UUID(int=0)),
        timestamp=int(time.time()),
        secret=secret,
    )


@cache
def _samples() -> dict[str, dict[str, Any]]:
    samples: dict[str, dict[str, Any]] = json.loads((files("linqbot_dev.testing") / "samples.json").read_bytes())
    return samples


def _data(event_type: str, version: str) -> Any:
    sample = _samples().get(event_type)
    if sample is None:
        raise LookupError(f"There is no sample of an event type {event_type}.")
    if version not in VERSIONS:
        raise LookupError(f"There is no payload version {version}. There are: {', '.join(VERSIONS)}.")
    if event_type == "message.edited" and version == VERSIONS[1]:
        raise LookupError(f"Linq sends no message.edited in payload version {version}.")
    # A copy, because the caller changes the data and the samples are cached.
    return _mapped(sample.get(version, sample["data"]), lambda value: value)


def _mapped(data: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy with `change` applied to every value that is neither an object nor a list."""
    if isinstance(data, dict):
        return {key: _mapped(value, change) for key, value in data.items()}
    if isinstance(data, list):
        return [_mapped(value, change) for value in data]
    return change(data)


def _replaced(data: Any, known: Sequence[str], value: str, otherwise: str) -> Any:
    changed = _mapped(data, lambda old: value if old in known else old)
    if changed == data and value not in known:
        raise LookupError(f"{otherwise}. Change another field with --set.")
    return changed


def _set_text(data: dict[str, Any], text: str, event_type: str) -> None:
    parts = data.get("parts") or data.get("message", {}).get("parts") or ()
    found = next((part for part in parts if part["type"] == "text"), None)
    if found is not None:
        found["value"] = text
    elif "text" in data.get("part", ()):
        data["part"]["text"] = text
    else:
        raise LookupError(f"{event_type} says no text. Change another field with --set.")


def _with_new_ids(data: dict[str, Any], event_type: str) -> Any:
    """Replace the ids of message, poll and reaction: a bot does not answer the same message twice."""
    old = [data.get("reaction_id")]
    if event_type.startswith("message."):
        old += [data.get("id"), data.get("message_id"), data.get("message", {}).get("id")]
    elif event_type.startswith("poll."):
        old += [data.get("message_id")]
    new = {one: str(uuid.uuid4()) for one in old if one}
    return _mapped(data, lambda value: new.get(value, value) if isinstance(value, str) else value)


def _moved(value: Any, by_s: float) -> Any:
    if isinstance(value, str) and _TIME.fullmatch(value):
        return iso(datetime.fromisoformat(value).timestamp() + by_s)
    return value


def _change(whole: Any, path: Sequence[str], value: Any) -> None:
    holder = whole
    for depth, name in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(holder, list) and name.isdecimal() and int(name) < len(holder):
            key: Any = int(name)
        elif isinstance(holder, dict) and (last or name in holder):
            key = name
        else:
            raise LookupError(f"There is no {'.'.join(path[: depth + 1])} to set in this event.")
        if last:
            holder[key] = value
        holder = holder[key]
