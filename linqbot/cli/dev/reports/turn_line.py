"""The line that `linqbot dev` prints for a turn: time, sender, text, handler, milliseconds, answer.

    14:09:08  +14155550100 "hi" → bot:greet 12 ms → "Hello!" (confetti)

It says everything about an error that the log of `linqbot serve` says, so `linqbot dev` does not log that. The line shows texts of people, so it is for the author's own terminal only.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

import click

from linqbot.bot.routing.report import NO_HANDLER
from linqbot.bot.turn_watcher import AnswerResult
from linqbot.cli.dev.reports.turn import ObservedTurn, error_report
from linqbot.cli.printable import printable, printable_lines
from linqbot.client.call import Call
from linqbot.events.event import Event
from linqbot.events.message import MessageEdited, MessageReceived
from linqbot.events.reaction import ReactionAdded, ReactionRemoved
from linqbot.frames import is_authors
from linqbot.tracebacks import authors_frames

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
}
"""The words for what became of an open question, where the answer of the bot does not show it."""


class TurnLines:
    """Prints the turns of a bot to standard error: a line for each, and below it the frames of an error, once.

    Args:
        has_page: True if the emulator's page is there, from which the author runs a message again.
        full_tracebacks: Show all frames, instead of folding linqbot's own.
    """

    def __init__(self, *, has_page: bool, full_tracebacks: bool = False) -> None:
        self._has_page = has_page
        self._full_tracebacks = full_tracebacks
        self._seen: set[tuple[object, ...]] = set()
        self._has_given_up = False

    def print(self, turn: ObservedTurn) -> None:
        """Print a turn, if it is shown."""
        if not is_shown(turn):
            return
        shown = [line(turn)]
        if turn.end in {"retry", "dead_letter"} and turn.error is not None and (frames := self._frames(turn.error)):
            shown.append(frames)
        if turn.end == "dead_letter" and not self._has_given_up:
            self._has_given_up = True  # the process of the corrected bot says it again
            shown.append(click.style(f"  {self._way_back(turn)}", dim=True))
        click.echo("\n".join(shown), err=True, color=_has_colors())

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
        return f"To handle it again: correct the bot, save, and run linqbot inbox retry --dev {turn.delivery.id}"


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
    again = "" if turn.again_in_s is None else f"again in {turn.again_in_s:.1f} s"
    if turn.end in {"retry", "dead_letter"} and turn.error is not None:
        end = f"given up after attempt {turn.attempt}" if turn.end == "dead_letter" else again
        return [click.style(part, fg="red") for part in (_error(turn, turn.error), end)]
    if turn.end == "dead_letter":
        return [click.style(f"given up: {_whole(turn.reason or '')}", fg="red")]
    if turn.end in {"defer", "lost"}:
        reason = f"deferred: {_whole(turn.reason or '')}"
        return [click.style(part, fg="yellow") for part in (reason, again) if part]
    if turn.outcome == "not_handled":
        tried = dict.fromkeys(one.handler for one in turn.tried)
        names = f" (tried {', '.join(tried)})" if tried else ""
        return [click.style(f"no handler took it: {turn.reason}{names}", fg="yellow")]
    return _end_of_question(turn) or ([] if turn.calls or turn.has_opted_out else ["sent nothing"])


def _error(turn: ObservedTurn, error: BaseException) -> str:
    shown = error_report(error, turn.at)
    at = f" at {shown['file']}:{shown['line']}" if shown["file"] else ""
    message = f": {_whole(shown['message'])}" if shown["message"] else ""
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


def _cut(text: str, longest: int = LONGEST_TEXT) -> str:
    text = text.strip()
    return printable(text if len(text) <= longest else text[: longest - 1] + "…")


def _whole(message: str) -> str:
    """Return the message of an error, on one line. The way to correct it comes last, so it is not cut."""
    return _cut(message, LONGEST_MESSAGE)
