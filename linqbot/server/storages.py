"""The storages that plugins bring, and the parts of the work that processes with one storage share."""

from __future__ import annotations

from typing import Literal, TypeAlias

from linqbot.errors import ConfigError
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Opener

Role: TypeAlias = Literal["all", "receive", "work"]
"""The part of the work that one process of a bot does. The processes of one bot share a storage."""


def openers(plugins: Plugins) -> dict[str, Opener]:
    """Return the opener of each URL scheme. Of two of one scheme the first wins; linqbot's own come first.

    Raises ConfigError if the hook of a required plugin failed.
    """
    found: dict[str, Opener] = {}
    for impl, added in plugins.ask("register_storage", dict[str, Opener]):
        if taken := found.keys() & added.keys():
            problem = ConfigError(f"{min(taken)}:// already has an opener")
            plugins.blame(impl.plugin, impl.hook, problem)
        else:
            found |= added
    return found
