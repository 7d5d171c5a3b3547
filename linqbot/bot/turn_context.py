"""The context as dispatch and the worker see it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from linqbot.bot.context import Context
from linqbot.bot.handlers import Route
from linqbot.content.message_split import Content
from linqbot.content.sent import Sent
from linqbot.features.turn_data import TurnMute
from linqbot.engine.filters import Fit
from linqbot.storage.inbox import Lease
from linqbot.turn_events import Tried


class TurnContext(Context):
    """The context of a turn. Handlers get it as a `Context`.

    Attributes:
        rerun: The lease of the turn, if an earlier run of it has begun; None in a first run. A replay is handled as if it
            were new, so its first run is one.
        chosen: The handler with `during_ask=True` that takes the event: its route, and the fit of its filters.
        is_opt_out: True if the person of the chat opts out by the event.
        is_overtaken: True if the message was written before a STOP or START that came first, which counts.
        is_answer: True if no handler with `during_ask=True` takes the event, so that it answers the open question.
        is_outdated: True if the message became too old for its handlers after an earlier run had begun.
        passed_over: Why no handler takes the event; None if one does, or if middleware has ended the event.
        tried: The filters of the handlers that did not take the event, in order.
        has_begun: True once a handler has begun.
        recovered: The error that ended the handler, and the error handler that took it; None without one.
    """

    rerun: Lease | None = None
    chosen: tuple[Route, Fit] | None = None
    is_opt_out = False
    is_overtaken = False
    is_answer = False
    is_outdated = False
    passed_over: str | None = None
    tried: Sequence[Tried] = ()
    has_begun = False
    recovered: str | None = None

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

    async def reply_or_else(self, content: Content, *, key: str) -> Sent:
        """Reply with content that the caller replaces if Linq refuses it, so that no later run of the turn sends both."""
        return await self._send((content,), None, self._thread(None), True, key, has_replacement=True)

    async def answer_keyword(self, text: str) -> None:
        """Send the answer to START or HELP, also where the bot is muted."""
        of_turn = self._journal.data.of(TurnMute)
        of_turn.answers_keyword = True
        try:
            await self.send(text, key="keyword")
        finally:
            of_turn.answers_keyword = False

    def stop_typing(self) -> None:
        if self._typing is not None:
            self._typing.end()

    def discard_plugins(self) -> None:
        """Forget the values of plugins at the end of the turn: many hold the context, which would be a reference cycle."""
        vars(self).pop("plugins", None)

    def discard_writes(self) -> None:
        """Forget the changes of state and the scheduled sends of a handler that failed, before an error handler runs."""
        self.turn_state.discard()
        self._journal.scheduler.discard()
