"""The price of a request to a model, as pydantic-ai knows it.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelResponse

from linqbot import Context

_responses: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)


def price(recorded: Any, ctx: Context, unpriced: set[str]) -> Decimal:
    """Return the price of a request in US dollars; 0 if it is not known.

    Args:
        recorded: The response of the model, as it is recorded.
        unpriced: The models whose price is not known, so that each is logged once.
    """
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
