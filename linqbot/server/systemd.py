"""What systemd and a served bot tell each other: ready, stopping, still alive; and the socket systemd holds for it.

Each is a variable of the environment and a few bytes: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). Where
nobody set the variables nothing here does anything, so that the same command runs under systemd and elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Final

import structlog

from linqbot.errors import ConfigError

log = structlog.get_logger("linqbot.systemd")

FIRST_FD: Final = 3
"""Where the sockets begin that were passed to us; the number is systemd's."""


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send `state`, such as `READY=1`, to the service manager, if there is one.

    It never waits and never fails: a bot goes on when nobody hears that it does.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # how an abstract socket is written
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        try:
            manager.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd.unheard", state=state, error=error.strerror)


async def keep_alive(environ: Mapping[str, str] = os.environ) -> None:
    """Tell the watchdog, if one waits for us, twice in its time that the event loop turns. Returns if there is none.

    A handler that blocks the loop also stops this, and so systemd starts the bot anew. The delivery whose handling
    did it counts as crashed, and after three times it becomes a dead letter.
    """
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1e6
    while watchdog_s:
        notify("WATCHDOG=1", environ)
        await asyncio.sleep(watchdog_s / 2)


def inherited(environ: Mapping[str, str] = os.environ) -> socket.socket | None:
    """The listening socket of a systemd `.socket` unit; None when none was passed to this process.

    systemd keeps it while the bot is started anew: who connects meanwhile waits, and is not refused.

    Raises:
        ConfigError: several were passed, or what was passed does not listen.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = int(environ.get("LISTEN_FDS", "0"))
    if count != 1:
        raise ConfigError(
            f"systemd passed {count} sockets, and a bot has one. Keep one ListenStream= in its .socket unit."
        )
    try:
        bound = socket.socket(fileno=FIRST_FD)
        listens = bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigError(
            f"systemd passed no socket as descriptor {FIRST_FD}: {error.strerror}. "
            "Start the bot through its .socket unit, or unset LISTEN_PID."
        ) from error
    if not listens:
        bound.close()
        raise ConfigError("The socket that systemd passed does not listen. Set Accept=no in its .socket unit.")
    bound.set_inheritable(False)
    return bound
