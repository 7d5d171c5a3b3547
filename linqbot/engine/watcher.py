"""Reports of a turn about the run of its handler, if anything watches.

A watcher is notified of what no log of a turn shows: messages that no handler of their own takes, such as answers and
votes, and errors that the bot handles. `linqbot dev` watches, in the terminal and on the emulator's page, and so does
the stage of tests. Plugins do not get these reports, because they quote people.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Literal, TypeAlias

from linqbot.branch import UnawaitedCoroutine
from linqbot.errors import BotError
from linqbot.linq.events.delivery import Delivery
from linqbot.storage.outcomes import OutcomeRow

AnswerResult: TypeAlias = Literal[
    "answered", "invalid", "given_up", "cancelled", "timed_out", "kept_open", "counted", "passed_on", "late"
]
"""What an event made of an open question.

- `answered`: the handler goes on with the answer.
- `invalid`: the person is asked for another answer.
- `given_up`: it was the last invalid answer, so the question has ended.
- `cancelled`: the question has ended without an answer, such as by a word.
- `timed_out`: no answer came in time.
- `kept_open`: a handler with `during_ask=True` took the event.
- `counted`: the vote was counted, and others may still vote.
- `passed_on`: a handler that waits in another chat gets the answer, in a turn of its own.
- `late`: the question of such a handler is over, and the person reads so.
"""


class TurnWatcher:
    """Notices what happens in one turn. This one looks at nothing."""

    def took(self, deliveries: Sequence[Delivery]) -> None:
        """Note messages that the running handler took with `ctx.incoming`. They get no turn of their own."""

    def met_question(self, text: str, handler: str, result: AnswerResult) -> None:
        """Note that the event of the turn concerns an open question of a handler, given by its name."""

    def handled_error(self, error: Exception, handler: str) -> None:
        """Note that an `on_error` handler, given by its name, has handled an error of the turn."""

    def waits(self, reason: str, seconds: float) -> None:
        """Note that a call of the turn waits, and why: for Linq's rate limit, or before a retry."""

    def recorded(self, record: OutcomeRow) -> None:
        """Note the record of the run, which is stored with its end."""

    def called_too_late(self, error: BotError) -> None:
        """Note that a call came after the end of the turn and was not made, such as one of a task that nothing awaits."""

    def never_awaited(self, coroutines: Sequence[UnawaitedCoroutine]) -> None:
        """Note the coroutines that the code of the turn never awaited."""

    def asked(self, text: str, elsewhere: Sequence[str] = ()) -> None:
        """Note that the handler asks a question. The people `elsewhere`, given by their handles, are asked in their own chats."""


turn_watcher: ContextVar[TurnWatcher] = ContextVar("linqbot_turn_watcher", default=TurnWatcher())  # noqa: B039 - it has no state
"""Set when a turn begins, if anything watches."""
