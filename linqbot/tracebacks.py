"""Tracebacks for the author of a bot: they begin at the author's code, and linqbot's own frames are left out.

A turn passes through about ten frames of linqbot and asyncio before it reaches a handler, and a call through about ten
more. `frames.py` decides which code is the author's. An error without any frame of the author keeps its whole traceback,
unless it is linqbot's own: then its message says what the author did, and frames of linqbot add nothing.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from linqbot.errors import LinqbotError
from linqbot.frames import is_authors

FULL: Final = "LINQBOT_FULL_TRACEBACKS"
"""The environment variable that shows all frames."""

E = TypeVar("E", BaseException, traceback.TracebackException)
_HEAD: Final = "Traceback (most recent call last):\n"
_HERE: Final = str(Path(__file__).parent) + os.sep


def folded(error: BaseException) -> str:
    """Return the traceback of an error, its causes and the errors of a group as text, without linqbot's frames."""
    root = traceback.TracebackException.from_exception(error)
    if isinstance(error, SyntaxError) and not any(is_authors(frame.filename) for frame in root.stack):
        root.stack = traceback.StackSummary()  # only frames that imported the file
    found = list(_reachable(root))
    if isinstance(error, LinqbotError) or any(is_authors(frame.filename) for one in found for frame in one.stack):
        for one in found:
            shown = compress(one.stack, _kept([frame.filename for frame in one.stack]))
            one.stack = traceback.StackSummary.from_list(list(shown))
    return "".join(root.format())


def authors_frames(error: BaseException, *, full: bool = False) -> str:
    """Return the frames of an error's traceback, without linqbot's, for a reader who has its message; empty if none is the author's.

    An error with causes, and a group of errors, keep their whole text, because each error in it has a message.

    Args:
        full: Show all frames.
    """
    if not full and not any(
        is_authors(entry.tb_frame.f_code.co_filename)
        for one in _reachable(error)
        for entry in _entries(one.__traceback__)
    ):
        return ""
    text = "".join(traceback.format_exception(error)) if full else folded(error)
    message = "".join(traceback.format_exception_only(error))
    is_alone = text.startswith(_HEAD) and text.count(_HEAD) == 1
    return text.removeprefix(_HEAD).removesuffix(message) if is_alone else text


def first_cause(error: BaseException) -> BaseException:
    """Return the first error of a group, or of a group in it; any other error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def trim(error: BaseException) -> None:
    """Remove linqbot's frames from the traceback of an error, and from those of its causes and of the errors of a group.

    Test runners then show the author's code.
    """
    found = list(_reachable(error))
    entries = [list(_entries(one.__traceback__)) for one in found]
    files = [[entry.tb_frame.f_code.co_filename for entry in one] for one in entries]
    if not isinstance(error, LinqbotError) and not any(map(is_authors, chain.from_iterable(files))):
        return
    for one, its_entries, its_files in zip(found, entries, files, strict=True):
        trimmed: TracebackType | None = None
        for entry, is_kept in zip(reversed(its_entries), reversed(_kept(its_files)), strict=True):
            if is_kept:
                trimmed = TracebackType(trimmed, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
        one.__traceback__ = trimmed


def _reachable(root: E) -> Iterator[E]:
    """Yield an error, its causes and contexts, and the errors of groups, each once."""
    waiting: list[Any] = [root]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner: Iterable[Any] = getattr(one, "exceptions", None) or ()
        waiting.extend(each for each in (one.__cause__, one.__context__, *inner) if each is not None)


def _entries(entry: TracebackType | None) -> Iterator[TracebackType]:
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _kept(files: Sequence[str]) -> list[bool]:
    """Return for each frame of a traceback, given by its file, whether it is shown.

    The frames before the author's first frame led to the author's code. After it, a frame of linqbot hides what linqbot
    called, up to the author's next frame. A library that the author's code called directly is shown.
    """
    kept: list[bool] = []
    is_shown = not any(map(is_authors, files))
    for file in files:
        if is_authors(file):
            is_shown = True
        elif file.startswith(_HERE):
            is_shown = False
        kept.append(is_shown)
    return kept
