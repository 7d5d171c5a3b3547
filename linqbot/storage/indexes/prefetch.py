"""Prefetch: while the last `take` had spare capacity, a new delivery is leased in the transaction that stores it.

This saves one commit before the handler begins. The class keeps the prefetched leases in memory; the writer of the
backend stores the rows, and the next `take` hands the leases out.
"""

from __future__ import annotations

from collections.abc import Sequence

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Lease
from linqbot.storage.indexes.lanes import Lanes


class Prefetch:
    """The leases prefetched for the next `take`, and the number that may still be prefetched."""

    def __init__(self) -> None:
        self._capacity = 0
        self._leases: list[Lease] = []

    def set_capacity(self, left: int) -> None:
        """Note that the last take would have leased `left` more deliveries."""
        self._capacity = max(left - len(self._leases), 0)

    def of(self, new: Sequence[tuple[int, Delivery]], lanes: Lanes) -> set[int]:
        """Return the sequence numbers of new deliveries that may be stored as leased: the first of each empty lane."""
        first: dict[str, int] = {}
        for seq, delivery in new:
            if len(first) < self._capacity and lanes.may_add_leased(delivery.lane):
                first.setdefault(delivery.lane, seq)
        return set(first.values())

    def add(self, seq: int, delivery: Delivery, lanes: Lanes) -> None:
        """Add a delivery that is on disk, stored as leased."""
        self._capacity -= 1
        self._leases.append(Lease(delivery, lanes.add_leased(delivery.lane, seq)))

    def take(self, limit: int, lanes: Lanes, *, until: float) -> list[Lease]:
        """Hand out prefetched leases, at most `limit`, which end at a time of the monotonic clock."""
        # A command may have removed a delivery meanwhile.
        waiting = [lease for lease in self._leases if lanes.leased_by(lease.token) is not None]
        leases, self._leases = waiting[:limit], waiting[limit:]
        for lease in leases:
            lanes.prolong(lease.token, until)
        self.set_capacity(limit - len(leases))
        return leases

    def give_back(self) -> list[Lease]:
        """Remove and return the leases that were not handed out. No turn has begun with them."""
        leases, self._leases = self._leases, []
        return leases
