"""Wakes code that waits for the next delivery of a lane: a running turn that a new message may interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class LaneWatch:
    """The lanes that are watched. Without any, `note` costs one look at a dict."""

    def __init__(self) -> None:
        self._watched: dict[str, list[asyncio.Event]] = {}

    @contextmanager
    def watch(self, lane: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever a delivery is put into the lane."""
        grew = asyncio.Event()
        self._watched.setdefault(lane, []).append(grew)
        try:
            yield grew
        finally:
            self._watched[lane].remove(grew)
            if not self._watched[lane]:
                del self._watched[lane]

    def note(self, lanes: Iterable[str] | None) -> None:
        """Wake those that watch one of these lanes; None stands for all lanes."""
        if self._watched:
            for lane in list(self._watched) if lanes is None else lanes:
                for grew in self._watched.get(lane, ()):
                    grew.set()
