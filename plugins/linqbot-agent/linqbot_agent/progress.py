"""Progress: a run that has said nothing for a while says that it takes a moment, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context as EmptyContext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from linqbot import Context, LinqApiError
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.clock import Clock
from linqbot.language import ENGLISH

PROGRESS: Final = ENGLISH.sentences.one_moment


@dataclass(frozen=True, slots=True)
class Progress:
    """The text that a run says if it has said nothing for a while.

    Attributes:
        text: None says nothing.
        clock: The bot's clock; None if the bot does not run, as in a dry run.
    """

    text: str | None
    after_s: float
    clock: Clock | None

    @asynccontextmanager
    async def watching(self, ctx: Context, *, key: str) -> AsyncIterator[None]:
        """Say the text if the block takes longer than `after_s` and says nothing. It is never said after the block."""
        chat_id = ctx.event.chat_id
        if self.text is None or self.clock is None or chat_id is None:
            yield
            return
        silence = _Silence(chat_id)
        due = self.clock.wait_until(self.clock.now() + self.after_s)
        # The alarm is no work of the turn: nothing of the turn waits for the time itself.
        alarm = asyncio.get_running_loop().create_task(due, context=EmptyContext())
        saying = asyncio.create_task(silence.say(self.text, ctx, key, when=alarm))
        token = _silence.set(silence)
        try:
            yield
        finally:
            _silence.reset(token)
            alarm.cancel()
            if not silence.is_ending:
                saying.cancel()
            # A message that is being sent comes before the answer.
            await asyncio.wait([saying])


class _Silence:
    def __init__(self, chat_id: str) -> None:
        self._path = f"/v3/chats/{chat_id}/"
        self.is_broken = False  # True if something was said, or is being written
        self.is_ending = False  # True if the text is being said

    async def say(self, text: str, ctx: Context, key: str, *, when: asyncio.Task[None]) -> None:
        await asyncio.wait([when])
        if self.is_broken:
            return
        self.is_ending = True
        try:
            await ctx.reply(text, key=key)
        except LinqApiError as error:
            # The answer does not depend on it.
            ctx.log.warning("agent.left_out", what="progress", why=type(error).__name__)

    def note(self, call: Call) -> None:
        self.is_broken = self.is_broken or (call.safety in ("keyed", "once") and call.path.startswith(self._path))


_silence: ContextVar[_Silence | None] = ContextVar("linqbot_agent_silence", default=None)


def text_comes() -> None:
    """Note that the model of the run writes what it says: the text to say in a silence would come directly before it."""
    if (silence := _silence.get()) is not None:
        silence.is_broken = True


def noticing(run: Run) -> Run:
    """Return outbound middleware that notices what is said in the chat of an agent's run, also by its tools."""

    async def noticed(call: Call) -> ApiResponse:
        if (silence := _silence.get()) is not None:
            silence.note(call)
        return await run(call)

    return noticed
