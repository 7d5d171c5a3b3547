"""Forgotten `await`s: reports a coroutine that a handler made and never awaited, with the author's line.

Python warns about such a coroutine when it is deleted, through `warnings.showwarning`. The hook here notes the warning
at the turn whose code is running; `engine/turns.py` reads the notes when the handler has ended. A turn that awaits all its
calls never comes here, so the report costs it nothing. Outside of turns, warnings are shown as before.
"""

from __future__ import annotations

import asyncio
import linecache
import sys
import warnings
from collections.abc import Collection, Iterable
from inspect import iscoroutinefunction
from string import ascii_letters, digits
from typing import Any, Final, TextIO

import structlog

from linqbot.branch import UnawaitedCoroutine, running_root
from linqbot.engine.routing import HandlerRun
from linqbot.errors import NeverAwaited
from linqbot.frames import file_name, is_authors
from linqbot.plugins.guard import WRAPPED

log = structlog.get_logger("linqbot.worker")

_BEGIN: Final = "coroutine '"
_END: Final = "' was never awaited"

_WRITTEN: Final = {
    "Context": "ctx",
    "BotContext": "ctx.bot",
    "ChatContext": "ctx.chat",
    "State": "ctx.state",
    "Sent": "sent",
    "AskSession": "ctx",  # `ctx.ask` and its like return its coroutines
}
"""What authors write for the objects of a class."""


def note_coroutines() -> None:
    """Note each coroutine that the code of a turn never awaits. A hook that is installed already stays."""
    if isinstance(warnings.showwarning, _Hook):
        return
    warnings.filterwarnings("always", message=f"{_BEGIN}.*{_END}", category=RuntimeWarning)
    warnings.showwarning = _Hook(warnings.showwarning)


def error_of(
    coroutines: Iterable[UnawaitedCoroutine],
    ctx: HandlerRun | None,
    after_middleware: Collection[str],
    delivery_id: str,
) -> NeverAwaited | None:
    """Log the coroutines that a turn never awaited. Return an error if one of them was a call or what handles the event.

    It was not done, and a retry would not do it either. As a dead letter, the delivery can be handled again with the
    corrected code. `after_middleware` has the `__qualname__`s of the functions that middleware gets to await.
    """
    handler, at = (ctx.handler, ctx.handler_at) if ctx is not None else (None, None)
    error: NeverAwaited | None = None
    for coroutine in coroutines:
        if coroutine.function == WRAPPED:
            continue  # the guard has blamed the plugin, and done without its middleware
        if coroutine.function in after_middleware and error is None:
            who = f"The middleware at {coroutine.place}" if coroutine.place else "A middleware"
            sentence = f"{who} never awaited what comes after it, so no handler ran. Write: await next_(event, ctx)"
            error = NeverAwaited(sentence, at=coroutine.place)
            continue
        sentence = report(coroutine, handler or "The middleware", at)
        if coroutine.is_call and error is None:
            error = NeverAwaited(sentence, at=coroutine.at)
        else:
            log.error("coroutine.never_awaited", delivery=delivery_id, at=coroutine.at or at, why=sentence)
    return error


def report(coroutine: UnawaitedCoroutine, handler: str, handler_at: str | None) -> str:
    """Return a sentence about a coroutine that was never awaited: the handler, the author's line, and what to write.

    Without a known line of the call, it is that of the handler.
    """
    call = coroutine.call
    if coroutine.in_thread:
        function = handler.rpartition(":")[2].rpartition(".")[2]
        return (
            f"{handler} is a plain def, and {coroutine.at or handler_at or 'its code'} called {call}() without await, so "
            f"nothing was done. Return the text of the reply instead, or write: async def {function} and await {call}(…)"
        )
    subject = f"{handler} ended and {coroutine.at}" if coroutine.at else f"{handler} ({handler_at or '?'}) ended and"
    return f"{subject} never awaited {call}(). Write: await {call}(…)"


class _Hook:
    """A `warnings.showwarning` that notes coroutines of turns, and passes all other warnings on."""

    def __init__(self, otherwise: Any) -> None:
        self._otherwise = otherwise

    def __call__(  # noqa: PLR0917 - Python calls it in this way
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        root, (name, end, _) = running_root(), str(message).partition(_END)
        if root is None or root.never_awaited is None or not (end and name.startswith(_BEGIN)):
            self._otherwise(message, category, filename, lineno, file, line)
        else:
            root.never_awaited += (_coroutine(name.removeprefix(_BEGIN), filename, lineno),)


def _coroutine(name: str, filename: str, lineno: int) -> UnawaitedCoroutine:
    # The coroutine is deleted in the statement that made it. If it had a name, it is deleted later, on another line.
    written = _call_in(linecache.getline(filename, lineno), name.rpartition(".")[2])
    place = f"{file_name(filename)}:{lineno}" if is_authors(filename) else None
    call = written or written_call(name)
    at = place if written else None
    return UnawaitedCoroutine(
        call, at, in_thread=_is_in_thread(), is_call=_is_linqbots(name), function=name, place=place
    )


def written_call(name: str) -> str:
    """Return the call of a function as authors write it, such as `ctx.state.person`, given the function's `__qualname__`."""
    owner, _, method = name.rpartition("<locals>.")[2].rpartition(".")
    return f"{_WRITTEN.get(owner, owner)}.{method}".lstrip(".")


def _call_in(line: str, function: str) -> str | None:
    """Return the call of a function as a line of code writes it, such as `ctx.reply`; None if there is none."""
    before, found, _ = line.partition(f"{function}(")
    if not found or before[-1:].isidentifier():
        return None
    return before[len(before.rstrip(f"{ascii_letters}{digits}_.")) :] + function


def _is_linqbots(name: str) -> bool:
    """Return True for a method of a class of linqbot, or a function of a plugin such as `run` of linqbot-agent.

    An author may have a class or a function of the same name.
    """
    owner, _, function = name.rpartition(".")
    package, modules = "linqbot." if owner else "linqbot_", list(sys.modules.items())
    homes = [module for path, module in modules if path.startswith(package)]
    if owner:
        return any(hasattr(getattr(home, owner, None), function) for home in homes)
    return any(iscoroutinefunction(getattr(home, function, None)) for home in homes)


def _is_in_thread() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False
