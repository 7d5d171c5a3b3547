"""Readiness of the storage, as `/readyz` reports it.

If the latest delivery was stored, a report costs nothing. After a refused delivery a load balancer may send no more
deliveries, so none would show that the storage works again. Then `/readyz` itself lets the storage write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from linqbot.errors import StorageError
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.backend import Storage

CHECK_EVERY_S: Final = 1.0
"""Shortest time, in seconds, between two test writes, even if `/readyz` is requested more often."""

WAIT_S: Final = 0.5
"""Seconds that `/readyz` waits for a test write. A locked file fails only after seconds, and probes wait less."""


class Readiness:
    """Checks whether deliveries can be stored.

    Args:
        webhook: Endpoint whose latest delivery shows the state of the storage.
        now: Clock that never goes back, in seconds.
    """

    def __init__(
        self, webhook: WebhookEndpoint, storage: Storage, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._webhook = webhook
        self._storage = storage
        self._now = now
        self._next_check = 0.0
        self._check: asyncio.Task[None] | None = None

    async def problem(self) -> str | None:
        """Return the reason why deliveries cannot be stored, as a sentence; None if they can be stored."""
        if self._webhook.refusal is not None and self._storage.trouble is None:
            await self._wait_for_check()
        return self._storage.trouble or self._webhook.refusal

    async def stop(self) -> None:
        """Cancel a running check."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait({self._check})

    async def _wait_for_check(self) -> None:
        if (self._check is None or self._check.done()) and self._now() >= self._next_check:
            self._next_check = self._now() + CHECK_EVERY_S
            self._check = asyncio.get_running_loop().create_task(self._write())
        if self._check is not None:
            await asyncio.wait({self._check}, timeout=WAIT_S)

    async def _write(self) -> None:
        refusal = self._webhook.refusal
        try:
            await self._storage.check()
        except StorageError as error:
            self._webhook.refusal = str(error)
        else:
            # A delivery that was refused since then has set another refusal, which stays.
            if self._webhook.refusal is refusal:
                self._webhook.refusal = None
