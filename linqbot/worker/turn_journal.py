"""The journal of one turn: each call's key and content are stored before its first attempt, its outcome after.

It is the innermost wrapper around the client's calls. Plugins' outbound middleware wraps the journal, but each call gets
its number before they are asked, so a veto never shifts the numbers of later calls. When a handler runs again after a
crash or a failure, its calls meet their own records: what was accepted is answered from the record without a call,
what may have been lost is repeated under the same idempotency key, and what cannot be repeated is looked up or
reported as unknown.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic_core import from_json, to_json

from linqbot.bot.branch import begin_turn, current_branch
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.clock import Clock
from linqbot.errors import (
    AmbiguousCall,
    BotError,
    LinqApiError,
    LinqUnavailable,
    MessageGone,
    NoVerdict,
    RateLimited,
    TurnDeferred,
)
from linqbot.frames import place_of_caller
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.journal import EntryStatus, JournalEntry
from linqbot.storage.timers import Timer
from linqbot.worker.lookup import NOBODY_KNOWS, find
from linqbot.worker.outbound_plugins import Outbound
from linqbot.worker.persistence import call_persistently
from linqbot.worker.rate_limit import SendRateLimit
from linqbot.worker.recall import Recall, digest
from linqbot.worker.scheduled_send import timer as due_timer

log = structlog.get_logger("linqbot.worker")

GONE = b'"gone"'
"""Stands for the answer of a send whose message was deleted before we saw one."""


def journal_key(install: str, turn: str, replay: int, slot: str) -> str:
    """Return the idempotency key of an entry: the same in every run of the turn, another in every installation.

    `install` is in it because event ids are equal on all subscriptions, and Linq's keys are per account: two bots
    of one account would otherwise silence each other.
    """
    digest = hashlib.sha256(f"{install}|{turn}|{replay}|0|{slot}".encode()).digest()[:20]
    return "lb" + base64.b32encode(digest).decode()[:30].lower()


@dataclass(slots=True)
class _Slot:
    """The place of a call whose middleware runs, and of the calls that this middleware makes.

    Attributes:
        name: The slot of the first call; the next ones get `.1`, `.2`, … behind it.
        is_open: False once the middleware has ended.
    """

    journal: TurnJournal
    name: str
    used: int = 0
    is_open: bool = True

    def next(self) -> str:
        name = f"{self.name}.{self.used}" if self.used else self.name
        self.used += 1
        return name


_within: ContextVar[_Slot | None] = ContextVar("linqbot_within_call", default=None)


class TurnJournal:
    """Wraps the client's calls for one run of a turn. Made in the turn's own task.

    Args:
        turn: Id of the delivery being handled.
        replay: 0, and one more for each deliberate replay of the turn, which gets new keys.
        known: Effects on record of this run, from before a failure or a crash.
        outbound: What plugins have to say about calls.
        off_the_record: Of what the turn sends or puts off, nothing is kept once it is said.

    Attributes:
        deferred: The first call that had to be deferred, if one was: no further call is made in this run.
        origin: The people and the chat of the turn, as JSON; see `origin.py`. Set before the first call.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        rate_limit: SendRateLimit,
        *,
        turn: str,
        replay: int = 0,
        known: Sequence[JournalEntry] = (),
        outbound: Outbound | None = None,
        off_the_record: bool = False,
    ) -> None:
        self.deferred: TurnDeferred | None = None
        self._storage = storage
        self._clock = clock
        self._rate_limit = rate_limit
        self._turn = turn
        self._replay = replay
        self._off_the_record = off_the_record
        self.origin: bytes | None = None
        self._outbound = Outbound(Plugins()) if outbound is None else outbound
        self._recall = Recall(known)
        self._root = begin_turn()
        self._task = asyncio.current_task()
        self._names: dict[str, int] = {}
        self._timers: dict[str, Timer] = {}
        self._one_at_a_time = asyncio.Lock()
        self._outcomes: dict[str, JournalEntry] = {}
        self._under_way = 0
        self._settled: asyncio.Event | None = None
        self._closed: str | None = None
        self._failed: list[tuple[asyncio.Task[Any], BaseException]] = []

    def outcomes(self, *, with_digests: bool) -> list[JournalEntry]:
        """Return the entries whose outcome still has to be written: they ride on the turn's `finish`.

        Args:
            with_digests: The turn will run again, and must know its calls once their texts are gone.
        """
        outcomes = list(self._outcomes.values())
        return [_with_digest(entry) for entry in outcomes] if with_digests else outcomes

    @property
    def timers(self) -> list[Timer]:
        """Sends this turn put off: they are stored with the turn's `finish`."""
        return list(self._timers.values())

    def schedule(self, chat_id: str, calls: Sequence[Call], *, due: float, grace_s: float, key: str | None) -> str:
        """Keep calls until they are due. A re-run of the turn makes the same id, so they are kept once."""
        self._refuse_after_the_end("send_later")
        slot = current_branch(self._root).number("t") if key is None else f"t:{key}"
        timer_id = journal_key(self._storage.install, self._turn, self._replay, slot)
        if timer_id in self._timers:
            raise BotError(f"send_later(key={key!r}) was called twice in one turn. Give each send a key of its own.")
        self._timers[timer_id] = due_timer(
            timer_id, chat_id, calls, due, grace_s, origin=self.origin, off_the_record=self._off_the_record
        )
        return timer_id

    async def cancel(self, scheduled_id: str) -> bool:
        """Forget what was put off. True only if it still waited."""
        here = self._timers.pop(scheduled_id, None) is not None
        # Also where this turn put it off: an earlier run of it may have ended, and so stored it.
        return await self._storage.cancel(scheduled_id) or here

    async def scheduled(self, chat_id: str) -> list[tuple[str, float]]:
        """What waits in a chat, this turn's own included; the earliest first."""
        lane = f"c:{chat_id}"
        known = {timer.id: timer for timer in await self._storage.scheduled(lane=lane)}
        known |= {timer.id: timer for timer in self._timers.values() if timer.lane == lane}
        return sorted(((timer.id, timer.due) for timer in known.values()), key=lambda entry: entry[1])

    async def settle(self) -> None:
        """Wait until the calls have ended that tasks of the handler still make, those included that begin just now."""
        if self._root.has_children and self._closed is None:
            # A task that was started last has not run yet.
            for _ in range(2):
                await asyncio.sleep(0)
        while self._under_way:
            self._settled = asyncio.Event()
            await self._settled.wait()

    def close(self, why: str = "its turn had ended") -> None:
        """Refuse every later call."""
        self._closed = self._closed or why

    def unobserved_failure(self) -> BaseException | None:
        """Return the error of a call whose task failed with it, if no code has asked that task for its error."""
        for task, error in self._failed:
            # asyncio notes it by itself, to log errors that nobody asked for.
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                found = task.exception()
                if found is error:
                    return error
        return None

    def wrap(self, run: Run) -> Run:
        """Put the journal around `run`, which sends, and the plugins' middleware around that."""
        unrecorded = self._outbound.wrap(run)

        async def recorded(call: Call) -> ApiResponse:
            if call.safety == "hint":
                return await unrecorded(call)
            if call.safety == "read":
                return await self._noting_deferral(_with_verdict(unrecorded(call)))
            within = _within.get()
            if within is not None and within.journal is self and within.is_open:
                # Middleware calls while it decides about another call, which holds the lock.
                return await self._asking_plugins(call, within, run)
            self._refuse_after_the_end(call.name)
            # Numbered before anything is awaited, so that gathered sends keep the order they were written in.
            slot = self._slot_of(call)
            self._under_way += 1
            try:
                return await self._noting_deferral(self._in_turn(call, slot, run))
            finally:
                self._under_way -= 1
                if not self._under_way and self._settled is not None:
                    self._settled.set()

        return recorded

    async def _in_turn(self, call: Call, slot: str, run: Run) -> ApiResponse:
        """Make a call once those before it have ended."""
        async with self._one_at_a_time:
            if self._closed is not None:
                raise BotError(f"{call.name} was not made: {self._closed}.")
            if self.deferred is not None:
                raise TurnDeferred(str(self.deferred), after_s=self.deferred.after_s)
            if self._outbound.is_empty:
                return await self._perform(call, slot, run)
            within = _Slot(self, slot)
            token = _within.set(within)
            try:
                return await self._asking_plugins(call, within, run)
            finally:
                within.is_open = False
                _within.reset(token)

    async def _asking_plugins(self, call: Call, within: _Slot, run: Run) -> ApiResponse:
        async def perform(call: Call) -> ApiResponse:
            return await self._perform(call, within.next(), run)

        return await _with_verdict(self._outbound.wrap(perform)(call))

    async def _noting_deferral(self, answer: Awaitable[ApiResponse]) -> ApiResponse:
        """Remember a call that was not made, or failed: code that swallows its error must not lose it."""
        try:
            return await answer
        except TurnDeferred as error:
            self.deferred = self.deferred or error
            if (task := self._other_task()) is not None:
                # The turn answers for it: asyncio need not log that nobody did.
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        except Exception as error:
            if (task := self._other_task()) is not None:
                self._failed.append((task, error))
            raise

    def _other_task(self) -> asyncio.Task[Any] | None:
        """Return the running task if it is not the turn's own."""
        task = asyncio.current_task()
        return None if task is self._task else task

    def _slot_of(self, call: Call) -> str:
        if call.label is None:
            return current_branch(self._root).number("")
        count = self._names.get(call.label, 0)
        self._names[call.label] = count + 1
        return f"k:{call.label}.{count}" if count else f"k:{call.label}"

    def _refuse_after_the_end(self, what: str) -> None:
        if self._closed is None:
            return
        at = place_of_caller()
        log.error("call.too_late", turn=self._turn, call=what, at=at, why=self._closed)
        raise BotError(
            f"{what} was called at {at} when {self._closed}, so it was not made. Await calls, and the tasks that make "
            "them, before the handler returns. Use ctx.send_later for what comes later, and the context of the newest "
            "event instead of one that was kept."
        )

    async def _perform(self, call: Call, slot: str, run: Run) -> ApiResponse:
        match = self._recall.match(slot, call, is_named=call.label is not None)
        if match.owed is not None:
            await self._make_owed(match.owed, run)
        known = match.known
        if known is None or known.status == "refused":
            # Nothing was sent under a refused key, so a corrected call may use it.
            return await self._first(call, match.slot, run, known)
        stored = Call.from_json(known.call)
        if match.diverged:
            log.warning("send.diverged", turn=self._turn, slot=match.slot, stored=stored.name, now=call.name)
        if known.status == "accepted":
            answer = _answer_of(known, call)
            if (sent := self._outbound.plugins.sent) is not None:
                sent(call=call, answer=answer, error=None, took_s=0.0, from_journal=True)
            return answer
        if stored.safety == "once":
            return await self._looked_up(stored, known, run)
        return await self._attempt(stored, known, run, repeated=True)

    async def _make_owed(self, call: Call, run: Run) -> None:
        """Make a call that was answered from a record which, as is clear now, is another call's."""
        try:
            await self._perform(call, current_branch(self._root).number("owed:"), run)
        except (LinqApiError, MessageGone) as error:
            # Whoever made the call has its answer long since.
            log.error("send.refused", turn=self._turn, call=call.name, error=str(error))

    async def _looked_up(self, call: Call, entry: JournalEntry, run: Run) -> ApiResponse:
        """What became of a call that must not be repeated: found at Linq, or for a person to decide."""
        found = None if entry.status == "ambiguous" else await find(call, entry, run, self._storage.has_sent)
        if found is not None:
            await self._close(entry, "accepted", to_json(found.data), found)
            return found
        if entry.status != "ambiguous":
            log.error("send.ambiguous", turn=self._turn, slot=entry.slot, call=call.name)
            await self._close(entry, "ambiguous", b"null")
        if call.name not in NOBODY_KNOWS:
            raise AmbiguousCall(call.name)
        return ApiResponse(202, NOBODY_KNOWS[call.name])

    async def _first(self, call: Call, slot: str, run: Run, known: JournalEntry | None) -> ApiResponse:
        key = journal_key(self._storage.install, self._turn, self._replay, slot)
        call = call.with_key(key)
        entry = JournalEntry(
            turn=self._turn,
            replay=self._replay,
            slot=slot,
            key=key,
            safety=call.safety,
            call=call.to_json(),
            status="attempting",
            first_at=self._clock.now() if known is None else known.first_at,
            origin=self.origin,
            off_the_record=self._off_the_record,
        )
        await (self._storage.begin(entry) if known is None else self._storage.settle(entry))
        return await self._attempt(call, entry, run, repeated=False)

    async def _attempt(self, call: Call, entry: JournalEntry, run: Run, *, repeated: bool) -> ApiResponse:
        try:
            answer = await call_persistently(call, run, self._rate_limit, self._clock)
        except LinqApiError as error:
            if isinstance(error, LinqUnavailable | RateLimited) or error.status is None:
                raise
            if repeated and error.status == 404 and entry.safety == "keyed":
                # A key whose message was deleted since is answered 404 (rules.md, idempotency): it was sent.
                await self._close(entry, "accepted", GONE)
                raise MessageGone(call.name) from error
            await self._close(entry, "refused", _error_json(error))
            raise
        await self._close(entry, "accepted", to_json(answer.data), answer)
        return answer

    async def _close(
        self, entry: JournalEntry, status: EntryStatus, data: bytes, answer: ApiResponse | None = None
    ) -> None:
        message_id, chat_id = _ids_in(answer.data) if answer is not None else (None, None)
        closed = replace(entry, status=status, answer=data, message_id=message_id, chat_id=chat_id)
        if entry.safety == "once":
            # Asking again is not harmless here, so the outcome must be on disk before the handler goes on.
            await self._storage.settle(_with_digest(closed))
        else:
            self._outcomes[entry.slot] = closed


async def _with_verdict(answer: Awaitable[ApiResponse]) -> ApiResponse:
    try:
        return await answer
    except NoVerdict as error:
        raise TurnDeferred(str(error)) from error


def _with_digest(entry: JournalEntry) -> JournalEntry:
    return entry if entry.digest else replace(entry, digest=digest(Call.from_json(entry.call)))


def _answer_of(entry: JournalEntry, call: Call) -> ApiResponse:
    if entry.answer == GONE:
        raise MessageGone(call.name)
    if entry.answer is None and entry.message_id is not None:
        return ApiResponse(202, _told_by_receipt(entry, call))
    return ApiResponse(202, from_json(entry.answer) if entry.answer else None)


def _told_by_receipt(entry: JournalEntry, call: Call) -> dict[str, object]:
    """The answer of a send that only its receipt told of: which message it made, in the shape of the call's answer."""
    message = {"id": entry.message_id, "delivery_status": entry.delivery}
    if call.name == "chats.create":
        return {"chat": {"id": entry.chat_id or "", "message": message}}
    if call.name == "chats.messages.send":
        return {"chat_id": call.path.split("/")[3], "message": message}
    return {"chat_id": entry.chat_id or "", "message": message}


def _error_json(error: LinqApiError) -> bytes:
    return to_json({"status": error.status, "code": error.code, "trace_id": error.trace_id})


def _ids_in(data: object) -> tuple[str | None, str | None]:
    """The message and chat a send made, in either shape of answer."""
    if not isinstance(data, dict):
        return None, None
    chat = data.get("chat")
    inner = chat if isinstance(chat, dict) else data
    message = inner.get("message")
    message_id = message.get("id") if isinstance(message, dict) else None
    return message_id, data.get("chat_id") or (chat.get("id") if isinstance(chat, dict) else None)
