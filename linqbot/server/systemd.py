"""Notifications to systemd (ready, stopping, alive), and the listening socket that systemd passes to a bot.

They use environment variables and a few bytes, see sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3). If the
variables are not set, these functions do nothing, so the same command runs with and without systemd.
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
"""First file descriptor of the sockets that systemd passes, SD_LISTEN_FDS_START."""


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send `state`, such as `READY=1`, to the service manager, if there is one. It never waits and never raises."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # "@" stands for the leading NUL of an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        try:
            manager.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd.unheard", state=state, error=error.strerror)


async def keep_alive() -> None:
    """Notify systemd's watchdog twice per timeout that the event loop runs. Returns at once if there is no watchdog.

    A handler that blocks the event loop also stops these notifications, so systemd restarts the bot. This counts as a
    crash of the delivery that was being handled, and after five crashes the delivery becomes a dead letter.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    watchdog_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    while watchdog_s:
        notify("WATCHDOG=1")
        await asyncio.sleep(watchdog_s / 2)


def inherited(environ: Mapping[str, str] = os.environ) -> socket.socket | None:
    """Return the listening socket of a systemd `.socket` unit; None if none was passed to this process.

    systemd keeps the socket open while the bot restarts: new connections wait then, and are not refused. Raises
    ConfigError if systemd passed several sockets, or a descriptor that is not a listening socket.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = int(environ.get("LISTEN_FDS", "0"))
    if count != 1:
        raise ConfigError(
            f"systemd passed {count} sockets, but a bot uses one. Keep one ListenStream= in its .socket unit."
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
