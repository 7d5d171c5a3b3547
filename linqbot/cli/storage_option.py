"""The storage of commands that work next to a running server: the option that names it, and opening it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from linqbot.errors import ConfigError

if TYPE_CHECKING:
    from linqbot.storage.backend import Storage

storage_option = click.option("--storage", metavar="URL", help="The storage; overrides LINQBOT_STORAGE.")


@asynccontextmanager
async def open_configured_storage(url: str | None) -> AsyncIterator[Storage]:
    """Open the storage that the settings name. Another process may be serving it.

    Args:
        url: The value of `--storage`; None leaves the setting as it is.
    Raises:
        ConfigError: the storage is in memory, so no other process can open it; or a setting cannot be read.
    """
    # Imported here, so that shell completion and --help do not wait for the settings and the storage to be imported.
    from linqbot.settings import from_env

    settings = from_env(storage=url)
    if settings.storage.startswith("memory:"):
        raise ConfigError(
            "A storage in memory ends with its process, so there is nothing to look at. "
            "Name the one that is served: LINQBOT_STORAGE or --storage, such as sqlite:///linqbot.db"
        )
    async with settings.open_storage(serving=False) as storage:
        yield storage
