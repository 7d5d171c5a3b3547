"""Observes the turns of a bot for `linqbot dev`, by the events that plugins observe, and by those that quote people.

    14:09:08  +14155550100 "hi" → bot:greet 12 ms → "Hello!" (confetti)

`TurnLines` prints such a line for each turn: time, sender, text, handler, milliseconds, answer. It replaces what the
log of `linqbot serve` says about an error. `Observations` posts the report of the turn to the emulator from a thread,
so that no turn waits for the emulator or fails because of it. Lines and reports hold texts of people, so only the
author's own terminal and page show them. Next step: `turn_report.py` has the turn and the form of its report.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import click
import httpx

from linqbot import Running, hookimpl
from linqbot.bot.handlers import NO_HANDLER, OWN_ECHO, untaken
from linqbot.characters import cut
from linqbot.cli.output import printable, printable_lines
from linqbot.client.call import Call
from linqbot.clock import Clock, SystemClock
from linqbot.content.sending import ContentSent
from linqbot.features.asking.admission import ENDING_ID
from linqbot.features.asking.arrivals import ANSWERS
from linqbot.features.asking.elsewhere import IN_CHAT, TO_PERSON, Errand
from linqbot.features.asking.records import ending_of, event_of
from linqbot.frames import authors_place_of_task, is_authors
from linqbot.linq.events.delivery import PROBE_ID, Delivery, decode
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.events.message import MessageEdited, MessageReceived, ReactionAdded, ReactionRemoved
from linqbot.linq.events.parse import understood
from linqbot.ops.subscriptions import handled_by
from linqbot.storage.journal import RECEIPTS
from linqbot.tracebacks import authors_frames
from linqbot.turn_events import (
    AnswerResult,
    CallDelayed,
    ErrorHandled,
    MessagesTaken,
    Observers,
    QuestionAsked,
    QuestionMet,
    Routed,
    StepEnded,
    TurnEnded,
    TurnReport,
    TurnTaken,
)
from linqbot_dev.dev.processes import no_authorities
from linqbot_dev.dev.turn_report import ObservedTurn, error_report, wall_time

LOST: Final = "its outcome could not be stored, so it is handled again"

LONG_S: Final = 10.0
"""Seconds after which a handler that still runs is shown. An answer of a language model is usually there before."""

_turn: ContextVar[ObservedTurn] = ContextVar("linqbot_dev_turn")


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
        """The turns that run, by the ids of their deliveries."""

    def blocked(self, handler: str, at: str) -> None:
        """Note that a handler blocks the event loop at `file:line`. Called from any thread."""
        self._blocked[_function(handler)] = at
        # At once, because a loop without an end never lets the turn end.
        for turn in list(self._running.values()):
            if turn.handler is not None and _function(turn.handler) == _function(handler):
                self._post_running(turn, blocked_at=at)

    def _post_running(self, turn: ObservedTurn, **facts: Any) -> None:
        took_s = self._clock.now() - turn.started_at.timestamp()
        self._post(replace(turn, took_s=took_s, **facts).for_page())

    @hookimpl
    def register_observers(self) -> Observers:
        return {
            TurnTaken: self._taken,
            Routed: self._routed,
            StepEnded: self._step_ended,
            TurnEnded: self._turn_ended,
            ContentSent: self._sent,
            MessagesTaken: self._took,
            QuestionMet: self._met_question,
            QuestionAsked: self._asked,
            ErrorHandled: self._handled_error,
            CallDelayed: self._waits,
        }

    @hookimpl
    def started(self, running: Running) -> None:
        self._clock, self._handled = running.clock, handled_by(running.handled).types
        # By the clock of the turns, none of which has begun: a saved test tells by it which code a turn ran.
        at = wall_time(datetime.fromtimestamp(self._clock.now(), UTC))
        self._post({"kind": "bot", "status": "loaded", "at": at})

    def _taken(self, event: TurnTaken) -> None:
        # The calls of the turn have times of the same clock, by which the page finds them.
        report = event.report
        turn = ObservedTurn(report, datetime.fromtimestamp(self._clock.now(), UTC), handled=self._handled)
        self._running[report.delivery.id] = turn
        _turn.set(turn)

    def _routed(self, to: Routed) -> None:
        turn = _turn.get()
        turn.event, turn.handler, turn.at, turn.tried, turn.reason = to.event, to.handler, to.at, to.tried, to.reason
        if to.handler is not None and turn.timer is None:
            shows = partial(self._show_running, turn, asyncio.current_task())
            turn.timer = asyncio.get_running_loop().call_later(self._long_s, shows)

    def _show_running(self, turn: ObservedTurn, task: asyncio.Task[Any] | None) -> None:
        turn.took_s = self._long_s
        turn.waits_at = None if task is None else authors_place_of_task(task)
        self._show(turn)

    def _step_ended(self, step: StepEnded) -> None:
        """Post each step at once: an agent may run for long, and a process that dies reports no end."""
        if not step.from_journal:
            # Not in the observer, which must be quick: a report with long results is not.
            asyncio.get_running_loop().call_soon(self._post_step, _turn.get())

    def _post_step(self, turn: ObservedTurn) -> None:
        if self._running.get(turn.report.delivery.id) is turn:
            self._post_running(turn)

    def _turn_ended(self, ended: TurnEnded) -> None:
        turn = self._running.pop(ended.delivery.id)
        turn.ended = ended
        if turn.timer is not None:
            turn.timer.cancel()
        if ended.event is not None:
            turn.event, turn.handler = ended.event, ended.handler
        if turn.question is not None:
            # The handler of an ended question runs with the message that began it. The turn is about this one.
            turn.event = understood(ended.delivery) or turn.event
        turn.took_s, turn.again_in_s = ended.took_s, ended.again_in_s
        if turn.handler is not None:
            turn.blocked_at = self._blocked.pop(_function(turn.handler), None)
        if ended.outcome == "lost":
            turn.reason = LOST
        elif ended.error is None or ended.outcome == "defer":  # else the error says it
            turn.reason = ended.reason or (
                ended.row.why if turn.outcome == "not_handled" and ended.row else turn.reason
            )
        if _is_of_interest(turn):
            self._show(turn)

    # What becomes of open questions and of messages that the running handler takes

    def _took(self, event: MessagesTaken) -> None:
        """Show each message at once: its only trace is the turn of the handler that took it, which may run for long."""
        by = _turn.get()
        for delivery in event.deliveries:
            report = TurnReport(delivery, 0, 0, 0, 0)
            now = datetime.fromtimestamp(self._clock.now(), UTC)
            self._show(ObservedTurn(report, now, understood(delivery), by.handler, by.at, taken_by=by))

    def _met_question(self, event: QuestionMet) -> None:
        turn = _turn.get()
        turn.question = event
        if turn.event is None:
            turn.event = understood(turn.report.delivery)

    def _handled_error(self, event: ErrorHandled) -> None:
        _turn.get().handled_error = event

    def _waits(self, event: CallDelayed) -> None:
        """Post this at once. A turn that only waits is not over, so that the terminal has no line for it."""
        self._post_running(_turn.get(), reason=event.reason, again_in_s=event.seconds)

    def _asked(self, event: QuestionAsked) -> None:
        turn = _turn.get()
        turn.asks, turn.asks_elsewhere = event.text, event.elsewhere

    def _sent(self, event: ContentSent) -> None:
        if event.sent.messages:
            _turn.get().said.append(event)


def _function(handler: str) -> str:
    """Return the bare name of a handler: a stack shows no more of it."""
    return re.split(r"[.:]", handler)[-1]


def _is_of_interest(turn: ObservedTurn) -> bool:
    """Return False for turns that run no code of the author: receipts for the journal, answers to nothing, probes."""
    delivery = turn.report.delivery
    if turn.end != "ack" or turn.handler is not None or turn.question is not None:
        return True
    if turn.event is None:
        is_step = _brings(delivery) is not None or delivery.id.startswith(ENDING_ID)  # of a question to another chat
        return delivery.is_internal and not delivery.id.startswith(PROBE_ID) and (bool(turn.calls) or not is_step)
    return turn.reason != OWN_ECHO and not (turn.reason == NO_HANDLER and delivery.type in (*RECEIPTS, *ANSWERS))


MAX_WAITING: Final = 1000
"""Maximum number of reports that wait. Later ones are dropped: the emulator is away or too slow."""

ANSWER_S: Final = 10.0
"""Seconds for the emulator's answer to a report. The machine may be busy, and only later reports wait for it."""

CLOSE_S: Final = 2.0
"""Seconds that the end of a bot may wait for its last reports."""

Report = Callable[[], dict[str, Any]]


class Observations:
    def __init__(self, emulator: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = f"{emulator}/emulator/observations"
        self._transport = transport
        self._waiting: queue.Queue[Report | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="observations", daemon=True)
        self._thread.start()

    def post(self, report: Report) -> None:
        """Post a report soon, made in the thread that posts. Never waits and never raises."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(report)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Post the reports that wait, for at most `timeout_s` seconds, and end the thread."""
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        # No proxy: the emulator is on this machine.
        verify, transport = no_authorities(), self._transport
        with httpx.Client(trust_env=False, verify=verify, timeout=ANSWER_S, transport=transport) as client:
            while (report := self._waiting.get()) is not None:
                try:
                    client.post(self._url, json=report())
                except (httpx.HTTPError, ValueError):
                    continue  # the page misses one report


LONGEST_TEXT: Final = 60
"""Maximum characters of a text in a line. A longer text is cut."""

LONGEST_MESSAGE: Final = 2000
"""Maximum characters of an error in a line: more than any message of linqbot has."""

_ARROW: Final = " → "
_QUESTIONS: Final[Mapping[AnswerResult, str]] = {
    "counted": "counted as a vote on",
    "given_up": "no valid answer, which ends the question",
    "cancelled": "ends the question",
    "timed_out": "no answer in time, which ends the question",
    "passed_on": "answers",
    "late": "comes too late for",
}
"""The words for what became of an open question, where the answer of the bot does not show it."""


class TurnLines:
    """Prints the turns of a bot to standard error: a line for each, and below it the frames of an error, once."""

    def __init__(self, *, has_page: bool, full_tracebacks: bool = False) -> None:
        self._has_page = has_page
        self._full_tracebacks = full_tracebacks
        self._seen: set[tuple[object, ...]] = set()
        self._has_given_up = False

    def print(self, turn: ObservedTurn) -> None:
        if not is_shown(turn):
            return
        shown = [line(turn)]
        if turn.end in {"retry", "dead_letter"} and turn.error and (frames := self._frames(turn.error)):
            shown.append(frames)
        if turn.end == "dead_letter" and not self._has_given_up:
            self._has_given_up = True  # the process of the corrected bot says it again
            shown.append(click.style(f"  {self._way_back(turn)}", dim=True))
        click.echo("\n".join(shown), err=True, color=sys.stderr.isatty() and not os.environ.get("NO_COLOR"))

    def _frames(self, error: BaseException) -> str:
        """Return the frames of an error; empty if they were shown: a handler that fails is run five times."""
        found = traceback.extract_tb(error.__traceback__)
        known = (type(error), *((frame.filename, frame.lineno) for frame in found if is_authors(frame.filename)))
        if known in self._seen:
            return ""
        self._seen.add(known)
        return printable_lines(authors_frames(error, full=self._full_tracebacks)).rstrip()

    def _way_back(self, turn: ObservedTurn) -> str:
        if self._has_page:
            return "To handle it again: correct the bot, save, and choose Run Again on the page."
        return (
            f"To handle it again: correct the bot, save, and run linqbot waiting retry --dev {turn.report.delivery.id}"
        )


def is_shown(turn: ObservedTurn) -> bool:
    """Return False for events of a type that the bot does not handle. Messages are always shown."""
    return turn.reason != NO_HANDLER or isinstance(turn.event, MessageReceived)


def line(turn: ObservedTurn) -> str:
    time = click.style(f"{turn.started_at.astimezone():%H:%M:%S}", dim=True)
    parts = [_what_came(turn)]
    if turn.taken_by is not None:
        first = turn.taken_by.event
        took = "" if first is None else f" while it handled {_content(first)}"
        parts.append(f"{click.style(turn.handler or '', fg='cyan')} took it with ctx.incoming(){took}")
        return f"{time}  {_ARROW.join(parts)}"
    if turn.handler is not None:
        parts.append(f"{click.style(turn.handler, fg='cyan')} {turn.took_s * 1000:.0f} ms")
    if turn.handled_error is not None:
        handled = _error(turn, turn.handled_error.error)
        parts.append(f"{click.style(handled, fg='yellow')}, handled by {turn.handled_error.handler}")
    parts.extend(_answers(turn))
    if turn.asks is not None and turn.asks_elsewhere:
        parts.append(click.style(f"asks {', '.join(turn.asks_elsewhere)} {quoted(turn.asks)}", fg="green"))
    parts.extend(_end(turn))
    return f"{time}  {_ARROW.join(parts)}"


def _what_came(turn: ObservedTurn) -> str:
    event = turn.event
    if event is None:
        delivery = turn.report.delivery
        if (errand := _brings(delivery)) is not None:
            return errand
        return "scheduled send" if delivery.id.startswith("i.send.") else delivery.type or "webhook"
    event = _answer_of(turn.report.delivery) or event
    group = "in a group" if event.is_group else None
    return " ".join(filter(None, (printable(event.actor or ""), group, _content(event))))


def _brings(delivery: Delivery) -> str | None:
    """Return what a delivery of linqbot's brings to a person who is asked in their own chat; None if it is no such one."""
    if not delivery.is_internal or delivery.id.split(".", 2)[1] not in (TO_PERSON, IN_CHAT):
        return None
    errand = _errand(delivery)
    if not errand.to:
        return "next question"
    return f"{'end of a question' if errand.question is None else 'question'} to {printable(errand.to)}"


def _errand(delivery: Delivery) -> Errand:
    return Errand.model_validate(decode(delivery.body))


def _answer_of(delivery: Delivery) -> Event | None:
    """Return the event by which a person has answered in another chat, given the delivery that ends the question with it."""
    end = ending_of(delivery) if delivery.id.startswith(ENDING_ID) else None
    return event_of(end.outcome, "") if end is not None and "person" in end.outcome and "body" in end.outcome else None


def _content(event: Event) -> str:
    if isinstance(event, MessageReceived):
        return _parts(part.model_dump() for part in event.parts) or "an empty message"
    if isinstance(event, MessageEdited):
        return f"edited {quoted(event.text)}"
    if isinstance(event, ReactionAdded | ReactionRemoved):
        return f"{event.type} {event.reaction_type}"
    return event.type


def _answers(turn: ObservedTurn) -> list[str]:
    texts = [click.style(_to_asker(turn, call) + _answer(call), fg="green") for call in turn.calls]
    if turn.has_opted_out:
        texts.append(click.style("not sent: the person opted out with STOP", fg="yellow"))
    return [" ".join(texts)] if texts else []


def _to_asker(turn: ObservedTurn, call: Call) -> str:
    """Return the words before a text that the chat of the asking handler gets, in the turn that asks another person."""
    delivery = turn.report.delivery
    chat_id = chat_of_lane(delivery.lane)
    if _brings(delivery) is None or chat_id is None or call.name != "chats.messages.send" or chat_id in call.path:
        return ""
    errand = _errand(delivery)
    asker = next((each for each in errand.handles if each != errand.person), "the chat that asks")
    return f"to {printable(asker)}: "


def _answer(call: Call) -> str:
    message = (call.body or {}).get("message")
    if isinstance(message, Mapping):
        effect = message.get("effect")
        name = f" ({effect['name']})" if isinstance(effect, Mapping) and effect.get("name") else ""
        return f"{_parts(message.get('parts') or ()) or _experience(message)}{name}"
    if call.name == "messages.add_reaction":
        body = call.body or {}
        return f"({body.get('operation')} {body.get('custom_emoji') or body.get('type')})"
    return f"({call.name})"


def _end(turn: ObservedTurn) -> list[str]:
    outcome, error = turn.end, turn.error
    if outcome is None:
        at = f" at {turn.waits_at}" if turn.waits_at else ""
        return [click.style(f"still running{at}", fg="yellow")]
    again = "" if turn.again_in_s is None else f"again in {turn.again_in_s:.1f} s"
    if outcome in {"retry", "dead_letter"} and error is not None:
        end = f"given up after attempt {turn.report.attempts + 1}" if outcome == "dead_letter" else again
        return [click.style(part, fg="red") for part in (_error(turn, error), end)]
    if outcome == "dead_letter":
        return [click.style(f"given up: {_whole(turn.reason or '')}", fg="red")]
    if outcome in {"defer", "lost"}:
        reason = f"deferred: {_whole(turn.reason or '')}"
        return [click.style(part, fg="yellow") for part in (reason, again) if part]
    if turn.outcome == "not_handled":
        return [click.style(untaken(turn.reason, turn.tried), fg="yellow")]
    has_said = turn.calls or turn.has_opted_out or turn.asks_elsewhere
    return _end_of_question(turn) or ([] if has_said else ["sent nothing"])


def _error(turn: ObservedTurn, error: BaseException) -> str:
    shown = error_report(error, turn.at)
    at = f" at {shown['file']}:{shown['line']}" if shown["file"] else ""
    message = f": {_whole(shown['message'])}" if shown["message"] else ""
    return f"{shown['type']}{at}{message}"


def _end_of_question(turn: ObservedTurn) -> list[str]:
    if turn.question is None:
        return []
    said = _QUESTIONS.get(turn.question.result)
    if turn.question.result == "invalid" and not turn.calls:
        said = "no valid answer, so the person is asked again"  # in their own chat, by a turn there
    of = "" if turn.handler is not None else f" of {turn.question.handler}"
    return [] if said is None else [f"{said} {quoted(turn.question.text)}{of}"]


def _parts(parts: Any) -> str:
    return " ".join(_part(part) for part in parts if isinstance(part, Mapping))


def _experience(message: Mapping[str, Any]) -> str:
    """Return the name of what is sent instead of parts, such as the card of a payment."""
    experience = message.get("experience")
    return f"[{_cut(str(experience.get('name')))}]" if isinstance(experience, Mapping) else ""


def _part(part: Mapping[str, Any]) -> str:
    kind = part.get("type")
    if kind == "text":
        return quoted(str(part.get("value", "")))
    if kind == "link":
        return _cut(str(part.get("value", "")))
    return f"[{_cut(str(part.get('filename') or kind))}]"


def quoted(text: str) -> str:
    """Return a text in quotation marks, on one line and not too long, without control characters."""
    return f'"{_cut(text)}"'


def _cut(text: str, longest: int = LONGEST_TEXT) -> str:
    text = text.strip()
    return printable(text if len(text) <= longest else cut(text, longest - 1) + "…")


def _whole(message: str) -> str:
    """Return the message of an error, on one line. The way to correct it comes last, so it is not cut."""
    return _cut(message, LONGEST_MESSAGE)
