"""Snapshots of the emulator in memory, to return to an earlier state: `linqbot dev` takes one before each message.

A snapshot holds what `statefile.py` saves and, in addition, the latest webhooks, the page's records and the faults. Rate
limits, typing and shared locations are not part of it and start again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from linqbot.emulator.emulator import SHOWN, Emulator
from linqbot.emulator.engine.deliveries import RETRY_WINDOW_S
from linqbot.emulator.engine.webhook import WebhookDelivery
from linqbot.emulator.model.faults import Fault
from linqbot.emulator.model.records import AttachmentRecord


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an emulator at one moment.

    Attributes:
        state: See `statefile.dump`; without the attachments, which are in `files`.
        deliveries: The latest webhooks with their attempts until then, oldest first.
        undelivered: Ids of the events to deliver again, because the receiver may not have stored them then.
        ahead_s: Seconds by which the clock was ahead of real time.
    """

    state: Mapping[str, Any]
    files: tuple[AttachmentRecord, ...]
    deliveries: tuple[WebhookDelivery, ...]
    undelivered: tuple[str, ...]
    calls: tuple[dict[str, Any], ...]
    observations: tuple[dict[str, Any], ...]
    faults: tuple[Fault, ...]
    ahead_s: float


def take(emulator: Emulator, *, stored_until: float) -> Snapshot:
    """Return a snapshot of the emulator.

    Args:
        stored_until: The time of the copy of the receiver's storage that belongs to the snapshot, in Unix seconds on the
            emulator's clock. Events that were delivered later are not in the copy.
    """
    now = emulator.clock.now()
    latest = list(emulator.world.deliveries.history)[-SHOWN:]
    return Snapshot(
        state=emulator.save_state(with_files=False),
        files=tuple(map(replace, emulator.state.attachments.values())),
        deliveries=tuple(replace(one, attempts=list(one.attempts)) for one in latest),
        undelivered=tuple(dict.fromkeys(one.event_id for one in latest if _is_undelivered(one, stored_until, now))),
        calls=tuple(emulator.calls),
        observations=tuple(emulator.observations),
        faults=tuple(fault.model_copy() for fault in emulator.world.faults.active),
        ahead_s=emulator.clock.ahead_s,
    )


def restore(emulator: Emulator, snapshot: Snapshot) -> None:
    emulator.reset(snapshot.state)
    emulator.state.attachments.update({one.id: replace(one) for one in snapshot.files})
    emulator.clock.run_ahead(snapshot.ahead_s)
    emulator.world.deliveries.history.extend(replace(one, attempts=list(one.attempts)) for one in snapshot.deliveries)
    emulator.calls.extend(snapshot.calls)
    emulator.observations.extend(snapshot.observations)
    for fault in snapshot.faults:
        emulator.world.faults.add(fault.model_copy())
    emulator.world.show_conditions()
    for event_id in snapshot.undelivered:
        emulator.world.deliveries.replay(event_id)


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
