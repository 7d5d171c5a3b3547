"""The emulator and the bot in one process, on one clock: starts both, waits for them, moves the time, stops them.

Between emulator and bot all code is that of production: signed webhooks, the server's app, the worker and its journal,
the client. Only the network is missing, and the disk unless the test names a file. A plugin watches the bot's turns:
`record.py`. `bot_run.py` kills the bot.

The clock stands still. It moves when the test calls `advance`; and otherwise only as far as work in progress needs: a
message takes 0.75 s to be delivered, a running handler may wait for the retry of a call. Nothing sleeps for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from contextvars import copy_context
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, cast

import httpx
import structlog
from pydantic_core import to_json
from starlette.applications import Starlette
from structlog.typing import EventDict

from linqbot.bot.bot import Bot
from linqbot.client.client import Client
from linqbot.errors import BotError, ConfigError
from linqbot.linq.events.delivery import POST_TYPE
from linqbot.linq.events.event import Event
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.plugin_loading import load
from linqbot.server.app import WEBHOOK_PATH, create_app
from linqbot.server.posts import PATH as POSTS_PATH
from linqbot.storage import open as builtin_storages
from linqbot.storage.backend import Storage
from linqbot.storage.open import open_storage, scheme
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot_dev.emulator.declared_world import DeclaredWorld
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app as create_emulator_app
from linqbot_dev.testing.samples import signed
from linqbot_dev.testing.stage.bot_run import Activity, BotRun, CrashPoints, WatchedClock
from linqbot_dev.testing.stage.connections import WatchedApi, WatchedStorage
from linqbot_dev.testing.stage.record import Record

T = TypeVar("T")
_Made: TypeAlias = tuple[BotRun, WatchedStorage, Starlette]
"""A run of the bot, with its storage and its app."""

MAX_WAIT_S = 2.0
"""The same value as in `settings.create_app`: longer waits are left to the worker."""

TIMEOUT_STEPS = 20
"""The steps in which real time is counted. A machine that stood still has lost one of them."""


class Stage:
    """Runs a bot against its own emulator. `async with` starts and stops both.

    Args:
        world, start, version, handler_timeout_s, storage, copies: As for `linqbot.testing.talking`.
        crash_points: Decides where the bot is killed; None is nowhere.
    Attributes:
        storage: The storage of the bot that runs now.
        client: A client of the test, which survives a restart of the bot.
        record: What happened so far.
    """

    storage: WatchedStorage
    _run: BotRun

    def __init__(
        self,
        bot: Bot,
        *,
        world: DeclaredWorld | None = None,
        start: datetime | None,
        version: str = "2026-02-03",
        handler_timeout_s: float = 30.0,
        storage: str = "memory://",
        copies: int,
        crash_points: CrashPoints | None = None,
    ) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError(f"start={start} has no time zone. Write datetime(…, tzinfo=UTC).")
        self.activity = Activity()
        self.clock = WatchedClock(self.activity, None if start is None else start.timestamp())
        self.record = Record(self.clock)
        self._crash_points = crash_points or CrashPoints()
        self._bot = bot
        self._webhooks = _Webhooks(copies)
        self.emulator = Emulator(clock=self.clock, delivery_transport=self._webhooks, declared=world)
        self._emulator_app = create_emulator_app(self.emulator)
        self._subscription = self.emulator.subscribe(f"http://127.0.0.1:8000{WEBHOOK_PATH}?version={version}")
        self.client = self._client(None)
        self._storage_url = storage
        self._kept_storage = self._storage_from_url()
        self._handler_timeout_s = handler_timeout_s
        self._running = AsyncExitStack()
        self._context = copy_context()
        self._restarting: asyncio.Task[None] | None = None
        self._is_starting = False
        self._has_ended = False

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        _require_asyncio()
        _log_warnings_only()
        self._context = copy_context()
        await self._running.enter_async_context(self.client)
        await self._start_bot(self._made(self._bot))
        self._running.push_async_callback(self._stop_bot)
        await self._running.enter_async_context(self.emulator)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until nothing more happens, and stop bot and emulator."""
        __tracebackhide__ = True
        try:
            if error is None:
                await self.quiet()
            else:
                self.record.add_failures_to(error)
        finally:
            self._has_ended = True
            await self._running.aclose()

    def require_running(self) -> None:
        if self._has_ended:
            raise ConfigError(
                "The bot has stopped, because the block of its phone has ended. Move this act into the block."
            )

    # The bot's process

    async def restart(self, down_s: float, bot: Bot | None) -> None:
        """Kill the bot, let time pass, and start it, or another one, again on the same storage."""
        self.require_running()
        await self._restarted()
        await self._replace(down_s, bot)
        await self.arrived()

    @property
    def killed(self) -> str | None:
        return self._crash_points.killed

    async def arrived(self) -> None:
        """Return when the bot has accepted all webhooks, even if it was killed while it received one."""
        await self.emulator.flush()
        while self._restarting is not None:
            await self._restarted()
            await self.emulator.flush()

    async def post(self, content: dict[str, Any], post_id: str) -> None:
        """Post to the bot over HTTP, again if it was killed before its answer."""
        self.require_running()
        body, about = to_json(content), {"event_id": post_id, "event_type": POST_TYPE}
        async with httpx.AsyncClient(transport=self._webhooks) as client:
            while True:
                headers = signed(body, about, secret=self._subscription.secret)
                try:
                    answer = await client.post(f"http://127.0.0.1:8000{POSTS_PATH}", content=body, headers=headers)
                except httpx.ConnectError:
                    await self.arrived()
                    continue
                if answer.status_code != 202:
                    raise BotError(answer.text.strip())
                return

    async def _restarted(self) -> None:
        task = self._restarting
        if task is not None:
            await asyncio.wait({task})
            if self._restarting is task:
                self._restarting = None
            task.result()

    def _crashed(self) -> None:
        """Restart the bot, which has reached the point where it is killed."""
        if not self._is_starting:
            # In the context of the test: the bot's own tasks end with the bot.
            again = self._replace(0.0, None)
            self._restarting = asyncio.get_running_loop().create_task(again, context=self._context.copy())
            self.activity.notify()

    async def _replace(self, down_s: float, bot: Bot | None) -> None:
        bot = self._bot if bot is None else bot
        made = self._made(bot)
        self._bot = bot
        await self._kill_bot()
        end = self.clock.now() + down_s
        # A wait that has just become due may still be among them.
        while (
            due := min((at for at in self.activity.times(of_work=False) if at > self.clock.now()), default=end)
        ) < end:
            self.emulator.advance_to(due)
            await self.emulator.flush()
        self.emulator.advance_to(end)
        await self._start_bot(made)
        # What the killed bot did not answer must not wait for the clock, which only the test moves.
        self.emulator.retry_unanswered(self._subscription)
        await self.emulator.flush()

    async def _kill_bot(self) -> None:
        where = f" {self.killed}" if self._run.is_dead else ""
        self.record.history.append(f"the bot is killed{where}")
        await self._run.kill()
        self.record.forget_turns()
        self.activity.forget_work()

    async def _start_bot(self, made: _Made) -> None:
        """Start the bot; again, if it is killed while it starts."""
        self._is_starting = True
        try:
            while True:
                self._run, self.storage, app = made
                await self._run.start(app)
                if not self._run.is_dead:
                    break
                await self._kill_bot()
                made = self._made(self._bot)
        finally:
            self._is_starting = False
        self._webhooks.run = self._run

    def _made(self, bot: Bot) -> _Made:
        """Return what the next run of a bot needs. Nothing is opened or started yet."""
        run = BotRun(self._crash_points, self._crashed)
        handled = {route.event for route, _ in bot.walk()}
        storage = WatchedStorage(
            self._next_storage(),
            self.clock,
            self.activity,
            run,
            stored=self.record.stored,
            is_taken=lambda name: any(issubclass(EVENT_TYPES.get(name, Event), kind) for kind in handled),
        )
        self.plugins = load(bot.plugins, built_in=[self.record])
        app = create_app(
            bot,
            client=self._client(run),
            storage=cast("Storage", storage),
            secrets=[self._subscription.secret],
            clock=self.clock,
            drain_s=0,
            post_secrets=[self._subscription.secret],
            plugins=self.plugins,
        )
        return run, storage, app

    async def _stop_bot(self) -> None:
        await self._run.stop()

    def _next_storage(self) -> Storage:
        """Return the storage for a run: a storage in memory is the same object, a file is opened again."""
        if isinstance(self._kept_storage, MemoryStorage):
            return self._kept_storage
        return self._storage_from_url()

    def _storage_from_url(self) -> Storage:
        known = None
        if scheme(self._storage_url) not in builtin_storages.register_storage():
            known = load(self._bot.plugins, discover=True, built_in=[builtin_storages]).backends()
        return open_storage(self._storage_url, clock=self.clock, backends=known)

    def _client(self, run: BotRun | None) -> Client:
        api = WatchedApi(self._emulator_app, self.activity, self.clock, self.record.called, run)
        base_url = f"{self.emulator.public_url}/api/partner"
        return Client("test", base_url=base_url, max_wait_s=MAX_WAIT_S, transport=api, clock=self.clock)

    # Waiting

    async def until(self, found: Callable[[], T | None], *, ends_bursts: bool = True) -> T | None:
        """Return the result of `found` as soon as it is not None; None once nothing more happens until the clock moves.

        `ends_bursts` lets the time pass for which messages wait for further ones.
        """
        __tracebackhide__ = True
        calm = 0
        while True:
            self.activity.clear()
            await self._restarted()
            if (it := found()) is not None or self._has_ended:
                return it
            # A task that became ready just now has not begun, and so is not counted yet: let it begin.
            await asyncio.sleep(0)
            await self.emulator.flush()
            if not (self.activity.is_still(self.clock.now()) and await self.storage.is_idle()):
                calm = 0
                await self._changed()
            elif calm < 2:
                calm += 1
            elif await self._let_time_pass(ends_bursts=ends_bursts):
                calm = 0
            else:
                return found()

    async def quiet(self) -> None:
        """Return when everything is handled and delivered, and nothing more happens until the clock moves."""
        __tracebackhide__ = True
        await self.until(lambda: None)
        self.record.raise_failure()

    async def advance(self, seconds: float) -> None:
        """Move the clock, and stop at each time at which something is due, so that everything happens at its time."""
        __tracebackhide__ = True
        self.require_running()
        end = self.clock.now() + seconds
        self.record.history.append(f"{seconds:g} s pass")
        await self.until(lambda: None, ends_bursts=False)
        while (due := await self._next_due()) is not None and due < end:
            self.emulator.advance_to(due)
            await self.until(lambda: None, ends_bursts=False)
        self.emulator.advance_to(end)
        await self.until(lambda: None, ends_bursts=False)
        self.record.raise_failure()

    async def _changed(self) -> None:
        __tracebackhide__ = True
        # In steps: while the machine or the process stands still, the time goes on and the handler does not. In one wait,
        # the time would seem to be over as soon as the process goes on.
        for _ in range(TIMEOUT_STEPS):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._handler_timeout_s / TIMEOUT_STEPS):
                    await self.activity.changed()
                return
        self.record.complain(
            f"A handler is still at work after {self._handler_timeout_s:g} s of real time. "
            "Replace the slow part in tests, or pass talking(…, handler_timeout_s=)."
        )

    async def _let_time_pass(self, *, ends_bursts: bool) -> bool:
        """Move the clock to the next time that work in progress waits for; return False if there is none."""
        now, times = self.clock.now(), self.activity.times(of_work=True)
        times.append(self.emulator.world.settles_at)
        if ends_bursts and any(router.gather_s for router in self._bot.routers()):
            times += await self.storage.gathering_until()
        due = min((time for time in times if time > now), default=None)
        if due is None:
            return False
        self.emulator.advance_to(due)
        return True

    async def _next_due(self) -> float | None:
        now, times = self.clock.now(), self.activity.times(of_work=False) + await self.storage.due_times()
        # The emulator is asked itself: its task that waits for the next timer may not have noticed a new one yet.
        if (emulated := self.emulator.world.timers.next_due) is not None:
            times.append(emulated)
        return min((time for time in times if time > now), default=None)


def _log_warnings_only() -> None:
    """Keep the lines of the log below warnings out of a test's output, unless its author has configured structlog.

    Each text of a conversation logs a dozen of them, before which the reason of a failed test would scroll away.
    """
    if structlog.is_configured():
        return

    def drop(_: object, level: str, event: EventDict) -> EventDict:
        if level in ("debug", "info"):
            raise structlog.DropEvent
        return event

    # As a processor, because `structlog.testing.capture_logs` replaces these, and so still finds every line.
    structlog.configure(processors=[drop, *structlog.get_config()["processors"]])


def _require_asyncio() -> None:
    __tracebackhide__ = True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError(
            "linqbot runs on asyncio, and this test runs on another event loop. With anyio's plugin, let the fixture "
            'anyio_backend return "asyncio".'
        ) from None


class _Webhooks(httpx.AsyncBaseTransport):
    """The transport of webhooks to the bot that runs now. Each is delivered `copies` times."""

    def __init__(self, copies: int) -> None:
        if copies < 1:
            raise ValueError(f"copies={copies} delivers no webhook. It is how often each is delivered: 1 or more.")
        self._copies = copies
        self.run: BotRun | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.run is None:
            raise httpx.ConnectError("The bot does not run.", request=request)
        response = await self.run.handle(request)
        for _ in range(self._copies - 1):
            await self.run.handle(request)
        return response
