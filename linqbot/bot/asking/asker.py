"""The interfaces between a Context and the worker's part of a conversation (`worker/asking/`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from linqbot.bot.asking.question import Question
from linqbot.bot.conversation.turn_state import Recording
from linqbot.events.event import Event

if TYPE_CHECKING:
    from linqbot.bot.context import Context
    from linqbot.bot.turn_context import TurnContext


class Asker(Protocol):
    """Asks questions and records steps, for one run of a handler."""

    @property
    def is_past(self) -> bool:
        """True while the handler runs through a part that an earlier run has ended. Its calls have no effects then."""
        ...

    async def ask(self, question: Question, ctx: Context) -> Any:
        """Return the recorded answer of a question; if there is none, ask it and end the handler with Suspended."""
        ...

    def end_questions(self, chat_id: str) -> None:
        """End the open questions of a chat with the commit of the turn, without running their handlers."""
        ...

    async def cancel_questions(self, chat_id: str) -> None:
        """Cancel the open questions of any chat, as an operator does: their handlers run."""
        ...

    @property
    def is_dry(self) -> bool:
        """True in a dry run, which has no effects."""
        ...

    async def once(
        self,
        name: str,
        call: Callable[[str], Awaitable[Any] | Any],
        *,
        kind: Any,
        retry: bool,
        restartable: bool = False,
        recording: Recording | None = None,
    ) -> Any:
        """Return the recorded result of a step; if there is none, make the step and record its result.

        Args:
            recording: Called with the result of a step that was made now, and with a function that records it together
                with a write of state.
        """
        ...

    def recall(self, name: str, *, kind: Any) -> Any:
        """Return the recorded result of a step; None if there is none."""
        ...


class Resumption(Protocol):
    """A handler that goes on, because its question was answered or has ended.

    Attributes:
        handler: The name of the handler.
        root: The event with which it began, and which it gets again.
    """

    handler: str
    root: Event

    async def begin(self, ctx: TurnContext) -> None:
        """Note that the handler runs. Without this the question stays open, whatever happens."""
        ...


class SideTurn(Protocol):
    """A turn of the asked person that is not an answer, while the question stays open."""

    @property
    def takes_any_handler(self) -> bool:
        """True if any handler may take the event, as usual; False for handlers with `during_ask=True` only."""
        ...

    async def ask_again(self, ctx: Context) -> None:
        """Send the question again, if it has `repeat=True`."""
        ...
