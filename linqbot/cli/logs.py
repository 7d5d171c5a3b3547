"""The format of logs: one JSON object per line in production, readable text in a terminal.

The other folders decide what they log. This module renders it, and makes sure that errors of other libraries show no
message text. What cannot be written is lost: no turn fails because of the log, or waits long for its reader.
"""

from __future__ import annotations

import json
import logging
import os
import select
import stat
import sys
import textwrap
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from pydantic_core import to_json

from linqbot import tracebacks
from linqbot.cli.output import printable, printable_lines
from linqbot.errors import error_name
from linqbot.frames import file_name, place_of, place_of_caller

# `import structlog` also imports rich, if another package has installed it, for tracebacks that linqbot never renders
# with rich. This takes 75 ms, a quarter of the start, and 5 MiB. structlog has no option against it: rich is imported at
# the top of `structlog/dev.py`, before an `exception_formatter` can be chosen. But it does without rich where the import
# fails, and None in `sys.modules` is Python's documented way to make an import fail. The entry is removed at once, so
# that a bot can still import rich.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
import structlog  # noqa: E402
from structlog.typing import EventDict, ExcInfo, WrappedLogger  # noqa: E402

if sys.modules["rich"] is None:
    del sys.modules["rich"]

if TYPE_CHECKING:
    from linqbot.settings import Settings


def configure(
    level: str,
    style: str,
    *,
    without: Collection[str] = (),
    for_good: bool = False,
    log_tracebacks: bool = False,
    full_tracebacks: bool = False,
) -> None:
    """Set structlog up, and route the standard library's loggers the same way.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        style: `json`, `console`, or `auto`: console when standard error is a terminal.
        without: The events that are left out, because the command prints them itself.
        for_good: The configuration stays until the process ends, so each logger is cached when it is first used.
        log_tracebacks: Keep the tracebacks that handlers and other libraries log, such as those of `ctx.log.exception` and of
            a failed task of asyncio. They may quote texts of people.
        full_tracebacks: Show all frames of a traceback, instead of folding linqbot's own.
    """
    is_console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False) if is_console else _Stamper(),
    ]
    if without:
        shared.append(partial(_left_out, frozenset(without)))
    last: list[Any] = (
        [
            _escaped,
            _pasteable,
            structlog.dev.ConsoleRenderer(
                0,  # pad_event_to, which was called pad_event before structlog 25.5
                exception_formatter=partial(_write_traceback, full=full_tracebacks),
                colors=not os.environ.get("NO_COLOR"),
            ),
        ]
        if is_console
        else [
            structlog.processors.ExceptionRenderer(partial(_traceback, full=full_tracebacks)),
            structlog.processors.JSONRenderer(_as_json),
        ]
    )
    placed = partial(_placed, log_tracebacks=log_tracebacks)
    least = getattr(logging, level.upper())
    stream = cast("TextIO", LossyStream(sys.stderr, _log_lost))
    lines = _Lines(stream)
    structlog.configure(
        processors=[*shared, placed, *last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=for_good,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_named, placed, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[handler], force=True)


def configure_server(settings: Settings, *, as_json: bool, without: Collection[str] = ()) -> None:
    """Configure the log of a process that serves a bot until its end; see `configure`."""
    configure(
        settings.log_level,
        "json" if as_json else settings.log_format,
        without=without,
        for_good=True,
        log_tracebacks=settings.log_tracebacks,
        full_tracebacks=settings.full_tracebacks,
    )


def _log_lost(lines: int) -> None:
    why = "Nothing read the log, and the pipe to its reader was full."
    structlog.get_logger("linqbot.cli").warning("log.lines_lost", lines=lines, why=why)


class _Lines(structlog.WriteLogger):
    """Writes log lines to a stream. While a thread writes a line, the garbage collector can run a `__del__` that logs another.

    structlog's own lock cannot be taken twice by a thread, which would then wait for itself.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lock = threading.RLock()  # type: ignore[assignment]


class _Stamper:
    """Adds the time in UTC, as ISO 8601. Each turn logs a line, so date and second are formatted once a second only."""

    def __init__(self) -> None:
        self._last = 0, ""

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        now = time.time()
        second, text = self._last
        if second != int(now):
            second = int(now)
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._last = second, text  # at once: a log is written by several threads
        event["timestamp"] = f"{text}.{int((now - second) * 1_000_000):06d}Z"
        return event


_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
"""The types of values that `to_json` writes as `json` does."""


def _as_json(event: EventDict, default: Callable[[object], object]) -> str:
    """Return a log line as JSON, in ASCII.

    Each turn logs a line, so a line of plain values is not made with the slower `json`. A line with an object is:
    `json` shows the repr of an event or a call, which has ids only, where `to_json` would write all fields. A line with
    letters beyond ASCII is too, because `json` escapes them.
    """
    if _PLAIN.issuperset(map(type, event.values())):
        try:
            line = to_json(event)
        except ValueError:  # half of a surrogate pair
            pass
        else:
            if line.isascii() and b"\x7f" not in line:
                return line.decode()
    return json.dumps(event, default=default)


def _traceback(exc_info: ExcInfo, *, full: bool) -> str:
    """Return a traceback. The message of its exception may quote a person."""
    error = exc_info[1]
    return ("".join(traceback.format_exception(error)) if full else tracebacks.folded(error)).strip("\n")


def _write_traceback(out: TextIO, exc_info: ExcInfo, *, full: bool) -> None:
    """Write a traceback for a terminal."""
    out.write("\n" + printable_lines(_traceback(exc_info, full=full)))


_ENDS: Final = ("turn.failed", "turn.deferred", "turn.dead_lettered", "turn.refused", "turn.state_conflict")
LINES_OF_DEV: Final = ("bot.started", "bot.stopped", "event.ignored", "event.unmatched", *_ENDS)
"""What `linqbot dev` prints itself: starts and stops, the ends of turns, and why no handler took an event."""
LINES_OF_DRY_RUNS: Final = ("chat.opted_out", "turn.lease_lost", *_ENDS)
"""What is not true in a dry run, of which nothing is stored."""


def _left_out(without: Collection[str], _: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if event["event"] in without:
        raise structlog.DropEvent
    return event


def _named(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event


def _pasteable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """In a terminal, show code to paste as code."""
    code = event.pop("to_handle_it", None)
    if code is not None:
        event.pop("event_id", None)
        taken = event.pop("type", None) or event.get("delivery")  # an event of Linq by its type, a post by its id
        event["event"] = f"No handler took {taken}. To handle it:\n\n{textwrap.indent(code, '    ')}\n"
    return event


def _placed(_: WrappedLogger, __: str, event: EventDict, *, log_tracebacks: bool) -> EventDict:
    """Reduce an error that a handler or another library logs to its type and its line: its text may quote a person.

    Args:
        log_tracebacks: Keep the traceback too.
    """
    given = event.pop("exc_info", None)
    for name, value in event.items():
        if isinstance(value, BaseException):  # log.error("…", error=error)
            given, event[name] = given or value, error_name(value)
    if not given:
        return event
    error = given if isinstance(given, BaseException) else (given if isinstance(given, tuple) else sys.exc_info())[1]
    if error is None:
        return event
    event.setdefault("error", error_name(error))
    event.setdefault("at", place_of(error))
    if "_record" in event:
        # From the second line on, asyncio logs the repr of the task, which includes that of its exception.
        event["event"] = event["event"].partition("\n")[0]
    if log_tracebacks:
        event["exc_info"] = error
    return event


def _escaped(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape line breaks and control characters in values; the JSON renderer does so by itself."""
    for name, value in event.items():
        if isinstance(value, str) and name != "to_handle_it" and not value.isprintable():
            event[name] = printable(value)
    return event


PATIENCE_MS: Final = 200
"""Milliseconds to wait for a reader that lags. The event loop stands still meanwhile."""

_CHUNK: Final = select.PIPE_BUF // 4 if hasattr(select, "PIPE_BUF") else 1024
"""The number of characters, of up to four bytes, that a pipe takes without blocking if it takes anything."""


class LossyStream:
    """A stream that loses what cannot be written: the disk is full, its reader has ended, or its full pipe is not read.

    A reader may stand still for long: a terminal after Ctrl-S, or a log driver in trouble. Once the log is read again,
    `on_lost` is called with the number of lost lines. It may write to this stream.
    """

    def __init__(self, stream: TextIO, on_lost: Callable[[int], object]) -> None:
        self._stream = stream
        self._on_lost = on_lost
        self._poll = _poll_of(stream)
        self._lost = 0
        self._is_torn = False

    def write(self, text: str) -> None:
        """Write lines. The caller flushes them."""
        if self._poll is None:
            self._put(text)
            return
        for at in range(0, len(text), _CHUNK):
            if self._lost and not self._is_stuck(self._poll):
                self._report()
            if self._is_stuck(self._poll):
                self._lost += text.count("\n")
                self._is_torn = self._is_torn or at > 0
                return
            self._put(text[at : at + _CHUNK])
            if at + _CHUNK < len(text):
                self.flush()  # so that the pipe gets each chunk alone

    def flush(self) -> None:
        try:  # noqa: SIM105 - suppress() takes longer than the rest, and each turn logs a line
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def _put(self, text: str) -> None:
        try:  # noqa: SIM105 - see `flush`
            self._stream.write(text)
        except (OSError, ValueError):  # ValueError: the stream is closed
            pass

    def _is_stuck(self, poll: select.poll) -> bool:
        try:
            return not poll.poll(0 if self._lost else PATIENCE_MS)
        except OSError:
            return False

    def _report(self) -> None:
        lost, self._lost = self._lost, 0
        if self._is_torn:
            self._put("\n")
            self._is_torn = False
        self._on_lost(lost)


def _poll_of(stream: TextIO) -> select.poll | None:
    """Return what tells if the stream takes bytes; None if this is not known, as on Windows, or always so, as of a file."""
    if not hasattr(select, "poll"):
        return None
    try:
        number = stream.fileno()
        if stat.S_ISREG(os.fstat(number).st_mode):
            return None
    except (OSError, ValueError, AttributeError):
        return None
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return poll


log = structlog.get_logger("linqbot.cli")


def log_uncaught(*, with_tracebacks: bool = False) -> None:
    """Log the errors that end threads as `thread.failed`, and those that Python ignores, as in `__del__`, as `error.ignored`.

    Python prints their tracebacks, whose text may be a person's message; without tracebacks, class and place are logged. So
    are warnings then, as `python.warned`: those of pydantic about a value quote the value.
    """

    def say(event: str, kind: type[BaseException], error: BaseException | None) -> None:
        at = "?" if error is None else place_of(error)
        log.error(event, error=error_name(kind), at=at, exc_info=error if with_tracebacks else None)

    def thread_failed(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_type is not SystemExit:  # which ends a thread in silence, as `threading` documents
            say("thread.failed", failed.exc_type, failed.exc_value)

    def error_ignored(ignored: Any) -> None:
        say("error.ignored", ignored.exc_type, ignored.exc_value)

    def warned(*given: Any, **_: Any) -> None:
        _message, kind, filename, lineno = given[:4]
        log.warning("python.warned", warning=kind.__name__, at=place_of_caller(f"{file_name(filename)}:{lineno}"))

    threading.excepthook = thread_failed
    sys.unraisablehook = error_ignored
    if not with_tracebacks:
        warnings.showwarning = warned
