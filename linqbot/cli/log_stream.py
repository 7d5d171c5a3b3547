"""The stream of the log. What cannot be written is lost: no turn fails because of the log, or waits long for its reader."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from typing import Final, TextIO

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
        elif self._lost or len(text) > _CHUNK:
            self._write_in_chunks(text, self._poll)
        elif self._is_stuck(self._poll):
            self._lost += text.count("\n")
        else:
            self._put(text)

    def flush(self) -> None:
        try:  # noqa: SIM105 - suppress() takes longer than the rest, and each turn logs a line
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def _write_in_chunks(self, text: str, poll: select.poll) -> None:
        for at in range(0, len(text), _CHUNK):
            if self._lost and not self._is_stuck(poll):
                self._report()
            if self._is_stuck(poll):
                self._lost += text.count("\n")
                self._is_torn = self._is_torn or at > 0
                return
            self._put(text[at : at + _CHUNK])
            self.flush()  # so that the pipe gets each chunk alone

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
