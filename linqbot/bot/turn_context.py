"""The context as dispatch sees it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from linqbot.bot.context import Context
from linqbot.engine.filters import Fit
from linqbot.engine.routing import Route
from linqbot.features.turn_data import TurnMute

if TYPE_CHECKING:
    from linqbot.features.asking.question import AskedBefore
    from linqbot.features.asking.session import AskSession


class TurnContext(Context):
    """The context of a turn. Handlers get it as a `Context`, features as a `Speaker`, and the engine as a `HandlerRun`.

    Attributes:
        chosen: The handler with `during_ask=True` that takes the event: its route, and the fit of its filters.
        is_opt_out: True if the person of the chat opts out by the event.
        is_overtaken: True if the message was written before a STOP or START that came first, which counts.
    """

    after_ask: AskedBefore | None = None
    resumption: AskSession | None = None
    side: AskSession | None = None
    chosen: tuple[Route, Fit] | None = None
    is_opt_out = False
    is_overtaken = False

    def note_handler(self, route: Route, fit: Fit = True) -> None:
        """Note the handler that was chosen for the event, and the fit of its filters."""
        self.handler, self.handler_at, self.attempts = route.name, route.at, route.attempts
        self._match = fit if isinstance(fit, re.Match) else None

    def enter_handler(self) -> None:
        self.is_handling = self.has_begun = True
        self._journal.enter_handler()
        self.turn_state.enter_handler()

    def leave_handler(self) -> None:
        """Note that code outside of the handler runs: middleware, filters, error handlers."""
        self.is_handling = False
        self._journal.leave_handler()
        if self._journal.is_suspended:
            self.turn_state.undo()

    async def answer_keyword(self, text: str) -> None:
        """Send the answer to START or HELP, also where the bot is muted."""
        of_turn = self._journal.data.of(TurnMute)
        of_turn.answers_keyword = True
        try:
            await self.send(text, key="keyword")
        finally:
            of_turn.answers_keyword = False

    def discard_writes(self) -> None:
        """Forget the changes of state and the scheduled sends of a handler that failed, before an error handler runs."""
        self.turn_state.discard()
        if self._journal.ends:  # else nothing was scheduled, and the module need not be loaded
            from linqbot.features.later import TurnTimers

            TurnTimers.of(self._journal).discard(self._journal)
