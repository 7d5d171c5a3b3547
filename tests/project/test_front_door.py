"""The names that `linqbot`, `linqbot.events` and `linqbot.testing` offer, and the errors for names they lack."""

from __future__ import annotations

import ast
import builtins
import pickle
import re
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import linqbot
import linqbot.errors
import linqbot.events
import linqbot.testing

PACKAGES = [linqbot, linqbot.events, linqbot.testing]


def printed(code: str) -> str:
    """Return what code prints in a new process."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def names_of(node: ast.ImportFrom) -> list[str]:
    """Return the names that an import statement imports."""
    names = [alias.name for alias in node.names]
    return list(import_module(str(node.module)).__all__) if names == ["*"] else names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_exactly_the_names_that_it_offers(package: ModuleType) -> None:
    tree = ast.parse(Path(str(package.__file__)).read_text())
    typed = {
        f"{node.module}.{name}"
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for name in names_of(node)
    }
    assert {home.rpartition(".")[2] for home in typed} == set(package.__all__)
    for home in typed:
        module, _, name = home.rpartition(".")
        assert getattr(package, name) is getattr(import_module(module), name)


@pytest.mark.process
@pytest.mark.parametrize("package", PACKAGES)
def test_looking_at_each_name_of_a_package_imports_nothing(package: ModuleType) -> None:
    # As freezegun does with each module that is loaded, after it has put a fake in place of `date`.
    looked = "before = {*sys.modules}; [getattr(package, name) for name in dir(package)]"
    assert printed(f"import sys, {package.__name__} as package; {looked}; print({{*sys.modules}} - before)") == "set()"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there_with_a_docstring(package: ModuleType) -> None:
    assert [name for name in package.__all__ if not (getattr(package, name).__doc__ or "").strip()] == []


def test_the_error_for_an_unknown_name_says_where_to_look(subtests: pytest.Subtests) -> None:
    homes = {"PollVoteAdded": "events", "SQLiteStorage": "storage.sqlite.storage", "Next": "bot.router"}
    homes |= {"Muted": "errors", "HandlerFailed": "testing"}
    rows: list[tuple[str, str, str]] = [
        *(("linqbot", name, f"Write: from linqbot.{home} import {name}") for name, home in homes.items()),
        ("linqbot", "MessageRecieved", "Did you mean MessageReceived?"),
        ("linqbot", "MesageRead", "Did you mean MessageRead? Write: from linqbot.events import MessageRead"),
        ("linqbot.events", "MessageRecieved", "Did you mean MessageReceived?"),
        ("linqbot.testing", "phone_for", "Did you mean PhoneFor?"),
        ("linqbot.events", "Zebra", "It has: ApiTokenActivated, ApiTokenCreated"),
    ]
    for package, name, then in rows:
        text = f"{package} has no {name}. {then}"
        with subtests.test(package=package, name=name):
            with pytest.raises(AttributeError) as looked_up:
                getattr(import_module(package), name)
            with pytest.raises(ImportError) as imported:
                exec(f"from {package} import {name}")
            assert str(looked_up.value).startswith(text)
            assert "Did you mean: '" not in "".join(traceback.format_exception(looked_up.value)), (
                "Python's own suggestion"
            )
            assert str(imported.value).startswith(text)


def test_the_places_that_errors_name_exist() -> None:
    names = ["SQLiteStorage", "MemoryStorage", "create_app", "running", "from_env", "talking", "Next", "Filter"]
    for name in names:
        with pytest.raises(AttributeError) as error:
            getattr(linqbot, name)
        line = str(error.value).partition("Write: ")[2]
        found: dict[str, object] = {}
        exec(line, found)
        assert name in found


def test_a_traceback_names_an_error_as_it_is_imported(subtests: pytest.Subtests) -> None:
    for kind in (linqbot.testing.HandlerFailed, linqbot.testing.NothingCame):
        with subtests.test(kind=kind.__name__):
            (line,) = traceback.format_exception_only(kind("what"))
            assert line == f"linqbot.testing.{kind.__name__}: what\n"
            assert pickle.loads(pickle.dumps(kind("what"))).args == ("what",)


def test_the_errors_that_a_handler_meets_are_in_linqbot_errors() -> None:
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    table = page.partition("## In a handler")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row)} | {"SendMissed"}
    assert len(named) > 15
    assert [name for name in sorted(named - vars(builtins).keys()) if not hasattr(linqbot.errors, name)] == []


@pytest.mark.process
def test_importing_linqbot_imports_nothing_else() -> None:
    loaded = "sorted(name for name in sys.modules if name.startswith(('pydantic', 'httpx', 'linqbot.')))"
    assert printed(f"import linqbot, sys; print({loaded})") == "['linqbot.lazy_exports']"


@pytest.mark.process
def test_without_linqbot_dev_an_import_for_tests_says_how_to_install_it() -> None:
    code = """
import sys

class NotInstalled:
    def find_spec(self, name, *_):
        if name == "linqbot_dev":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
for module in ("linqbot.testing", "linqbot.testing.people", "linqbot.testing.ledger"):
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        print(error)
"""
    (said,) = {*printed(code).splitlines()}
    assert said.startswith("linqbot.testing is in the package linqbot-dev, which is not installed. Install it: ")
    assert "linqbot-dev" in said.partition("Install it: ")[2]
