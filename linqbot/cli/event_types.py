"""Help with an event type that linqbot does not know: the nearest one, or where all are listed."""

from __future__ import annotations

from linqbot.nearest import nearest_name


def advice_on(unknown: str) -> str:
    """Return a sentence that helps with an event type that linqbot does not know."""
    # Imported here, so that shell completion and --help do not wait for the events to be imported.
    from linqbot.events.parse import EVENT_TYPES

    near = nearest_name(unknown, EVENT_TYPES)
    return f"Did you mean {near}?" if near else "See: linqbot trigger --list"
