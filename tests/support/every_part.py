"""Lets each turn run every part that its bot uses, and not only those that its lease may concern."""

from __future__ import annotations

from linqbot.features.catalog import Features
from linqbot.storage.inbox import Lease

OF_BOTS = ("own_changes:OwnChanges", "notices:Notices")
"""The parts that a bot may have no use for."""

_concerned = Features.concerned


def every_part(features: Features, lease: Lease) -> dict[str, bool]:
    """Return what `Features.concerned` returns, with each part concerned."""
    return {place: is_so or place not in OF_BOTS for place, is_so in _concerned(features, lease).items()}
