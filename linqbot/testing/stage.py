"""The emulator and the bot in one process, on one clock: starts both, waits for them, moves the time, stops them.

Between emulator and bot all code is that of production: signed webhooks, the server's app, the worker and its journal,
the client. Only the network and the disk are missing.

The clock stands still. It moves when the test calls `advance`; and otherwise only as far as work in progress needs: a
message takes 0.75 s to be delivered, a running handler may wait for the retry of a call. Nothing sleeps for that.
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
"""The same value as in `settings.create_app`: longer waits are left to the worker."""


@dataclass(slots=True)
class _Turn:
    """One run of the bot over an event, and the exception that a handler raised."""

    event: Event
    ctx: Context
    error: Exception | None = None


class Stage:
    """Runs a bot against its own emulator. `async with` starts and stops both.

    Args:
        start: The time at the beginning; None is the present time.
        version: The payload version of the webhooks.
        handler_timeout_s: Real seconds that a handler may spend on real work before a wait fails.
    Attributes:
        calls: The bot's requests, oldest first.
        history: A line for each thing that happened. The message of a failed wait shows the last lines.
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
        """Return the result of `found` as soon as it is not None; None once nothing more happens until the clock moves.

        Raises:
            NothingCame: a handler spends more than `handler_timeout_s` on real work.
        """
        calm = 0
        while True:
            self.activity.clear()
            if (it := found()) is not None:
                return it
            # A task that became ready just now has not begun, and so is not counted yet: let it begin.
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
            HandlerFailed: a handler raised, and no call has reported this yet.
        """
        await self.until(lambda: None)
        self.raise_failure()

    async def advance(self, seconds: float) -> None:
        """Move the clock, and stop at each time at which something is due, so that everything happens at its time.

        Raises:
            HandlerFailed: a handler raised, and no call has reported this yet.
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
                "Replace the slow part in tests, or pass talking(…, handler_timeout_s=)."
            )

    def _let_time_pass(self) -> bool:
        """Move the clock to the next time that work in progress waits for; return False if there is none."""
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
        # Timers due at `at` must be due afterwards, and a sum of floats may fall short of `at` by the last bit.
        while (now := self.clock.now()) < at:
            self.emulator.advance(max(at - now, math.ulp(at)))

    # Failures

    def failures(self) -> list[BaseException]:
        """Return the failures that no call has reported yet: exceptions of handlers.

        An event that was dead-lettered without an exception is returned as a `HandlerFailed`.
        """
        failures, self._failures = self._failures, []
        return [error or HandlerFailed(text) for text, error in failures]

    def raise_failure(self) -> None:
        """Raise the first unreported failure. Its message counts the others, which then count as reported.

        Raises:
            HandlerFailed: there is such a failure.
        """
        __tracebackhide__ = True
        if not self._failures:
            return
        (text, error), *more = self._failures
        self._failures = []
        others = f"\n{len(more)} more failed." if more else ""
        raise HandlerFailed(text + others) from error

    def complain(self, what: str) -> NoReturn:
        """Fail the test, and show what happened instead.

        Raises:
            HandlerFailed: a handler raised, and no call has reported this yet.
            NothingCame: otherwise.
        """
        __tracebackhide__ = True
        self.raise_failure()
        lines = self.history[-LAST_LINES:] or ["nothing"]
        raise NothingCame("\n  ".join([f"{what}\nWhat did happen, oldest first:", *lines]))

    # Watching

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
    """The bot under test, with a watch around its middleware and its error handlers. The bot itself is not changed."""

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
    """The transport of webhooks to the bot's app. The app is made after the emulator, because it needs its secret."""

    transport: httpx.ASGITransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.transport.handle_async_request(request)
