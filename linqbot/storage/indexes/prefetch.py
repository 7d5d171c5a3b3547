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
        self._lease_s = 0.0
        self._leases: list[Lease] = []

    def set_capacity(self, left: int, lease_s: float) -> None:
        """Note that the last take would have leased `left` more deliveries, for `lease_s` seconds each."""
        self._capacity = max(left - len(self._leases), 0)
        self._lease_s = lease_s

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

    def take(self, limit: int, lanes: Lanes, now: float) -> list[Lease]:
        """Hand out prefetched leases; none if another lane can be leased, because its head may be older.

        The time of the lease counts from `now`.
        """
        if not self._leases or lanes.has_free(now):
            return []
        leases, self._leases = self._leases[:limit], self._leases[limit:]
        for lease in leases:
            lanes.prolong(lease.token, now + self._lease_s)
        self.set_capacity(limit - len(leases), self._lease_s)
        return leases

    def give_back(self) -> list[Lease]:
        """Remove and return the leases that were not handed out. No turn has begun with them."""
        leases, self._leases = self._leases, []
        return leases
