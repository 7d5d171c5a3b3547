"""The format of logs: one JSON object per line in production, readable text in a terminal.

The rooms decide what they log; this module renders it, and makes sure that other libraries' errors show no message text.
"""

from __future__ import annotations

import logging
import sys
import textwrap
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger


def configure(level: str, style: str, *, for_author: bool = False, for_good: bool = False) -> None:
    """Set structlog up, and route the standard library's loggers the same way.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        style: `json`, `console`, or `auto`: console when standard error is a terminal.
        for_author: The author of the bot reads this terminal: leave out starts and stops, show each traceback once.
        for_good: The configuration stays until the process ends, so each logger is cached when it is first used.
    """
    is_console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_console else "iso", utc=not is_console),
    ]
    if for_author:
        shared += [_without_starts, _Once()]
    last: list[Any] = (
        [
            _escaped,
            _pasteable,
            structlog.dev.ConsoleRenderer(pad_event_to=0, exception_formatter=structlog.dev.plain_traceback),
        ]
        if is_console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    least = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=for_good,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_named, _without_messages, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # linqbot prints the reason itself; uvicorn's "Application startup failed" adds nothing to it.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "startup failed" not in record.getMessage())
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[handler], force=True)


def _without_starts(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Drop starts and stops: `linqbot dev` restarts the bot at every save, and prints that itself."""
    if event["event"] in ("bot.started", "bot.stopped"):
        raise structlog.DropEvent
    return event


class _Once:
    """Shows a traceback only the first time it comes: a handler that fails is run five times."""

    def __init__(self) -> None:
        self._seen: set[tuple[object, ...]] = set()

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        error = event.get("exc_info")
        if isinstance(error, BaseException):
            frames = traceback.extract_tb(error.__traceback__)
            known = (type(error), *((frame.filename, frame.lineno) for frame in frames))
            if known in self._seen:
                del event["exc_info"]
                event["traceback"] = "as before"
            self._seen.add(known)
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
        event["event"] = f"No handler took {event.pop('type')}. To handle it:\n\n{textwrap.indent(code, '    ')}\n"
    return event


def _without_messages(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Reduce an error in another library's log record to its type and place: its text may quote a person's message."""
    exc_info = event.pop("exc_info", None)
    if exc_info and exc_info[1] is not None:
        error, frames = exc_info[1], traceback.extract_tb(exc_info[2])
        event["error"] = type(error).__name__
        event["at"] = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "?"
        # From the second line on, asyncio logs the repr of the task, which includes that of its exception.
        event["event"] = event["event"].partition("\n")[0]
    return event


def _escaped(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape line breaks and control characters in values; the JSON renderer does so by itself."""
    for name, value in event.items():
        if isinstance(value, str) and name != "to_handle_it" and not value.isprintable():
            event[name] = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in value)
    return event
