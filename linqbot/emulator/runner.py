"""The interface to a program that runs the bot next to the emulator, as `linqbot dev` does.

With a runner, the page can look into the bot's storage, and the clock, a reset and a restart concern the bot too. Without
one the emulator knows only the bot's webhook address, and these requests concern the emulator alone or are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from linqbot.emulator.acts.conversation import Write


@dataclass(frozen=True, slots=True)
class Moved:
    """The result of moving the clock.

    Attributes:
        stopped: Why the clock stopped before the time that was asked for; None if it got there.
    """

    stopped: str | None = None


class BotRunner(Protocol):
    """Runs the bot. Every method raises ApiError if it is not possible now."""

    @property
    def restartable(self) -> list[str]:
        """The ids of the messages that `restart_from` accepts, oldest first."""
        ...

    async def write(self, message: Write) -> dict[str, str | None]:
        """Keep what is needed to restart from this message, then perform the act."""
        ...

    async def move_to(self, at: float) -> Moved:
        """Move the clocks of emulator and bot forward to a time, in Unix seconds.

        What is due on the way happens at its time and in its order.
        """
        ...

    async def follow_clock(self) -> None:
        """Give the bot the emulator's clock, after it was stopped or started."""
        ...

    async def stored(self, chat_id: str | None) -> dict[str, Any]:
        """Return what the bot stores, as JSON: scheduled sends of all chats, the bot's state, and the rest of one chat."""
        ...

    async def run_again(self, event_id: str) -> None:
        """Let the bot handle an event again although it has handled it: everything is sent again."""
        ...

    async def restart_from(self, message_id: str) -> dict[str, str | None]:
        """Return emulator and bot to the state before a message, and write the message again."""
        ...

    async def reset(self) -> None:
        """Empty the emulator and the bot's storage, and return to real time."""
        ...
