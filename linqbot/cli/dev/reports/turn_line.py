"""The line that `linqbot dev` prints for a turn: time, sender, text, handler, milliseconds, answer.

    14:09:08  +14155550100 "hi" → bot:greet 12 ms → "Hello!" (confetti)

The line shows texts of people, so it is for the author's own terminal only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from linqbot.bot.routing.report import NO_HANDLER
from linqbot.bot.turn_watcher import AnswerResult
from linqbot.cli.dev.reports.turn import ObservedTurn, error_report
from linqbot.cli.printable import printable
from linqbot.client.call import Call
from linqbot.events.event import Event
from linqbot.events.message import MessageEdited, MessageReceived
from linqbot.events.reaction import ReactionAdded, ReactionRemoved

LONGEST_TEXT: Final = 60
"""Maximum characters of a text in a line. A longer text is cut."""

_ARROW: Final = " → "
_QUESTIONS: Final[Mapping[AnswerResult, str]] = {
    "counted": "counted as a vote on",
    "given_up": "no valid answer, which ends the question",
    "cancelled": "ends the question",
    "timed_out": "no answer in time, which ends the question",
}
"""The words for what became of an open question, where the answer of the bot does not show it."""


def print_turn(turn: ObservedTurn) -> None:
    """Print the line of a turn to standard error, if it is shown."""
    if is_shown(turn):
        click.echo(line(turn), err=True, color=_has_colors())


def is_shown(turn: ObservedTurn) -> bool:
    """Return False for events of a type that the bot does not handle. Messages are always shown."""
    return turn.reason != NO_HANDLER or isinstance(turn.event, MessageReceived)


def line(turn: ObservedTurn) -> str:
    """Return the line of a turn, with colors."""
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
    parts.extend(_end(turn))
    return f"{time}  {_ARROW.join(parts)}"


def _has_colors() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _what_came(turn: ObservedTurn) -> str:
    event = turn.event
    if event is None:
        return "scheduled send" if turn.delivery.id.startswith("i.send.") else turn.delivery.type or "webhook"
    group = "in a group" if event.is_group else None
    return " ".join(filter(None, (printable(event.actor or ""), group, _content(event))))


def _content(event: Event) -> str:
    if isinstance(event, MessageReceived):
        return _parts(part.model_dump() for part in event.parts) or "an empty message"
    if isinstance(event, MessageEdited):
        return f"edited {quoted(event.text)}"
    if isinstance(event, ReactionAdded | ReactionRemoved):
        return f"{event.type} {event.reaction_type}"
    return event.type


def _answers(turn: ObservedTurn) -> list[str]:
    texts = [click.style(_answer(call), fg="green") for call in turn.calls]
    if turn.has_opted_out:
        texts.append(click.style("not sent: the person opted out with STOP", fg="yellow"))
    return [" ".join(texts)] if texts else []


def _answer(call: Call) -> str:
    message = (call.body or {}).get("message")
    if isinstance(message, Mapping):
        effect = message.get("effect")
        name = f" ({effect['name']})" if isinstance(effect, Mapping) and effect.get("name") else ""
        return f"{_parts(message.get('parts') or ())}{name}"
    if call.name == "messages.add_reaction":
        body = call.body or {}
        return f"({body.get('operation')} {body.get('custom_emoji') or body.get('type')})"
    return f"({call.name})"


def _end(turn: ObservedTurn) -> list[str]:
    if turn.end is None:
        at = f" at {turn.waits_at}" if turn.waits_at else ""
        return [click.style(f"still running{at}", fg="yellow")]
    again = "" if turn.again_in_s is None else f", again in {turn.again_in_s:.1f} s"
    if turn.end in {"retry", "dead_letter"} and turn.error is not None:
        given_up = f", given up after attempt {turn.attempt}" if turn.end == "dead_letter" else again
        return [click.style(f"{_error(turn, turn.error)}{given_up}", fg="red")]
    if turn.end == "dead_letter":
        return [click.style(f"given up: {_cut(turn.reason or '')}", fg="red")]
    if turn.end in {"defer", "lost"}:
        return [click.style(f"deferred: {_cut(turn.reason or '')}{again}", fg="yellow")]
    if turn.outcome == "not_handled":
        tried = dict.fromkeys(one.handler for one in turn.tried)
        names = f" (tried {', '.join(tried)})" if tried else ""
        return [click.style(f"no handler took it: {turn.reason}{names}", fg="yellow")]
    return _end_of_question(turn) or ([] if turn.calls or turn.has_opted_out else ["sent nothing"])


def _error(turn: ObservedTurn, error: BaseException) -> str:
    shown = error_report(error, turn.at)
    at = f" at {shown['file']}:{shown['line']}" if shown["file"] else ""
    message = f": {_cut(shown['message'])}" if shown["message"] else ""
    return f"{shown['type']}{at}{message}"


def _end_of_question(turn: ObservedTurn) -> list[str]:
    said = None if turn.question is None else _QUESTIONS.get(turn.question.result)
    return [] if turn.question is None or said is None else [f"{said} {quoted(turn.question.text)}"]


def _parts(parts: Any) -> str:
    return " ".join(_part(part) for part in parts if isinstance(part, Mapping))


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


def _cut(text: str) -> str:
    text = text.strip()
    return printable(text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…")
