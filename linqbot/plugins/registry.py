"""The plugins of one app: the hooks they implement, and the faults that disable them.

pluggy knows the hooks of `hookspecs.py`, but here they are called, one implementation at a time: an error or a slow
call is blamed on one plugin by name and leaves the others alone. A folder of linqbot collects what plugins add with
`Plugins.ask`, and calls observing hooks through the attributes named like them. If no plugin observes, this costs one
look at an attribute: `if (stored := plugins.stored) is not None`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import structlog

from linqbot.errors import ConfigError
from linqbot.events.delivery import Delivery
from linqbot.interrupts import is_ctrl_c
from linqbot.plugins.error_text import describe
from linqbot.plugins.observers import OBSERVED, ObserverCalls
from linqbot.plugins.plugin import Impl, Plugin, Watch

log = structlog.get_logger("linqbot.plugins")

T = TypeVar("T")
Notify: TypeAlias = Callable[..., None]
"""Calls every implementation of one observing hook with the hook's arguments, by name."""

LIFECYCLE: Final = ("started", "stopped")
"""Hooks that may be `async def`."""


class Plugins:
    """The plugins of one app. `linqbot.plugins.loading.load` makes them.

    The attributes named like observing hooks call the implementations of that hook; each is None when there is none.
    For `received` and `taken` call `notify_received` and `notify_taken` instead, which give each plugin its own carrier.

    Args:
        timer: Clock that never goes back, in seconds.
        watch: See `Watch`.
        lenient: Disable a required plugin that fails, like any other, instead of raising. For commands that examine
            plugins.
    Attributes:
        every: All plugins, those left out and disabled included.
    """

    def __init__(
        self,
        *,
        timer: Callable[[], float] = time.perf_counter,
        watch: Watch | None = None,
        lenient: bool = False,
    ) -> None:
        self.every: list[Plugin] = []
        self.received: Notify | None = None
        self.stored: Notify | None = None
        self.refused: Notify | None = None
        self.taken: Notify | None = None
        self.routed: Notify | None = None
        self.sent: Notify | None = None
        self.handled: Notify | None = None
        self.failed: Notify | None = None
        self.finished: Notify | None = None
        self.watch: Watch = watch or (lambda _, __: nullcontext())
        self._impls: dict[str, list[Impl]] = {}
        self._lenient = lenient
        self._observers = ObserverCalls(timer, self.watch, self._disable_observer)

    # Registering

    def register(self, plugin: Plugin, impls: Iterable[Impl]) -> None:
        """Note the hooks that a plugin implements."""
        impls = tuple(impls)
        plugin.hooks = tuple(impl.hook for impl in impls)
        for impl in impls:
            self._impls.setdefault(impl.hook, []).append(impl)

    def connect(self) -> None:
        """Put plugins and hooks in order, and start to notify observers. Called once, after the last `register`."""
        self.every.sort(key=lambda plugin: plugin.name)
        for impls in self._impls.values():
            impls.sort(key=_order)
        for hook in OBSERVED:
            self._connect(hook)

    def _connect(self, hook: str) -> None:
        setattr(self, hook, partial(self._notify, hook) if self._impls.get(hook) else None)

    def _notify(self, hook: str, /, **facts: Any) -> None:
        for impl in self._snapshot(hook):
            self._observers.call(impl, facts)

    def _snapshot(self, hook: str) -> tuple[Impl, ...]:
        """Return a hook's implementations as a copy, because a call may disable a plugin and so change the list."""
        return tuple(self._impls.get(hook, ()))

    # Calling hooks

    def ask(self, hook: str, fit: Callable[[Any], T], **facts: Any) -> list[tuple[Impl, T]]:
        """Collect what each plugin adds through a `register_…` hook.

        Args:
            fit: Converts what an implementation returned to what the caller needs. An error that it raises is the
                plugin's fault.
            facts: Arguments of the hook.
        Returns:
            Each implementation and the converted result, in order.
        Raises:
            ConfigError: a required plugin failed.
        """
        found = []
        for impl in self._snapshot(hook):
            try:
                with self.watch(impl.plugin.name, hook):
                    found.append((impl, fit(impl(facts))))
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                self.blame(impl.plugin, hook, error, with_message=True)
        return found

    def lifecycle_calls(self, hook: str, **facts: Any) -> list[tuple[Plugin, Callable[[], Any]]]:
        """Return each plugin that implements `started` or `stopped`, with a function that calls its implementation."""
        return [(impl.plugin, partial(impl, facts)) for impl in self._snapshot(hook)]

    def notify_received(self, delivery: Delivery, headers: Mapping[str, str]) -> Delivery:
        """Call `received`. Returns the delivery with what plugins put into their carriers."""
        return self._observers.call_received(self._snapshot("received"), delivery, headers)

    def notify_taken(self, delivery: Delivery, **facts: Any) -> None:
        """Call `taken`, with the carrier that each plugin filled in `received`."""
        self._observers.call_taken(self._snapshot("taken"), delivery, facts)

    # Faults

    def blame(self, plugin: Plugin, hook: str, error: BaseException, *, with_message: bool = False) -> None:
        """Disable a plugin that failed while it was loaded, asked or started.

        Args:
            with_message: Log the error's message too, if it is about code. Before the first delivery an error cannot
                quote a person.
        Raises:
            ConfigError: the plugin is required.
        """
        why = describe(hook, error, with_message=with_message)
        if plugin.required and not self._lenient:
            raise ConfigError(
                f"The plugin {plugin.name} is required, and failed: {why}. Nothing is sent without it, so the bot does "
                f"not start. Correct or update it; or, if it may be missing, see LINQBOT_REQUIRED_PLUGINS."
            ) from error
        self.disable(plugin, why)

    def disable(self, plugin: Plugin, why: str) -> None:
        """Stop calling a plugin, and log the reason."""
        if not plugin.is_on:
            return
        plugin.status, plugin.why = "disabled", why
        for hook, impls in self._impls.items():
            self._impls[hook] = [impl for impl in impls if impl.plugin is not plugin]
        for hook in OBSERVED:
            self._connect(hook)
        log.error("plugin.disabled", plugin=plugin.name, why=why)

    def note_failure(self, plugin: Plugin, what: str, error: BaseException) -> str:
        """Mark a required plugin as failing, or disable any other, after an error in its code.

        Args:
            what: What the plugin was called for, such as its middleware.
        Returns:
            The reason, in words that may be logged.
        """
        why = describe(what, error)
        (self._mark_failing if plugin.required else self.disable)(plugin, why)
        return why

    def note_success(self, plugin: Plugin) -> None:
        """Mark a failing plugin as active again after a call that succeeded."""
        if plugin.status == "failing":
            plugin.status, plugin.why = "active", None
            log.info("plugin.recovered", plugin=plugin.name)

    def _mark_failing(self, plugin: Plugin, why: str) -> None:
        """Mark a required plugin as failing. Logged once for each reason, until the plugin recovers."""
        if plugin.status != "failing" or plugin.why != why:
            log.error("plugin.failing", plugin=plugin.name, why=why)
        plugin.status, plugin.why = "failing", why

    def _disable_observer(self, impl: Impl, why: str) -> None:
        if not impl.plugin.required:
            self.disable(impl.plugin, why)
            return
        # A required plugin's middleware must go on deciding; only this observing hook is no longer called.
        self._impls[impl.hook].remove(impl)
        self._connect(impl.hook)
        impl.plugin.observer_error = why
        log.error("plugin.observer_failed", plugin=impl.plugin.name, why=why)

    def report(self) -> dict[str, str]:
        """Return the status of each plugin, with the reason, for /readyz. Built-in and left-out plugins are not shown."""
        shown = [plugin for plugin in self.every if plugin.status != "left out" and not plugin.is_built_in]
        return {
            plugin.name: ": ".join(filter(None, (plugin.status, plugin.why or plugin.observer_error)))
            for plugin in shown
        }


def _order(impl: Impl) -> tuple[bool, int, str]:
    return not impl.plugin.is_built_in, impl.rank, impl.plugin.name
