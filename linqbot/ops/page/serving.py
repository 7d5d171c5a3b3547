"""Serves the operator's page next to a bot: on a port of its own, in a task of the bot's event loop."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from typing import Any

from linqbot.clock import SystemClock
from linqbot.errors import ConfigError
from linqbot.ops.page.access import HOW_TO_HASH, Access, Role, check_hash
from linqbot.settings import Settings, variable


def page_server(settings: Settings) -> Callable[[socket.socket], Coroutine[Any, Any, None]]:
    """Return the function that serves the page on a bound socket, until its task is cancelled.

    Raises:
        ConfigError: no one could use the page, a setting is wrong, a package is missing, or the storage is in memory.
    """
    try:
        from linqbot.ops.page.app import create_page  # needs jinja2
    except ImportError as error:
        raise ConfigError("The page needs a further package: pip install 'linqbot[page]'") from error
    from linqbot.server.uvicorn_server import SideServer

    if settings.storage.startswith("memory:"):
        raise ConfigError(
            "The page cannot look into a storage in memory. Set LINQBOT_STORAGE, such as to sqlite:///linqbot.db"
        )
    access = _access(settings)

    async def serve(bound: socket.socket) -> None:
        async with settings.open_storage(serving=False) as storage, settings.linq() as client:
            await SideServer(create_page(storage, client, access, SystemClock())).serve(sockets=[bound])

    return serve


def _access(settings: Settings) -> Access:
    given: dict[Role, tuple[str, str | None]] = {
        "operator": ("page_password", settings.page_password),
        "reader": ("page_reader_password", settings.page_reader_password),
    }
    passwords = {role: stored for role, (_, stored) in given.items() if stored is not None}
    for role, stored in passwords.items():
        check_hash(variable(given[role][0]), stored)
    if settings.page_user_header is not None and not settings.trusted_proxies:
        raise ConfigError(
            "LINQBOT_PAGE_USER_HEADER is the header of a proxy, and LINQBOT_TRUSTED_PROXIES names none. Name the proxy's "
            "address there, or everyone could send the header."
        )
    if not passwords and settings.page_user_header is None:
        raise ConfigError(f"LINQBOT_PAGE_PASSWORD is not set, so no one could log in to the page. {HOW_TO_HASH}")
    return Access(
        SystemClock(),
        passwords,
        user_header=settings.page_user_header,
        proxies=settings.trusted_proxies,
        operators=settings.page_operators,
    )
