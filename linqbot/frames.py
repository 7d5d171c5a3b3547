"""Places in the author's code, as `file:line`, found in tracebacks, stacks, threads and tasks.

The author is the person who writes the bot or the plugin. The standard library, installed packages and linqbot itself
are not the author's code. The message of an exception is never read here, because it may quote a person's text.

No source file is read either: `traceback` would keep its lines in memory, a MiB of them for one stack of a turn.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

_LIBRARIES: Final = ("stdlib", "platstdlib", "purelib", "platlib")
"""Not `data`, the root of an environment: a bot may lie in it, as /usr/src/app does with the Python of Debian."""
_OTHERS: Final = tuple(
    {str(Path(path)) + os.sep for path in (str(Path(__file__).parent), *map(sysconfig.get_path, _LIBRARIES))}
)
"""Folders whose code is not the author's, with a separator at the end: a bot may lie in `linqbot-shop`."""


class Place(NamedTuple):
    """A place in code, from a traceback."""

    file: str
    line: int
    function: str


def places_of(error: BaseException) -> list[Place]:
    """Return the author's places in an error's traceback, the outermost first.

    Without any, return the innermost place in installed code. Other code, such as that of `exec`, is left out: its names and
    even the name of its file may be texts of people.
    """
    frames = _frames_of(error)
    own = [frame for frame in frames if is_authors(frame.filename)]
    installed = [frame for frame in frames if frame.filename.startswith(_OTHERS)]
    return [Place(frame.filename, frame.lineno or 0, frame.name) for frame in own or installed[-1:]]


def place_of(error: BaseException, otherwise: str | None = None) -> str:
    """Return `file:line` of the innermost frame of the author's code in an error's traceback.

    If the traceback has no such frame, return `otherwise`; if that is None, the innermost frame of any code.
    """
    return _place(_frames_of(error), otherwise)


def authors_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost frame of the author's code in an error's traceback; None if there is none."""
    own = [frame for frame in _frames_of(error) if is_authors(frame.filename)]
    return own[-1] if own else None


def file_name(path: str) -> str:
    """Return the name of a file for a place in code. An `__init__.py` is named with its folder: each package has one."""
    name = Path(path).name
    return f"{Path(path).parent.name}/{name}" if name == "__init__.py" else name


def place_of_function(function: Any) -> str | None:
    """Return `file:line` of a function's definition; None for a callable without Python code."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{file_name(code.co_filename)}:{code.co_firstlineno}" if code is not None else None


def place_of_caller(otherwise: str | None = None) -> str:
    """Return `file:line` of the innermost frame of the author's code in the current stack; see `place_of` for `otherwise`."""
    return _place(stack_of(sys._getframe(1)), otherwise)  # noqa: SLF001 - walk_stack takes such a frame


def place_of_thread(ident: int | None) -> str:
    """Return `file:line` of the author's code that a thread runs now; `?` if the thread has ended."""
    return _place(_frames_of_thread(ident))


def authors_place_of_thread(ident: int) -> str | None:
    """Return `file:line` of the author's code that a thread runs now; None if it has ended or runs no such code."""
    return _authors_place(_frames_of_thread(ident))


def place_of_task(task: asyncio.Task[Any]) -> str:
    """Return `file:line` of the author's code at which a task waits; `?` if the task has ended."""
    return _place(_frames_of_task(task))


def authors_place_of_task(task: asyncio.Task[Any]) -> str | None:
    """Return `file:line` of the author's code at which a task waits; None if it has ended or runs no such code."""
    return _authors_place(_frames_of_task(task))


def _frames_of_thread(ident: int | None) -> Sequence[traceback.FrameSummary]:
    frame = sys._current_frames().get(ident or 0)  # noqa: SLF001 - the only way to read another thread's stack
    return () if frame is None else stack_of(frame)


def _frames_of_task(task: asyncio.Task[Any]) -> list[traceback.FrameSummary]:
    frames: list[traceback.FrameSummary] = []
    # `Task.get_stack` returns only the frame of the outermost coroutine.
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        if (frame := getattr(coroutine, "cr_frame", None)) is not None:
            frames.append(traceback.FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        coroutine = getattr(coroutine, "cr_await", None)
    return frames


def stack_of(frame: FrameType) -> traceback.StackSummary:
    """Return the stack of a frame, the outermost frame first. The lines of source are read when they are asked for."""
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)
    stack.reverse()
    return stack


def _frames_of(error: BaseException) -> traceback.StackSummary:
    return traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)


def is_authors(filename: str) -> bool:
    """Return True if a file does not belong to linqbot, the standard library or an installed package.

    The frames of compiled modules name source files that are not installed, such as `loop.pyx`: not the author's either.
    """
    return filename.endswith(".py") and not filename.startswith((*_OTHERS, "<"))


def _authors_place(frames: Sequence[traceback.FrameSummary]) -> str | None:
    return _place(frames) if any(is_authors(frame.filename) for frame in frames) else None


def _place(frames: Sequence[traceback.FrameSummary], otherwise: str | None = None) -> str:
    own = [frame for frame in frames if is_authors(frame.filename)]
    if not own and otherwise is not None:
        return otherwise
    frame = (own or frames)[-1:]
    return f"{file_name(frame[0].filename)}:{frame[0].lineno}" if frame else "?"
