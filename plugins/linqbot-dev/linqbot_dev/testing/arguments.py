"""Checks of what a test's author gives to a phone: a misspelt name must not make a test that tests nothing.

A fault for a call that does not exist never happens. The test would pass without it, so it is an error at once, with the
nearest right name.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, get_args

from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.types.message import TapbackName
from linqbot.linq.types.names import LIKE_A_SLIP_IN_LONG, misspelt
from linqbot.nearest import nearest_name, suggestion
from linqbot_dev.emulator.declared_world import DeclaredWorld
from linqbot_dev.emulator.model.records import can_text

_FILES: Final = ("GET /attachments/{}/{}", "PUT /uploads/{}")
"""The files of the emulator, which fail as calls do."""
_ID: Final = re.compile(r"(?<![^/])(?!v\d\b)[^/ ]*\d[^/ ]*")
"""An id in a path: it has a digit, and is not the version."""
_NAMED_ID: Final = re.compile(r"\{\w+\}")
_TAPBACKS: Final = get_args(TapbackName)


def one_of(name: str, given: object, known: Collection[str]) -> None:
    if given not in known:
        raise ValueError(f"There is no {name} {given!r}. {suggestion(str(given), known)}")


def name(what: str, given: object, known: Collection[str], field: str) -> None:
    """Refuse a misspelt name of Linq's. One that linqbot does not know may be new at Linq."""
    if not isinstance(given, str) or not given or misspelt(field, given, known):
        one_of(what, given, known)


def tapback(given: str) -> tuple[str, str | None]:
    """Return the type of a tapback, and its emoji if it is none of those with a name."""
    if not given.isascii():
        return "custom", given
    if given in {"custom", "sticker"}:  # the types of an emoji and of an image, which are given otherwise
        one_of("tapback", given, _TAPBACKS)
    name("tapback", given, _TAPBACKS, "reaction.type")
    return given, None


def handle(given: str, world: DeclaredWorld) -> None:
    """Refuse what is neither a handle nor the name of a person, before an act of the person is refused by the emulator."""
    if not can_text(given):
        raise ValueError(
            f"{given!r} is neither a phone number such as +14155550143, nor an e-mail address, nor a short code, nor the name of "
            f"a person of the test's DeclaredWorld. {world.nearest(given)}"
        )


def call(given: str) -> None:
    """Refuse a part of a call's method and path, or of its endpoint's name, that no call has."""
    paths = (f"{endpoint.method} {_NAMED_ID.sub('{}', endpoint.path)}" for endpoint in ENDPOINTS.values())
    part = _ID.sub("{}", given)
    if not any(given in name for name in ENDPOINTS) and not any(part in path for path in (*paths, *_FILES)):
        near = nearest_name(given, ENDPOINTS)
        hint = f"Did you mean {near!r}?" if near else "Examples are 'chats.messages.send' and 'POST /v3/chats'."
        raise ValueError(f"No call to Linq has {given!r} in its name, or in its method and path. {hint}")


def event_type(given: str) -> None:
    if not any(given in known for known in EVENT_TYPES):
        event(given)


def event(given: str) -> None:
    """Refuse a misspelt name of an event. One that linqbot does not know may be new at Linq."""
    if misspelt("event_type", given, EVENT_TYPES, likeness=LIKE_A_SLIP_IN_LONG):
        raise no_event(given)


def no_event(given: str) -> ValueError:
    near = nearest_name(given, EVENT_TYPES)
    return ValueError(f"Linq has no event {given!r}." + (f" Did you mean {near!r}?" if near else ""))
