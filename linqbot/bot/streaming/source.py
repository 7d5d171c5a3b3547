"""The source of a stream: an async iterator of texts, such as a model's answer, read while messages are sent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from contextvars import Context
from types import TracebackType
from typing import Any, Self, TypeAlias

from linqbot.clock import Clock
from linqbot.errors import BotError

StreamSource: TypeAlias = AsyncIterable[str] | Callable[[str], AsyncIterable[str] | Awaitable[AsyncIterable[str]]]
"""An async iterator of texts, or a function that takes the text which the person has already seen and returns one."""


class Reader:
    """Reads a source in a task of its own. `async with` starts and ends the task.

    Args:
        so_far: The text that the person has already seen, for a source that is a function.

    Attributes:
        heard_at: The time of the last chunk; at first, of the start.
    """

    def __init__(self, source: StreamSource, so_far: str, clock: Clock) -> None:
        self._source = source
        self._so_far = so_far
        self._clock = clock
        self._chunks: list[str] = []
        self._wake = asyncio.Event()
        self._error: BaseException | None = None
        self._has_ended = False
        self.heard_at = clock.now()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A source that has ended has nothing to cancel, and its task must not seem to have failed.
        if not self._has_ended:
            self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def is_over(self) -> bool:
        """True if the source has ended without an error, and all of its chunks were taken."""
        return self._has_ended and not self._chunks and self._error is None

    def take(self) -> str:
        """Return the text that has come since the last call.

        Raises:
            Exception: the source failed, and all that it gave before was taken.
        """
        if self._error is not None and not self._chunks:
            raise self._error
        text = "".join(self._chunks)
        self._chunks.clear()
        return text

    async def changed(self, until: float) -> None:
        """Wait for the next chunk or the end of the source, but at most until a time in Unix seconds.

        Return at once if the source has ended: the next `take` then raises its error.
        """
        if self._has_ended:
            return
        # The alarm must not count as work of the turn: nothing of the turn waits for the time itself.
        alarm = asyncio.get_running_loop().create_task(self._ring(until), context=Context())
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()
            self._wake.clear()

    async def _ring(self, at: float) -> None:
        await self._clock.wait_until(at)
        self._wake.set()

    async def _read(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                chunks = await self._opened()
                if hasattr(chunks, "aclose"):
                    await stack.enter_async_context(aclosing(chunks))
                async for chunk in chunks:
                    _check(chunk)
                    self._chunks.append(chunk)
                    self.heard_at = self._clock.now()
                    self._wake.set()
        except BaseException as error:  # noqa: BLE001 - the handler gets every error of its source, such as TurnDeferred
            self._error = error
        finally:
            self._has_ended = True
            self._wake.set()

    async def _opened(self) -> Any:
        source: Any = self._source
        if callable(source) and not hasattr(source, "__aiter__"):
            source = source(self._so_far)
            if inspect.isawaitable(source):
                source = await source
        if not hasattr(source, "__aiter__"):
            raise BotError(
                f"ctx.stream takes an async iterator of texts, or a function that returns one, not {type(source).__name__}. "
                "Send a finished text with ctx.reply."
            )
        return source


def _check(chunk: object) -> None:
    if not isinstance(chunk, str):
        raise BotError(f"The source of ctx.stream gave an object of type {type(chunk).__name__}. Give texts.")
