"""Observes the turns of a bot for `linqbot dev`, through the same hooks that plugins have.

Next step: `turn_line.py` prints a turn in the terminal, and `observations.py` posts its report to the emulator.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from linqbot.bot.content.preview import watcher
from linqbot.bot.routing.report import NO_HANDLER, OWN_ECHO
from linqbot.bot.sent import OPTED_OUT
from linqbot.bot.turn_watcher import AnswerResult, turn_watcher
from linqbot.cli.dev.reports.turn import SENDS, HandledError, MetQuestion, ObservedTurn, wall_time
from linqbot.client.call import ApiResponse, Call
from linqbot.clock import Clock, SystemClock
from linqbot.errors import LinqApiError
from linqbot.events.delivery import PROBE_ID, Delivery
from linqbot.events.event import Event
from linqbot.events.parse import EVENT_TYPES, EventNotUnderstood, parse
from linqbot.frames import authors_place_of_task
from linqbot.hookspecs import End, Running, Tried, hookimpl
from linqbot.ops.subscriptions import events_among, handled_by
from linqbot.storage.journal import RECEIPTS
from linqbot.worker.asking.arrivals import ANSWERS

BY_MIDDLEWARE: Final = "middleware ended the event before a handler was chosen"
LOST: Final = "its outcome could not be stored, so it is handled again"

LONG_S: Final = 10.0
"""Seconds after which a handler that still runs is shown. An answer of a language model is usually there before."""

_turn: ContextVar[ObservedTurn | None] = ContextVar("linqbot_dev_turn", default=None)


class TurnReports:
    """A built-in plugin that shows each turn at its end.

    Args:
        show: Called with each turn that an author wants to see, after its end. Also called once with a turn whose handler
            runs for `long_s`: it may never return.
        post: Called with a report for the page when the bot has started; when a handler blocks the event loop: then no
            turn ends, and the terminal has a log line; and when a call of a turn waits. May be called from any thread.
        long_s: Seconds.
    """

    name = "linqbot-dev"

    def __init__(
        self, show: Callable[[ObservedTurn], None], post: Callable[[dict[str, Any]], None], *, long_s: float = LONG_S
    ) -> None:
        self._show = show
        self._post = post
        self._long_s = long_s
        self._clock: Clock = SystemClock()
        self._handled: Sequence[str] = ()
        self._blocked: dict[str, str] = {}
        self._running: dict[str, ObservedTurn] = {}
        """The turns whose handlers were chosen, by the ids of their deliveries."""

    def blocked(self, handler: str, at: str) -> None:
        """Note that a handler blocks the event loop, so that its turn shows this. Called from any thread.

        Args:
            handler: Name of the function, as `module:name`.
            at: `file:line` of the code that blocks.
        """
        self._blocked[_function(handler)] = at
        # At once, because a loop without an end never lets the turn end.
        for turn in list(self._running.values()):
            if turn.handler is not None and _function(turn.handler) == _function(handler):
                took_s = self._clock.now() - turn.started_at.timestamp()
                self._post(replace(turn, blocked_at=at, took_s=took_s).report_to_page())

    @hookimpl
    def register_routes(self, running: Running) -> Iterable[Route]:
        """Answer which event types the bot needs. The emulator then delivers these, as Linq does after a sync."""
        self._clock = running.clock
        wanted = handled_by(running.handled)
        self._handled = wanted.types
        events, _ = events_among(tuple(EVENT_TYPES), wanted)

        async def answer(_: Request) -> JSONResponse:
            return JSONResponse({"events": events})

        return [Route("/events", answer)]

    @hookimpl
    def started(self, running: Running) -> None:
        self._post({"kind": "bot", "status": "loaded", "at": wall_time(datetime.now(UTC))})

    @hookimpl
    def taken(self, delivery: Delivery, attempts: int) -> None:
        # The calls of the turn have times of the same clock, by which the page finds them.
        turn = ObservedTurn(delivery, datetime.fromtimestamp(self._clock.now(), UTC), attempts + 1)
        _turn.set(turn)
        watcher.set(turn.sends.note_content)
        turn_watcher.set(_Watcher(turn, self._show, self._post, self._clock))

    @hookimpl
    def routed(
        self, event: Event, handler: str | None, at: str | None, tried: Sequence[Tried], reason: str | None
    ) -> None:
        if (turn := _turn.get()) is not None:
            turn.event, turn.handler, turn.at, turn.tried, turn.reason = event, handler, at, tried, reason
            if handler is not None:
                self._running[turn.delivery.id] = turn
            if handler is not None and turn.timer is None:
                shows = partial(self._show_running, turn, asyncio.current_task())
                turn.timer = asyncio.get_running_loop().call_later(self._long_s, shows)

    def _show_running(self, turn: ObservedTurn, task: asyncio.Task[Any] | None) -> None:
        turn.took_s = self._long_s
        turn.waits_at = None if task is None else authors_place_of_task(task)
        self._show(turn)

    @hookimpl
    def sent(self, call: Call, answer: ApiResponse | None, error: Exception | None, from_journal: bool) -> None:
        turn = _turn.get()
        if turn is None or turn.end is not None or call.safety in {"hint", "read"}:
            return
        if answer is not None and call.name in SENDS:
            turn.sends.note_call(call, answer)
        if from_journal:
            return
        if error is None:
            turn.calls.append(call)
        elif isinstance(error, LinqApiError) and error.code == OPTED_OUT:
            turn.has_opted_out = True

    @hookimpl
    def handled(self, event: Event, handler: str | None) -> None:
        if (turn := _turn.get()) is not None:
            if handler is None and turn.event is None:
                turn.reason = BY_MIDDLEWARE
            turn.event, turn.handler = event, handler

    @hookimpl
    def failed(self, event: Event | None, handler: str | None, error: BaseException) -> None:
        if (turn := _turn.get()) is not None:
            turn.event, turn.handler, turn.error = event, handler, error

    @hookimpl
    def finished(self, outcome: End, took_s: float, again_in_s: float | None, reason: str | None) -> None:
        turn = _turn.get()
        if turn is None:
            return
        self._running.pop(turn.delivery.id, None)
        if turn.timer is not None:
            turn.timer.cancel()
        if turn.question is not None:
            # The handler of an ended question runs with the message that began it. The turn is about this one.
            turn.event = _understood(turn.delivery) or turn.event
        turn.end, turn.took_s, turn.again_in_s = outcome, took_s, again_in_s
        turn.handled = self._handled
        if turn.handler is not None:
            turn.blocked_at = self._blocked.pop(_function(turn.handler), None)
        if turn.error is not None and outcome in {"retry", "dead_letter"}:
            reason = None  # the error says it
        turn.reason = LOST if outcome == "lost" else turn.reason or reason
        if _is_of_interest(turn):
            self._show(turn)


class _Watcher:
    """Notes what becomes of open questions and of messages that the running handler takes; see `TurnWatcher`."""

    def __init__(
        self,
        turn: ObservedTurn,
        show: Callable[[ObservedTurn], None],
        post: Callable[[dict[str, Any]], None],
        clock: Clock,
    ) -> None:
        self._turn = turn
        self._show = show
        self._post = post
        self._clock = clock

    def took(self, deliveries: Sequence[Delivery]) -> None:
        """Show each message at once: its only trace is the turn of the handler that took it, which may run for long."""
        by = self._turn
        for delivery in deliveries:
            now = datetime.fromtimestamp(self._clock.now(), UTC)
            taken = ObservedTurn(delivery, now, 1, _understood(delivery), by.handler, by.at, end="ack", taken_by=by)
            self._show(taken)

    def met_question(self, text: str, handler: str, result: AnswerResult) -> None:
        self._turn.question = MetQuestion(text, handler, result)
        if self._turn.event is None:
            self._turn.event = _understood(self._turn.delivery)

    def handled_error(self, error: Exception, handler: str) -> None:
        self._turn.handled_error = HandledError(error, handler)

    def waits(self, reason: str, seconds: float) -> None:
        """Post this at once. A turn that only waits is not over, so that the terminal has no line for it."""
        turn = self._turn
        took_s = self._clock.now() - turn.started_at.timestamp()
        self._post(replace(turn, took_s=took_s, reason=reason, again_in_s=seconds).report_to_page())

    def asked(self, text: str) -> None:
        self._turn.asks = text


def _understood(delivery: Delivery) -> Event | None:
    try:
        return parse(delivery)
    except EventNotUnderstood:
        return None


def _function(handler: str) -> str:
    """Return the bare name of a handler: a stack shows no more of it."""
    return re.split(r"[.:]", handler)[-1]


def _is_of_interest(turn: ObservedTurn) -> bool:
    """Return False for turns that run no code of the author: receipts for the journal, answers to nothing, probes."""
    if turn.end != "ack" or turn.handler is not None or turn.question is not None:
        return True
    if turn.event is None:
        return turn.delivery.id.startswith("i.") and not turn.delivery.id.startswith(PROBE_ID)
    return turn.reason != OWN_ECHO and not (turn.reason == NO_HANDLER and turn.delivery.type in (*RECEIPTS, *ANSWERS))
