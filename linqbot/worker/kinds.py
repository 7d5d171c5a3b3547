"""The kinds of deliveries that linqbot makes itself, by the word behind `i.` in their ids.

The id of a delivery decides, and not its type: a webhook can have any type, but no such id.
"""

from __future__ import annotations

from typing import Final

from linqbot.events.delivery import OWN_DELIVERY, Delivery
from linqbot.storage.inbox import Ack
from linqbot.worker import due, trouble
from linqbot.worker.turn_end import Kind


async def _ack(*_: object) -> Ack:
    return Ack()


_HANDLED: Final = Kind()

_KINDS: Final = {
    # The doctor's probe, and the end of the wait for an event of a change: no handler takes these.
    "doctor": Kind(open=_ack),
    "own_change": Kind(open=_ack),
    "schedule": Kind(open=due.check_schedule_gone, end=due.rearm),
    "send": Kind(run=due.send_due),
    "repeat": Kind(run=due.send_due, end=due.rearm),
    "broadcast": Kind(run=due.send_to_person, end=due.give_up_person),
    "outage": Kind(run=trouble.say_outage),
    "dead_letter": Kind(run=trouble.notify_dead_letter),
}


def kind_of(delivery: Delivery) -> Kind | None:
    """Return the kind of a delivery; None if Linq has posted it. A handler gets the event of a kind without a function."""
    if not delivery.id.startswith(OWN_DELIVERY):
        return None
    return _KINDS.get(delivery.id.split(".", 2)[1], _HANDLED)
