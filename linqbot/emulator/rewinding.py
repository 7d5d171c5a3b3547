"""Returning the emulator to an earlier state: `linqbot dev` can restart from each of the latest messages.

What is kept is what `statefile.py` saves and, in addition, the latest webhooks, the page's records and the faults. Rate
limits, typing and shared locations are not part of it and start again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from linqbot.emulator.emulator import SHOWN, Emulator
from linqbot.emulator.engine.deliveries import RETRY_WINDOW_S
from linqbot.emulator.engine.webhook import WebhookDelivery


def rewinder(emulator: Emulator, *, stored_until: float) -> Callable[[], None]:
    """Return a function that returns the emulator to its present state, whenever and however often it is called.

    Args:
        stored_until: The time of the copy of the receiver's storage that belongs to this state, in Unix seconds on the
            emulator's clock. Events that were delivered later are not in the copy, and are delivered again.
    """
    world, now, ahead_s = emulator.world, emulator.clock.now(), emulator.clock.ahead_s
    state = emulator.save_state(with_files=False)
    files = list(map(replace, emulator.state.attachments.values()))
    deliveries = list(map(_copied, list(world.deliveries.history)[-SHOWN:]))
    undelivered = dict.fromkeys(one.event_id for one in deliveries if _is_undelivered(one, stored_until, now))
    calls, observations = list(emulator.calls), list(emulator.observations)
    faults = [fault.model_copy() for fault in world.faults.active]

    def rewind() -> None:
        emulator.reset(state)
        emulator.state.attachments.update({one.id: replace(one) for one in files})
        emulator.clock.run_ahead(ahead_s)
        world.deliveries.history.extend(map(_copied, deliveries))
        emulator.calls.extend(calls)
        emulator.observations.extend(observations)
        for fault in faults:
            world.faults.add(fault.model_copy())
        world.show_conditions()
        for event_id in undelivered:
            world.deliveries.replay(event_id)

    return rewind


def _copied(delivery: WebhookDelivery) -> WebhookDelivery:
    return replace(delivery, attempts=list(delivery.attempts))


def _is_undelivered(delivery: WebhookDelivery, stored_until: float, now: float) -> bool:
    """Return True if the receiver may not have stored an event at `stored_until`, and Linq would still deliver it."""
    if delivery.created_at + RETRY_WINDOW_S < now:
        return False
    if not delivery.attempts:
        return True
    last = delivery.attempts[-1]
    if last.status is None or last.status == 429 or last.status >= 500:
        return True
    return last.at + last.ms / 1000 >= stored_until
