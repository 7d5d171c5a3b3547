"""One plugin of one app, and one implementation of a hook. Both are plain data; `registry.py` changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["active", "failing", "disabled", "left out"]

Watch: TypeAlias = Callable[[str, str], AbstractContextManager[object]]
"""Takes the name of a plugin and of what it is called for, and returns a context manager to enter around that call."""


@dataclass(slots=True, eq=False)
class Plugin:
    """One plugin of one app.

    Attributes:
        distribution, version: The installed package that brings the plugin; None if the bot's own code does.
        hooks: Names of the hooks that the plugin implements.
        required: Fail closed. If the plugin cannot be loaded, the bot does not start; while its middleware fails,
            nothing is sent.
        status: `active`; `failing`, a required plugin whose latest call failed; `disabled` after a fault; or
            `left out`, not loaded, because of the configuration or because another plugin has its name.
        why: Reason for the status. Holds no text of a person.
        observer_error: Error that disabled an observing hook of a required plugin. Its middleware still runs.
        is_built_in: The plugin is a part of linqbot that uses the same hooks.
    """

    name: str
    distribution: str | None = None
    version: str | None = None
    hooks: tuple[str, ...] = ()
    required: bool = False
    status: Status = "active"
    why: str | None = None
    observer_error: str | None = None
    is_built_in: bool = False

    @property
    def is_on(self) -> bool:
        """Return True if the plugin is called: it is active, or required and failing."""
        return self.status in {"active", "failing"}


@dataclass(slots=True, eq=False)
class Impl:
    """One plugin's implementation of one hook.

    Attributes:
        arguments: Names of the hook's arguments that the function takes.
        rank: Position among the implementations: 0 first, 1 by the plugin's name, 2 last.
        calls, slow_calls: Number of calls and of slow calls in the current period, see `observers.CALLS_PER_PERIOD`.
    """

    plugin: Plugin
    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    rank: int
    calls: int = 0
    slow_calls: int = 0

    def __call__(self, facts: Mapping[str, Any]) -> Any:
        return self.function(**{name: facts[name] for name in self.arguments})
