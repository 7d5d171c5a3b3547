"""Rules of payments (R96)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from linqbot.rules.broken import NOTHING, Broken, JsonObject, breaks, missing

_OF_SUBSCRIPTIONS: Final = ("price_id", "quantity", "discount", "trial_end", "trial_period_days")


def payment_mode(body: JsonObject) -> Broken | None:
    """Check R96: the fields that the mode requires and excludes."""
    subscription = body.get("mode") == "subscription"
    for name in ("amount", "currency"):
        if subscription and body.get(name) is not None:
            return breaks("R96", f"{name} comes from the price in subscription mode. Leave it out.")
        if not subscription and body.get(name) is None:
            return missing(name)
    if subscription:
        return missing("price_id") if body.get("price_id") is None else None
    for name in _OF_SUBSCRIPTIONS:
        if body.get(name) is not None:
            return breaks("R96", f"{name} is for subscriptions only. Leave it out, or set mode to subscription.")
    return None


def payment_choices(body: JsonObject) -> Broken | None:
    """Check R96: fields that exclude each other, and fields that the rail `natural` requires."""
    discount = body.get("discount") or NOTHING
    for one, other, given in (("trial_end", "trial_period_days", body), ("coupon", "promotion_code", discount)):
        if given.get(one) is not None and given.get(other) is not None:
            return breaks("R96", f"{one} and {other} exclude each other.")
    if body.get("rail") == "natural":
        for name in ("from", "payer_handle"):
            if body.get(name) is None:
                return breaks("R96", f"{name} is required if rail is natural.")
    return None


def metadata(value: Any, at: str) -> Broken | None:
    """Check R96: the metadata of a payment."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
        return breaks("R4", f"{at} must be an object of strings.")
    if len(value) > 49:
        return breaks("R96", f"{at} has {len(value)} keys. Linq takes 49.")
    if any(name.startswith("linq_") for name in value):
        return breaks("R96", f"{at} has a key that begins with linq_, which is reserved for Linq.")
    return None
