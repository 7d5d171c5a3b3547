"""An event that Linq reports although nothing in the emulator has caused it, such as a phone call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from linqbot.emulator.engine.world import World


@dataclass(frozen=True, slots=True)
class Report:
    """Deliver an event of a line with these data, which are not checked. It changes nothing else."""

    event_type: str
    data: Mapping[str, Any]
    line: str

    def perform(self, world: World) -> None:
        """Emit the event."""
        world.emit_account(self.event_type, dict(self.data), line=self.line)
