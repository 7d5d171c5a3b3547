"""A scheduled send, as `ctx.send_later` returns it and as an answer to it names it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A scheduled send.

    Attributes:
        id: The id that `ctx.cancel` takes.
        due: The time at which it is sent, in UTC; of a recurring send, the next such time. In `message.answers`, the
            time at which the answered message was due.
        tag: The tag that `send_later` was given; None if it was given none.
        every: The rhythm of a recurring send; None if it is sent once.
    """

    id: str
    due: datetime
    tag: str | None = None
    every: str | None = None
