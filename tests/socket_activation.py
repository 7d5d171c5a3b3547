"""Starts a process as systemd starts the service of a `.socket` unit: with a listening socket as descriptor 3."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

# The process becomes the command, and so LISTEN_PID is the command's own id: sd_listen_fds(3).
_BECOME = """
import os, sys

os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


def with_listening_socket(command: Sequence[str], held: socket.socket) -> list[str]:
    """The command that becomes `command` with a socket handed over; `held` must be in its `pass_fds`."""
    return [sys.executable, "-c", _BECOME, str(held.fileno()), *command]
