"""Phone calls. Linq names the types and publishes no payloads yet, so the data stays as it comes."""

from __future__ import annotations

from linqbot.events.event import RawEvent


class CallEvent(RawEvent):
    """Something happened to a phone call; what exactly is in `data`."""


class CallInitiated(CallEvent):
    """A call was begun."""

    types = ("call.initiated",)


class CallRinging(CallEvent):
    """A call rings."""

    types = ("call.ringing",)


class CallAnswered(CallEvent):
    """A call was taken."""

    types = ("call.answered",)


class CallEnded(CallEvent):
    """A call is over."""

    types = ("call.ended",)


class CallFailed(CallEvent):
    """A call could not be made."""

    types = ("call.failed",)


class CallDeclined(CallEvent):
    """A call was turned away."""

    types = ("call.declined",)


class CallUnanswered(CallEvent):
    """Nobody took the call."""

    types = ("call.no_answer",)
