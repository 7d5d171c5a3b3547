"""Run a bot's handlers on an old delivery, with everything around them as it was then, as far as that is on record.

The run has the time of the delivery, the time limit of its handler, and the messages that joined the turn while its
handler ran. Calls, questions and steps are answered from the record: see `recorded_calls.py`. State is what is stored
now, because the storage keeps no older values, except in the parts of a conversation, whose record has what they read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import Context as Variables
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.dispatch import Dispatcher
from linqbot.branch import follow_tasks
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.engine.deadline import Deadline
from linqbot.engine.failure import ChoiceFailed, TurnFailure, unreachable
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.parts import opts_out
from linqbot.engine.turn import STUCK, is_end_of_ask
from linqbot.errors import LinqApiError, MessageGone, StorageUnavailable
from linqbot.events.delivery import PROBE_ID, Delivery
from linqbot.events.event import Event
from linqbot.events.lane import lane_of_chat
from linqbot.events.message import MessageReceived
from linqbot.events.parse import EventNotUnderstood, parse
from linqbot.features import notices, own_changes
from linqbot.features.asking.admission import ORDER_PREFIX
from linqbot.features.asking.arrivals import NOTHING, Arrival, meaning_of
from linqbot.features.broadcasts import broadcast_send
from linqbot.features.later import due_send
from linqbot.features.lookups import KnownChat, KnownChats, with_answers, with_replies_to_me
from linqbot.interrupts import is_ctrl_c
from linqbot.ops.dry_deploy.chosen_turns import ConversationsThen, KeptOpen
from linqbot.ops.dry_deploy.kept_chat import KeptChats
from linqbot.ops.dry_deploy.recorded_calls import RecordedAnswers, RecordedCalls
from linqbot.ops.dry_deploy.recorded_turn import ComparedCall, RecordedTurn
from linqbot.options import OverlapMode
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.state import StateRow
from linqbot.storage.upkeep import Selection


@dataclass(frozen=True, slots=True)
class RunFailure:
    """The exception with which a run ended.

    Attributes:
        kind: The name of its class.
        at: `file:line` of the author's code.
        message: Its message, which may quote a person's words.
    """

    kind: str
    at: str
    message: str = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The calls that a run would make, and how it ended.

    Attributes:
        calls: The calls to Linq, in order; reads and hints are not among them.
        later: The calls of `ctx.send_later`, by the id of the send.
        handler: The name of the handler; None if none took the event.
        handler_at: `file:line` of its definition.
        missing: What is not on record, so that the run ended before its end; None if nothing was missing.
        other_steps: Steps on record that the run did not come to before it ended there.
        doubts: Why the run may differ from the turn on record, although its code is the same.
        past: What it has read of the past that may not be as it was then: sentences. Its result need not depend on it.
    """

    calls: Sequence[ComparedCall] = ()
    later: Mapping[str, Sequence[ComparedCall]] = field(default_factory=dict)
    handler: str | None = None
    handler_at: str | None = None
    failure: RunFailure | None = None
    missing: str | None = None
    other_steps: Sequence[str] = ()
    doubts: Sequence[str] = ()
    past: Sequence[str] = ()

    def does_the_same(self, other: RunResult) -> bool:
        """Return True if both runs do and fail the same."""
        mine, its = self.failure, other.failure
        return (
            len(self.calls) == len(other.calls)
            and all(call.is_like(its) for call, its in zip(self.calls, other.calls, strict=True))
            and self.later == other.later
            and (mine and (mine.kind, mine.at.partition(":")[0])) == (its and (its.kind, its.at.partition(":")[0]))
            and self.missing == other.missing
        )


class NewRuns:
    """Runs a bot on turns that are on record. Nothing is sent, and nothing is stored.

    Args:
        client: Used for reads, if they are allowed; already open.
        storage: Only read.
        reads: Let reads that the storage cannot answer through to Linq, as it is now.

    Attributes:
        has_start_handlers: True if the bot has `@bot.on_start` functions. They do not run: they get the storage itself.
    Raises:
        BotError: a handler can never run, because one before it takes everything.
        ConfigError: a required plugin failed at adding something.
    """

    def __init__(self, bot: Bot, client: Client, storage: Storage, *, plugins: Plugins, reads: bool = False) -> None:
        self._clock = MovableClock(0.0, frozen=True)
        self._dispatcher = Dispatcher(bot, self._clock, plugins=plugins)
        self._outbound = Outbound(plugins)
        self._client = client
        self._storage = storage
        self._kept = KeptChats(storage)
        self._known_chats = KnownChats()
        self._reads = reads
        self._stuck: list[asyncio.Task[None]] = []
        self._has_stuck_thread = False
        self.has_start_handlers = any(router.start_handlers for router in bot.routers())

    async def run(self, turn: RecordedTurn, *, without_past: bool = False) -> RunResult:
        """Run the bot on a turn.

        Args:
            without_past: True runs as if no state were stored, and nothing were said before.
        Raises:
            StorageUnavailable: the storage cannot be read.
        """
        self._clock.advance(turn.delivery.received_at - self._clock.now())
        loop = asyncio.get_running_loop()
        follow_tasks(loop)
        one = _OneRun(turn, self._storage, without_past=without_past)
        over = asyncio.Event()
        deadline = Deadline(self._dispatcher.deadline_s, over.set)
        # In variables of its own, so that nothing of a run is seen in the next one.
        task = loop.create_task(self._handle(one, deadline), context=Variables())
        given_up = asyncio.ensure_future(over.wait())
        await asyncio.wait({task, given_up}, return_when=asyncio.FIRST_COMPLETED)
        given_up.cancel()
        deadline.close()
        if not task.done():
            self._stuck.append(task)
            one.error = TimeoutError(STUCK)
            if one.calls is not None:
                one.calls.end()
        else:
            task.result()
        self._has_stuck_thread = self._has_stuck_thread or (one.ctx is not None and one.ctx.stuck_at is not None)
        return one.result()

    async def is_part_of_question(self, turn: RecordedTurn) -> bool:
        """Return True if the delivery of a turn goes to an open question and left no entry of its own.

        Such deliveries are answers that were refused, and votes that did not complete a vote.
        """
        if turn.entries or turn.dead is not None:
            return False
        try:
            arrived = await self._arrival(turn)
        except ChoiceFailed:
            return False  # its run reports the error
        return arrived.outcome is not None or arrived.counted is not None

    async def _arrival(self, turn: RecordedTurn) -> Arrival:
        """Return the meaning of a delivery for the questions that were open when it came, as the worker decides it."""
        if not turn.conversations:
            return NOTHING
        summaries = [each.summary for each in turn.conversations]
        return await meaning_of(
            turn.delivery, summaries, self._dispatcher, ConversationsThen(turn.conversations, self._storage)
        )

    @property
    def has_stuck_code(self) -> bool:
        """True if code of a run ignored its time limit and may still run, in a task or a thread."""
        return self._has_stuck_thread or any(not task.done() for task in self._stuck)

    async def aclose(self) -> None:
        """Cancel the background tasks of the runs."""
        await self._dispatcher.aclose()
        for task in self._stuck:
            task.cancel()

    async def _handle(self, one: _OneRun, deadline: Deadline) -> None:
        one.calls = calls = RecordedCalls(
            one.turn, self._storage, self._kept, reads=self._reads, without_past=one.without_past
        )
        one.answers = RecordedAnswers(one.turn, calls, self._clock)
        try:
            await self._dispatch(one, calls, one.answers, deadline)
        except StorageUnavailable:
            raise
        except ChoiceFailed as failed:
            one.error = failed.__cause__
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            if not is_end_of_ask(error):
                one.error = error
        finally:
            calls.end()

    async def _dispatch(self, one: _OneRun, calls: RecordedCalls, answers: RecordedAnswers, deadline: Deadline) -> None:
        delivery = one.turn.delivery
        client = calls.around(self._client).wrapped(self._outbound.wrap)
        if await _needed_no_handler(delivery, client):
            return
        if notices.is_outage_notice(delivery):
            calls.cut("if the outage was over when its notice was due")
        given_up = notices.dead_letter_of(delivery) if notices.is_dead_letter_notice(delivery) else None
        event = await event_of(given_up.delivery if given_up else delivery, self._storage, self._known_chats)
        if event.type in own_changes.EVENT_TYPES:
            calls.doubt("it is not on record if the bot itself made this change of the group")
        if given_up is None and opts_out(event):
            calls.muted_chat = event.chat_id
        arrived = await self._arrival(one.turn)
        if arrived.outcome is not None or arrived.counted is not None:
            calls.doubt("it would answer a question now (ctx.ask) that was open then, and another handler took it then")
        ctx = one.ctx = self._dispatcher.context(
            event,
            client,
            calls,
            deadline,
            one.state,
            asking=lambda: answers,
            side=KeptOpen(arrived.question) if arrived.is_side and arrived.question is not None else None,
            after_ask=arrived.after_ask,
            overlap=JoinedMessages(delivery) if self._dispatcher.overlaps else None,
        )
        if given_up is not None:
            await self._dispatcher.dispatch_dead_letter(given_up.failure, event, ctx)
            return
        await answers.begin(ctx)
        await self._dispatcher.dispatch(event, ctx)


class _OneRun:
    """A run while it goes on."""

    def __init__(self, turn: RecordedTurn, storage: Storage, *, without_past: bool) -> None:
        self.turn = turn
        self.without_past = without_past
        self.state = StateOfNow(storage, empty=without_past)
        self.calls: RecordedCalls | None = None
        self.answers: RecordedAnswers | None = None
        self.ctx: Context | None = None
        self.error: BaseException | None = None

    def result(self) -> RunResult:
        """Return what the run has done. It must have ended."""
        calls, answers, ctx = self.calls, self.answers, self.ctx
        assert calls is not None
        assert answers is not None
        missing = calls.missing
        return RunResult(
            calls.made,
            dict(calls.sends),
            ctx.handler if ctx else None,
            ctx.handler_at if ctx else None,
            # What follows a missing answer is no failure of the code.
            None if self.error is None or missing else self._failure(self.error, ctx),
            missing,
            answers.unused_steps if missing else (),
            tuple(calls.doubts),
            (*((STATE_OF_NOW,) if self.state.was_read else ()), *calls.past),
        )

    def _failure(self, error: BaseException, ctx: Context | None) -> RunFailure:
        failed = TurnFailure(error, at=ctx.stuck_at if ctx else None, handler_at=ctx.handler_at if ctx else None)
        try:
            message = str(error)
        except Exception:  # noqa: BLE001 - the text of an exception is code of its author
            message = ""
        return RunFailure(type(error).__name__, failed.place, message)


async def _needed_no_handler(delivery: Delivery, client: Client) -> bool:
    """Make the calls of a delivery that runs no handler, such as a scheduled send; return False for any other."""
    if delivery.id.startswith((PROBE_ID, ORDER_PREFIX, own_changes.EXPIRY_ID)):
        return True
    return await send_again(delivery, client)


class JoinedMessages:
    """The later messages of a turn on record, which it took while it ran. It implements `Overlap`."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._joined = delivery.joined
        self._calls = 0
        self._mode: OverlapMode = "queue"

    @property
    def takes_incoming(self) -> bool:
        """True if the handler takes the messages that come while it runs."""
        return self._mode == "steer"

    @property
    def already_sent(self) -> Sequence[str]:
        """The texts that earlier runs of the turn had sent."""
        return self._joined.sent

    def begin(self, handler: str, mode: OverlapMode) -> None:
        """Note the mode. No message comes while the handler runs."""
        self._mode = mode

    async def incoming(self) -> Sequence[MessageReceived]:
        """Return the messages that the same call took then."""
        call, self._calls = self._calls, self._calls + 1
        if call >= len(self._joined.incoming):
            return []
        messages = (parse(replace(self._delivery, decoded=each)) for each in self._joined.incoming[call])
        return [each for each in messages if isinstance(each, MessageReceived)]

    def with_taken(self, body: bytes) -> bytes:
        """Return the body as it is: nothing of this run is stored."""
        return body

    def uninterrupted(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a context manager that does nothing."""
        return contextlib.nullcontext()


STATE_OF_NOW: Final = "ctx.state, which is not on record as it was then"


class StateOfNow:
    """The stored state, which may only be read. It implements `StateReader`.

    Args:
        empty: True shows no values.
    Attributes:
        was_read: True if a stored value was read, or could have been.
    """

    def __init__(self, storage: Storage, *, empty: bool) -> None:
        self.was_read = False
        self._storage = storage
        self._empty = empty

    async def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope; see `Storage.load`."""
        values = {} if self._empty else await self._storage.load(scope)
        self.was_read = self.was_read or bool(values)
        return values

    async def state_rows(
        self, *, prefix: str = "", name: str | None = None, after: tuple[str, str] = ("", ""), limit: int = 500
    ) -> list[StateRow]:
        """Return stored values; see `Storage.state_rows`."""
        self.was_read = True
        if self._empty:
            return []
        return await self._storage.state_rows(prefix=prefix, name=name, after=after, limit=limit)


async def event_of(delivery: Delivery, storage: Storage, known_chats: KnownChats) -> Event:
    """Parse a delivery, and look up in the storage what its webhook does not say. Linq is not asked.

    Raises:
        EventNotUnderstood: a required field of the event is missing.
        StorageUnavailable: the storage cannot be read.
    """
    event = await with_replies_to_me(parse(delivery), storage.has_sent)
    event = await with_answers(event, storage.entry_of)
    return await known_chats.complete(event, partial(_known_in, storage))


async def send_again(delivery: Delivery, client: Client) -> bool:
    """Make the calls of a scheduled send or of a broadcast. Return False, without a call, for any other delivery."""
    if (due := due_send(delivery)) is not None:
        try:
            for call in due.calls:
                with suppress(MessageGone):
                    await client.run(call)
        except LinqApiError as error:
            if unreachable(error) is None:  # the worker ends such a send without an error too
                raise
    elif (to_person := broadcast_send(delivery)) is not None:
        await to_person.send(client)
    else:
        return False
    return True


async def _known_in(storage: Storage, chat_id: str) -> KnownChat:
    """Return what the messages of a chat that are in a storage say of the chat."""
    ids = await storage.replayable(Selection(lane=lane_of_chat(chat_id), type="message.received"))
    kept = [delivery async for page in storage.pages(ids[:1]) for delivery in page]
    try:
        messages = [parse(delivery) for delivery in kept]
    except EventNotUnderstood:
        return KnownChat()
    return KnownChat(messages[0].is_group, messages[0].line) if messages else KnownChat()
