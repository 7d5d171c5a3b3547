"""The typing indicator, also called typing dots: shown when a handler works for a while, refreshed, and ended with it.

`bot/dispatch.py` calls `arm` when it has chosen a handler, and `end` when the handler has ended.
`content/sending.py` reports each message, which ends the dots on the phone, and `features/streams.py` shows them
between two messages. `ctx.typing` shows them at once. All of this is best effort. Typing dots and read receipts are
sent by background tasks, which no turn waits for: each call has one attempt of at most `HINT_S` seconds, and its errors
never reach a handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, Final

import structlog

from linqbot.branch import leave_turn
from linqbot.client.client import Client
from linqbot.errors import LinqbotError

log = structlog.get_logger("linqbot.bot")

DELAY_S = 0.3
"""Seconds before the dots show. A reply that is sent sooner shows no dots."""
REFRESH_S = 60.0
"""Seconds between refreshes. Linq shows the dots for about 85 s (R63)."""


class TypingIndicator:
    """The typing dots of one turn; none without a chat.

    `arm` shows them automatically only if they are to be `shown`, `start` always. `background` runs the calls, which no
    turn waits for.
    """

    def __init__(
        self, client: Client, chat_id: str | None, *, shown: bool = False, background: BackgroundTasks
    ) -> None:
        self._client = client
        self._chat_id = chat_id
        self._background = background
        self._automatic = shown
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_shown = False

    def arm(self) -> None:
        """Show the dots after `DELAY_S` seconds, unless the turn has ended by then."""
        if self._automatic and self._chat_id is not None and self._timer is None and self._task is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._show)

    def start(self) -> None:
        """Show the dots now, and refresh them."""
        if self._task is None and self._chat_id is not None:
            self._cancel()  # the dots that `arm` would show later
            self._show()

    def resume(self) -> None:
        """Show the dots now, because another message follows. A bot with `typing=False` shows none."""
        if self._automatic:
            self.start()

    def sending(self) -> None:
        """Stop refreshing before a message is sent. The message itself ends the dots at Linq.

        A refresh that reached Linq after the message would show the dots again, although the handler has finished.
        """
        self._cancel()
        self._is_shown = False

    def sent(self) -> None:
        """Show the dots again after a delay, because the handler may go on working after its message."""
        self.arm()

    def stop(self) -> None:
        """End the dots. Linq is called in the background, and only if the dots still show."""
        self._cancel()
        if self._is_shown:
            self._is_shown = False
            self._background.start(self._end())

    def end(self) -> None:
        """Stop, and show no dots by itself any more: a task of the handler may send something after the handler's end."""
        self._automatic = False
        self.stop()

    def _show(self) -> None:
        self._timer = None
        self._task = self._background.start(self._keep_alive())

    async def _keep_alive(self) -> None:
        self._is_shown = True
        while await self._ask(shown=True):  # noqa: ASYNC110 - Linq does not report the end of the dots
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


HINT_S: Final = 3.0
"""Seconds that Linq may take for a read receipt or a change of the typing dots."""


class BackgroundTasks:
    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], None] = {}  # in the order of their making

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task for `work` that does not belong to the current turn."""
        context = copy_context()
        context.run(leave_turn)
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    async def aclose(self) -> None:
        """Cancel the tasks that still run, and wait until they have ended."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
