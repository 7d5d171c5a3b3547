"""Tools to test bots with, which authors import from `linqbot.testing`: a person's phone, the emulator and the bot in one process, on one movable clock.

    async with talking(bot) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == "hello"

Each name is imported from its module when it is first used: pytest imports this package to find its plugin, and most
runs need no emulator.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import homes_of, lazy_exports

if TYPE_CHECKING:  # `import X as X` makes X a name of this module
    from linqbot_dev.emulator.declared_world import AccountLine as AccountLine
    from linqbot_dev.emulator.declared_world import Contact as Contact
    from linqbot_dev.emulator.declared_world import DeclaredWorld as DeclaredWorld
    from linqbot_dev.emulator.declared_world import GroupChat as GroupChat
    from linqbot_dev.testing.bubble import Bubble as Bubble
    from linqbot_dev.testing.bubble import Tapback as Tapback
    from linqbot_dev.testing.phone import Phone as Phone
    from linqbot_dev.testing.stage.connections import ApiCall as ApiCall
    from linqbot_dev.testing.stage.record import HandlerFailed as HandlerFailed
    from linqbot_dev.testing.stage.record import NothingCame as NothingCame
    from linqbot_dev.testing.talk import PhoneFor as PhoneFor
    from linqbot_dev.testing.talk import killed_between_calls as killed_between_calls
    from linqbot_dev.testing.talk import talking as talking

_NAMES = {
    "linqbot_dev.emulator.declared_world": "AccountLine Contact DeclaredWorld GroupChat",
    "linqbot_dev.testing.bubble": "Bubble Tapback",
    "linqbot_dev.testing.phone": "Phone",
    "linqbot_dev.testing.stage.connections": "ApiCall",
    "linqbot_dev.testing.stage.record": "HandlerFailed NothingCame",
    "linqbot_dev.testing.talk": "PhoneFor killed_between_calls talking",
}
HOMES = homes_of(_NAMES)
__all__ = list(HOMES)

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = lazy_exports(__name__, HOMES)
