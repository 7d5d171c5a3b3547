"""The warning for what an event has and linqbot does not know: its type, a field, a value of a list, a kind of part.

All of it reaches the handler; see `types/names.py`. Next step: `bot/dispatch.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final, get_args, get_origin

from linqbot.linq.events.event import Event, UnknownEvent
from linqbot.linq.types.chat import ServiceType
from linqbot.linq.types.data import Data
from linqbot.linq.types.message import (
    BUBBLE_EFFECTS,
    SCREEN_EFFECTS,
    ReactionType,
    TextAnimation,
    TextStyle,
    UnknownPart,
)
from linqbot.linq.types.names import passed

_SERVICES: Final = frozenset({*get_args(ServiceType), "auto"})
_SERVICE: Final = ("service", _SERVICES, "service")
_LISTS: Final[Mapping[str, tuple[tuple[str, Collection[str], str], ...]]] = {
    "Effect": (
        ("name", SCREEN_EFFECTS | BUBBLE_EFFECTS, "effect.name"),
        ("type", frozenset({"screen", "bubble"}), "effect.type"),
    ),
    "Handle": (_SERVICE, ("status", frozenset({"active", "left", "removed"}), "handle.status")),
    "HealthStatus": (("status", frozenset({"HEALTHY", "AT_RISK", "CRITICAL", "OPTED_OUT"}), "health_status.status"),),
    "TextDecoration": (
        ("style", frozenset(get_args(TextStyle)), "text_decoration.style"),
        ("animation", frozenset(get_args(TextAnimation)), "text_decoration.animation"),
    ),
    **dict.fromkeys(
        ("ReactionAdded", "ReactionRemoved", "PollReactionAdded"),
        (_SERVICE, ("reaction_type", frozenset(get_args(ReactionType)), "reaction.type")),
    ),
    **dict.fromkeys(
        ("MessageReceived", "MessageSent", "MessageDelivered", "MessageRead", "MessageFailed", "MessageEdited"),
        (_SERVICE, ("preferred_service", _SERVICES, "service")),
    ),
}
"""Fields with the values that linqbot knows and the names of their lists, by the class that has them."""

# Fields of payload version 2025-01-01 that say the same again.
_OLD: Final = frozenset({"received_at", "is_delivered", "is_read", "updated_at"})


@cache
def _facts(kind: type[Data]) -> tuple[tuple[str, ...], tuple[tuple[str, Collection[str], str], ...]]:
    """Return the fields of a class that hold further data, and its fields with the values that linqbot knows."""
    inner = tuple(name for name, field in kind.model_fields.items() if _holds_data(field.annotation))
    return inner, _LISTS.get(kind.__name__, ())


def _holds_data(annotation: Any) -> bool:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return issubclass(annotation, Data)
    return any(_holds_data(each) for each in get_args(annotation))


def warn_of_news(event: Event) -> None:  # noqa: C901 - without calls, as it says
    """Warn once of each type, field, value and kind of part in an event that linqbot does not know.

    One loop without calls: this is done for every event, and most have nothing new.
    """
    if isinstance(event, UnknownEvent):
        if event.type and not event.type.startswith("linqbot."):
            passed("event_type", event.type)
        return
    left: list[Any] = [event]
    for data in left:  # grows while it is read
        kind: type[Data] = type(data)
        values = data.__dict__
        if kind is UnknownPart:
            passed("part.type", data.type)
            continue
        # Payments keep fields without a type of their own on purpose: see `events/payment.py`.
        if data.__pydantic_extra__ and not kind.__name__.startswith("Payment"):
            for name in data.__pydantic_extra__:
                if name not in _OLD:
                    passed(f"{kind.__name__}.{name}")
        inner, lists = _facts(kind)
        for name, known, of in lists:
            value = values.get(name)
            if value is not None and value not in known:
                passed(of, value)
        for name in inner:
            if (value := values.get(name)) is not None:
                left += value if type(value) is tuple else (value,)
