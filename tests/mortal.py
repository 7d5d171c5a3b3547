"""The death of a process, for tests that run a turn in their own process: code that meets it never goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, NoReturn

_deaths: list[asyncio.Event] = []


async def die() -> NoReturn:
    """Stop the code that `until_death` runs, for ever: nothing after this is done, and nothing is finished."""
    _deaths[-1].set()
    await asyncio.Event().wait()
    raise AssertionError


class Mortal:
    """Runs code that may `die`, and removes at the end what is left of it."""

    def __init__(self) -> None:
        self._remains: list[asyncio.Task[None]] = []

    async def until_death(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work` to its end, or to the point where it dies. Returns True if it died."""
        death = asyncio.Event()
        _deaths.append(death)
        task, died = asyncio.ensure_future(work), asyncio.ensure_future(death.wait())
        try:
            await asyncio.wait({task, died}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            died.cancel()
            _deaths.remove(death)
        if death.is_set():
            self._remains.append(task)
            return True
        await task
        return False

    async def clear(self) -> None:
        """Cancel what died, as often as it takes: a turn would still write its end."""
        for task in self._remains:
            while not task.done():
                task.cancel()
                await asyncio.sleep(0)
            with contextlib.suppress(BaseException):
                task.result()
        self._remains.clear()
