"""Phone calls. Linq documents the event types but not their payloads yet, so the data is kept as received."""

from __future__ import annotations

from linqbot.events.event import RawEvent


class CallEvent(RawEvent):
    """Base of the events about a phone call. The payload is in `data`."""


class CallInitiated(CallEvent):
    """A call was started."""

    types = ("call.initiated",)


class CallRinging(CallEvent):
    """A call is ringing."""

    types = ("call.ringing",)


class CallAnswered(CallEvent):
    """A call was answered."""

    types = ("call.answered",)


class CallEnded(CallEvent):
    """A call has ended."""

    types = ("call.ended",)


class CallFailed(CallEvent):
    """A call failed."""

    types = ("call.failed",)


class CallDeclined(CallEvent):
    """A call was declined."""

    types = ("call.declined",)


class CallUnanswered(CallEvent):
    """A call was not answered."""

    types = ("call.no_answer",)
