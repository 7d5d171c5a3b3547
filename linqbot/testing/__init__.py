"""Tools for testing a bot: a person's phone, the emulator and the bot in one process, on one movable clock.

    async with talking(bot) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == "hello"

Each name is imported at its first use. pytest imports this package in every run to find its plugin, so a run without
bots does not pay for importing the emulator.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linqbot.testing.activity import ApiCall
    from linqbot.testing.bubble import Bubble, Tapback
    from linqbot.testing.failures import HandlerFailed, NothingCame
    from linqbot.testing.phone import Phone
    from linqbot.testing.talk import PhoneFor, talking

__all__ = ["ApiCall", "Bubble", "HandlerFailed", "NothingCame", "Phone", "PhoneFor", "Tapback", "talking"]

_MODULES = {
    "ApiCall": "activity",
    "Bubble": "bubble",
    "HandlerFailed": "failures",
    "NothingCame": "failures",
    "Phone": "phone",
    "PhoneFor": "talk",
    "Tapback": "bubble",
    "talking": "talk",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
