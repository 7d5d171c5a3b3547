"""The plugin `LinqAgent`: the settings of all agent runs of a bot."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from linqbot import BotError, Context, Event, Running, hookimpl
from linqbot.client.call import Run
from linqbot.clock import Clock
from linqbot_agent.budget import Account, Budget
from linqbot_agent.guard import guarded
from linqbot_agent.speech.progress import noticing
from linqbot_agent.turn import NAME, AgentTurn


class LinqAgent:
    """Lets the handlers of a bot answer with `run(agent, ctx)`.

    Give it to the bot: `Bot(plugins=[LinqAgent()])`.

    Args:
        history: The number of earlier messages of the chat that an agent is shown, with the results of its tools. 0 shows
            none.
        budget: What one person may use of the model in a day; None for any amount.
        elsewhere: The names of tools that may act outside of the chat of their turn, without approval. Other tools may
            not: their calls to Linq are refused.
    Raises:
        BotError: `history` is no such number.
    """

    name: Final = NAME

    def __init__(self, *, history: int = 20, budget: Budget | None = None, elsewhere: Collection[str] = ()) -> None:
        if not 0 <= history < 1000:
            raise BotError(f"LinqAgent(history={history!r}): give a number of messages, from 0 to 999.")
        self._history = history
        self._budget = budget
        self._elsewhere = frozenset(elsewhere)
        self._clock: Clock | None = None

    @hookimpl
    def register_context(self) -> Mapping[str, Callable[[Event, Context], Any]]:
        return {self.name: self._turn}

    @hookimpl
    def register_outbound(self) -> Iterable[Callable[[Run], Run]]:
        return [guarded, noticing]

    @hookimpl
    def started(self, running: Running) -> None:
        self._clock = running.clock

    def _turn(self, event: Event, ctx: Context) -> AgentTurn:
        account = Account(ctx, self._budget)
        return AgentTurn(history=self._history, elsewhere=self._elsewhere, account=account, clock=self._clock)
