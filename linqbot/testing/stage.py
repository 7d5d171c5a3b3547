"""The emulator and the bot, in one process, on one clock: set up, waited for, moved in time, torn down.

Between them is the real thing: signed webhooks, the server's app, the worker and its journal, the client. Only the
network and the disk are left out.

The clock stands still. It moves when the test says `advance`; and by itself only as far as what is under way needs: a
message takes 0.75 s to be delivered, a running handler may wait for the repetition of a call. Nothing sleeps for that.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import httpx

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.handlers import ErrorHandler
from linqbot.bot.router import Middleware, Next, Router
from linqbot.client.client import Client
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app as create_emulator_app
from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.server.app import WEBHOOK_PATH, create_app, running
from linqbot.storage.inbox import DeadLetter, Defer, Finish, Lease, Retry
from linqbot.testing import activity
from linqbot.testing.activity import Activity, ApiCall, WatchedApi, WatchedClock, WatchedStorage
from linqbot.testing.failures import HandlerFailed, NothingCame
from linqbot.worker.turn import RECEIPTS

T = TypeVar("T")

LAST_LINES = 25
MAX_WAIT_S = 2.0
"""As `settings.create_app` sets it: a longer wait is the worker's."""


@dataclass(slots=True)
class _Turn:
    """An event that was given to the bot, and what it raised on it."""

    event: Event
    ctx: Context
    error: Exception | None = None


class Stage:
    """Runs a bot against an emulator of its own. `async with` starts and stops it.

    Args:
        start: What time it is; None is now.
        version: Which payloads its webhooks carry.
        handler_timeout_s: Real seconds a handler may work on something real before a wait gives up.
    Attributes:
        calls: The bot's requests, oldest first.
        history: What happened so far, a line each, for whoever waits in vain.
    """

    def __init__(self, bot: Bot, *, start: datetime | None, version: str, handler_timeout_s: float) -> None:
        self.activity = Activity()
        self.clock = WatchedClock(self.activity, None if start is None else start.timestamp())
        self.storage = WatchedStorage(self.clock, self.activity, self._ended)
        self.calls: list[ApiCall] = []
        self.history: list[str] = []
        to_bot = _ToBot()
        self.emulator = Emulator(clock=self.clock, delivery_transport=to_bot)
        subscription = self.emulator.subscribe(f"http://127.0.0.1:8000{WEBHOOK_PATH}?version={version}")
        self.client = Client(
            "test",
            base_url=f"{self.emulator.public_url}/api/partner",
            max_wait_s=MAX_WAIT_S,
            transport=WatchedApi(create_emulator_app(self.emulator), self.activity, self._called),
            clock=self.clock,
        )
        self._app = create_app(
            _Watched(bot, self._watch, self._watch_error),
            client=self.client,
            storage=self.storage,
            secrets=[subscription.secret],
            clock=self.clock,
            drain_s=0,
        )
        to_bot.transport = httpx.ASGITransport(self._app)
        self._handler_timeout_s = handler_timeout_s
        self._turns: dict[Any, _Turn] = {}
        self._failures: list[tuple[str, BaseException | None]] = []
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._running.enter_async_context(running(self._app))
        await self._running.enter_async_context(self.emulator)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.quiet()
        finally:
            await self._running.aclose()

    # Waiting

    async def until(self, found: Callable[[], T | None]) -> T | None:
        """What `found` finds, as soon as it does; None once nothing more happens by itself.

        Raises:
            NothingCame: a handler works on something real for longer than `handler_timeout_s`.
        """
        calm = 0
        while True:
            self.activity.look()
            if (it := found()) is not None:
                return it
            # What was made ready just now has not begun yet, and so has told nobody: let it begin.
            await asyncio.sleep(0)
            await self.emulator.flush()
            if not (self.activity.is_still(self.clock.now()) and await self.storage.is_idle()):
                calm = 0
                await self._changed()
            elif calm < 2:
                calm += 1
            elif self._let_time_pass():
                calm = 0
            else:
                return found()

    async def quiet(self) -> None:
        """Return when everything is handled and delivered, and nothing more happens until the clock moves.

        Raises:
            HandlerFailed: a handler raised since this was last told.
        """
        await self.until(lambda: None)
        self.raise_failure()

    async def advance(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due, so that it happens at its time.

        Raises:
            HandlerFailed: as for `quiet`.
        """
        end = self.clock.now() + seconds
        self.history.append(f"{seconds:g} s pass")
        await self.until(lambda: None)
        while (due := await self._next_due()) is not None and due < end:
            self._move_to(due)
            await self.until(lambda: None)
        self._move_to(end)
        await self.quiet()

    async def _changed(self) -> None:
        try:
            async with asyncio.timeout(self._handler_timeout_s):
                await self.activity.changed()
        except TimeoutError:
            self.complain(
                f"A handler is still at work after {self._handler_timeout_s:g} s of real time. "
                "Let it use something faster in tests, or give talking(…, handler_timeout_s=)."
            )

    def _let_time_pass(self) -> bool:
        """Move the clock to where something under way goes on; False when nothing is."""
        now, times = self.clock.now(), self.activity.times(of_work=True)
        times += [self.emulator.world.settles_at]
        due = min((time for time in times if time > now), default=None)
        if due is None:
            return False
        self._move_to(due)
        return True

    async def _next_due(self) -> float | None:
        now, times = self.clock.now(), self.activity.times(of_work=False)
        times += [time for time in (await self.storage.next_due(), await self.storage.next_timer()) if time is not None]
        return min((time for time in times if time > now), default=None)

    def _move_to(self, at: float) -> None:
        # What is due at `at` must find it come, and a sum of floats may fall short of it by the last bit.
        while (now := self.clock.now()) < at:
            self.emulator.advance(max(at - now, math.ulp(at)))

    # Failures

    def failures(self) -> list[BaseException]:
        """What handlers raised since this was last asked, or told; a HandlerFailed for what nobody raised."""
        told, self._failures = self._failures, []
        return [error or HandlerFailed(text) for text, error in told]

    def raise_failure(self) -> None:
        """Raise the first failure nobody was told of. The others count as told."""
        __tracebackhide__ = True
        if not self._failures:
            return
        (text, error), *more = self._failures
        self._failures = []
        others = f"\nIt was not the only one: {len(more)} more failed." if more else ""
        raise HandlerFailed(text + others) from error

    def complain(self, what: str) -> NoReturn:
        """Fail the test, with what did happen."""
        __tracebackhide__ = True
        self.raise_failure()
        lines = self.history[-LAST_LINES:] or ["nothing"]
        raise NothingCame("\n  ".join([f"{what}\nWhat did happen, oldest first:", *lines]))

    # What is watched

    def _watch(self, handle: Next) -> Next:
        async def watched(event: Any, ctx: Context) -> None:
            this = self._turns[activity.turn.get()] = _Turn(event, ctx)
            try:
                await handle(event, ctx)
            except Exception as error:
                this.error = error
                raise

        return watched

    def _watch_error(self, handle: ErrorHandler) -> ErrorHandler:
        async def watched(error: Any, event: Any, ctx: Context) -> None:
            this = self._turns[activity.turn.get()]
            try:
                await handle(error, event, ctx)
            except Exception as raised:
                this.error = raised
                raise
            this.error = None

        return watched

    def _called(self, call: ApiCall) -> None:
        self.calls.append(call)
        self.history.append(f"the bot calls {call.name or call.path}: {call.status or 'no answer'}")

    def _ended(self, lease: Lease, finish: Finish) -> None:
        this, outcome, now = self._turns.pop(lease.token, None), finish.outcome, self.clock.now()
        who = (this.ctx.handler if this else None) or "no handler"
        what = f"{lease.delivery.type}: "
        if isinstance(outcome, Retry | DeadLetter):
            why = f"{type(this.error).__name__} in {who}" if this and this.error else outcome.error.strip()
            then = f"It runs again in {outcome.at - now:.1f} s." if isinstance(outcome, Retry) else "It was given up."
            what += f"{why}. {then}"
            self._failures.append((what, this.error if this else None))
        elif isinstance(outcome, Defer):
            what += f"waits for {outcome.at - now:.1f} s more: {outcome.reason}"
        elif this is not None and this.ctx.handler is None:
            if this.event.is_own or this.event.type in RECEIPTS:
                return
            what += _untaken(this.event)
        else:
            what += f"taken by {who}"
        self.history.append(what)
        self.history.extend(f"a message waits to be sent in {timer.due - now:.1f} s" for timer in finish.timers)


def _untaken(event: Event) -> str:
    if isinstance(event, MessageReceived) and event.is_group and not event.is_addressed:
        return "no handler took it, since it does not address the bot; see Bot(groups=)"
    if isinstance(event, MessageReceived):
        return "no handler took it: no filter fits, or the bot's manners forbid it (allow, loop_breaker, max_age_s)"
    return "no handler took it"


class _Watched(Bot):
    """The bot under test with a watch around its middleware and its error handlers. The bot itself stays as it is."""

    def __init__(self, bot: Bot, watch: Middleware, watch_error: Callable[[ErrorHandler], ErrorHandler]) -> None:
        vars(self).update(vars(bot))
        self._bot = bot
        self._watch = watch
        self._watch_error = watch_error

    @property
    def middleware(self) -> tuple[Middleware, ...]:
        return (self._watch, *self._bot.middleware)

    def routers(self) -> Iterator[Router]:
        yield self

    @property
    def error_handlers(self) -> tuple[tuple[type[Exception], ErrorHandler], ...]:
        every = (each for router in self._bot.routers() for each in router.error_handlers)
        return tuple((kind, self._watch_error(handle)) for kind, handle in every)


class _ToBot(httpx.AsyncBaseTransport):
    """The way of webhooks to the bot's app, which can only be made once the emulator has told its secret."""

    transport: httpx.ASGITransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.transport.handle_async_request(request)
