"""Python's own errors about a wrong call, with what the author meant: a misspelt argument, and a forgotten `await`.

Python 3.13 names the nearest argument by itself; older ones do not. Of a coroutine it says only which attribute it lacks.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any, Final

from linqbot.bot.never_awaited import written_call
from linqbot.errors import NeverAwaited
from linqbot.frames import authors_frame, place_of
from linqbot.nearest import nearest_name

_UNEXPECTED: Final = re.compile(r"(\w+)\.(\w+)\(\) got an unexpected keyword argument '(\w+)'")


def with_cause(error: Exception) -> Exception:
    """Return an error that says what the author meant: the same one, with a suggestion if it has one, or NeverAwaited."""
    if isinstance(error, TypeError):
        _suggest(error)
    if isinstance(error, AttributeError | TypeError) and "'coroutine'" in str(error):
        return _never_awaited(error)
    return error


def _suggest(error: TypeError) -> None:
    said = str(error)
    found = _UNEXPECTED.fullmatch(said)
    if found is None or (function := _of_linqbot(found[1], found[2])) is None:
        return
    given = [name for name in inspect.signature(function).parameters if name != "self"]
    if near := nearest_name(found[3], given):
        error.args = (f"{said}. Did you mean {near!r}?",)


def _of_linqbot(owner: str, name: str) -> Any:
    """Return a method of a class of linqbot, by their names as Python's error has them; None if there is none."""
    homes = [module for path, module in list(sys.modules.items()) if path.startswith("linqbot.")]
    classes = (getattr(home, owner, None) for home in homes)
    return next((getattr(each, name) for each in classes if isinstance(each, type) and hasattr(each, name)), None)


def _never_awaited(error: AttributeError | TypeError) -> Exception:
    """Return the error for the coroutine that the author's code has used like its result; `error` if it is not known."""
    used = getattr(error, "obj", None)
    if not inspect.iscoroutine(used):
        used = _only_coroutine(error)
    if used is None:
        return error
    call, at = written_call(used.__qualname__), place_of(error)
    used.close()  # else Python would warn about it as well
    return NeverAwaited(f"{at} uses the result of {call}(), which was never awaited. Write: await {call}(…)", at=at)


def _only_coroutine(error: BaseException) -> Any:
    """Return the coroutine that has a name where the author's code failed, if there is one only."""
    if authors_frame(error) is None:
        return None
    entry, found = error.__traceback__, list[Any]()
    while entry is not None:
        values = entry.tb_frame.f_locals.values()
        waiting = [
            each for each in values if inspect.iscoroutine(each) and inspect.getcoroutinestate(each) == "CORO_CREATED"
        ]
        found, entry = waiting or found, entry.tb_next
    return found[0] if len(found) == 1 else None
