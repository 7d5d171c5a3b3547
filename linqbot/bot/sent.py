"""The result of a send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from linqbot.types.message import SentMessage

OPTED_OUT: Final = 2024
"""Linq's error code for a send to a person who opted out by writing STOP."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of a reply or a send.

    Attributes:
        messages: The messages that Linq accepted, one per bubble. A message that was deleted before its answer arrived
            is missing.
        status: `accepted`; `opted_out` if Linq refused because the person opted out of messages; `refused` if a plugin
            refused the send; `skipped` if the send is new in a part of a conversation that an answer has ended.
    """

    messages: tuple[SentMessage, ...]
    status: str = "accepted"

    @property
    def id(self) -> str | None:
        """The id of the first message; None if no message was accepted."""
        return self.messages[0].id if self.messages else None
