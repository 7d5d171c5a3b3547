"""Logs errors that no code can catch: those of the author's threads, and those in `__del__`.

Python prints their tracebacks on standard error. The text of such an error may be a person's message, so a server logs its
class and place instead. Errors of handlers are the worker's subject, and those of tasks go through `logs.py`.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import structlog

from linqbot.frames import place_of

log = structlog.get_logger("linqbot.cli")


def log_uncaught(*, with_tracebacks: bool = False) -> None:
    """Log the errors that end threads as `thread.failed`, and those that Python ignores as `error.ignored`.

    Tracebacks may quote texts of people.
    """

    def say(event: str, kind: type[BaseException], error: BaseException | None) -> None:
        at = "?" if error is None else place_of(error)
        log.error(event, error=kind.__name__, at=at, exc_info=error if with_tracebacks else None)

    def thread_failed(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_type is not SystemExit:  # which ends a thread in silence, as `threading` documents
            say("thread.failed", failed.exc_type, failed.exc_value)

    def error_ignored(ignored: Any) -> None:
        say("error.ignored", ignored.exc_type, ignored.exc_value)

    threading.excepthook = thread_failed
    sys.unraisablehook = error_ignored
