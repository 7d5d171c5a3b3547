"""What every event has in common: the envelope, and a view of who did what where.

Events are plain frozen data. One class per thing that happens stands in the module of its noun (`message.py`,
`reaction.py`, ...); `parse.py` picks the class and makes the event from a Delivery. Verbs are on the Context.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from linqbot.types.data import Data
from linqbot.types.handle import Handle

NOBODY = Handle(handle="")
"""The sender of an event that names none."""


class Event(Data):
    """One thing that happened, as Linq told it.

    Every event answers the same few questions, with None where the answer is not in it: which chat, on which of your
    lines, who did it, about which message. Printing one shows ids only, never texts or handles: it may end up in a
    log. `model_dump()` shows everything.

    Attributes:
        types: Which of Linq's event types the class stands for; empty for classes that only gather others.
        echoes: Whether an own event of this class only repeats what you did: handlers never get those.
        event_id: The same on every retry and on every subscription.
        type: Linq's `event_type`, such as `message.received`. A plain string and no enum: Linq adds types before we
            do, and an event of tomorrow must not fail today. Such events are UnknownEvent.
        created_at: When Linq made the event, which is not when the thing happened.
        webhook_version: The payload version Linq says it used. Both versions make the same events.
        trace_id: Give it to Linq's support.
        chat_id: The chat it happened in.
        line: Your own number in it, E.164.
        actor: Who did it: a phone number or an e-mail address.
        is_group: Whether the chat is a group; None when the event does not say.
        message_id: The message it is about.
        service: `iMessage`, `SMS` or `RCS`.
        dropped_fields: Names of fields whose values did not fit and were left out. Normally empty.
    """

    # A ValidationError prints what it refused: with the text of a message in it, it must never reach a log.
    model_config = ConfigDict(hide_input_in_errors=True)

    types: ClassVar[tuple[str, ...]] = ()
    echoes: ClassVar[bool] = False

    event_id: str
    type: str = Field(alias="event_type")
    created_at: datetime | None = None
    api_version: str | None = None
    webhook_version: str | None = None
    trace_id: str | None = None
    partner_id: str | None = None

    chat_id: str | None = None
    line: str | None = None
    actor: str | None = None
    is_group: bool | None = None
    message_id: str | None = None
    service: str | None = None
    dropped_fields: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        """True when your own line did it."""
        return self.actor is not None and self.actor == self.line

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Lay the event's own `data` out as this class's fields, in a new dict, not validated yet.

        Nothing in here raises, whatever the values are: what does not fit is found by the validation that follows.
        The envelope's keys are put over the result.
        """
        return dict(data)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name in ("event_id", "chat_id", "message_id"):
            if (value := getattr(self, name)) is not None:
                yield name, value


class RawEvent(Event):
    """An event whose data nobody has described yet: it stays as it comes.

    Attributes:
        data: What Linq sent, decoded and otherwise untouched.
    """

    data: Any = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {"chat": data.get("chat"), "chat_id": data.get("chat_id")}
        place_in_chat(fields)
        del fields["chat"]
        return {**fields, "data": data}


class UnknownEvent(RawEvent):
    """An authentic event of a type this release does not know, or a body that is no JSON object at all.

    Attributes:
        type: Linq's type, empty when the body has none.
        data: The event's data; the whole body if that is JSON but no object; None if it is no JSON.
        body: The bytes as they came and as they were signed.
    """

    body: bytes = b""


def as_object(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def place_in_chat(fields: dict[str, Any]) -> None:
    """Fill in where it happened, from `chat` where Linq gives the object, else from `chat_id`."""
    chat = as_object(fields.get("chat"))
    if chat:
        fields["chat_id"] = chat.get("id") or fields.get("chat_id")
        fields["is_group"] = chat.get("is_group")
        fields["line"] = as_object(chat.get("owner_handle")).get("handle")


def place_actor(fields: dict[str, Any], handle: Any) -> None:
    """Fill in who did it. Where the event names no line, a handle that is ours tells it."""
    handle = as_object(handle)
    fields["actor"] = actor = handle.get("handle")
    if handle.get("is_me") is True and fields.get("line") is None:
        fields["line"] = actor
