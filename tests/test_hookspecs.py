"""Each hook is documented and has a user."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linqbot import hookspecs
from linqbot.hook_markers import GROUP
from linqbot.plugins.registry import LIFECYCLE

HOOKS: dict[str, Callable[..., Any]] = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, f"{GROUP}_spec")
}


def test_every_hook_is_explained(subtests: pytest.Subtests) -> None:
    for name in HOOKS:
        with subtests.test(name=name):
            assert (HOOKS[name].__doc__ or "").strip().endswith((".", "`"))


def test_every_hook_that_adds_nothing_is_of_the_start_or_the_stop() -> None:
    assert {name for name in HOOKS if not name.startswith("register_")} == {*LIFECYCLE}


def implemented(source: str) -> set[str]:
    """Return the names of the functions that are marked with `hookimpl`."""
    return {
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for mark in node.decorator_list
        if ast.unparse(mark).partition("(")[0].rpartition(".")[2] == "hookimpl"
    }


def test_every_hook_has_a_user_among_our_plugins() -> None:
    files = (Path(__file__).parents[1] / "plugins").glob("linqbot-*/linqbot_*/**/*.py")
    used = set[str]().union(*(implemented(file.read_text()) for file in files))
    assert HOOKS.keys() <= used, "Give these hooks a plugin that needs them, or remove them."
