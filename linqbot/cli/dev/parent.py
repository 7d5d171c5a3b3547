"""Ends a process when the process that has started it is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

LOOK_EVERY_S: Final = 0.1


def end_with_parent() -> None:
    """Stop this process when its parent has died without stopping it: an orphaned bot would occupy the port."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
