"""Simulated people that try a bot before real people do, and checks of what they received.

    ann = Persona("Ann", [Say("hi"), Say("menu", contains="soup"), Tap("love"), Say("STOP")])

    async with talking(bot) as phone:
        assert await rehearse(phone, ann) == []

`linqbot rehearse` lets many of them talk to a real process.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from linqbot.testing.people.checks import Judgement, Violation
    from linqbot.testing.people.kinds import KINDS, crowd
    from linqbot.testing.people.persona import (
        Correct,
        Decide,
        Dialogue,
        Inject,
        Locate,
        Pause,
        PayRequest,
        Persona,
        Say,
        Tap,
        VoteFor,
    )
    from linqbot.testing.people.rehearsing import rehearse

__all__ = [
    "KINDS",
    "Correct",
    "Decide",
    "Dialogue",
    "Inject",
    "Judgement",
    "Locate",
    "Pause",
    "PayRequest",
    "Persona",
    "Say",
    "Tap",
    "Violation",
    "VoteFor",
    "crowd",
    "rehearse",
]

_HOMES = dict.fromkeys(__all__, "linqbot.testing.people.persona") | {
    "Judgement": "linqbot.testing.people.checks",
    "KINDS": "linqbot.testing.people.kinds",
    "Violation": "linqbot.testing.people.checks",
    "crowd": "linqbot.testing.people.kinds",
    "rehearse": "linqbot.testing.people.rehearsing",
}

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
