"""Socket activation as systemd does it for a `.socket` unit: a process gets a listening socket as descriptor 3."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

# The process replaces itself with the command, so LISTEN_PID is the process id of the command: sd_listen_fds(3).
_BECOME = """
import os, sys

os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


def with_listening_socket(command: Sequence[str], held: socket.socket) -> list[str]:
    """Return a command that runs `command` with the socket `held`. The caller passes `held` in `pass_fds`."""
    return [sys.executable, "-c", _BECOME, str(held.fileno()), *command]
