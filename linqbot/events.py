"""Linq's events: a class for each type that Linq documents, with `Event` as their base.

    from linqbot.events import PollVoteAdded

Each class stands in the module of its resource, and is imported when it is first used.
"""

from typing import TYPE_CHECKING

from linqbot.lazy_exports import lazy_exports
from linqbot.linq.events import EVENT_CLASSES

if TYPE_CHECKING:  # the names in `__all__` of a module; `import X as X` makes X a name of this one, too
    from linqbot.linq.events.account import *  # noqa: F403
    from linqbot.linq.events.chat import *  # noqa: F403
    from linqbot.linq.events.delivery import Delivery as Delivery
    from linqbot.linq.events.event import Event as Event
    from linqbot.linq.events.event import UnknownEvent as UnknownEvent
    from linqbot.linq.events.message import *  # noqa: F403
    from linqbot.linq.events.payment import *  # noqa: F403
    from linqbot.linq.events.poll import *  # noqa: F403
    from linqbot.linq.events.proactive import BroadcastDone as BroadcastDone
    from linqbot.linq.events.proactive import Posted as Posted
    from linqbot.linq.events.proactive import ScheduleDue as ScheduleDue


# Classes that no single event type of Linq stands for.
_OTHERS = (
    "chat.GroupChange",
    "chat.LocationSharing",
    "chat.TypingEvent",
    "delivery.Delivery",
    "event.Event",
    "event.UnknownEvent",
    "message.MessageReceipt",
    "payment.PaymentEvent",
    "poll.PollVote",
    "proactive.BroadcastDone",
    "proactive.Posted",
    "proactive.ScheduleDue",
)
_HOMES = {
    name: f"linqbot.linq.events.{module}"
    for module, name in (place.split(".") for place in (*EVENT_CLASSES.values(), *_OTHERS))
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = lazy_exports(__name__, _HOMES)
