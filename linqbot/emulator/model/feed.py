"""The stream of all changes for the page: named JSON events, sent to any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from linqbot.emulator.model.answers import encode

BACKLOG = 1000
KEEP_ALIVE_S = 15.0

HELLO = b": hello\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


class Feed:
    """Server-Sent Events for all readers.

    A reader that is `BACKLOG` events behind is disconnected. The reader connects again and reads the whole state, so
    that the emulator does not buffer without limit.
    """

    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[bytes | None]] = set()

    def publish(self, name: str, data: Callable[[], Any]) -> None:
        """Send an event to every reader. `data` is called only if there is a reader."""
        if not self._readers:
            return
        event = _event(name, data())
        for reader in list(self._readers):
            if reader.qsize() >= BACKLOG:
                self._disconnect(reader)
            else:
                reader.put_nowait(event)

    async def read(self, state: Callable[[], Any]) -> AsyncIterator[bytes]:
        """Yield the stream of one reader.

        Args:
            state: Returns what the reader needs to know before the first event.
        Yields:
            The state at once, as the event `state`, then events, and comments while nothing happens.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._readers.add(queue)
        try:
            # No event comes between the state and the first one in the queue: nothing is awaited before.
            yield HELLO + _event("state", state())
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield KEEP_ALIVE
                    continue
                if event is None:
                    return
                yield event
        finally:
            self._readers.discard(queue)

    def close(self) -> None:
        """End every stream, so that a server can stop."""
        for reader in self._readers:
            reader.put_nowait(None)
        self._readers.clear()

    def _disconnect(self, reader: asyncio.Queue[bytes | None]) -> None:
        self._readers.discard(reader)
        while not reader.empty():
            reader.get_nowait()
        reader.put_nowait(None)


def _event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(data))
