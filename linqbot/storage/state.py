"""What state means: small JSON values an author keeps about a chat, a person, or the whole bot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StateWrite:
    """A value to write when the turn ends.

    Attributes:
        scope: `chat:<id>`, `person:<handle>` or `bot`.
        value: JSON; None deletes.
    """

    scope: str
    name: str
    value: bytes | None


class StateStore(Protocol):
    """Values by scope and name. Written only by `finish`, in the turn's one commit."""

    async def load(self, scope: str) -> dict[str, bytes]:
        """All values of a scope, as JSON by name."""
        ...
