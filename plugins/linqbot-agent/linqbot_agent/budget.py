"""Budgets: how much one person may use of a model in a day or another period.

The use is state of the person, stored with each answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, Field

from linqbot import BotError, Context, Tally
from linqbot.errors import StateConflict
from linqbot.language import ENGLISH, sentences
from linqbot.linq.handles import person_key
from linqbot.parse import recurrence
from linqbot.storage.backend import Storage
from linqbot.storage.state import StateWrite

USED: Final = "linqbot_agent.Used"
"""The name of the state, next to the states of the bot's author."""


Period: TypeAlias = Literal["hour", "day", "week", "month"]
"""The time after which a budget begins again."""

_NOTICE: Final = ENGLISH.sentences.used_up_day
"""The notice that stands for that of the period, in the language of the person."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The use of a model that one person has in a day, or in another period.

    Args:
        requests: The number of requests to the model; None for any number.
        tokens: The number of tokens that requests take and give; None for any number. The request that passes it is
            completed.
        cost: The price of the requests in US dollars, such as `Decimal("0.50")`; None for any price. The request that
            passes it is completed. A model whose price pydantic-ai does not know costs nothing, and the log says so:
            limit requests or tokens too.
        per: The period after which it begins again: `hour`, `day`, `week` (from Monday) or `month`.
        timezone: The IANA name of the time zone whose midnight begins a day.
        notice: The text that is said once in a period when it is used up; None says nothing.
    Raises:
        BotError: there is no limit, one is below 1 (`cost`: not above 0), or `per` or `timezone` is unknown.
    """

    requests: int | None = None
    tokens: int | None = None
    cost: Decimal | float | None = None
    per: Period = "day"
    timezone: str = "UTC"
    notice: str | None = _NOTICE

    def __post_init__(self) -> None:
        limits = [limit for limit in (self.requests, self.tokens) if limit is not None]
        if not (limits or self.cost is not None) or min(limits, default=1) < 1:
            raise BotError("Budget(…) needs requests= or tokens=, each 1 or more, or cost=.")
        if self.cost is not None and not 0 < self.cost < float("inf"):
            raise BotError(f"Budget(cost={self.cost!r}): give US dollars, more than 0.")
        if self.per not in get_args(Period):
            raise BotError(f"Budget(per={self.per!r}): give one of {', '.join(map(repr, get_args(Period)))}.")
        try:
            recurrence("day 0:00", timezone=self.timezone)
        except (ValueError, TypeError) as error:
            raise BotError(f"Budget(timezone={self.timezone!r}): {error}") from error

    def period_of(self, now: datetime) -> str:
        week = now.isocalendar()
        return {
            "hour": f"{now:%Y-%m-%dT%H%z}",  # with the offset, because daylight saving time shows an hour twice
            "day": f"{now:%Y-%m-%d}",
            "week": f"{week.year}-W{week.week:02}",
            "month": f"{now:%Y-%m}",
        }[self.per]


class BudgetUsedUp(Exception):
    """A person has used up the budget of the period, so the model is not asked."""


class Used(BaseModel):
    """The use of one person."""

    period: str = ""  # The period, such as `2026-11-20`. What was used before does not count.
    requests: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)  # in US dollars
    is_said: bool = False  # True if the notice was said in this period
    # The requests that models have not answered yet, by name, with the Unix time after which they do not count.
    reserved: dict[str, float] = Field(default_factory=dict)


class Account:
    """The use of the person of one turn. Each request is booked in the commit that records its answer, and so exactly once.

    Args:
        budget: None limits nothing, and then nothing is booked.
        store: The state of the bot; None if the bot does not run.
    """

    def __init__(self, ctx: Context, budget: Budget | None, store: Storage | None) -> None:
        self._ctx = ctx
        # A line that keeps nothing has no state.
        self._store = None if getattr(ctx.event, "zero_retention", False) else store
        # An event without a person, such as a schedule, is the bot's own.
        self._budget = budget if ctx.event.actor and not ctx.event.is_own else None

    async def check(self) -> None:
        budget = self._budget
        if budget is None:
            return
        # A copy: if the turn itself changed the value, its end would conflict with what its requests book, and it would
        # run again.
        used = (await self._ctx.state.person(Used, name=USED)).model_copy()
        self._begin_period(used, budget)
        _check(used, budget)

    @asynccontextmanager
    async def reserving(self, request: str, *, for_s: float) -> AsyncIterator[None]:
        """Reserve a request, which the block makes, until `tally` books it: the person may write in several chats at once.

        A request that fails is given back.

        Args:
            request: The name of the request, the same whenever the turn runs again.
            for_s: The time limit of the request, in seconds. A request that was cut off by a crash does not count longer.
        Raises:
            BudgetUsedUp: the person has used up the budget, or the last requests of it are being made.
            StorageUnavailable: the budget cannot be read or written.
        """
        budget, store = self._budget, self._store
        if budget is None or store is None:
            await self.check()
            yield
            return
        now = self._ctx.now("UTC").timestamp()

        def reserve(used: Used) -> None:
            used.reserved = {name: until for name, until in used.reserved.items() if until > now and name != request}
            _check(used, budget)
            used.reserved[request] = now + for_s

        await self._change(store, budget, reserve)
        try:
            yield
        except BaseException:
            await asyncio.shield(self._change(store, budget, lambda used: used.reserved.pop(request, None)))
            raise

    async def _change(self, store: Storage, budget: Budget, change: Callable[[Used], object]) -> None:
        """Change the stored use now, whatever becomes of the turn."""
        scope = f"person:{person_key(self._ctx.event.actor or '')}"
        while True:
            stored = (await store.load(scope)).get(USED)
            used = Used() if stored is None else Used.model_validate_json(stored)
            self._begin_period(used, budget)
            change(used)
            try:
                await store.write_state([StateWrite(scope, USED, used.model_dump_json().encode(), expected=stored)])
            except StateConflict:
                continue
            return

    def tally(self, price: Callable[[Any], Decimal], request: str = "") -> Tally[Used] | None:
        """Return what books a request with its answer, under its reserved name; None if nothing is booked."""
        budget = self._budget
        if budget is None:
            return None

        def add(used: Used, answer: Any) -> None:
            usage = answer["usage"]
            tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
            cost = price(answer) if budget.cost is not None else Decimal(0)
            used.reserved.pop(request, None)
            self._add(used, budget, 1, tokens, cost)

        return Tally(Used, add, name=USED)

    def tally_of_tool(self, added: Counter[str]) -> Tally[Used] | None:
        """Return what books the requests of other agents that a tool has asked; None if nothing is booked.

        Args:
            added: The usage that they have added to that of the run, when the tool has ended.
        """
        budget = self._budget
        if budget is None:
            return None

        def add(used: Used, _: Any) -> None:
            tokens = added["input_tokens"] + added["output_tokens"]
            self._add(used, budget, added["requests"], tokens, Decimal(added["cost"]))

        return Tally(Used, add, name=USED)

    async def notice(self) -> str | None:
        """Return the notice to say; None if it was said in this period."""
        budget = self._budget
        if budget is None:
            return None
        used = await self._ctx.state.person(Used, name=USED)
        self._begin_period(used, budget)
        if used.is_said:
            return None
        used.is_said = True
        # The default speaks of today.
        return str(getattr(sentences(), f"used_up_{budget.per}")) if budget.notice == _NOTICE else budget.notice

    def _add(self, used: Used, budget: Budget, requests: int, tokens: int, cost: Decimal) -> None:
        self._begin_period(used, budget)
        used.requests += requests
        used.tokens += tokens
        used.cost += cost

    def _begin_period(self, used: Used, budget: Budget) -> None:
        period = budget.period_of(self._ctx.now(budget.timezone))
        if used.period != period:
            used.period, used.requests, used.tokens, used.cost, used.is_said = period, 0, 0, Decimal(0), False
            used.reserved = {}


def _check(used: Used, budget: Budget) -> None:
    """Check that one more request may be made. Requests that are under way count, but their tokens are not known yet."""
    if (
        (budget.requests is not None and used.requests + len(used.reserved) >= budget.requests)
        or (budget.tokens is not None and used.tokens >= budget.tokens)
        or (budget.cost is not None and used.cost >= budget.cost)
    ):
        raise BudgetUsedUp
