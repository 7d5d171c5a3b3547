"""A simulated crash of the process, for tests that run a turn in their own process. The crashed code never continues."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, NoReturn

from fakes import settled

_crashes: list[asyncio.Event] = []


async def crash() -> NoReturn:
    """Stop the code that `Crashable.run` runs: no line after this call runs, no `finally` block either."""
    _crashes[-1].set()
    await asyncio.Event().wait()
    raise AssertionError


class Crashable:
    """Runs code that may `crash`, and cancels the stopped code at the end of the test."""

    def __init__(self) -> None:
        self._stopped: list[asyncio.Task[None]] = []

    async def run(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work` to its end, or to the point where it crashes. Return True if it crashed."""
        crashed = asyncio.Event()
        _crashes.append(crashed)
        task, waiting = asyncio.ensure_future(work), asyncio.ensure_future(crashed.wait())
        try:
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            _crashes.remove(crashed)
        if crashed.is_set():
            self._stopped.append(task)
            return True
        await task
        return False

    async def clear(self) -> None:
        """Cancel the stopped tasks. A cancelled turn may still try to write its end, so each is cancelled until done."""
        for task in self._stopped:
            while not task.done():
                task.cancel()
                await settled(1)
            with contextlib.suppress(BaseException):
                task.result()
        self._stopped.clear()
