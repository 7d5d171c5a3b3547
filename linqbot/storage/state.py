"""State: small JSON values that the author of a bot keeps about a chat, a person, or the whole bot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StateWrite:
    """A value to write when the turn ends.

    Attributes:
        scope: `chat:<id>`, `person:<handle>` or `bot`.
        value: JSON; None deletes the value.
    """

    scope: str
    name: str
    value: bytes | None


class StateStore(Protocol):
    """Values by scope and name. Only `finish` writes them, in the one commit of the turn."""

    async def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope, as JSON by name."""
        ...
