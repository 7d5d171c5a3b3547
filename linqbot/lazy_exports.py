"""Names of a package that are imported from their modules when they are first used.

`linqbot --help` and a pytest run that only loads linqbot's plugin would otherwise import everything. An unknown name
gets an error that names the right place or the nearest spelling.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dis import opmap
from importlib import import_module
from typing import Any


def homes_of(names: Mapping[str, str]) -> dict[str, str]:
    """Return the module of each name, from the names of each module, which are separated by spaces."""
    return {name: module for module, its_names in names.items() for name in its_names.split()}


def lazy_exports(
    package: str, homes: Mapping[str, str], *, elsewhere: Callable[[], Mapping[str, str]] = dict
) -> Callable[[str], Any]:
    """Return `__getattr__` for the `__init__.py` of a package.

    There is no `__dir__`, so `dir()` lists a name once it was used. Some programs look at each name that `dir()` lists:
    freezegun does, while `date` is its fake, and models of pydantic cannot be made of that.

    Args:
        package: The package's `__name__`.
        homes: The full name of the module that defines each name.
        elsewhere: Returns public names that the package does not have, each with the module to import it from.
    """

    def get(name: str) -> Any:
        if name not in homes:
            caller = sys._getframe(1)  # noqa: SLF001 - see `_is_import`
            if caller.f_globals.get("__name__") == "importlib._bootstrap":
                raise AttributeError(name)  # `from package import name` looks for a module of that name first
            raise _missing(package, name, list(homes), elsewhere(), in_import=_is_import(caller))
        value = getattr(import_module(homes[name]), name)
        sys.modules[package].__dict__[name] = value
        return value

    return get


def _missing(package: str, name: str, names: list[str], elsewhere: Mapping[str, str], *, in_import: bool) -> Exception:
    # Imported late: importing linqbot imports nothing of it that is not needed yet.
    from linqbot.nearest import nearest_name

    if name in elsewhere:
        hint = f"Write: from {elsewhere[name]} import {name}"
    elif near := nearest_name(name, [*names, *elsewhere]):
        hint = f"Did you mean {near}?"
        if near in elsewhere:
            hint += f" Write: from {elsewhere[near]} import {near}"
    else:
        hint = f"It has: {', '.join(sorted(names))}."
    text = f"{package} has no {name}. {hint}"
    if in_import and not name.startswith("__"):
        return ImportError(text, name=package)
    # The empty name keeps Python from adding its own suggestion.
    return AttributeError(text, name="")


def _is_import(frame: Any) -> bool:
    """Return True if a frame executes `from package import name`.

    Python replaces an AttributeError there by an ImportError without our hint, so the hint must be in an ImportError.
    Everywhere else `hasattr` and `getattr` with a default need an AttributeError.
    """
    code = frame.f_code.co_code
    return bool(frame.f_lasti >= 0 and code[frame.f_lasti] == opmap["IMPORT_FROM"])
