"""The base of all events: the envelope, and common fields for the chat, the line, the actor and the message.

Events are frozen data without methods that act; acting is done with the Context. Each event class is in the module of
its subject (`message.py`, `chat.py`, …). `parse.py` selects the class and creates the event from a Delivery.
"""

# Without `from __future__ import annotations`: pydantic would compile the annotations of all fields again for each class.

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import AwareDatetime, ConfigDict, Field

from linqbot.linq.events import EVENT_CLASSES
from linqbot.linq.types.chat import Handle
from linqbot.linq.types.data import Data
from linqbot.linq.types.files import running_turn
from linqbot.nearest import missing

_TYPES: Final = {f"{__package__}.{place}": (event_type,) for event_type, place in EVENT_CLASSES.items()}

UNKNOWN_HANDLE = Handle.model_construct(handle="")  # without a validator, which most bots never need
"""The sender of an event that does not say who sent it."""


class Event(Data):
    """One thing that happened, as reported by Linq.

    All events share the fields below, None where Linq does not say. The repr shows ids only, never texts or handles,
    because it may be logged. `model_dump()` shows everything.

    Attributes:
        types: The event types that the class stands for; empty for base classes.
        echoes: True if an event of this class that you caused only repeats your own action. Handlers never receive such
            events.
        author_key: The key of the author's handle in Linq's data; empty if the class has none, or finds the author itself.
        event_id: The same for every retry and every subscription.
        type: Linq's `event_type`, such as `message.received`. A string and not an enum: Linq adds types before linqbot
            does, and an unknown type must not fail. Such events are UnknownEvent.
        created_at: The time when Linq created the event, which is not the time when the thing happened.
        webhook_version: The payload version according to Linq. Both versions result in the same events.
        trace_id: Quote it when you contact Linq's support.
        chat_id: The chat of the event.
        line: Your own number in this chat, E.164. If Linq names only the chat, as for reactions, the worker looks it up.
        actor: The author: a phone number or an e-mail address.
        is_group: True for a group chat; None if it is not known. The worker looks it up, like `line`; `parse` does not.
        message_id: The message that the event is about.
        service: `iMessage`, `SMS` or `RCS`.
        muted: True if the bot is muted in the chat. The worker looks it up; `parse` leaves the field False.
        dropped_fields: Names of fields whose values did not fit and were left out. Normally empty.
    """

    # A ValidationError would print the refused input, and the text of a message must never be logged.
    model_config = ConfigDict(hide_input_in_errors=True)

    types: ClassVar[tuple[str, ...]] = ()
    echoes: ClassVar[bool] = False
    author_key: ClassVar[str] = ""

    event_id: str
    type: str = Field(alias="event_type")
    created_at: AwareDatetime | None = None
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
    muted: bool = False
    dropped_fields: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.types = _TYPES.get(f"{cls.__module__}.{cls.__qualname__}", cls.types)

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name.startswith("_") or not hasattr(type(running_turn.get()), name):
                    raise
            hint = "The context has it, which is the second argument of the handler."
            raise AttributeError(missing(type(self), (), name, hint), name="")

    @property
    def written_at(self) -> datetime | None:
        """Return when a person wrote what the event reports, by Linq's clock; None if Linq does not say it.

        If Linq says no more, it is the time when Linq created the event. Linq created none of linqbot's own events.
        """
        return None if self.type.startswith("linqbot.") else self.created_at

    @property
    def is_own(self) -> bool:
        """Return True if your own line caused the event."""
        return self.actor is not None and self.actor == self.line

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Convert the event's own `data` to the fields of this class, in a new dict, not validated yet.

        This never raises, whatever the values are: values that do not fit are found by the validation that follows. The
        keys of the envelope then overwrite keys of the same name.
        """
        fields = dict(data)
        place_in_chat(fields)
        if cls.author_key:
            place_actor(fields, fields.get(cls.author_key))
        return fields

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name in ("event_id", "chat_id", "message_id"):
            if (value := getattr(self, name)) is not None:
                yield name, value


class RawEvent(Event):
    """An event whose payload Linq has not documented; its data is kept as received.

    Attributes:
        data: The decoded payload, otherwise untouched.
    """

    data: Any = None

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {"chat": data.get("chat"), "chat_id": data.get("chat_id")}
        place_in_chat(fields)
        del fields["chat"]
        return {**fields, "data": data}


class UnknownEvent(RawEvent):
    """An authentic event of a type that this release does not know.

    A body that is no event is not handled: it becomes a dead letter.

    Attributes:
        type: Linq's type.
        data: The event's data, of any JSON type; None if it has none.
        body: The raw bytes, as received and signed.
    """

    body: bytes = b""


def place_in_chat(fields: dict[str, Any]) -> None:
    """Fill in the chat, from Linq's `chat` object if there is one, else from `chat_id`."""
    chat = fields.get("chat")
    if chat and isinstance(chat, dict):
        owner = chat.get("owner_handle")
        if (chat_id := chat.get("id")) and isinstance(chat_id, str):
            fields["chat_id"] = chat_id
        fields["is_group"] = chat.get("is_group")
        line = owner.get("handle") if isinstance(owner, dict) else None
        fields["line"] = line if isinstance(line, str) else None


def handle_of(value: Any) -> dict[str, Any] | None:
    """Return a handle object of Linq's; None for a value of another form, where another field may name the person."""
    return value if isinstance(value, dict) and isinstance(value.get("handle"), str) else None


def place_actor(fields: dict[str, Any], handle: Any) -> None:
    """Fill in the author. If the event names no line, and the author is your own line, fill in the line too."""
    known = handle_of(handle)
    fields["actor"] = actor = known["handle"] if known else None
    if known and known.get("is_me") is True and fields.get("line") is None:
        fields["line"] = actor
