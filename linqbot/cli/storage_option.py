"""The storage of commands that work next to a running server: the option that names it, and opening it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from linqbot.errors import ConfigError

if TYPE_CHECKING:
    from linqbot.storage.backend import Storage

_DEV: Final = "linqbot.storage.dev"
_NAMED: Final = "linqbot.storage.named"
"""Keys of `Context.meta`: True if the option --dev, or --storage, was given."""

F = TypeVar("F", bound=Callable[..., Any])


def storage_option(f: F) -> F:
    """Add the options --storage and --dev. Both give the argument `storage`."""
    named = click.option("--storage", metavar="URL", callback=_named, help="The storage; overrides LINQBOT_STORAGE.")
    of_dev = click.option(
        "--dev",
        is_flag=True,
        expose_value=False,
        callback=_of_dev,
        help="The storage of the linqbot dev that runs in this folder.",
    )
    return named(of_dev(f))


# click handles the options that were given before the others, each in the order of the command line.
def _named(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if not ctx.meta.get(_DEV):
        ctx.meta[_NAMED] = value is not None
        return value
    if value is not None:
        raise _both(ctx)
    # Imported here, so that shell completion and --help do not wait for the storage to be imported.
    from linqbot.cli.dev_storage import storage_url

    return storage_url()


def _of_dev(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and ctx.meta.get(_NAMED):
        raise _both(ctx)
    ctx.meta[_DEV] = value


def _both(ctx: click.Context) -> click.UsageError:
    return click.UsageError("Give either --storage or --dev: each names a storage.", ctx)


@asynccontextmanager
async def open_configured_storage(url: str | None) -> AsyncIterator[Storage]:
    """Open the storage that the settings name. Another process may be serving it.

    Args:
        url: The value of `--storage`; None leaves the setting as it is.
    Raises:
        ConfigError: the storage is in memory, so no other process can open it; or a setting cannot be read.
    """
    # Imported here, so that shell completion and --help do not wait for the settings and the storage to be imported.
    from linqbot.cli.dev_storage import hint
    from linqbot.settings import from_env
    from linqbot.storage.sqlite.disk.checkup import path_of

    settings = from_env(storage=url)
    if settings.storage.startswith("memory:"):
        raise ConfigError(
            "A storage in memory ends with its process, so there is nothing to look at. "
            "Name the one that is served: LINQBOT_STORAGE or --storage, such as sqlite:///linqbot.db"
        )
    path = path_of(settings.storage)
    if url is None and path is not None and not path.exists() and (said := hint()):
        raise ConfigError(f"There is no storage file {path}. {said}")
    async with settings.open_storage(serving=False) as storage:
        yield storage
