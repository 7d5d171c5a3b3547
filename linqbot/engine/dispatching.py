"""The acts of running a bot's handlers, which `bot/dispatch.py` performs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from linqbot.branch import UnawaitedCoroutine
from linqbot.engine.failure import Failure
from linqbot.engine.handling import Handling
from linqbot.engine.routing import HandlerRun
from linqbot.engine.turn import Turn
from linqbot.errors import NeverAwaited
from linqbot.linq.events.event import Event
from linqbot.storage.backend import Storage


class Dispatching(Handling):
    """The handlers and rules of a bot, and what runs its handlers."""

    @abstractmethod
    def context(self, turn: Turn, state_store: Storage) -> HandlerRun:
        """Return the context of the handler that is about to run."""

    @abstractmethod
    async def dispatch(self, event: Event, ctx: HandlerRun) -> None:
        """Run the first handler that fits the event. Raises the handler's error, unless the bot handles it."""

    @abstractmethod
    async def dispatch_dead_letter(self, failure: Failure, event: Event, ctx: HandlerRun) -> None:
        """Run the `on_dead_letter` handler for an event that was given up, unless the bot's settings exclude the event."""

    @abstractmethod
    async def answer_keyword(self, event: Event, ctx: HandlerRun) -> None:
        """Answer START or HELP, also where the bot is muted."""

    @abstractmethod
    def never_awaited(
        self, coroutines: Iterable[UnawaitedCoroutine], ctx: HandlerRun | None, delivery_id: str
    ) -> NeverAwaited | None:
        """Log the coroutines that a turn never awaited, and return the error of the turn; None if it has none."""
