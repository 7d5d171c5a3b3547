"""Frames of tracebacks and stacks: which of them are the author's own code, and where that code stands.

The author is the person who writes the bot or the plugin. Standard library, installed packages and linqbot itself are
not the author's. No message of an exception is read here: it may quote what a person wrote.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

_OTHERS: Final = tuple({str(Path(__file__).parent), *(str(Path(path)) for path in sysconfig.get_paths().values())})
"""Folders of code that is not the author's."""


def place_of(error: BaseException, otherwise: str | None = None) -> str:
    """Return `file:line` of the author's code that an error passed through last.

    If the error passed through none, return `otherwise`, or the last place in any code.
    """
    return _place(traceback.extract_tb(error.__traceback__), otherwise)


def place_of_function(function: Any) -> str | None:
    """Return `file:line` of a function's definition; None for what has no code of its own."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code is not None else None


def place_of_caller() -> str:
    """Return `file:line` of the author's code that led to this call."""
    return _place(traceback.extract_stack(sys._getframe(1)))  # noqa: SLF001 - extract_stack takes such a frame


def place_of_frame(frame: FrameType | None) -> str:
    """Return `file:line` of the author's code at which a stack stands; `?` if there is no stack."""
    return "?" if frame is None else _place(traceback.extract_stack(frame))


def place_of_thread(ident: int | None) -> str:
    """Return `file:line` of the author's code at which a thread stands now; `?` if the thread has ended."""
    return place_of_frame(sys._current_frames().get(ident or 0))  # noqa: SLF001 - the one way to see another thread's stack


def place_of_task(task: asyncio.Task[Any]) -> str:
    """Return `file:line` of the author's code at which a task stands; `?` if the task has ended."""
    frames: list[traceback.FrameSummary] = []
    # Not `get_stack`, which ends at the outermost coroutine.
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        if (frame := getattr(coroutine, "cr_frame", None)) is not None:
            frames.append(traceback.FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        coroutine = getattr(coroutine, "cr_await", None)
    return _place(frames)


def is_authors(filename: str) -> bool:
    """Return True if a file is neither linqbot's, nor of the standard library, nor of an installed package.

    Compiled modules name files of their own makers, such as `loop.pyx`.
    """
    return filename.endswith(".py") and not filename.startswith((*_OTHERS, "<"))


def _place(frames: Sequence[traceback.FrameSummary], otherwise: str | None = None) -> str:
    own = [frame for frame in frames if is_authors(frame.filename)]
    if not own and otherwise is not None:
        return otherwise
    frame = (own or frames)[-1:]
    return f"{Path(frame[0].filename).name}:{frame[0].lineno}" if frame else "?"
