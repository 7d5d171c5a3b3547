"""A turn as `linqbot dev` shows it, and its report in the form that the emulator's page reads.

`reporting.py` fills the turn while it runs. The report adds notes about a message that was not answered as expected. It
also has the forms on iMessage, RCS and SMS of what the turn sent. A send of `ctx.reply` or `ctx.send` is shown as its
author wrote it, so that the page also shows what the chat's own service did not get, such as a poll in an SMS chat.
Other sends are shown from their call to Linq. A turn holds texts and handles of people, so it is never logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_jsonable_python

from linqbot.bot.handlers import IN_GROUP, LOOP, NO_HANDLER, NOT_ADDRESSED, NOT_ALLOWED
from linqbot.bot.handlers import OPTED_OUT as STOPPED
from linqbot.client.call import ApiResponse, Call
from linqbot.client.outcome import Refusal, meaning_of
from linqbot.content.drafts import poll
from linqbot.content.message_split import Sendable
from linqbot.content.preview import Preview, preview
from linqbot.content.sending import ContentSent
from linqbot.engine.call_lookup import ids_in
from linqbot.engine.rate_limit import SENDS
from linqbot.engine.reasons import step_facts
from linqbot.error_details import readable
from linqbot.errors import LinqApiError, LinqbotError, NeverAwaited
from linqbot.frames import authors_frame
from linqbot.linq.events.delivery import event_id_of
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import as_object, chat_of_lane
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.types.message import MessageContent
from linqbot.ops.runs import used, with_contents
from linqbot.ops.why import Case, answer_of
from linqbot.storage.outcomes import OutcomeRow
from linqbot.storage.upkeep import Waiting, WaitingState
from linqbot.tracebacks import first_cause, folded
from linqbot.turn_events import End, ErrorHandled, QuestionMet, Tried, TurnCall, TurnEnded, TurnReport

BLOCKED: Final = (
    "While this line ran, the bot answered no other chat. Await slow calls (asyncio.sleep, "
    "httpx.AsyncClient), or write the handler with def instead of async def: then it runs in a thread."
)
WAITS: Final = "The handler waits in this line. The next messages of the chat wait for it."
HANDLED: Final = "The bot handled this error with @bot.on_error {}, so the message counts as done."
REFUSED: Final = (
    "Linq refused the reply, because the person opted out with STOP. The opt-out ends with the person's next message "
    "that is not a stop word."
)
_ADVICE: Final[Mapping[str, str]] = {
    IN_GROUP: 'Bot(groups="never") asks for this.',
    NOT_ADDRESSED: ('Mention the bot, or reply to a message of it. Bot(groups="all") takes every message of a group.'),
    NOT_ALLOWED: "Bot(allow=…) does not list the sender.",
    LOOP: "Bot(loop_breaker=False) turns this off.",
    STOPPED: (
        "Linq takes this word as an opt-out, and refuses messages to the person until the person writes something else. "
        "Open questions have ended, and scheduled sends are cancelled. @bot.on_opt_out may record it."
    ),
}


def advice_on(reason: str | None, event_type: str, handled: Sequence[str]) -> str | None:
    """Return what the author can do if no handler took an event; None if the reason says enough."""
    if reason == NO_HANDLER and event_type == "message.received":
        only = f"The bot handles only {', '.join(handled)}. " if handled else "The bot has no handlers. "
        return f"{only}Add a handler for messages with @bot.on_message."
    return _ADVICE.get(reason or "")


def _previews(said: Sequence[ContentSent], calls: Sequence[TurnCall]) -> list[dict[str, Any]]:
    """Return the forms of each reply and send, with the ids of its messages: as its author wrote it, or from its call."""
    found = [_preview([message.id for message in one.sent.messages], _preview_of(one)) for one in said]
    covered = {message_id for shown in found for message_id in shown["message_ids"]}
    for one in calls:
        message_id = _message_id(one.answer) if one.answer and one.call.name in SENDS else None
        if message_id and message_id not in covered and (content := _content(one.call)) is not None:
            found.append(_preview([message_id], preview([content], effect=None, cards=False, is_group=None)))
    return found


def _preview_of(one: ContentSent) -> Preview:
    return preview(one.content, effect=one.effect, cards=one.cards, is_group=one.is_group)


def _message_id(answer: ApiResponse) -> str | None:
    # The answer to a poll has it at the top.
    return ids_in(answer)[0] or as_object(answer.data).get("message_id")


def _content(call: Call) -> Sendable | None:
    """Return what a call sends; None if it cannot be read, as with a wrong call of an author."""
    body = call.body or {}
    try:
        if call.name == "chats.polls.create":
            return poll(*(option["text"] for option in body["poll"]["options"]))
        return MessageContent.model_validate(body["message"]) if "message" in body else None
    except (LinqbotError, ValueError, LookupError, TypeError):
        return None


def _preview(message_ids: Sequence[str], shown: Preview) -> dict[str, Any]:
    return {"message_ids": message_ids, **to_jsonable_python(shown, exclude_none=True)}


_OUTCOMES: Final[Mapping[End, str]] = {
    "ack": "acked",
    "retry": "retried",
    "defer": "deferred",
    "dead_letter": "dead_lettered",
    # Another turn handles the delivery.
    "lost": "deferred",
}


@dataclass(slots=True)
class ObservedTurn:
    """A turn, while it runs and after its end: its report for observers, its end, and what only `linqbot dev` notes."""

    report: TurnReport
    started_at: datetime  # time on the bot's clock, which `linqbot dev` can move
    event: Event | None = None  # the parsed event; None for a scheduled send, or if the delivery cannot be parsed
    handler: str | None = None
    at: str | None = None  # `file:line` of the handler's definition
    tried: Sequence[Tried] = ()
    # Why no handler takes the event; why the turn was deferred or given up; or why a call of it waits.
    reason: str | None = None
    said: list[ContentSent] = field(default_factory=list)  # the contents of replies and sends
    blocked_at: str | None = None  # `file:line` of code that blocked the event loop in this turn
    waits_at: str | None = None  # `file:line` at which the running handler waits; None in a thread
    handled: Sequence[str] = ()  # the event types that the bot handles
    took_s: float = 0.0  # seconds since its start, at its end or when it was last shown
    again_in_s: float | None = None
    timer: asyncio.TimerHandle | None = None  # shows the turn while it runs; None before its handler was chosen
    question: QuestionMet | None = None  # the open question that the event concerns; None if there is none
    asks: str | None = None  # the text of the question with which the handler ended, to wait for its answer
    asks_elsewhere: Sequence[str] = ()  # the handles of the people who are asked in chats of their own
    # The running turn that took this message with `ctx.incoming`. Then this is no turn of its own.
    taken_by: ObservedTurn | None = None
    handled_error: ErrorHandled | None = None
    ended: TurnEnded | None = None  # None while it runs

    @property
    def end(self) -> End | None:
        """The outcome of the turn; None while it runs."""
        return None if self.ended is None else self.ended.outcome

    @property
    def error(self) -> BaseException | None:
        return None if self.ended is None else self.ended.error

    @property
    def record(self) -> OutcomeRow | None:
        """The row of the run that `linqbot why` shows; None while it runs."""
        return None if self.ended is None else self.ended.row

    @property
    def outcome(self) -> str:
        if self.taken_by is not None:
            return "taken"
        if self.end is None:
            return "running"
        if self.end == "ack" and self.handler is None and self.question is None and self.event is not None:
            # linqbot itself has handled an event without a handler and without a reason, such as a text that a handoff passes on.
            return "acked" if self.record is not None and self.record.outcome == "handled" else "not_handled"
        return _OUTCOMES[self.end]

    @property
    def calls(self) -> list[Call]:
        """The calls of this run that changed something at Linq and succeeded, without those that an earlier run made."""
        return [one.call for one in self.report.calls if one.error is None and not one.from_journal]

    @property
    def has_opted_out(self) -> bool:
        errors = (one.error for one in self.report.calls)
        return any(isinstance(error, LinqApiError) and meaning_of(error) is Refusal.OPTED_OUT for error in errors)

    @property
    def why(self) -> str | None:
        """The sentence of `linqbot why` about the event; None while the turn runs. The page counts down to the next run."""
        report, delivery, waiting = self.report, self.report.delivery, None
        if self.ended is not None and self.ended.outcome in ("retry", "defer", "lost"):
            facts = (delivery.id, delivery.lane, delivery.type, delivery.received_at)
            failed = report.attempts + (self.end == "retry")
            state: WaitingState = "retrying" if self.end == "retry" else "deferred"
            waiting = Waiting(*facts, state, failed, report.crashes, None, self.reason or self.ended.reason)
        elif self.record is None:
            return None
        calls = [{"call": one.call.name, "status": "accepted"} for one in report.calls if one.error is None]
        if self.asks is not None or self.question is not None:
            calls.append({"call": "ctx.ask", "status": "accepted" if self.asks is None else "attempting"})
        rows = [] if self.record is None else [self.record]
        case = Case(delivery.received_at, None, delivery.type, rows=rows, waiting=waiting, calls=calls)
        return answer_of(case, keep_days=0.0, now=0.0, first_at=None)

    def for_page(self) -> dict[str, Any]:
        """Return the JSON data with what quotes people: questions, steps, and the forms of what was sent on each service."""
        question = None if self.question is None else asdict(self.question)
        previews = _previews(self.said, self.report.calls)
        steps = {
            "steps": with_contents(self.report.steps),
            "used": used([step_facts(each) for each in self.report.steps]),
        }
        asks = {"asks": self.asks, "asks_elsewhere": list(self.asks_elsewhere)}
        return self.to_json() | {"question": question, "previews": previews} | asks | steps

    def to_json(self) -> dict[str, Any]:
        """Return the turn as JSON data for the emulator's page, which reads it in `model/exchanges.js`."""
        event, delivery, error = self.event, self.report.delivery, self.error
        return {
            "kind": "turn",
            "event_id": event_id_of(delivery.id),
            "event_type": delivery.type or None,
            "chat_id": event.chat_id if event else chat_of_lane(delivery.lane),
            "message_id": event.message_id if event else None,
            "joined": self._joined(),
            "taken_by": None if self.taken_by is None else event_id_of(self.taken_by.report.delivery.id),
            "started_at": wall_time(self.started_at),
            "duration_ms": round(self.took_s * 1000, 1),
            "attempt": self.report.attempts + 1,
            "outcome": self.outcome,
            "handler": self.handler,
            **_place(self.at),
            "tried": [
                {"handler": one.handler, **_place(one.at), "filter": one.filter, "fits": one.fits} for one in self.tried
            ],
            "reason": self.reason,
            "why": self.why,
            "replies": sum(call.name in SENDS for call in self.calls),
            "retry_in_s": None if self.again_in_s is None else round(self.again_in_s, 1),
            "error": None if error is None else error_report(error, self.at),
            "notes": self._notes(),
        }

    def _joined(self) -> list[str | None]:
        return [one.message_id for one in self.event.burst[1:]] if isinstance(self.event, MessageReceived) else []

    def _notes(self) -> list[dict[str, Any]]:
        found = []
        if self.end is None and self.waits_at is not None:
            found.append({"title": None, "message": WAITS, **_place(self.waits_at)})
        if self.blocked_at is not None:
            found.append({"title": "Blocked the event loop", "message": BLOCKED, **_place(self.blocked_at)})
        if self.handled_error is not None:
            handled = error_report(self.handled_error.error, self.at)
            said = f"{handled['message']}. " if handled["message"] else ""
            message = f"{said}{HANDLED.format(self.handled_error.handler)}"
            found.append(
                {"title": handled["type"], "message": message, "file": handled["file"], "line": handled["line"]}
            )
        if self.has_opted_out:
            found.append({"title": "Reply refused: opted out", "message": REFUSED, **_place(None)})
        if self.outcome == "not_handled" and (
            advice := advice_on(self.reason, self.report.delivery.type, self.handled)
        ):
            found.append({"title": None, "message": advice, **_place(None)})
        return found


def wall_time(at: datetime) -> str:
    """Return a time as the emulator writes it, in UTC and to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def error_report(error: BaseException, otherwise: str | None = None) -> dict[str, Any]:
    cause = first_cause(error)
    frame = authors_frame(cause)
    if frame is None:
        at = cause.at if isinstance(cause, NeverAwaited) else None
        place: dict[str, Any] = {**_place(at or otherwise), "code": None}
    else:
        place = {"file": file_name(frame.filename), "line": frame.lineno, "code": frame.line or None}
    return {"type": type(cause).__name__, "message": message_of(cause), **place, "traceback": authors_traceback(error)}


def message_of(error: BaseException) -> str:
    try:
        return readable(error.msg if isinstance(error, SyntaxError) else str(error))
    except Exception:  # noqa: BLE001 - a class of the author's may fail to make its message
        return ""


def authors_traceback(error: BaseException) -> str:
    try:
        return readable(folded(error))
    except Exception:  # noqa: BLE001 - as in `message_of`
        return type(error).__name__


def file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _place(at: str | None) -> dict[str, Any]:
    file, _, line = (at or "").rpartition(":")
    return {"file": file, "line": int(line)} if file and line.isdecimal() else {"file": None, "line": None}
