"""Simulated people that try a bot before real people do: the names of `linqbot_dev.testing.people`."""

from typing import TYPE_CHECKING

from linqbot_dev.testing.people import HOMES

from linqbot.lazy_exports import lazy_exports

if TYPE_CHECKING:  # `import X as X` makes X a name of this module
    from linqbot_dev.testing.people import KINDS as KINDS
    from linqbot_dev.testing.people import Correct as Correct
    from linqbot_dev.testing.people import Decide as Decide
    from linqbot_dev.testing.people import Dialogue as Dialogue
    from linqbot_dev.testing.people import Inject as Inject
    from linqbot_dev.testing.people import Judgement as Judgement
    from linqbot_dev.testing.people import Locate as Locate
    from linqbot_dev.testing.people import Pause as Pause
    from linqbot_dev.testing.people import PayRequest as PayRequest
    from linqbot_dev.testing.people import Persona as Persona
    from linqbot_dev.testing.people import Say as Say
    from linqbot_dev.testing.people import Tap as Tap
    from linqbot_dev.testing.people import Violation as Violation
    from linqbot_dev.testing.people import VoteFor as VoteFor
    from linqbot_dev.testing.people import crowd as crowd
    from linqbot_dev.testing.people import rehearse as rehearse

__all__ = list(HOMES)

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = lazy_exports(__name__, HOMES)
