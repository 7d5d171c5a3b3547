"""Servers of plugins on ports of their own, in the event loop of the bot: `linqbot serve` opens them next to the bot's.

The bot's server gets the signals. A listener that fails is logged, and the bot goes on.
"""

from __future__ import annotations

import socket

import structlog
from starlette.applications import Starlette

from linqbot.bot.lifecycle import Running
from linqbot.errors import ConfigError
from linqbot.frames import place_of
from linqbot.hookspecs import Listener
from linqbot.plugins.registry import Plugins, only

log = structlog.get_logger("linqbot.server")


def added(plugins: Plugins, running: Running, *, page: bool) -> list[tuple[Listener, Starlette]]:
    """Return the listeners of all plugins, each with its app.

    Args:
        page: See the hook `register_listeners`.
    Raises:
        ConfigError: a listener cannot be opened with the settings as they are, or a required plugin failed.
    """
    found: list[tuple[Listener, Starlette]] = []
    for impl, listeners in plugins.ask("register_listeners", only(Listener), running=running, page=page):
        try:
            found += [(each, each.make_app()) for each in listeners]
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - of a plugin, and the bot goes on
            plugins.blame(impl.plugin, "make_app", error)
    return found


async def serve(listener: Listener, app: Starlette, bound: socket.socket) -> None:
    """Serve the app of a listener on a bound socket, until its task is cancelled."""
    from linqbot.server.uvicorn_server import Server  # an app under another server has no listeners

    try:
        await Server(app, is_main=False).serve(bound)
    except Exception as error:  # noqa: BLE001 - of a plugin, and the bot goes on
        log.error("listener.failed", listener=listener.name, error=type(error).__name__, at=place_of(error))
