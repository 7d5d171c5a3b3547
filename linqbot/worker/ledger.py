"""The ledger of one turn: each call's key and content are stored before its first attempt, its outcome after.

It is the innermost wrapper around the client's calls; plugins' outbound middleware stands around it, but what a call
is numbered by is settled before they are asked. When a handler runs again after a crash or a failure, its
calls meet their own records here: what was accepted is answered from the record without a call, what may have been
lost is repeated under the same idempotency key, and what cannot be repeated is looked up or reported as unknown.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from collections.abc import Awaitable, Sequence
from dataclasses import replace

import structlog
from pydantic_core import from_json, to_json

from linqbot.client.call import Answer, Call, Run
from linqbot.clock import Clock
from linqbot.errors import AmbiguousEffect, LinqApiError, LinqUnavailable, MessageGone, NoVerdict, RateLimited
from linqbot.plugins import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.outbox import Effect, EffectStatus
from linqbot.storage.timers import Timer
from linqbot.worker.due import timer as due_timer
from linqbot.worker.lookup import NOBODY_KNOWS, find
from linqbot.worker.outbound import Outbound
from linqbot.worker.pace import Pace

log = structlog.get_logger("linqbot.worker")

SEND_FOR_S = 20.0
"""How long a call is repeated in place while Linq is away, before the turn is parked."""
GONE = b'"gone"'
"""Stands for the answer of a send whose message was deleted before we saw one."""
BACKOFF_S = (0.5, 1.0, 2.0, 4.0)


class TurnParked(BaseException):
    """Ends a handler because Linq is away or asks to wait. Not an Exception: no handler should catch it.

    Attributes:
        after_s: Seconds until the turn may run again; None lets the worker decide.
    """

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


def effect_key(install: str, turn: str, run: int, slot: str) -> str:
    """The idempotency key of an effect: the same in every run of the turn, another in every installation.

    `install` is in it because event ids are equal on all subscriptions, and Linq's keys are per account: two bots
    of one account would otherwise silence each other.
    """
    digest = hashlib.sha256(f"{install}|{turn}|{run}|0|{slot}".encode()).digest()[:20]
    return "lb" + base64.b32encode(digest).decode()[:30].lower()


class Ledger:
    """Wraps the client's calls for one run of a turn.

    Args:
        turn: Id of the delivery being handled.
        run: 0, and one more each time the turn is deliberately done anew, under new keys.
        known: Effects on record of this run, from before a failure or a crash.
        outbound: What plugins have to say about calls.
        off_the_record: Of what the turn sends or puts off, nothing is kept once it is said.

    Attributes:
        origin: The people and the chat of the turn, as JSON; see `origin.py`. Set before the first call.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        pace: Pace,
        *,
        turn: str,
        run: int = 0,
        known: Sequence[Effect] = (),
        outbound: Outbound | None = None,
        off_the_record: bool = False,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._pace = pace
        self._turn = turn
        self._run = run
        self._off_the_record = off_the_record
        self.origin: bytes | None = None
        self._outbound = Outbound(Plugins()) if outbound is None else outbound
        self._known = {effect.slot: effect for effect in known}
        self._slots = 0
        self._timed = 0
        self._timers: dict[str, Timer] = {}
        self._one_at_a_time = asyncio.Lock()
        self._outcomes: dict[str, Effect] = {}

    @property
    def outcomes(self) -> list[Effect]:
        """Effects whose outcome still has to be written: they ride on the turn's `finish`."""
        return list(self._outcomes.values())

    @property
    def timers(self) -> list[Timer]:
        """Sends this turn put off: they are stored with the turn's `finish`."""
        return list(self._timers.values())

    def schedule(self, chat_id: str, calls: Sequence[Call], *, due: float, grace_s: float, key: str | None) -> str:
        """Keep calls until they are due. A re-run of the turn makes the same id, so they are kept once."""
        timer_id = effect_key(self._storage.install, self._turn, self._run, f"t{self._timed if key is None else key}")
        self._timed += 1
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

    def wrap(self, run: Run) -> Run:
        """Put the ledger around `run`, which sends, and the plugins' middleware around that."""
        unrecorded = self._outbound.wrap(run)

        async def recorded(call: Call) -> Answer:
            if call.safety == "hint":
                return await unrecorded(call)
            if call.safety == "read":
                return await _with_verdict(unrecorded(call))
            # Numbered before anything is awaited, so that gathered sends keep the order they were written in.
            slot = str(self._slots)
            self._slots += 1
            async with self._one_at_a_time:
                if self._outbound.is_empty:
                    return await self._perform(call, slot, run)
                return await _with_verdict(self._outbound.wrap(self._slotted(slot, run))(call))

        return recorded

    def _slotted(self, slot: str, run: Run) -> Run:
        """What middleware goes on to: a place of the ledger that no verdict can move, and more within it if asked."""
        places = itertools.count()

        async def perform(call: Call) -> Answer:
            place = next(places)
            return await self._perform(call, f"{slot}.{place}" if place else slot, run)

        return perform

    async def _perform(self, call: Call, slot: str, run: Run) -> Answer:
        known = self._known.get(slot)
        if known is None or known.status == "refused":
            # Nothing was sent under a refused key, so a corrected call may use it.
            return await self._first(call, slot, run, known)
        stored = Call.from_json(known.call)
        if (stored.name, stored.path) != (call.name, call.path):
            log.warning("send.diverged", turn=self._turn, slot=slot, stored=stored.name, now=call.name)
        if known.status == "accepted":
            answer = _answer_of(known, call)
            if (sent := self._outbound.plugins.sent) is not None:
                sent(call=call, answer=answer, error=None, took_s=0.0, from_ledger=True)
            return answer
        if stored.safety == "once":
            return await self._looked_up(stored, known, run)
        return await self._attempt(stored, known, run, repeated=True)

    async def _looked_up(self, call: Call, effect: Effect, run: Run) -> Answer:
        """What became of a call that must not be repeated: found at Linq, or for a person to decide."""
        found = None if effect.status == "ambiguous" else await find(call, effect, run, self._storage.has_sent)
        if found is not None:
            await self._close(effect, "accepted", to_json(found.data), found)
            return found
        if effect.status != "ambiguous":
            log.error("send.ambiguous", turn=self._turn, slot=effect.slot, call=call.name)
            await self._close(effect, "ambiguous", b"null")
        if call.name not in NOBODY_KNOWS:
            raise AmbiguousEffect(call.name)
        return Answer(202, NOBODY_KNOWS[call.name])

    async def _first(self, call: Call, slot: str, run: Run, known: Effect | None) -> Answer:
        key = effect_key(self._storage.install, self._turn, self._run, slot)
        call = call.with_key(key)
        effect = Effect(
            turn=self._turn,
            run=self._run,
            slot=slot,
            key=key,
            safety=call.safety,
            call=call.to_json(),
            status="attempting",
            first_at=self._clock.now() if known is None else known.first_at,
            origin=self.origin,
            off_the_record=self._off_the_record,
        )
        await (self._storage.begin(effect) if known is None else self._storage.settle(effect))
        return await self._attempt(call, effect, run, repeated=False)

    async def _attempt(self, call: Call, effect: Effect, run: Run, *, repeated: bool) -> Answer:
        try:
            answer = await self._persistently(call, run)
        except LinqApiError as error:
            if isinstance(error, LinqUnavailable | RateLimited) or error.status is None:
                raise
            if repeated and error.status == 404 and effect.safety == "keyed":
                # A key whose message was deleted since is answered 404 (rules.md, idempotency): it was sent.
                await self._close(effect, "accepted", GONE)
                raise MessageGone(call.name) from error
            await self._close(effect, "refused", _error_json(error))
            raise
        await self._close(effect, "accepted", to_json(answer.data), answer)
        return answer

    async def _persistently(self, call: Call, run: Run) -> Answer:
        """Repeat while Linq is away, in place for a while; then park the turn."""
        until = self._clock.now() + SEND_FOR_S
        for attempt in itertools.count():
            await self._in_time(self._pace.wait_s(call), until, "the pace Linq allows between a line and a person")
            try:
                answer = await run(call)
            except RateLimited as error:
                wait_s = error.retry_after_s or BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
                self._pace.hold(call, wait_s)
                await self._in_time(wait_s, until, str(error))
            except LinqUnavailable as error:
                if call.safety == "once":
                    raise TurnParked(str(error)) from error
                await self._in_time(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)], until, str(error))
            else:
                self._pace.sent(call)
                return answer
        raise AssertionError

    async def _in_time(self, wait_s: float, until: float, reason: str) -> None:
        """Wait here if that ends in time, else park the turn: a waiting turn holds no place of another chat's."""
        if wait_s <= 0:
            return
        now = self._clock.now()
        if now + wait_s > until:
            raise TurnParked(reason, after_s=wait_s)
        await self._clock.wait_until(now + wait_s)

    async def _close(self, effect: Effect, status: EffectStatus, data: bytes, answer: Answer | None = None) -> None:
        message_id, chat_id = _ids_in(answer.data) if answer is not None else (None, None)
        closed = replace(effect, status=status, answer=data, message_id=message_id, chat_id=chat_id)
        self._known[effect.slot] = closed
        if effect.safety == "once":
            # Asking again is not harmless here, so the outcome must be on disk before the handler goes on.
            await self._storage.settle(closed)
        else:
            self._outcomes[effect.slot] = closed


async def _with_verdict(answer: Awaitable[Answer]) -> Answer:
    try:
        return await answer
    except NoVerdict as error:
        raise TurnParked(str(error)) from error


def _answer_of(effect: Effect, call: Call) -> Answer:
    if effect.answer == GONE:
        raise MessageGone(call.name)
    if effect.answer is None and effect.message_id is not None:
        return Answer(202, _told_by_receipt(effect, call))
    return Answer(202, from_json(effect.answer) if effect.answer else None)


def _told_by_receipt(effect: Effect, call: Call) -> dict[str, object]:
    """The answer of a send that only its receipt told of: which message it made, in the shape of the call's answer."""
    message = {"id": effect.message_id, "delivery_status": effect.delivery}
    if call.name == "chats.create":
        return {"chat": {"id": effect.chat_id or "", "message": message}}
    if call.name == "chats.messages.send":
        return {"chat_id": call.path.split("/")[3], "message": message}
    return {"chat_id": effect.chat_id or "", "message": message}


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
