"""Lets Ctrl-C end the child processes of `linqbot dev` without a traceback while they start.

Ctrl-C in a terminal sends SIGINT to the parent and to its children. Python answers it with a traceback of whatever is
imported just then. So a child begins with SIGINT held back, which it inherits, and is then ended by SIGINT at once, until
its server handles the signal.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_back() -> Iterator[None]:
    """Hold SIGINT back in this thread, and in the processes that are started here. Afterwards this thread gets the signal."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_without_traceback() -> None:
    """Let SIGINT end this process at once, also one that was held back until now."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
