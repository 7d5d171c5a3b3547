"""Leased as it was put: what comes while the last `take` would have taken more.

A lease of its own would cost another commit before a handler can begin. In memory; the rows are the writer's.
"""

from __future__ import annotations

from linqbot.events.delivery import Delivery
from linqbot.storage.inbox import Lease
from linqbot.storage.lanes import Lanes


class Prefetch:
    """What is leased for the next `take`, and how much more may be."""

    def __init__(self) -> None:
        self._capacity = 0
        self._lease_s = 0.0
        self._leases: list[Lease] = []

    def set_capacity(self, left: int, lease_s: float) -> None:
        """Note that a take would have leased `left` more, for so long."""
        self._capacity = max(left - len(self._leases), 0)
        self._lease_s = lease_s

    def of(self, new: list[tuple[int, Delivery]], lanes: Lanes) -> set[int]:
        """Those of the new ones that may be leased as they are put: the first of lanes that are empty."""
        first: dict[str, int] = {}
        for seq, delivery in new:
            if len(first) < self._capacity and lanes.may_add_leased(delivery.lane):
                first.setdefault(delivery.lane, seq)
        return set(first.values())

    def add(self, seq: int, delivery: Delivery, lanes: Lanes) -> None:
        """One of those is on disk, as leased."""
        self._capacity -= 1
        self._leases.append(Lease(delivery, lanes.add_leased(delivery.lane, seq)))

    def take(self, limit: int, lanes: Lanes, now: float) -> list[Lease]:
        """Hand out what was leased; nothing if something else can be leased, which may be older."""
        if not self._leases or lanes.has_free(now):
            return []
        leases, self._leases = self._leases[:limit], self._leases[limit:]
        for lease in leases:
            lanes.prolong(lease.token, now + self._lease_s)
        self.set_capacity(limit - len(leases), self._lease_s)
        return leases

    def give_back(self) -> list[Lease]:
        """What was leased and not handed out: nobody has begun with it."""
        leases, self._leases = self._leases, []
        return leases
