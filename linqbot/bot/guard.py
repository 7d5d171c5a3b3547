"""A plugin's middleware, kept apart from what it wraps: whose error is it, and what happens after one?

Inbound middleware wraps the handling of an event, outbound middleware a call to Linq. Both are guarded in the same
way: an error that came out of the wrapped code passes through; an error of the plugin's own disables the plugin, and
the wrapped code runs without it. If the plugin is required, its error fails closed with NoVerdict instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from linqbot.errors import NoVerdict, Refused, TurnDeferred
from linqbot.plugins import Plugin, Plugins, is_closing, is_ctrl_c

Wrapped: TypeAlias = Callable[..., Awaitable[Any]]

_NOTHING: Final = object()


@dataclass(slots=True)
class _Pass:
    """One way through one middleware.

    Attributes:
        answer: Answer of the wrapped code, once it ended well.
        error: Error of the wrapped code, if it ended with one.
        has_begun: The wrapped code was called.
        outer: Plugins whose middleware ran when this one began.
    """

    answer: Any = _NOTHING
    error: BaseException | None = None
    has_begun: bool = False
    outer: frozenset[str] = frozenset()


_pass: ContextVar[_Pass] = ContextVar("linqbot_pass")
_running: ContextVar[frozenset[str]] = ContextVar("linqbot_running_middleware", default=frozenset())


class Guard:
    """One plugin's middleware around some code; called with the arguments of that code.

    Args:
        wrap: The middleware: takes what comes next and returns what stands in its place.
        onward: The wrapped code.
        checked: Refuses an answer that the middleware must not give.
        passing: Errors that pass through although they are the plugin's own.
        ended: Called with the arguments when the middleware ended without going on.
        is_reentrant: False passes by the middleware for what its own plugin does within it.
    Raises:
        Exception: `wrap` raised; that is an error of the plugin's too.
    """

    __slots__ = (
        "_checked", "_ended", "_is_reentrant", "_kind", "_onward", "_passing", "_plugin", "_plugins", "_wrapped",
    )  # fmt: skip

    def __init__(
        self,
        plugins: Plugins,
        plugin: Plugin,
        kind: str,
        wrap: Callable[[Any], Wrapped],
        onward: Wrapped,
        *,
        checked: Callable[[Any], Any] = lambda answer: answer,
        passing: type[BaseException] = TurnDeferred,
        ended: Callable[..., None] = lambda *_: None,
        is_reentrant: bool = True,
    ) -> None:
        self._plugins = plugins
        self._plugin = plugin
        self._kind = kind
        self._onward = onward
        self._checked = checked
        self._passing = passing
        self._ended = ended
        self._is_reentrant = is_reentrant
        self._wrapped = wrap(self._go_on)

    async def __call__(self, *given: Any) -> Any:
        plugin, outer = self._plugin, _running.get()
        if not plugin.is_on or (not self._is_reentrant and plugin.name in outer):
            return await self._onward(*given)
        way = _Pass(outer=outer)
        tokens = _pass.set(way), _running.set(outer | {plugin.name})
        task = asyncio.current_task()
        cancelling = task.cancelling() if task else 0
        try:
            with self._plugins.watch(plugin.name, self._kind):
                answer = self._checked(await self._wrapped(*given))
        except Refused as error:
            error.plugin = error.plugin or plugin.name
            self._plugins.recovered(plugin)
            raise
        except BaseException as error:
            is_stopped = (
                isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > cancelling
            )
            if way.error is not None or isinstance(error, (self._passing, TurnDeferred)):
                raise  # the wrapped code's error, or what the middleware made of it
            if is_stopped or is_ctrl_c(error) or (isinstance(error, GeneratorExit) and is_closing(task)):
                raise  # this task must end
            self._blame(error, is_needed=way.answer is _NOTHING)
        else:
            self._plugins.recovered(plugin)
            if not way.has_begun:
                self._ended(*given)
            return answer
        finally:
            _pass.reset(tokens[0])
            _running.reset(tokens[1])
        return await self._onward(*given) if way.answer is _NOTHING else way.answer

    def _blame(self, error: BaseException, *, is_needed: bool) -> None:
        why = self._plugins.gone_wrong(self._plugin, self._kind, error)
        if is_needed and self._plugin.required:
            raise NoVerdict(f"The required plugin {self._plugin.name} failed: {why}. Nothing was done.") from error

    async def _go_on(self, *given: Any) -> Any:
        way = _pass.get()
        way.has_begun = True
        # Further in, this plugin is a stranger again.
        token = _running.set(way.outer)
        try:
            way.answer = await self._onward(*given)
        except BaseException as error:
            way.error = error
            raise
        finally:
            _running.reset(token)
        way.error = None
        return way.answer
