"""Lets each turn run every feature, and not only those that its lease may concern."""

from __future__ import annotations

from linqbot.engine.feature import Catalogue, Feature
from linqbot.storage.inbox import Lease


def every_part(features: Catalogue, lease: Lease) -> tuple[Feature, ...]:
    """Return what `Catalogue.concerned` returns, with each feature that takes part in any turn of the bot."""
    return tuple(each for each in features.features if each.types is None or each.types)
