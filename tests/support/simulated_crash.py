"""A simulated crash of the process, for tests that run a turn in their own process. The crashed code never continues.

`Life` has what a killed process leaves: a storage in a file, and a Linq. `begun` opens one for the duration of a block.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from fakes import NOW, Linq, settled

from linqbot.client.call import Call
from linqbot.clock import MovableClock
from linqbot.storage.sqlite.storage import SQLiteStorage

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


class Life:
    """The storage of a bot in a file, a frozen clock, and a Linq without a network. `restart` is the next process."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self.clock = MovableClock(NOW, frozen=True)
        self.linq = Linq()
        self.path = folder / "bot.db"
        self.crashable = Crashable()
        self._folder = folder
        self._stack = stack
        self._lives = 0

    async def open(self) -> None:
        self.storage = SQLiteStorage(self.path, clock=self.clock)
        await self._stack.enter_async_context(self.storage)

    def crash_before_the_answer(self) -> None:
        """Let the process crash in its next call, which Linq has got."""

        async def crash_in_the_call(call: Call) -> None:
            self.linq.calls.append(call)
            await crash()

        self.linq.before = crash_in_the_call

    async def restart(self) -> None:
        """Go on with a copy of the files: they are what a killed process would leave now."""
        self.linq.before = None
        self._lives += 1
        folder = self._folder / f"life-{self._lives}"
        folder.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", folder / f"{self.path.name}{suffix}")
        self.path = folder / self.path.name
        await self.open()
        await self.crashable.clear()


L = TypeVar("L", bound=Life)


@contextlib.asynccontextmanager
async def begun(kind: Callable[..., L], folder: Path, **options: Any) -> AsyncIterator[L]:
    """Open a life. At the end, cancel its crashed code and close its storages."""
    async with contextlib.AsyncExitStack() as stack:
        life = kind(folder, stack, **options)
        await life.open()
        yield life
        await life.crashable.clear()
