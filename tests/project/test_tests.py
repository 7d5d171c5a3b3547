"""Tests observe behaviour: they use no private name of linqbot, of a plugin or of another library.

`python tests/project/test_tests.py PATH …` lists what is found below these paths.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("tests", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("plugins/*/tests")))

PRIVATE = re.compile(r"_(?!_)\w*")
DOTTED = re.compile(r"(?:linqbot\w*)(?:\.\w+)*?\.(_(?!_)\w*)")
BY_NAME = {"delattr", "getattr", "hasattr", "setattr"}
MAYBE = re.compile(
    r"""(?<!\bself)(?<!\bcls)\._(?!_)|import .*\b_(?!_)|^\s+_(?!_)\w+( as \w+)?,|["'](linqbot[\w.]*\.)?_(?!_)|^\s+_(?!_)\w+$""",
    re.MULTILINE,
)
"""Found in each file that uses a private name, and in few others: to read the syntax of all files takes long."""


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each use of a private name of another object.

    An object may use its own: `self._x` and `cls._x` are not found. Names are also found in the arguments of `getattr`,
    `monkeypatch.setattr` and their like.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if PRIVATE.fullmatch(name):
                yield node.lineno, name
            case ast.ImportFrom(module=module, names=aliases):
                parts = [*(module or "").split("."), *(alias.name for alias in aliases)]
                yield from ((node.lineno, part) for part in parts if PRIVATE.fullmatch(part))
            case ast.Import(names=aliases):
                parts = [part for alias in aliases for part in alias.name.split(".")]
                yield from ((node.lineno, part) for part in parts if PRIVATE.fullmatch(part))
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in BY_NAME:
                for text in (each.value for each in node.args[:2] if isinstance(each, ast.Constant)):
                    if isinstance(text, str) and (found := PRIVATE.fullmatch(text) or DOTTED.fullmatch(text)):
                        yield node.lineno, found[found.lastindex or 0]


def findings(place: str | Path) -> list[str]:
    """Return the uses of private names below a folder, with their files and lines."""
    found = []
    for path in sorted((ROOT / place).rglob("*.py")):
        name, source = path.relative_to(ROOT).as_posix(), path.read_text()
        if MAYBE.search(source):
            found += [f"{name}:{line}: {private}" for line, private in names(ast.parse(source))]
    return found


@pytest.mark.parametrize("place", PLACES)
def test_a_test_uses_no_private_name_of_what_it_tests(place: str) -> None:
    assert findings(place) == []


if __name__ == "__main__":
    print("\n".join(finding for place in sys.argv[1:] or PLACES for finding in findings(place)))
