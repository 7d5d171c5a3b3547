"""Typing dots as people expect them: shown when work takes a while, kept alive, ended when nothing comes.

Best effort throughout: showing dots must never fail, delay or repeat a reply.
"""

from __future__ import annotations

import asyncio

import structlog

from linqbot.bot.background import HINT_S, BackgroundTasks
from linqbot.client.client import Client
from linqbot.errors import LinqbotError

log = structlog.get_logger("linqbot.bot")

DELAY_S = 0.3
"""How long work may take before the dots show; a quick answer needs none."""
REFRESH_S = 60.0
"""Linq shows the dots for about 85 s (R63)."""


class TypingIndicator:
    """The dots of one turn.

    Args:
        chat_id: None for an event of no chat: then nothing is ever shown.
        shown: False never shows them by themselves; `start` still does.
        background: Runs what no turn waits for.
    """

    def __init__(
        self, client: Client, chat_id: str | None, *, shown: bool = False, background: BackgroundTasks | None = None
    ) -> None:
        self._client = client
        self._chat_id = chat_id
        self._background = background or BackgroundTasks()
        self._automatic = shown
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_shown = False

    def arm(self) -> None:
        """Show the dots once `DELAY_S` have passed, unless the turn has ended by then."""
        if self._automatic and self._chat_id is not None and self._timer is None and self._task is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._show)

    def start(self) -> None:
        """Show the dots now, and keep them alive."""
        if self._task is None and self._chat_id is not None:
            self._show()

    def sending(self) -> None:
        """A message goes out, which ends the dots at Linq: a late `start` behind it would leave them hanging."""
        self._cancel()
        self._is_shown = False

    def sent(self) -> None:
        """The message is out; the dots come back if the work goes on."""
        self.arm()

    def stop(self) -> None:
        """End the dots, asking Linq only if they still show. Nothing waits for its answer."""
        self._cancel()
        if self._is_shown:
            self._is_shown = False
            self._background.start(self._end())

    def _show(self) -> None:
        self._timer = None
        self._task = self._background.start(self._keep_alive())

    async def _keep_alive(self) -> None:
        self._is_shown = True
        while await self._ask(shown=True):  # noqa: ASYNC110 - nothing tells when the dots go out at Linq
            await asyncio.sleep(REFRESH_S)

    async def _end(self) -> None:
        await self._ask(shown=False)

    async def _ask(self, *, shown: bool) -> bool:
        assert self._chat_id is not None
        typing = self._client.chats.typing
        try:
            async with asyncio.timeout(HINT_S):
                await (typing.start(self._chat_id) if shown else typing.stop(self._chat_id))
        except (LinqbotError, TimeoutError) as error:
            self._is_shown = False
            log.debug("typing.failed", chat_id=self._chat_id, error=type(error).__name__)
            return False
        return True

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
