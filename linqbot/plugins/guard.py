"""A guard around one plugin's middleware, which keeps the plugin's errors apart from those of the wrapped code.

Inbound middleware wraps the handling of an event, outbound middleware wraps a call to Linq. The guard treats both in
the same way. An error of the wrapped code passes through. An error of the plugin disables the plugin, and the wrapped
code runs without its middleware. If the plugin is required, its error fails closed: the guard raises NoVerdict.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from linqbot.errors import NoVerdict, Refused, TurnDeferred
from linqbot.interrupts import RunningTask
from linqbot.plugins.registry import Plugin, Plugins, WrongUse

F = TypeVar("F", bound=Callable[..., Any])

Wrapped: TypeAlias = Callable[..., Awaitable[Any]]

WRAPPED: Final = "linqbot.plugins.wrapped"
"""The `__qualname__` of the wrapped code as middleware gets it."""

_NOTHING: Final = object()


@dataclass(slots=True)
class _Pass:
    """One run through one plugin's middleware.

    Attributes:
        result: Result of the wrapped code; `_NOTHING` until the wrapped code has returned.
        error: Error of the wrapped code, if it raised one.
        coroutine: The coroutine that the middleware got when it called the wrapped code; None before.
        has_begun: The middleware has awaited the coroutine.
        outer: Names of the plugins whose middleware was already running when this run began.
    """

    result: Any = _NOTHING
    error: BaseException | None = None
    coroutine: weakref.ref[Coroutine[Any, Any, Any]] | None = None
    has_begun: bool = False
    outer: frozenset[str] = frozenset()

    def refuse_forgotten(self, written: str) -> None:
        """Check the middleware, which has returned.

        Raises:
            WrongUse: it has called the wrapped code, and can never await it any more.
        """
        if not self.has_begun and self.coroutine is not None and self.coroutine() is None:
            raise WrongUse(f"it never awaited what comes after it. Write: await {written}")


_pass: ContextVar[_Pass] = ContextVar("linqbot_pass")
_running: ContextVar[frozenset[str]] = ContextVar("linqbot_running_middleware", default=frozenset())


def guarded(
    plugins: Plugins,
    plugin: Plugin,
    kind: str,
    wrap: Callable[[Any], Wrapped],
    wrapped: Wrapped,
    *,
    written: str,
    checked: Callable[[Any], Any] = lambda result: result,
    passing: type[BaseException] = TurnDeferred,
    ended: Callable[..., None] = lambda *_: None,
    is_reentrant: bool = True,
) -> Wrapped:
    """Return some code inside one plugin's middleware. If the plugin is off or fails, only the code runs.

    The returned function takes the arguments of the code. It raises Refused if the plugin refuses the call, whose code does
    not run; NoVerdict if the plugin fails and is required, so nothing was done; and the errors of the code, those in
    `passing`, and TurnDeferred. Other errors of the plugin are logged.

    Args:
        kind: Kind of middleware, for the log.
        wrap: The middleware: takes the wrapped code and returns what to call in its place.
        wrapped: The wrapped code.
        written: The call of the wrapped code as authors write it, such as `run(call)`.
        checked: Returns a result of the middleware, or raises if the middleware must not return such a result.
        passing: Errors that pass through even if the plugin raised them.
        ended: Called with the arguments when the middleware returned without calling the wrapped code.
        is_reentrant: False skips the middleware for calls that the middleware itself makes.
    Raises:
        Exception: `wrap` raised. This is an error of the plugin too.
    """
    middleware = wrap(_noted(wrapped, written))

    async def run_guarded(*given: Any) -> Any:
        outer = _running.get()
        if not plugin.is_on or (not is_reentrant and plugin.name in outer):
            return await wrapped(*given)
        run = _Pass(outer=outer)
        tokens = _pass.set(run), _running.set(outer | {plugin.name})
        task = RunningTask()
        try:
            returned = await middleware(*given)
            run.refuse_forgotten(written)
            result = checked(returned)
        except Refused as error:
            error.plugin = error.plugin or plugin.name
            plugins.note_success(plugin, kind)
            raise
        except BaseException as error:
            if run.error is not None or isinstance(error, (passing, TurnDeferred)):
                raise  # the wrapped code's error, or what the middleware made of it
            if task.is_ended_by(error):
                raise
            why = plugins.note_failure(plugin, kind, error)
            if plugin.required and run.result is _NOTHING:
                raise NoVerdict(f"The required plugin {plugin.name} failed: {why}. Nothing was done.") from error
        else:
            plugins.note_success(plugin, kind)
            if not run.has_begun:
                ended(*given)
            return result
        finally:
            _pass.reset(tokens[0])
            _running.reset(tokens[1])
        return await wrapped(*given) if run.result is _NOTHING else run.result

    return run_guarded


def _noted(wrapped: Wrapped, written: str) -> Wrapped:
    """Return the wrapped code as the middleware gets it: its result or its error is noted in the present run."""
    count = written.count(",") + 1

    async def run_wrapped(run: _Pass, given: tuple[Any, ...]) -> Any:
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

    def call(*given: Any) -> Awaitable[Any]:
        if len(given) != count:
            raise WrongUse(f"it passed {len(given)} arguments. Write: await {written}")
        run = _pass.get()
        coroutine = run_wrapped(run, given)
        run.coroutine = weakref.ref(coroutine)
        return coroutine

    run_wrapped.__qualname__ = WRAPPED
    return call


def plain_functions(given: Iterable[F]) -> list[F]:
    """Return what a hook gave: functions that are called without await.

    Raises:
        TypeError: one of them cannot be called, or is an `async def`.
    """
    functions = list(given)
    for each in functions:
        if not callable(each):
            raise TypeError(f"a {type(each).__name__} cannot be called")
        if inspect.iscoroutinefunction(each):
            name = getattr(each, "__qualname__", type(each).__name__)
            raise TypeError(f"{name} is async, and must be a plain def")
    return functions
