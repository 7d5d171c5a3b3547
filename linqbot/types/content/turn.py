"""The running turn, for data that acts: a part that fetches its file, a card that changes.

Such data knows no connection. It acts through the context of the turn that is running; dispatch sets it.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from linqbot.errors import BotError
from linqbot.types.content.files import Fetched, Saved

if TYPE_CHECKING:
    from linqbot.types.content.card import Card
    from linqbot.types.message import MediaPart


class Turn(Protocol):
    """The acts of a context on behalf of data."""

    async def fetch_media(self, media: MediaPart, *, max_bytes: int, timeout_s: float) -> Fetched:
        """Read a file into memory; see `MediaPart.fetch`."""
        ...

    async def save_media(self, media: MediaPart, path: Path | str, *, max_bytes: int, timeout_s: float) -> Saved:
        """Write a file to `path`; see `MediaPart.save`."""
        ...

    async def show_card(self, card: Card) -> str:
        """Show a card as it is now in place of the card with its id, and return the new id; see `Card.update`."""
        ...


running_turn: ContextVar[Turn | None] = ContextVar("linqbot_turn", default=None)


def turn(what: str) -> Turn:
    """Return the running turn.

    Args:
        what: What needs it, and what to write instead, for the error message.
    Raises:
        BotError: no turn is running.
    """
    found = running_turn.get()
    if found is None:
        raise BotError(what)
    return found
