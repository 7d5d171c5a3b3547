"""A guard around one plugin's middleware, which keeps the plugin's errors apart from those of the wrapped code.

Inbound middleware wraps the handling of an event, outbound middleware wraps a call to Linq. The guard treats both in
the same way. An error of the wrapped code passes through. An error of the plugin disables the plugin, and the wrapped
code runs without its middleware. If the plugin is required, its error fails closed: the guard raises NoVerdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from linqbot.errors import NoVerdict, Refused, TurnDeferred
from linqbot.interrupts import is_closing, is_ctrl_c
from linqbot.plugins.plugin import Plugin
from linqbot.plugins.registry import Plugins

Wrapped: TypeAlias = Callable[..., Awaitable[Any]]

_NOTHING: Final = object()


@dataclass(slots=True)
class _Pass:
    """One run through one plugin's middleware.

    Attributes:
        result: Result of the wrapped code; `_NOTHING` until the wrapped code has returned.
        error: Error of the wrapped code, if it raised one.
        has_begun: The middleware has called the wrapped code.
        outer: Names of the plugins whose middleware was already running when this run began.
    """

    result: Any = _NOTHING
    error: BaseException | None = None
    has_begun: bool = False
    outer: frozenset[str] = frozenset()


_pass: ContextVar[_Pass] = ContextVar("linqbot_pass")
_running: ContextVar[frozenset[str]] = ContextVar("linqbot_running_middleware", default=frozenset())


class Guard:
    """One plugin's middleware around some code. Call the guard with the arguments of that code.

    Args:
        kind: Kind of middleware, for the log.
        wrap: The middleware: takes the wrapped code and returns what to call in its place.
        wrapped: The wrapped code.
        checked: Returns a result of the middleware, or raises if the middleware must not return such a result.
        passing: Errors that pass through even if the plugin raised them.
        ended: Called with the arguments when the middleware returned without calling the wrapped code.
        is_reentrant: False skips the middleware for calls that the middleware itself makes.
    Raises:
        Exception: `wrap` raised. This is an error of the plugin too.
    """

    __slots__ = (
        "_checked", "_ended", "_is_reentrant", "_kind", "_middleware", "_passing", "_plugin", "_plugins", "_wrapped",
    )  # fmt: skip

    def __init__(
        self,
        plugins: Plugins,
        plugin: Plugin,
        kind: str,
        wrap: Callable[[Any], Wrapped],
        wrapped: Wrapped,
        *,
        checked: Callable[[Any], Any] = lambda result: result,
        passing: type[BaseException] = TurnDeferred,
        ended: Callable[..., None] = lambda *_: None,
        is_reentrant: bool = True,
    ) -> None:
        self._plugins = plugins
        self._plugin = plugin
        self._kind = kind
        self._wrapped = wrapped
        self._checked = checked
        self._passing = passing
        self._ended = ended
        self._is_reentrant = is_reentrant
        # No method of the guard: middleware that holds its guard would be a reference cycle, one for each call.
        self._middleware = wrap(_noted(wrapped))

    async def __call__(self, *given: Any) -> Any:
        """Run the middleware around the wrapped code; or only the wrapped code, if the plugin is off or fails.

        Raises:
            Refused: the plugin refused the call, whose code does not run.
            NoVerdict: the plugin failed and is required; nothing was done.
            Exception: an error of the wrapped code, one in `passing`, or TurnDeferred. Other errors of the plugin are
                logged.
        """
        plugin, outer = self._plugin, _running.get()
        if not plugin.is_on or (not self._is_reentrant and plugin.name in outer):
            return await self._wrapped(*given)
        run = _Pass(outer=outer)
        tokens = _pass.set(run), _running.set(outer | {plugin.name})
        task = asyncio.current_task()
        cancelling = task.cancelling() if task else 0
        try:
            with self._plugins.watch(plugin.name, self._kind):
                result = self._checked(await self._middleware(*given))
        except Refused as error:
            error.plugin = error.plugin or plugin.name
            self._plugins.note_success(plugin)
            raise
        except BaseException as error:
            is_cancelled = (
                isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > cancelling
            )
            if run.error is not None or isinstance(error, (self._passing, TurnDeferred)):
                raise  # the wrapped code's error, or what the middleware made of it
            if is_cancelled or is_ctrl_c(error) or (isinstance(error, GeneratorExit) and is_closing(task)):
                raise  # this task must end
            self._blame(error, is_needed=run.result is _NOTHING)
        else:
            self._plugins.note_success(plugin)
            if not run.has_begun:
                self._ended(*given)
            return result
        finally:
            _pass.reset(tokens[0])
            _running.reset(tokens[1])
        return await self._wrapped(*given) if run.result is _NOTHING else run.result

    def _blame(self, error: BaseException, *, is_needed: bool) -> None:
        why = self._plugins.note_failure(self._plugin, self._kind, error)
        if is_needed and self._plugin.required:
            raise NoVerdict(f"The required plugin {self._plugin.name} failed: {why}. Nothing was done.") from error


def _noted(wrapped: Wrapped) -> Wrapped:
    """Return the wrapped code as the middleware gets it: its result or its error is noted in the present run."""

    async def run_wrapped(*given: Any) -> Any:
        run = _pass.get()
        run.has_begun = True
        # The wrapped code does not count as run by this plugin: if it enters this middleware again, it is not skipped.
        token = _running.set(run.outer)
        try:
            run.result = await wrapped(*given)
        except BaseException as error:
            run.error = error
            raise
        finally:
            _running.reset(token)
        run.error = None
        return run.result

    return run_wrapped
