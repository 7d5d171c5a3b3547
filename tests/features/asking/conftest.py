"""Fixtures of the tests of questions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asking_talk import Talk
from simulated_crash import begun, crash


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with begun(Talk, tmp_path) as opened:
        yield opened


class Crashes:
    """Crashes the process once, at the n-th place: a call, before or after a turn's end is stored, or a place of a test."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.has_crashed = False
        self.left = 0

    def at(self, place: int) -> None:
        self.left = place

    async def place(self, _: object = None) -> None:
        if self.has_crashed:
            return
        if self.left == 0:
            self.has_crashed = True
            await crash()
        self.left -= 1

    async def deliver(self, body: bytes) -> None:
        """Put a webhook and run its turns, after a crash in a new process."""
        self._talk.linq.before = self.place
        await self._talk.put(body)
        while await self._talk.crashable.run(self._talk.run()):
            await self._talk.restart()
        self._talk.linq.before = None


@pytest.fixture
def crashes(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> Crashes:
    """`crashes.at(3)` lets the process crash at the fourth place, and `crashes.deliver(body)` survives that."""
    made, finish = Crashes(talk), type(talk.storage).finish

    async def crashing(self: Any, *arguments: Any) -> None:
        await made.place()
        await finish(self, *arguments)
        await made.place()

    monkeypatch.setattr(type(talk.storage), "finish", crashing)
    return made
