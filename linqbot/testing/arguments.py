"""Checks of what a test's author gives to a phone: a misspelt name must not make a test that tests nothing.

A fault for a call that does not exist never happens, and a time before the present never comes. The test would pass
without them, so they are errors at once, with the nearest right name.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime
from typing import Final

from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.nearest import nearest_name, suggestion

_FILES: Final = ("GET /attachments/{id}/{name}", "PUT /uploads/{id}")
"""The files of the emulator, which fail as calls do."""


def one_of(name: str, given: object, known: Collection[str]) -> None:
    if given not in known:
        raise ValueError(f"There is no {name} {given!r}. {suggestion(str(given), known)}")


def seconds(name: str, given: float) -> None:
    if not 0 <= given < math.inf:
        raise ValueError(f"{name}={given!r} is no time that can pass. Give seconds, 0 or more.")


def start(given: datetime | None) -> None:
    """Refuse a start without a time zone, which would be another time on another machine."""
    if given is not None and given.tzinfo is None:
        raise ValueError(f"start={given} has no time zone. Write datetime(…, tzinfo=UTC).")


def fault(*, times: int, status: int | None = None) -> None:
    """Refuse a fault that never happens, or that is no failure."""
    if times < 1:
        raise ValueError(f"times={times} lets nothing go wrong. Give 1 or more.")
    if status is not None and not 400 <= status <= 599:
        raise ValueError(f"status={status} is no error. Give a status from 400 to 599.")


def call(given: str) -> None:
    """Refuse a part of a call's method and path, or of its endpoint's name, that no call has."""
    paths = (f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS.values())
    if not any(given in name for name in ENDPOINTS) and not any(_is_in(given, path) for path in (*paths, *_FILES)):
        near = nearest_name(given, ENDPOINTS)
        hint = f"Did you mean {near!r}?" if near else "Examples are 'chats.messages.send' and 'POST /v3/chats'."
        raise ValueError(f"No call to Linq has {given!r} in its name, or in its method and path. {hint}")


def event_type(given: str) -> None:
    if not any(given in known for known in EVENT_TYPES):
        raise no_event(given)


def no_event(given: str) -> ValueError:
    near = nearest_name(given, EVENT_TYPES)
    return ValueError(f"Linq has no event {given!r}." + (f" Did you mean {near!r}?" if near else ""))


def _is_in(given: str, path: str) -> bool:
    """Return True if a call of this path, whose `{names}` are ids, can have `given` in its method and path."""
    pieces, segments = given.split("/"), path.split("/")
    return any(_fits(pieces, segments[at:]) for at in range(len(segments) - len(pieces) + 1))


def _fits(pieces: list[str], segments: list[str]) -> bool:
    """Return True if the pieces, the first and the last of them perhaps cut off, can be the first of the segments."""
    last = len(pieces) - 1
    for at, (piece, segment) in enumerate(zip(pieces, segments, strict=False)):
        if segment.startswith("{"):
            # An id of Linq has a digit or a dash. A whole word, such as a misspelt name, is none.
            is_word = last == 0 and piece.replace(".", "").replace("_", "").isalpha()
            fits = " " not in piece and not is_word
        elif at == 0:
            fits = piece in segment if last == 0 else segment.endswith(piece)
        else:
            fits = segment.startswith(piece) if at == last else piece == segment
        if not fits:
            return False
    return True
