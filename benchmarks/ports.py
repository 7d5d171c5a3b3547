"""Free ports of 127.0.0.1, for programs that take their port as an argument."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

_FROM, _BELOW = 20_000, 32_000
"""Linux, macOS and Windows use higher ports for outgoing connections. Such a connection could take a higher port before the
program does."""

_dice = random.SystemRandom()


def free_port() -> int:
    """Return a port that no program listens on."""
    while True:
        port = _dice.randrange(_FROM, _BELOW)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
