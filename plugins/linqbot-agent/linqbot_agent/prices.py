"""The price of a request to a model, as pydantic-ai knows it, and the use of models by one call of a tool.

A tool may ask other agents with `usage=ctx.usage`. The calls of one response run side by side and add to one usage, so
the growth of the sum does not say which of them used it: `AttributedUsage` does. This module imports pydantic-ai, so it
is imported at the first run of an agent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RunUsage

from linqbot import Context
from linqbot_agent.budget import Use

_responses: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)


def price(recorded: Any, ctx: Context, unpriced: set[str]) -> Decimal:
    """Return the price of a recorded answer in US dollars; 0 if it is not known, which is logged once for each model."""
    response = _responses.validate_python(recorded)
    if response.usage.cost is not None:
        return Decimal(response.usage.cost)
    name = response.model_name or "?"
    try:
        return response.cost().total_price
    except (AssertionError, LookupError, ValueError) as error:
        if name not in unpriced:
            unpriced.add(name)
            ctx.log.warning(
                "agent.unknown_price",
                model=name,
                error=type(error).__name__,
                why="Its requests cost nothing in Budget(cost=…). Limit requests= or tokens= as well.",
            )
        return Decimal(0)


_BOOKED: Final = frozenset({"requests", "input_tokens", "output_tokens", "cost"})


class AttributedUsage(RunUsage):
    """The usage of a run. What is added to it inside of `used_by_tool` is counted there too."""

    def __setattr__(self, name: str, value: Any) -> None:
        call = _call.get()
        # A copy, on which limits are checked, is not the usage of the run.
        if call is not None and name in _BOOKED and call.usage is self:
            call.added[name] += (value or 0) - (getattr(self, name, 0) or 0)
        super().__setattr__(name, value)


class _ToolUse:
    """The use of models by one call of a tool."""

    def __init__(self, usage: RunUsage) -> None:
        self.usage = usage
        self.added: Counter[str] = Counter()  # what the call has added to it, by the names of pydantic-ai

    def total(self) -> Use:
        """Return the sum."""
        added = self.added
        return Use(added["requests"], added["input_tokens"] + added["output_tokens"], Decimal(added["cost"]))


_call: ContextVar[_ToolUse | None] = ContextVar("linqbot_agent_tool_use", default=None)


@contextmanager
def used_by_tool(usage: RunUsage) -> Iterator[None]:
    """Count what the call of a tool adds to the usage of its run, if that is an `AttributedUsage`."""
    token = _call.set(_ToolUse(usage))
    try:
        yield
    finally:
        _call.reset(token)


def tool_use() -> Use:
    """Return what the running call of a tool has used so far."""
    call = _call.get()
    return Use() if call is None else call.total()
