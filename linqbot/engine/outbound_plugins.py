"""Outbound middleware of plugins, which wraps calls to Linq, and the observers of `CallMade`.

Middleware vetoes a call by raising Refused. The middleware of a plugin that fails is left out, unless the plugin is
required: a required plugin fails closed, so the call is not made (`plugins/guard.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from inspect import isawaitable

from linqbot.client.call import ApiResponse, Call, Run
from linqbot.errors import NoVerdict, Refused
from linqbot.interrupts import is_ctrl_c
from linqbot.plugins.guard import guarded, plain_functions
from linqbot.plugins.registry import Plugins, WrongUse
from linqbot.turn_events import CallMade

OUTBOUND = "outbound middleware"
BROADCAST_CHECK = "check of broadcasts"


class Outbound:
    """The outbound middleware of all plugins. Raises ConfigError if the hook of a required plugin failed."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        asked = plugins.ask("register_outbound", plain_functions)
        self._around = [(impl.plugin, wrap) for impl, added in asked for wrap in added]
        self.is_empty = not self._around
        checks = plugins.ask("register_broadcast_checks", plain_functions)
        self._broadcast_checks = [(impl.plugin, check) for impl, added in checks for check in added]

    def wrap(self, run: Run) -> Run:
        """Return `run` wrapped in the outbound middleware, the first plugin's outermost.

        The returned function raises Refused if a plugin vetoes a call, and NoVerdict if a required plugin fails.
        """
        for plugin, wrap in reversed(self._around):
            run = guarded(
                self.plugins,
                plugin,
                OUTBOUND,
                _at_each_call(wrap),
                run,
                written="run(call)",
                checked=_api_response,
                is_reentrant=False,
            )
        return run

    def check_broadcast(self, name: str, people: Sequence[str]) -> None:
        """Run the checks of plugins before a broadcast is stored; they raise the errors that `wrap` names."""
        for plugin, check in self._broadcast_checks:
            if not plugin.is_on:
                continue
            try:
                _refuse_awaitable(check(name, people))
                self.plugins.note_success(plugin, BROADCAST_CHECK)
            except Refused as error:
                error.plugin = error.plugin or plugin.name
                self.plugins.note_success(plugin, BROADCAST_CHECK)
                raise
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                why = self.plugins.note_failure(plugin, BROADCAST_CHECK, error)
                if plugin.required:
                    raise NoVerdict(f"The required plugin {plugin.name} failed: {why}. No broadcast began.") from error

    def observed(self, run: Run) -> Run:
        """Return `run` wrapped so that the observers of `CallMade` are notified of each call."""
        observers = self.plugins.observers
        if CallMade not in observers:
            return run

        async def observed(call: Call) -> ApiResponse:
            if (notify := observers.get(CallMade)) is None:
                return await run(call)
            began = time.perf_counter()
            try:
                answer = await run(call)
            except Exception as error:
                notify(CallMade(call, None, error, time.perf_counter() - began, from_journal=False))
                raise
            notify(CallMade(call, answer, None, time.perf_counter() - began, from_journal=False))
            return answer

        return observed


def _at_each_call(wrap: Callable[[Run], Run]) -> Callable[[Run], Run]:
    """Return middleware that is made for each call, so that an error in making it is one of the call."""

    def around(run: Run) -> Run:
        async def asked(call: Call) -> ApiResponse:
            return await wrap(run)(call)

        return asked

    return around


def _api_response(given: object) -> ApiResponse:
    if not isinstance(given, ApiResponse):
        what = "nothing" if given is None else f"a {type(given).__name__}"
        raise WrongUse(f"it returned {what}, and must return the ApiResponse of run(call)")
    return given


def _refuse_awaitable(given: object) -> None:
    if isawaitable(given):
        raise WrongUse("it returned an awaitable, which would not be awaited. Write it as a plain def.")
