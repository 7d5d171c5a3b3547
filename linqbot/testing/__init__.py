"""Tools to test bots with: a person's phone, the emulator and the bot in one process, on one movable clock.

    async with talking(bot) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == "hello"

Each name is imported from its module when it is first used: pytest imports this package to find its plugin, and most
runs need no emulator.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from linqbot.emulator.declared_world import AccountLine, Contact, DeclaredWorld, GroupChat
    from linqbot.testing.bubble import Bubble, Tapback
    from linqbot.testing.phone import Phone
    from linqbot.testing.stage.connections import ApiCall
    from linqbot.testing.stage.record import HandlerFailed, NothingCame
    from linqbot.testing.talk import PhoneFor, killed_between_calls, talking

__all__ = [
    "AccountLine",
    "ApiCall",
    "Bubble",
    "Contact",
    "DeclaredWorld",
    "GroupChat",
    "HandlerFailed",
    "NothingCame",
    "Phone",
    "PhoneFor",
    "Tapback",
    "killed_between_calls",
    "talking",
]

_HOMES = {
    "AccountLine": "linqbot.emulator.declared_world",
    "ApiCall": "linqbot.testing.stage.connections",
    "Bubble": "linqbot.testing.bubble",
    "Contact": "linqbot.emulator.declared_world",
    "DeclaredWorld": "linqbot.emulator.declared_world",
    "GroupChat": "linqbot.emulator.declared_world",
    "HandlerFailed": "linqbot.testing.stage.record",
    "NothingCame": "linqbot.testing.stage.record",
    "Phone": "linqbot.testing.phone",
    "PhoneFor": "linqbot.testing.talk",
    "Tapback": "linqbot.testing.bubble",
    "killed_between_calls": "linqbot.testing.talk",
    "talking": "linqbot.testing.talk",
}

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
