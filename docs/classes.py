"""The pages of docs/classes/: the classes that a bot's author uses, from their signatures and docstrings.

`generate.py` writes the pages.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import linqbot
import linqbot.events
import linqbot.testing
from linqbot.events.parse import EVENT_TYPES
from pydantic import BaseModel

from generate import prose

PARTS = ("TextPart", "MediaPart", "LinkPart", "AppPart", "AppClipPart", "Experience")
PARTS += (
    "TextDecoration",
    "Mention",
    "InlineSticker",
    "Effect",
    "ReplyTo",
    "MessageContent",
    "Message",
    "Chat",
    "Handle",
)
PAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "bot": ("Bot and Router", "linqbot", ("Bot", "Router")),
    "context": ("Context, Sent and Scheduled", "linqbot", ("Context", "Sent", "Scheduled")),
    "filters": (
        "Filters",
        "linqbot",
        ("contains", "exact", "regex", "from_handle", "in_direct", "in_group", "has_media", "has_link"),
    ),
    "parts": ("Messages and their parts", "linqbot", PARTS),
    "events": (
        "Events",
        "linqbot.events",
        ("Event", *sorted({cls.__name__ for cls in EVENT_TYPES.values()}), "UnknownEvent"),
    ),
    "testing": (
        "Testing",
        "linqbot.testing",
        ("talking", "PhoneFor", "Phone", "Bubble", "Tapback", "ApiCall", "HandlerFailed", "NothingCame"),
    ),
}
"""By file name: the page's title, the package to import from, and the names in the order of the page."""


def pages() -> dict[str, str]:
    """Return the text of each file of docs/classes/, by its name."""
    return {f"{name}.md": _page(*PAGES[name]) for name in PAGES} | {"index.md": _index()}


def _index() -> str:
    lines = ["# Classes", "", "The names that a file with handlers uses, and where to import them from.", ""]
    lines += ["| page | import from | names |", "| --- | --- | --- |"]
    for file, (title, package, names) in PAGES.items():
        shown = names if len(names) < 20 else (*names[:3], "…")
        lines.append(f"| [{title}]({file}.md) | `{package}` | {', '.join(f'`{name}`' for name in shown)} |")
    return "\n".join([*lines, ""])


def _page(title: str, package: str, names: tuple[str, ...]) -> str:
    lines = [f"# {title}", "", f"All of these are imported from `{package}`.", ""]
    module = {"linqbot": linqbot, "linqbot.events": linqbot.events, "linqbot.testing": linqbot.testing}[package]
    for name in names:
        lines += _entry(name, getattr(module, name))
    return re.sub(r"\n\n\n+", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _entry(name: str, value: Any) -> Iterator[str]:
    yield from (f"## {name}", "")
    if inspect.isclass(value):
        yield from _class(name, value)
    else:
        if inspect.isfunction(value):
            yield from _code(_signature(name, value))
        yield from (*prose(inspect.getdoc(value) or ""), "")


def _class(name: str, cls: type[Any]) -> Iterator[str]:
    if issubclass(cls, BaseModel):
        bases = [base.__name__ for base in cls.__bases__ if base.__name__ not in {"Data", "BaseModel"}]
        yield from (f"A kind of {' and '.join(f'`{base}`' for base in bases)}.", "") if bases else ()
        yield from (*prose(inspect.getdoc(cls) or ""), "")
        yield from _fields(cls)
    else:
        if "__init__" in vars(cls) and not is_dataclass(cls) and not issubclass(cls, BaseException | str):
            yield from _code(_signature(name, cls.__init__, bound=True))
        yield from (*prose(inspect.getdoc(cls) or ""), "")
    for method_name, found in vars(cls).items():
        member = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        if method_name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        if not (doc := inspect.getdoc(member)):
            continue
        yield from (f"### {name}.{method_name}", "")
        if inspect.isfunction(member):
            yield from _code(_signature(method_name, member, bound=True))
        yield from (*prose(doc), "")


def _fields(cls: type[BaseModel]) -> Iterator[str]:
    own = [field for field in cls.model_fields if field in inspect.get_annotations(cls)]
    if own:
        yield from ("| field | type |", "| --- | --- |")
        for field in own:
            shown = str(inspect.get_annotations(cls)[field]).replace("|", "\\|")
            yield f"| `{field}` | `{shown}` |"
        yield ""


def _code(text: str) -> Iterator[str]:
    yield from ("```python", text, "```", "")


def _signature(name: str, function: Callable[..., Any], *, bound: bool = False) -> str:
    """Return a function's signature as its source writes it, one argument a line when it is long."""
    node = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if bound and node.args.args:
        node.args.args.pop(0)
    start = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    result = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    line = f"{start}{name}({ast.unparse(node.args)}){result}"
    if len(line) <= 100:
        return line
    arguments = [*_arguments(node.args)]
    return f"{start}{name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){result}"


def _arguments(given: ast.arguments) -> Iterator[str]:
    defaults = [None] * (len(given.args) - len(given.defaults)) + list(given.defaults)
    for argument, default in zip(given.args, defaults, strict=True):
        yield ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")
    if given.vararg:
        yield f"*{ast.unparse(given.vararg)}"
    elif given.kwonlyargs:
        yield "*"
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")
    if given.kwarg:
        yield f"**{ast.unparse(given.kwarg)}"
