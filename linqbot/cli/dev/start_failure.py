"""The report of a bot that did not start, for the emulator's page: which file, which line, which error."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Any, Final

from linqbot.cli.dev.turn_report import authors_traceback, file_name, message_of, wall_time
from linqbot.errors import LinqbotError
from linqbot.frames import authors_frame
from linqbot.ops.bot_file import BotFileError

_CAUSES: Final = {
    "SIGKILL": "usually too little memory",
    "SIGSEGV": "an error in a compiled library",
    "SIGABRT": "an error in a compiled library",
}


def start_failure(error: BaseException) -> dict[str, Any]:
    """Return the report of an error that kept a bot from starting.

    An error of the author's code is shown as such, and not as the error that linqbot makes of it.
    """
    cause = error.__cause__
    if isinstance(cause, Exception) and (isinstance(error, BotFileError) or authors_frame(cause) is not None):
        error = cause
    file, line = _place(error)
    code = f" [{error.lqb}]" if isinstance(error, LinqbotError) else ""
    return {
        "kind": "bot",
        "status": "failed",
        "file": file,
        "line": line,
        "message": f"{type(error).__name__}: {message_of(error)}{code}",
        "traceback": authors_traceback(error),
        "at": wall_time(datetime.now(UTC)),
    }


def still_loading(at: str) -> dict[str, Any]:
    """Return the report of a bot whose file takes long to load, at `file:line`, and may never end."""
    file, _, line = at.rpartition(":")
    return {
        "kind": "bot",
        "status": "failed",
        "file": file,
        "line": int(line),
        "message": "The file is still loading: this line waits, repeats or takes long.",
        "at": wall_time(datetime.now(UTC)),
    }


def process_ended(exit_code: int, *, at: float, was_up: bool = False) -> dict[str, Any]:
    """Return the report of a bot whose process has ended, without an error that it could report itself."""
    how = f"with exit code {exit_code}" if exit_code >= 0 else f"because of {_signal(-exit_code)}"
    return {
        "kind": "bot",
        "status": "stopped" if was_up else "failed",
        "message": f"The bot's process ended {how}. The terminal may show why.",
        "at": wall_time(datetime.fromtimestamp(at, UTC)),
    }


def _signal(number: int) -> str:
    """Return a signal's number and name, for those that a bot's process usually ends with also the usual cause."""
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
    cause = _CAUSES.get(name)
    return f"signal {number} ({name}{f': {cause}' if cause else ''})"


def _place(error: BaseException) -> tuple[str | None, int | None]:
    if isinstance(error, SyntaxError) and error.filename is not None:
        return file_name(error.filename), error.lineno
    frame = authors_frame(error)
    return (file_name(frame.filename), frame.lineno) if frame is not None else (None, None)
