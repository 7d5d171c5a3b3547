"""The events that all queues of `scale.py` get, and the loop of a worker that does nothing but lease, wait and ack."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol, TypeVar

AT_ONCE = 50
"""Events that one worker handles at once."""
HANDLER_S = 0.001
"""Seconds that handling one event takes."""


@dataclass(frozen=True, slots=True)
class Event:
    """A webhook. Those of a chat must be handled one after the other."""

    id: str
    chat: str
    body: bytes


T = TypeVar("T")


class Queue(Protocol[T]):
    """A queue with one lane for each chat."""

    async def take(self, limit: int) -> list[T]:
        """Lease the first events of chats of which none is leased."""
        ...

    async def ack(self, lease: T) -> None:
        """Return when the end of an event is committed."""
        ...

    async def wait(self) -> None:
        """Wait until there may be more to lease."""
        ...


async def drained(queue: Queue[T]) -> None:
    """Lease and ack events for ever, `AT_ONCE` at once."""
    running: set[asyncio.Task[None]] = set()

    async def handle(lease: T) -> None:
        await asyncio.sleep(HANDLER_S)
        await queue.ack(lease)

    while True:
        leases = await queue.take(AT_ONCE - len(running)) if len(running) < AT_ONCE else []
        for lease in leases:
            task = asyncio.create_task(handle(lease))
            running.add(task)
            task.add_done_callback(running.discard)
        if running and not leases:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        elif not leases:
            await queue.wait()
