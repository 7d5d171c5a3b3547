"""Gauges that are read from the storage: waiting deliveries, age of the oldest delivery, dead letters.

A scrape reads them, at most once per second and for at most two seconds. If the storage does not answer, the scrape
lacks these gauges, but it still has all counters.
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
"""Seconds that a scrape waits for the storage."""

FRESH_S: Final = 1.0
"""Seconds for which a result of the storage is used again."""


class InboxCollector(Collector):
    """Collects the gauges that `refresh` read last. Call `refresh` first, because a collector cannot await."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._tally: Tally | None = None
        self._refreshed_at = -FRESH_S
        self._unread = 0
        self._one_at_a_time = asyncio.Lock()

    async def refresh(self) -> None:
        """Read the storage, unless it was read less than `FRESH_S` ago. A storage that does not answer is no error."""
        async with self._one_at_a_time:
            if time.monotonic() - self._refreshed_at < FRESH_S:
                return
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    self._tally = await self._storage.tally()
            except (StorageError, TimeoutError):
                self._tally = None
                self._unread += 1
            self._refreshed_at = time.monotonic()

    def collect(self) -> Iterable[Metric]:
        """Return the gauges that `refresh` read last; none of them if the storage did not answer."""
        yield CounterMetricFamily(
            "linqbot_inbox_unread", "Scrapes during which the storage did not answer.", value=self._unread
        )
        if (tally := self._tally) is None:
            return
        yield GaugeMetricFamily(
            "linqbot_inbox_deliveries", "Deliveries that are stored and not finished.", value=tally.waiting
        )
        age_s = 0.0 if tally.oldest_at is None else max(0.0, self._clock.now() - tally.oldest_at)
        yield GaugeMetricFamily(
            "linqbot_inbox_oldest_seconds", "Age of the oldest delivery that is not finished; 0 for none.", value=age_s
        )
        yield GaugeMetricFamily(
            "linqbot_dead_letters", "Dead letters: deliveries that were given up.", value=tally.dead
        )
