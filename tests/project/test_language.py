"""Docstrings, comments and pages are plain English: no relative clauses as openers, no words of a private dialect.

The docstring of a public function names the errors that the function raises: in a section `Raises:`, or, of a function
that no author calls, in a sentence. A function is public if modules of other rooms, or authors, import it.

`python tests/project/test_language.py PATH …` lists what is found below these paths.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (
    *("linqbot", "plugins", "examples", "benchmarks", "tests", "docs"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
)
OPENERS = re.compile(r"(What|Whatever|Who|Whoever|Whose|Whether|How|Where|When|Which|That|So)\b")
MAYBE_OPENED = re.compile(rf'^\s*[rR]?"+\s*{OPENERS.pattern}', re.MULTILINE)
"""What begins each docstring that `OPENERS` finds, and some other texts."""
WORDS = re.compile(
    r"\b(anew|beside|whoever|whosoever|somebody|nobody|told|hunger|appetite|deaf|mends?|mended|dies over|"
    r"at last alone|thereby|thereof|likewise|for good|none of its|of its own accord)\b",
    re.IGNORECASE,
)
NAMED = {"__init__", "__call__", "__enter__", "__exit__", "__aenter__", "__aexit__"}
"""Special methods that count as public functions. Operators such as `[]` raise what Python's rules for them say."""
INSIDE = re.compile(
    r"linqbot/(cli|ops|client/http)"
    r"|plugins/linqbot-dev/linqbot_dev/(commands|dev|dry_runs|rehearsal|testing/stage|testing/arguments\.py)"
    r"|plugins/linqbot-dev/linqbot_dev/emulator/(?!emulator\.py|declared_world\.py)"
    r"|plugins/linqbot-operator"
    r"|plugins/linqbot-agent/linqbot_agent/(?!plugin|run\.py|entries|budget|progress|saying)"
)
"""Modules that only their own room imports. What their functions raise is a few lines below the signature."""
TWIN_CLASSES = 5
"""The most names of top-level classes that may stand in two modules: a reader who searches for one finds one."""


def of_python(source: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the line, the text and whether it is a docstring, of each docstring and each comment.

    Of a file in which there is nothing to find, nothing is yielded: to read its syntax would take longer than all else.
    """
    if not WORDS.search(source) and not MAYBE_OPENED.search(source):
        return
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node):
                docstrings.add(node.body[0])
                yield node.body[0].lineno, text, True
        elif node in docstrings:
            continue
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value, False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def of_page(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the prose of a Markdown page, without its code blocks."""
    in_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield number, line, False


def findings(path: Path) -> list[str]:
    """Return what is not plain English in a file, with its lines."""
    name = path.relative_to(ROOT).as_posix()
    texts = of_page(path.read_text()) if path.suffix == ".md" else of_python(path.read_text())
    found = []
    for line, text, is_docstring in texts:
        if is_docstring and (opener := OPENERS.match(text)):
            found.append(f"{name}:{line}: a docstring opens with {opener[0]}: {text.splitlines()[0][:70]}")
        found += [f"{name}:{line + text.count(chr(10), 0, hit.start())}: {hit[0]}" for hit in WORDS.finditer(text)]
    return found


def files(*places: str | Path) -> list[Path]:
    """Return the Python files and Markdown pages below some places."""
    found: list[Path] = []
    for place in map(ROOT.__truediv__, map(str, places)):
        found += [place] if place.is_file() else [*place.rglob("*.py"), *place.rglob("*.md")]
    return sorted(path for path in found if not {".venv", "data"} & {*path.parts} and path != Path(__file__))


def undocumented(tree: ast.Module | ast.ClassDef) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each public function that raises an error of which its docstring does not speak.

    An `__init__` may speak of it in the docstring of its class. A command of the command line has none: its
    docstring is its help.
    """
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from undocumented(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        is_private = node.name.startswith("_") and node.name not in NAMED
        is_command = any(re.match(r"[\w.]*\bcommand\(", ast.unparse(each)) for each in node.decorator_list)
        is_command |= node.returns is not None and re.match(r"Result\b", ast.unparse(node.returns)) is not None
        if is_private or is_command or not raises(node):
            continue
        docstrings = [ast.get_docstring(each) or "" for each in ([node, tree] if node.name == "__init__" else [node])]
        if not any(re.search(r"\braises?\b", text, re.IGNORECASE) for text in docstrings):
            yield node.lineno, f"{tree.name}.{node.name}" if isinstance(tree, ast.ClassDef) else node.name


def raises(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return True if a `raise` with an error is in a function's body, outside the functions inside it."""
    todo: list[ast.AST] = [*function.body]
    while todo:
        match todo.pop():
            case ast.Raise(exc=ast.expr()):
                return True
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() | ast.ClassDef():
                continue
            case node:
                todo += ast.iter_child_nodes(node)
    return False


@pytest.mark.parametrize("place", ["linqbot", "plugins"])
def test_a_public_function_that_raises_an_error_says_so(place: str) -> None:
    sources = [path for path in files(place) if path.suffix == ".py" and "tests" not in path.parts]
    assert [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {name}"
        for path in sources
        if not INSIDE.match(path.relative_to(ROOT).as_posix())
        for line, name in undocumented(ast.parse(path.read_text()))
    ] == []


@pytest.mark.parametrize("place", PLACES)
def test_what_is_written_is_plain_english(place: str) -> None:
    assert [finding for path in files(place) for finding in findings(path)] == []


def test_class_names_of_two_modules_are_few() -> None:
    homes = defaultdict(list)
    for path in files("linqbot", "plugins/linqbot-dev/linqbot_dev"):
        if path.suffix == ".py":
            for name in re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE):
                homes[name].append(path.relative_to(ROOT).as_posix())
    twins = {name: places for name, places in homes.items() if len(places) > 1}
    assert len(twins) <= TWIN_CLASSES, twins


if __name__ == "__main__":
    print("\n".join(finding for path in files(*(sys.argv[1:] or PLACES)) for finding in findings(path)))
