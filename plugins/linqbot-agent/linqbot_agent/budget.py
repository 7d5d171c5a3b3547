"""Budgets: what one person may use of a model in a day. The use is state of the person, stored with the turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from linqbot import BotError, Context

USED: Final = "linqbot_agent.Used"
"""The name of the state, next to the states of the bot's author."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The use of a model that one person has in a day.

    Args:
        requests: The number of requests to the model; None for any number.
        tokens: The number of tokens that requests take and give; None for any number. The request that passes it is
            completed.
        timezone: The IANA name of the time zone whose midnight begins a day.
        notice: The text that is said once a day when it is used up; None says nothing.
    Raises:
        BotError: there is no limit, or one is below 1.
    """

    requests: int | None = None
    tokens: int | None = None
    timezone: str = "UTC"
    notice: str | None = "That is all I can do for you today. Please write again tomorrow."

    def __post_init__(self) -> None:
        limits = [limit for limit in (self.requests, self.tokens) if limit is not None]
        if not limits or min(limits) < 1:
            raise BotError("Budget(…) needs requests= or tokens=, each 1 or more.")


class BudgetUsedUp(Exception):
    """A person has used up the budget of the day, so the model is not asked."""


class Used(BaseModel):
    """The use of one person.

    Attributes:
        day: The day, such as `2026-11-20`. What was used before does not count.
        is_said: True if the notice was said on this day.
    """

    day: str = ""
    requests: int = 0
    tokens: int = 0
    is_said: bool = False


class Account:
    """The use of the person of one turn. Each request is booked once, although a turn may run again.

    A turn that runs again books its requests again, on the state that was stored before the turn.

    Args:
        budget: None limits nothing, and then nothing is booked.
    Attributes:
        in_part: The requests and the tokens since the last question.
    """

    def __init__(self, ctx: Context, budget: Budget | None) -> None:
        self._ctx = ctx
        self.in_part = (0, 0)
        # An event without a person, such as a schedule, is the bot's own.
        self._budget = budget if ctx.event.actor and not ctx.event.is_own else None

    async def check(self) -> None:
        """Check that the person may use the model once more.

        Raises:
            BudgetUsedUp: not today.
        """
        budget = self._budget
        if budget is None:
            return
        used = await self._used(budget)
        if (budget.requests is not None and used.requests >= budget.requests) or (
            budget.tokens is not None and used.tokens >= budget.tokens
        ):
            raise BudgetUsedUp

    def begin_part(self) -> None:
        """Note that a part of a conversation begins. What was used before is booked in the commit of an earlier turn."""
        self.in_part = (0, 0)

    async def book(self, requests: int, tokens: int) -> None:
        """Book requests."""
        self.in_part = (self.in_part[0] + requests, self.in_part[1] + tokens)
        if self._budget is not None:
            used = await self._used(self._budget)
            used.requests += requests
            used.tokens += tokens

    async def notice(self) -> str | None:
        """Return the notice to say; None if it was said today."""
        budget = self._budget
        if budget is None or (used := await self._used(budget)).is_said:
            return None
        used.is_said = True
        return budget.notice

    async def _used(self, budget: Budget) -> Used:
        used = await self._ctx.state.person(Used, name=USED)
        today = self._ctx.now(budget.timezone).date().isoformat()
        if used.day != today:
            used.day, used.requests, used.tokens, used.is_said = today, 0, 0, False
        return used
