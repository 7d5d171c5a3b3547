"""Parse a Delivery into an Event: the class of each of Linq's event types, and lenient validation of the data.

An unknown type results in UnknownEvent, not in an error. A body that is no event at all is an error, and so a dead letter:
it may be a message. The next step is `bot/dispatch.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from linqbot.errors import LinqbotError
from linqbot.linq.events import EVENT_CLASSES
from linqbot.linq.events.delivery import JOINED_KEY, Delivery, event_id_of
from linqbot.linq.events.event import Event, UnknownEvent
from linqbot.linq.events.lane import as_object
from linqbot.linq.events.message import MessageEdited, MessageReceived
from linqbot.linq.events.proactive import own_event
from linqbot.linq.types.data import unfitting_fields, validated, validated_leniently

EventT = TypeVar("EventT", bound=Event)


class _Classes(Mapping[str, type[Event]]):
    """Event classes by event type, each imported at first use: it takes time at the start, and memory permanently."""

    def __getitem__(self, event_type: str) -> type[Event]:
        return _class_at(EVENT_CLASSES[event_type])

    def __contains__(self, event_type: object) -> bool:
        return event_type in EVENT_CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(EVENT_CLASSES)

    def __len__(self) -> int:
        return len(EVENT_CLASSES)


@cache
def _class_at(place: str) -> type[Event]:
    module, _, name = place.partition(".")
    cls: type[Event] = getattr(import_module(f"linqbot.linq.events.{module}"), name)
    return cls


EVENT_TYPES: Mapping[str, type[Event]] = _Classes()
"""The class of each event type that Linq documents."""


class EventNotUnderstood(LinqbotError):
    """An authentic event of a known type lacks a required field, or an authentic body is no event. Its bytes are kept.

    Why: Linq has changed this payload, or the subscription uses another payload version than linqbot reads. A body that is no
        event was cut off or changed before it was signed, or holds several events.
    To do: Upgrade linqbot, then run `linqbot waiting retry`; nothing is lost until then. `linqbot why ID --body`
        shows the body.

    Attributes:
        delivery_id: The delivery.
        event_type: Linq's `event_type`; empty if the body has none.
        fields: The missing or wrong fields; names only, never values.
    """

    lqb = "LQB2003"

    def __init__(
        self, delivery_id: str, event_type: str, fields: tuple[str, ...], *, no_event: str | None = None
    ) -> None:
        """Say what is wrong. `no_event` says why the body is no event, without its content."""
        self.delivery_id = delivery_id
        self.event_type = event_type
        self.fields = fields
        if no_event is None:
            super().__init__(
                f"The {event_type} of delivery {delivery_id} could not be parsed: {', '.join(fields)} missing or wrong. "
                "The delivery is kept unchanged. After an upgrade of linqbot, retry it: linqbot waiting retry"
            )
        else:
            super().__init__(
                f"The signed body of delivery {delivery_id} is no event: {no_event}. The delivery is kept unchanged. To see "
                f"it: linqbot why {delivery_id} --body"
            )


def parse(delivery: Delivery) -> Event:
    """Parse a delivery into an event.

    Both payload versions result in equal events. Unknown types result in UnknownEvent. Unknown keys are in
    `model_extra`, and unknown values of fixed lists are kept. Optional values that do not fit are left out and named in
    `dropped_fields`.

    Args:
        delivery: Its body is decoded only if `decoded` is missing, as after a restart.
    Raises:
        EventNotUnderstood: The type is known, but a required field such as the message's id is missing or wrong; or the body
            is no JSON object with a type.
    """
    body = delivery.content
    place = EVENT_CLASSES.get(delivery.type)
    if not delivery.is_internal and not (delivery.type and isinstance(body, dict)):
        raise EventNotUnderstood(delivery.id, delivery.type, ("body",), no_event=_no_event(delivery))
    if place is None or not isinstance(body, dict):
        return _unknown(delivery, body)
    cls = _class_at(place)
    data = body.get("data")
    if data is None:
        data = {}
    elif not isinstance(data, dict):
        raise EventNotUnderstood(delivery.id, delivery.type, ("data",))
    if JOINED_KEY in body and issubclass(cls, MessageReceived):
        return _burst(delivery, body)
    return _validated(cls, _under_envelope(cls.fields_of(data), body, delivery), delivery)


def understood(delivery: Delivery) -> Event | None:
    """Parse a delivery into an event; None if it lacks a required field or is no event."""
    try:
        return parse(delivery)
    except EventNotUnderstood:
        return None


def _burst(delivery: Delivery, body: dict[str, Any]) -> Event:
    """Return the message that stands for all that joined it, in the order in which they were written and edited."""
    first = {key: value for key, value in body.items() if key != JOINED_KEY}
    joined = (first, *delivery.joined.burst)
    events = [parse(replace(delivery, type=str(each.get("event_type")), decoded=each)) for each in joined]
    messages = _in_order([each for each in events if isinstance(each, MessageReceived)], lambda each: each.sent_at)
    for edit in _in_order([each for each in events if isinstance(each, MessageEdited)], lambda each: each.edited_at):
        messages = [each.with_edit(edit) if each.id == edit.id else each for each in messages]
    return MessageReceived.joined(messages)


def _in_order(events: Sequence[EventT], at_of: Callable[[EventT], datetime | None]) -> list[EventT]:
    """Return events in the order of their times. If Linq does not say one of these, they keep the order in which they came."""
    times = [at if at is None or at.tzinfo else at.replace(tzinfo=UTC) for at in map(at_of, events)]
    known = [at for at in times if at is not None]
    if len(known) < len(events):
        return list(events)
    return [events[place] for place in sorted(range(len(events)), key=known.__getitem__)]


def _unknown(delivery: Delivery, body: Any) -> Event:
    if (own := own_event(delivery, body)) is not None:
        return own
    data = body.get("data") if isinstance(body, dict) else body
    fields = UnknownEvent.fields_of(data) if isinstance(data, dict) else {"data": data}
    fields["body"] = delivery.body
    return _validated(UnknownEvent, _under_envelope(fields, as_object(body), delivery), delivery)


def _no_event(delivery: Delivery) -> str:
    """Return why a body is no event, without what it says."""
    if not delivery.body:
        return "it is empty"
    try:
        content = from_json(delivery.body)
    except ValueError as error:
        content = delivery.content
        if content is None:
            return f"its {len(delivery.body)} bytes are not JSON ({error})"
    if isinstance(content, dict):
        return "it has no event_type that is a text"
    return f"it is a JSON list of {len(content)}" if isinstance(content, list) else "it is JSON, but no object"


_ENVELOPE = ("created_at", "api_version", "webhook_version", "trace_id", "partner_id")
_KNOWN_KEYS = frozenset({*_ENVELOPE, "event_id", "event_type", "data"})


def _under_envelope(fields: dict[str, Any], body: dict[str, Any], delivery: Delivery) -> dict[str, Any]:
    """Add the envelope's keys to the event's fields. Known keys overwrite a field, unknown keys never do."""
    for key in _ENVELOPE:
        fields[key] = body.get(key)
    if not body.keys() <= _KNOWN_KEYS:
        for key in body.keys() - _KNOWN_KEYS:
            fields.setdefault(key, body[key])
    event_id = body.get("event_id")
    fields["event_id"] = event_id if event_id and isinstance(event_id, str) else event_id_of(delivery.id)
    fields["event_type"] = delivery.type
    return fields


def _validated(cls: type[Event], fields: dict[str, Any], delivery: Delivery) -> Event:
    try:
        return validated(cls, fields)
    except ValidationError:
        pass
    try:
        event, dropped = validated_leniently(cls, fields)
    except ValidationError as error:
        wrong = {place.partition(".")[0] for place in unfitting_fields(error)}
        raise EventNotUnderstood(delivery.id, delivery.type, tuple(sorted(wrong))) from error
    return event.model_copy(update={"dropped_fields": dropped})
