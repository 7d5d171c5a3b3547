"""Text about an error of a plugin that may be logged and shown on /readyz."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import FrameType
from typing import Final

import pluggy

from linqbot.errors import LinqbotError

_MAX_MESSAGE: Final = 300

_SAFE_ERRORS = (
    ImportError,
    SyntaxError,
    NameError,
    AttributeError,
    TypeError,
    LinqbotError,
    pluggy.PluginValidationError,
)
"""Errors whose messages are about code, or were written to be read. Others may hold a secret, such as the password of
a database."""

_LEAD_TO_PLUGINS: Final = {"linqbot", "pluggy", "importlib", "importlib_metadata"}
"""Packages whose code only leads to a plugin's code: linqbot, pluggy and the import system.

If the backport importlib_metadata is installed, its classes load the entry points."""


class WrongUse(TypeError):
    """A mistake of a plugin in its use of linqbot. Its message is about code only, so it may always be logged."""


def describe(what: str, error: BaseException, *, with_message: bool = False) -> str:
    """Return a sentence about an error of a plugin: what was called, the error's class and the place in the code.

    Args:
        what: What the plugin was called for, such as a hook's name.
        with_message: Add the error's message, if it is of a kind that is about code. Without it the message is left
            out, because it may quote a person or hold a secret; but not if no code of the plugin ran, such as when the
            plugin's function does not take the arguments that it got.
    """
    places = [
        f" at {Path(frame.f_code.co_filename).name}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not _leads_to_plugin(frame)
    ]
    at = places[0] if places else ""
    is_about_code = isinstance(error, WrongUse) or (isinstance(error, TypeError) and not places)
    is_shown = is_about_code or (with_message and isinstance(error, _SAFE_ERRORS))
    message = " ".join(str(error).split())[:_MAX_MESSAGE] if is_shown else ""
    raised = "" if isinstance(error, WrongUse) else f" raised {type(error).__name__}"
    return f"{what}{raised}{at}" + (f": {message}" if message else "")


def _leads_to_plugin(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _LEAD_TO_PLUGINS
