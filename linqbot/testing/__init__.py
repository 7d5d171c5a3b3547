"""Tools to test bots with: a person's phone, the emulator and the bot in one process, on one movable clock.

    async with talking(bot) as phone:
        await phone.text("hi")
        assert await phone.next_reply() == "hello"

The package linqbot-dev brings them: these names are those of `linqbot_dev.testing`, so that a test imports from linqbot alone.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import lazy_exports

if TYPE_CHECKING:  # `import X as X` makes X a name of this module
    from linqbot_dev.testing import AccountLine as AccountLine
    from linqbot_dev.testing import ApiCall as ApiCall
    from linqbot_dev.testing import Bubble as Bubble
    from linqbot_dev.testing import Contact as Contact
    from linqbot_dev.testing import DeclaredWorld as DeclaredWorld
    from linqbot_dev.testing import GroupChat as GroupChat
    from linqbot_dev.testing import HandlerFailed as HandlerFailed
    from linqbot_dev.testing import NothingCame as NothingCame
    from linqbot_dev.testing import Phone as Phone
    from linqbot_dev.testing import PhoneFor as PhoneFor
    from linqbot_dev.testing import Tapback as Tapback
    from linqbot_dev.testing import killed_between_calls as killed_between_calls
    from linqbot_dev.testing import talking as talking

try:
    from linqbot_dev.testing import HOMES
except ModuleNotFoundError as error:
    if error.name != "linqbot_dev":
        raise
    from linqbot.installing import plugin_advice

    raise ModuleNotFoundError(
        f"linqbot.testing is in the package linqbot-dev, which is not installed. {plugin_advice('linqbot-dev')}",
        name=error.name,
    ) from error

__all__ = list(HOMES)

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = lazy_exports(__name__, HOMES)
