"""Free ports of 127.0.0.1, for programs that take their port as an argument."""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress
from pathlib import Path


def _first_outgoing_port() -> int:
    """Return the lowest port that the system may give to an outgoing connection."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768  # macOS and Windows start at 49152


def _own_ports() -> list[int]:
    """Return the ports of this process, in random order.

    An outgoing connection could take a port before the program does, so these are below the ports of such connections.
    So could a test in another process of pytest-xdist: each of the processes has its own share. The last share is for
    processes without xdist: `.ci/run` has two sessions at the same time, one of them without.
    """
    below = min(_first_outgoing_port(), 32_000)
    ports = range(max(below - 12_000, 2_000), below)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", f"gw{workers}").removeprefix("gw"))
    share = list(ports[worker :: workers + 1])
    random.SystemRandom().shuffle(share)
    return share


_unused: list[int] = []


def free_port() -> int:
    """Return a port that no program listens on and that this process was not given before."""
    while True:
        if not _unused:
            _unused.extend(_own_ports())
        port = _unused.pop()
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
