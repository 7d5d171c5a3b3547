"""Reports about routing, for plugins that observe it: the filters that were tried, and why no handler takes an event.

Filters are called a second time for a report, so `bot/dispatch.py` makes one only if a plugin implements `routed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from linqbot.bot.routing.filters import name_of
from linqbot.bot.routing.handlers import Route
from linqbot.events.event import Event
from linqbot.hookspecs import Tried

# Why no handler takes an event. Each is a clause with a subject and a verb: the page and the terminal of `linqbot dev` show
# it after "No handler took it: ", and logs have it as `reason`.
NO_HANDLER: Final = "the bot has no handler for this event type"
NO_FILTER: Final = "no filter fits"
TOO_OLD: Final = "the message came too late"
OWN_ECHO: Final = "the bot caused this event itself"
NOT_ALLOWED: Final = "the sender is not allowed"
IN_GROUP: Final = "the bot takes no events of groups"
NOT_ADDRESSED: Final = "the message neither mentions the bot nor replies to it"
LOOP: Final = "two bots answer each other"
OPTED_OUT: Final = "the person opted out"


def tried(routes: Iterable[Route], event: Event, *, is_late: bool) -> tuple[Tried, ...]:
    """Return the filters of routes that did not fit, each route up to its first filter that does not fit.

    Args:
        is_late: The event is a late message, which only routes with `late` take.
    """
    found: list[Tried] = []
    for route in routes:
        if is_late and not route.late:
            found.append(Tried(route.name, route.at, "takes late messages", fits=False))
            continue
        for predicate in route.filters:
            fits = _fits(predicate, event)
            found.append(Tried(route.name, route.at, name_of(predicate), fits))
            if not fits:
                break
        else:
            if route.when is not None:
                found.append(Tried(route.name, route.at, f"when={name_of(route.when)}", fits=False))
    return tuple(found)


def reason(routes: Iterable[Route], *, is_late: bool) -> str:
    """Return why none of the routes for an event takes it."""
    routes = tuple(routes)
    if not routes:
        return NO_HANDLER
    return TOO_OLD if is_late and not any(route.late for route in routes) else NO_FILTER


def _fits(predicate: Callable[[Any], Any], event: Event) -> bool:
    try:
        return bool(predicate(event))
    except Exception:  # noqa: BLE001 - the filter did not raise when the event was routed; a report must not fail the turn
        return False
