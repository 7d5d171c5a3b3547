"""Serves the operator's page next to a bot: on a port of its own, in a task of the bot's event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from linqbot.client.client import Client
from linqbot.clock import SystemClock
from linqbot.errors import ConfigError
from linqbot.ops.page.access import Access, Role, check_hash
from linqbot.settings import Settings, variable

_MAKE = "Make the hash of a password with: python -m linqbot.ops.page.access"


def access_of(settings: Settings) -> Access:
    """Return who may use the page.

    Raises:
        ConfigError: no one could, or a setting is no hash.
    """
    passwords: dict[Role, str] = {}
    for role, name in (("operator", "page_password"), ("reader", "page_reader_password")):
        if (stored := getattr(settings, name)) is not None:
            check_hash(variable(name), stored)
            passwords["operator" if role == "operator" else "reader"] = stored
    if settings.page_user_header is not None and not settings.trusted_proxies:
        raise ConfigError(
            "LINQBOT_PAGE_USER_HEADER is the header of a proxy, and LINQBOT_TRUSTED_PROXIES names none. Name the proxy's "
            "address there, or everyone could send the header."
        )
    if not passwords and settings.page_user_header is None:
        raise ConfigError(f"LINQBOT_PAGE_PASSWORD is not set, so no one could log in to the page. {_MAKE}")
    return Access(
        SystemClock(),
        passwords,
        user_header=settings.page_user_header,
        proxies=settings.trusted_proxies,
        operators=settings.page_operators,
    )


async def serve_page(settings: Settings, access: Access, bound: socket.socket) -> None:
    """Serve the page on a bound socket, until this task is cancelled."""
    try:
        from linqbot.ops.page.app import create_page  # needs jinja2
    except ImportError as error:
        raise ConfigError("The page needs further packages: pip install 'linqbot[page]'") from error
    from linqbot.server.uvicorn_server import SideServer

    async with settings.open_storage(serving=False) as storage, _linq(settings) as client:
        server = SideServer(create_page(storage, client, access, SystemClock()))
        try:
            await server.serve(sockets=[bound])
        except asyncio.CancelledError:
            server.should_exit = True
            raise


@asynccontextmanager
async def _linq(settings: Settings) -> AsyncIterator[Client | None]:
    key = settings.api_key
    async with nullcontext() if not key else Client(key, base_url=settings.base_url) as client:
        yield client
