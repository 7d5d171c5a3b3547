"""Readiness of the storage, as `/readyz` reports it.

While the last delivery was stored, the answer costs nothing. Once one was refused, a load balancer may send no more,
so nothing else would notice that the storage is well again: then `/readyz` itself has it write something.
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
"""How often the storage is asked to write, however often `/readyz` is asked."""

WAIT_S: Final = 0.5
"""How long an answer of `/readyz` waits for that: a locked file says no only after seconds, and probes wait few."""


class Readiness:
    """Knows whether deliveries can be stored, and why not.

    Args:
        webhook: Knows how its last delivery went.
        now: A clock that never goes back, in seconds.
    """

    def __init__(
        self, webhook: WebhookEndpoint, storage: Storage, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._webhook = webhook
        self._storage = storage
        self._now = now
        self._next_check = 0.0
        self._check: asyncio.Task[None] | None = None

    async def look(self) -> str | None:
        """Return why deliveries cannot be stored, in a sentence; None when they can be."""
        if self._webhook.refusal is not None and self._storage.trouble is None:
            await self._checked()
        return self._storage.trouble or self._webhook.refusal

    async def stop(self) -> None:
        """End a check that is under way."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait({self._check})

    async def _checked(self) -> None:
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
            # Unless another delivery was refused meanwhile.
            if self._webhook.refusal is refusal:
                self._webhook.refusal = None
