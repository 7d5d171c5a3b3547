"""A world for dry runs: the real engine runs a turn on a scratch storage, with a tape in place of Linq, at the time of then.

The consequences of a turn are its calls and what it stores. So nothing else is imitated: the tape answers a call as it was
answered then, or makes up an answer, and the scratch storage keeps what the turn would store. What a turn may read of
other turns comes from the real storage, which is only read. Steps of `ctx.once` have effects elsewhere, so they are never
made: their results come from the record. State is what is stored now, because the storage keeps no older values, except in
the parts of a conversation, whose record has what they read.

A question gets the answer on record that it would get after a deploy: that of the same key, or of the same words. The run
ends at a question without one, at a read whose answer is not kept, because the code must not go on with something made up,
and at a step that is not on record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context as Variables
from contextvars import ContextVar
from copy import copy
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from linqbot.bot.bot import Bot
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.turn_context import TurnContext
from linqbot.branch import follow_tasks
from linqbot.client.client import Client
from linqbot.clock import Clock, MovableClock
from linqbot.engine.failure import ChoiceFailed
from linqbot.engine.feature import Feature
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.routing import HandlerRun
from linqbot.engine.steps import Steps
from linqbot.engine.turn import Turn
from linqbot.engine.turns import Turns
from linqbot.engine.worker import Worker
from linqbot.errors import StorageUnavailable
from linqbot.features import notices, own_changes
from linqbot.features.asking.arrivals import Arriving
from linqbot.features.broadcasts import TurnBroadcaster
from linqbot.features.catalog import catalogue
from linqbot.features.handoff import HANDOFF_KIND
from linqbot.features.mute import MUTING
from linqbot.features.muted_chats import Mute, mute_chat
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.event import Event
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.holds import FOREVER
from linqbot.storage.inbox import DeadLetter, Defer
from linqbot.turn_events import TurnEnded
from linqbot_dev.dry_runs.dry_turn import ALL, DryTurn, RunResult
from linqbot_dev.dry_runs.recorded_turns import RecordedTurn
from linqbot_dev.dry_runs.tape import UPLOADED, KeptChats, Tape, read_of_bot

T = TypeVar("T")

_LEASE_S: Final = 3600.0

_is_in_run: ContextVar[bool] = ContextVar("linqbot_is_in_dry_run", default=False)


class DryWorld:
    """Runs a bot on turns that are on record. Nothing is sent, and nothing is stored. No observer of a plugin is called.

    Args:
        client: Used for reads, if they are allowed; already open.
        storage: Only read.
        reads: Let reads that the storage cannot answer through to Linq, as it is now.

    Attributes:
        has_start_handlers: True if the bot has `@bot.on_start` functions. They do not run: they get the storage itself.
    """

    def __init__(self, bot: Bot, client: Client, storage: Storage, *, plugins: Plugins, reads: bool = False) -> None:
        self._clock = _Clock(0.0, frozen=True)
        self._dispatcher = _Dispatcher(bot, self._clock, plugins=plugins)
        self._plugins = plugins
        self._outbound = Outbound(plugins)
        self._client = client
        self._storage = storage
        self._kept = KeptChats(storage)
        self._reads = reads
        self._stuck: list[asyncio.Task[None]] = []  # the turns that did not end
        self._has_stuck_thread = False
        self.has_start_handlers = any(router.start_handlers for router in bot.routers())

    async def run(self, turn: RecordedTurn, *, without_past: bool = False) -> RunResult:
        """Run the bot on a turn: on its delivery, and then on the answers on record to the questions that it asks.

        Args:
            without_past: See `DryTurn`.
        """
        async with DryTurn(turn, self._storage, self._clock, without_past=without_past) as run:
            return await self._result(run)

    async def _result(self, run: DryTurn) -> RunResult:
        turn = run.turn
        try:
            answered = await self._answered(turn)
        except ChoiceFailed as failed:
            run.error = failed.__cause__
            return await run.result()
        if answered is not None and not turn.entries and turn.dead is None:
            # Such as an answer that was refused, or a vote that did not complete a vote.
            return RunResult(is_answer=True)
        if answered is not None:
            run.doubt("it would answer a question now (ctx.ask) that was open then, and another handler took it then")
            others = [each for each in turn.conversations if each.id != answered.id]
            turn = run.turn = replace(turn, conversations=others)
        if turn.delivery.type in own_changes.EVENT_TYPES:
            run.doubt("it is not on record if the bot itself made this change of the group")
        if notices.is_outage_notice(turn.delivery):
            run.missing = "if the outage was over when its notice was due"
        elif turn.is_of_handoff:
            run.missing = "the handoff to which it belongs (ctx.handoff)"
        else:
            await self._run(run)
        return await run.result()

    async def _run(self, run: DryTurn) -> None:
        await run.fill()
        client = Tape(run, self._kept, reads=self._reads).around(self._client)
        self._dispatcher.run = run
        turns = Turns(
            self._dispatcher, client, run, self._clock, _Unlimited(self._clock), _features, outbound=self._outbound
        )
        delivery: Delivery | None = run.turn.delivery
        while delivery is not None:
            await self._handle(delivery, run, turns)
            delivery = await run.next_answer()
        run.end()
        self._has_stuck_thread = self._has_stuck_thread or (run.ctx is not None and run.ctx.stuck_at is not None)

    async def _answered(self, turn: RecordedTurn) -> Conversation | None:
        """Return the conversation to whose open question the delivery of a turn goes now, as the engine decides it."""
        if not turn.conversations:
            return None
        summaries = [each.summary for each in turn.conversations]
        async with DryTurn(turn, self._storage, self._clock) as scratch:
            await scratch.fill()
            arrived = await Arriving(turn.delivery, summaries, self._dispatcher, scratch).meaning()
        is_answer = arrived.is_counted or arrived.outcome is not None
        return arrived.asked.conversation if arrived.asked is not None and is_answer else None

    @property
    def has_stuck_code(self) -> bool:
        """True if code of a run ignored its time limit and may still run, in a task or a thread."""
        return self._has_stuck_thread or any(not task.done() for task in self._stuck)

    async def aclose(self) -> None:
        for task in self._stuck:
            task.cancel()
        await self._dispatcher.aclose()

    async def _handle(self, delivery: Delivery, run: DryTurn, turns: Turns) -> None:
        """Run the turn of one delivery to its end, or until its code ignores its cancellation."""
        self._observe(run)
        self._clock.stop_at(delivery.received_at)
        await run.put(delivery)
        leases = await run.take(ALL, lease_s=_LEASE_S)
        lease = next(each for each in leases if each.delivery.id == delivery.id)
        # As after an earlier run that ended without an outcome, so that what is on record is read.
        lease = replace(lease, delivery_count=1, replay=run.turn.replay)
        owner = _Owner(turns, run, self._clock)
        loop = asyncio.get_running_loop()
        follow_tasks(loop)
        # In variables of its own, so that nothing of a run is seen in the next one.
        variables = Variables()
        variables.run(_is_in_run.set, True)
        task = loop.create_task(turns.run(lease, owner), context=variables)
        given_up = asyncio.ensure_future(owner.gave_up.wait())
        try:
            await asyncio.wait({task, given_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            given_up.cancel()
            if not task.done():
                self._stuck.append(task)
                run.end()
        if task.done():
            task.result()
        if isinstance(run.error, StorageUnavailable):
            raise run.error
        if run.error is None and task.done() and isinstance(run.outcome, Defer):
            raise StorageUnavailable(run.outcome.reason)
        if run.error is None and isinstance(run.outcome, DeadLetter):
            run.error = RuntimeError(run.outcome.error)  # linqbot itself failed

    def _observe(self, run: DryTurn) -> None:
        """Let the run learn of its failure, and no plugin of anything."""

        def turn_ended(turn: TurnEnded) -> None:
            run.error = turn.error

        self._plugins.observe_only({TurnEnded: turn_ended})


class _Clock(MovableClock):
    """The clock of a run: a wait of the code that runs is over at once. An alarm that only limits such code never rings."""

    async def wait_until(self, at: float) -> None:
        if _is_in_run.get():
            self.stop_at(max(at, self.now()))
        else:
            await super().wait_until(at)


class _Unlimited(SendRateLimit):
    def wait_s(self, pair: str | None) -> float:
        return 0.0


class _Owner(Worker):
    """Learns that a turn was given up because its code ignores its cancellation. It leases nothing."""

    def __init__(self, turns: Turns, storage: Storage, clock: Clock) -> None:
        super().__init__(turns, storage, clock)
        self.gave_up = asyncio.Event()

    def detach(self, task: asyncio.Task[None], instead: Coroutine[Any, Any, None]) -> None:
        async def ended() -> None:
            await instead
            self.gave_up.set()

        super().detach(task, ended())


class _Dispatcher(Dispatcher):
    run: DryTurn

    def context(self, turn: Turn, state_store: Storage) -> TurnContext:
        seen = copy(turn)
        seen.client = turn.client.wrapped(read_of_bot)
        self.run.ctx = super().context(seen, state_store)
        return self.run.ctx

    async def dispatch(self, event: Event, ctx: HandlerRun) -> None:
        await super().dispatch(event, ctx)
        ctx.is_answer = False  # another turn has asked the question


class _Broadcaster(TurnBroadcaster):
    """Begins broadcasts without asking Linq about the line."""

    async def check_line(self, line: str, client: Client) -> None: ...


class _StepsOfThen(Steps):
    """Answers the steps of a turn from its record."""

    @property
    def _run(self) -> DryTurn:
        assert isinstance(self._storage, DryTurn)
        return self._storage

    async def once(self, name: str, call: Callable[[str], Any], **how: Any) -> Any:
        return await super().once(name, lambda _: self._run.recall_step(name, self._journal), **how)

    async def recorded(self, name: str, make: Callable[[], Awaitable[T]], *, kind: type[T]) -> T:
        # A mute changes only the scratch storage.
        if not name.startswith(MUTING) and self._run.step_on_record(name, self._journal) is not None:
            found = await super().recorded(name, make, kind=kind)
            if isinstance(found, dict) and name.startswith(f"linqbot {HANDOFF_KIND} "):
                await mute_chat(self._run, Mute(found["chat_id"], FOREVER))
            return found
        if name.startswith("fetch:"):
            return cast("T", UPLOADED)  # a file that was received would be downloaded first
        result: T = await super().once(name, lambda _: make(), kind=kind, retry=True)
        return result


class _OfThen(TurnFeature):
    """Gives each turn the steps of its record, and broadcasts that ask nothing of Linq."""

    async def begin(self, turn: Turn) -> None:
        turns, features, journal = self._turns, self._turns.features, turn.journal
        known = len(turn.opening.known)
        turn.helpers[Steps] = _StepsOfThen(journal, known, features.recalls, features.in_step)
        turn.helpers[TurnBroadcaster] = _Broadcaster(journal, turns.storage, turns.outbound)


def _features(turns: Turns) -> list[Feature]:
    return [_OfThen(turns), *catalogue(turns)]
