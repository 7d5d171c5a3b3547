"""Broadcasts for operators: a report with the reasons of refusals, and orders."""

from __future__ import annotations

from collections import Counter

from linqbot.errors import StorageError
from linqbot.linq.types.proactive import Broadcast, RecipientOutcome
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import ALLOWED, Order


async def find(storage: Storage, name: str) -> Broadcast:
    broadcast = await storage.broadcast(name)
    if broadcast is None:
        raise StorageError(f"There is no broadcast {name}. See: linqbot waiting list --broadcasts")
    return broadcast


async def carry_out(storage: Storage, name: str, order: Order, by: By) -> Broadcast:
    if not await storage.order_broadcast(name, order, by=by):
        raise _not_allowed(await find(storage, name), order)
    return await find(storage, name)


async def check(storage: Storage, name: str, order: Order) -> None:
    broadcast = await find(storage, name)
    if broadcast.status not in ALLOWED[order][0]:
        raise _not_allowed(broadcast, order)


def _not_allowed(broadcast: Broadcast, order: Order) -> StorageError:
    allowed = " or ".join(sorted(ALLOWED[order][0]))
    return StorageError(
        f"The broadcast {broadcast.name} is {broadcast.status}. Only one that is {allowed} can be changed in this way."
    )


async def reasons(storage: Storage, name: str, outcome: RecipientOutcome) -> dict[str, int]:
    """Return the reasons of an outcome, the most frequent first, each with the number of people."""
    counts = Counter([recipient.reason or "" async for recipient in storage.every_recipient(name, outcome)])
    return dict(counts.most_common())
