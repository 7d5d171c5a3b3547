"""The prices of models, and the number of tokens that they can read, as the package genai-prices knows it.

This module imports that package, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from genai_prices import Usage, calc_price

from linqbot import Context


def price_of(model: str, usage: Mapping[str, Any]) -> Decimal:
    """Return the price of a request in US dollars.

    Args:
        usage: `input_tokens` and `output_tokens`. Of the former, `cache_read_tokens` and `cache_write_tokens` have other
            prices.
    Raises:
        LookupError: the model is not known.
    """
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return calc_price(Usage(**{name: usage.get(name) or 0 for name in names}), model).total_price


def known(price: Callable[[], Decimal], model: str | None, ctx: Context, unpriced: set[str]) -> Decimal:
    """Return a price in US dollars; 0 if it is not known, which is logged once for each model."""
    try:
        return price()
    except (AssertionError, LookupError, ValueError) as error:
        name = model or "?"
        if name not in unpriced:
            unpriced.add(name)
            ctx.log.warning(
                "agent.unknown_price",
                model=name,
                error=type(error).__name__,
                why="Its requests cost nothing in Budget(cost=…). Limit requests= or tokens= as well.",
            )
        return Decimal(0)


def history_tokens(model: str | None) -> int | None:
    """Return the most tokens of a history that a model is shown: half of what it can read. None if this is not known."""
    if model is None:
        return None
    try:
        window = calc_price(Usage(), model).model.context_window
    except (LookupError, ValueError):
        return None
    return None if window is None else window // 2
