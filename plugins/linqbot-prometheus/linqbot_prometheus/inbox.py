"""The gauges that only the storage knows: how much waits, for how long, how much gave up.

They are read when somebody scrapes, at most once a second, and never for long: a storage that does not answer costs the
scrape its gauges, not its counters.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from linqbot.clock import Clock
from linqbot.errors import StorageError
from linqbot.storage.backend import Storage
from linqbot.storage.upkeep import Tally

TIMEOUT_S: Final = 2.0
FRESH_S: Final = 1.0


class InboxCollector(Collector):
    """Shows the last look at the storage. `look` before collecting; a collector itself cannot await."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._tally: Tally | None = None
        self._looked_at = -FRESH_S
        self._unread = 0
        self._one_at_a_time = asyncio.Lock()

    async def look(self) -> None:
        """Ask the storage, unless somebody did just now. Never raises for a storage that cannot answer."""
        async with self._one_at_a_time:
            if time.monotonic() - self._looked_at < FRESH_S:
                return
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    self._tally = await self._storage.tally()
            except (StorageError, TimeoutError):
                self._tally = None
                self._unread += 1
            self._looked_at = time.monotonic()

    def collect(self) -> Iterable[Metric]:
        """The gauges of the last look; none of them when it failed."""
        yield CounterMetricFamily(
            "linqbot_inbox_unread", "Scrapes at which the storage did not answer.", value=self._unread
        )
        if (tally := self._tally) is None:
            return
        yield GaugeMetricFamily("linqbot_inbox_deliveries", "Deliveries stored and not finished.", value=tally.waiting)
        age_s = 0.0 if tally.oldest_at is None else max(0.0, self._clock.now() - tally.oldest_at)
        yield GaugeMetricFamily("linqbot_inbox_oldest_seconds", "Age of the oldest of them; 0 for none.", value=age_s)
        yield GaugeMetricFamily("linqbot_dead_letters", "Deliveries that gave up.", value=tally.dead)
