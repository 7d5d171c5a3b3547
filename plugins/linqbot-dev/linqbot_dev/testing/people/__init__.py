"""Simulated people that try a bot before real people do, and checks of what they received.

    ann = Persona("Ann", [Say("hi"), Say("menu", contains="soup"), Tap("love"), Say("STOP")])

    async with talking(bot) as phone:
        assert await rehearse(phone, ann) == []

`linqbot rehearse` lets many of them talk to a real process.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import homes_of, lazy_exports

if TYPE_CHECKING:  # `import X as X` makes X a name of this module
    from linqbot_dev.testing.people.checks import Judgement as Judgement
    from linqbot_dev.testing.people.checks import Violation as Violation
    from linqbot_dev.testing.people.kinds import KINDS as KINDS
    from linqbot_dev.testing.people.kinds import crowd as crowd
    from linqbot_dev.testing.people.persona import Correct as Correct
    from linqbot_dev.testing.people.persona import Decide as Decide
    from linqbot_dev.testing.people.persona import Dialogue as Dialogue
    from linqbot_dev.testing.people.persona import Inject as Inject
    from linqbot_dev.testing.people.persona import Locate as Locate
    from linqbot_dev.testing.people.persona import Pause as Pause
    from linqbot_dev.testing.people.persona import PayRequest as PayRequest
    from linqbot_dev.testing.people.persona import Persona as Persona
    from linqbot_dev.testing.people.persona import Say as Say
    from linqbot_dev.testing.people.persona import Tap as Tap
    from linqbot_dev.testing.people.persona import VoteFor as VoteFor
    from linqbot_dev.testing.people.rehearsing import rehearse as rehearse

_NAMES = {
    "linqbot_dev.testing.people.checks": "Judgement Violation",
    "linqbot_dev.testing.people.kinds": "KINDS crowd",
    "linqbot_dev.testing.people.persona": "Correct Decide Dialogue Inject Locate Pause PayRequest Persona Say Tap VoteFor",
    "linqbot_dev.testing.people.rehearsing": "rehearse",
}
HOMES = homes_of(_NAMES)
__all__ = list(HOMES)

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = lazy_exports(__name__, HOMES)
