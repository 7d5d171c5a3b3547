"""Builds the reference: every class, call of Linq's API, hook, command, setting, event, code and control request.

    python docs/generate.py [FOLDER]
    python docs/generate.py --skill     # writes docs/skill/SKILL.md again, after a change of llms.txt

The pages are not committed. They are written to docs/reference, where the links to the written pages lead to them, and
begin with index.md. Nothing is read but the code: docstrings, signatures, tables, and a snippet for each resource of the
client. It needs no network.
"""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from linqbot import hookspecs, turn_events
from linqbot.client.client import Client
from linqbot.client.resources.resource import ApiResource
from linqbot.hook_markers import GROUP
from linqbot.linq.endpoints import ENDPOINTS

HERE = Path(__file__).parent
RAW = "https://raw.githubusercontent.com/linqbot/linqbot/main"
SKILL = HERE / "skill" / "SKILL.md"
SECTIONS = ("Args", "Returns", "Raises", "Source")


def built() -> dict[str, str]:
    """Return the content of each page, by its path in the folder."""
    import classes
    import reference

    api, listed = api_pages(), classes.pages()
    return {
        "index.md": _INDEX,
        "hooks.md": hooks(),
        **reference.pages(),
        **{f"api/{name}": text for name, text in api.items()},
        **{f"classes/{name}": text for name, text in listed.items()},
    }


_INDEX = """\
# Reference

Complete lists, built from the code. Explanations are on the [written pages](../README.md).

- [Commands](commands.md) with their options
- [Settings](settings.md) with their defaults
- [Events](events.md): Linq's types with their classes and fields
- [Classes](classes/index.md) and functions that a bot's author uses
- [Linq's API](api/index.md): every method of `ctx.client`
- [Codes](codes.md): linqbot's errors, Linq's errors, Linq's rules
- [Hooks](hooks.md) of plugins
- [Control API](control.md) of the emulator
"""


def api_pages() -> dict[str, str]:
    """Return the pages of the client, by file name: one for each module of resources."""
    groups: dict[str, dict[str, ApiResource]] = {}
    for name, noun in resources_of(Client("key")):
        groups.setdefault(type(noun).__module__.rpartition(".")[2], {})[name] = noun
    written = {f"{group}.md": page(group, nouns) for group, nouns in groups.items()}
    return written | {"index.md": index(groups)}


def resources_of(holder: Any) -> Iterator[tuple[str, ApiResource]]:
    """Yield the resources directly below a client or a resource, in the order of the source."""
    for name, member in vars(type(holder)).items():
        if isinstance(member, property) and isinstance(noun := getattr(holder, name), ApiResource):
            yield name, noun


def index(groups: dict[str, dict[str, ApiResource]]) -> str:
    rows = [
        f"| [{name}]({group}.md#{name}) | {summary(getattr(Client, name))} |"
        for group, nouns in groups.items()
        for name in nouns
    ]
    head = [
        "# Linq's API in the client",
        "",
        "Every resource is `client.<name>` or, in a handler, `ctx.client.<name>`. Names are those of Linq's documentation.",
        "",
        "| resource | what |",
        "| --- | --- |",
    ]
    return "\n".join([*head, *rows, "", *_SAFETY, ""])


_SAFETY = (
    "Each method has a safety class, which says what may be done after a lost response. *read*: read again. *natural*:",
    "repeat, the end state is the same. *keyed*: repeat under the same idempotency key. *hint*: it may be lost. *once*: never",
    "repeat blindly. The client repeats calls where this is safe. Every method may raise `RuleBroken` (the",
    "call would break one of Linq's rules: nothing was sent), `RateLimited`, `LinqUnavailable`, and `LinqApiError`;",
    "its own text names the cases.",
)


def page(group: str, nouns: dict[str, ApiResource]) -> str:
    lines = [f"# Linq's API: {group.replace('_', ' ')}", ""]
    for name, noun in nouns.items():
        snippet = (HERE / "snippets" / f"{name}.py").read_text()
        lines += [
            f"## {name}",
            "",
            *prose(inspect.getdoc(type(noun)) or ""),
            "",
            "```python",
            snippet.rstrip(),
            "```",
            "",
        ]
        lines += methods(name, noun)
    return re.sub(r"\n\n\n+(?=\*\*|\[Linq's|#)", "\n\n", "\n".join(lines).rstrip() + "\n")


def methods(path: str, noun: ApiResource) -> Iterator[str]:
    """Yield the entries of a resource's methods, then those of the resources below it."""
    for name, method in vars(type(noun)).items():
        if not name.startswith("_") and inspect.isfunction(method) and name == method.__name__:
            yield from entry(f"{path}.{name}", method)
    for name, below in resources_of(noun):
        yield from (f"## {path}.{name}", "", *prose(inspect.getdoc(type(below)) or ""), "")
        yield from methods(f"{path}.{name}", below)


def entry(name: str, method: Callable[..., Any]) -> Iterator[str]:
    yield from (f"### {name}", "", "```python", signature(f"client.{name}", method), "```", "")
    if (endpoint := ENDPOINTS.get(name)) is not None:
        yield from (f"`{endpoint.method} {endpoint.path}` · *{endpoint.safety}*", "")
    yield from (*prose(inspect.getdoc(method) or ""), "")


def hooks() -> str:
    """Return the page of all hooks and of the events that plugins observe: tables with their summaries, then their docstrings."""
    specs = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, f"{GROUP}_spec")}
    adds = {name: spec for name, spec in specs.items() if name.startswith("register_")}
    lifecycle = {name: spec for name, spec in specs.items() if name not in adds}
    _, _, rules = (inspect.getdoc(hookspecs) or "").partition("\n\n")
    lines = [
        "# Hooks",
        "",
        "Every hook that a plugin may implement. How to write a plugin: [plugins](../plugins.md).",
        "",
        *prose(rules),
    ]
    for title, part in (("What a plugin adds", adds), ("The start and the stop of the app", lifecycle)):
        lines += section(title, "hook", part, {name: signature(name, spec) for name, spec in part.items()})
    _, _, rules = (inspect.getdoc(turn_events) or "").partition("\n\n")
    classes = {each.__name__: each for each in vars(turn_events).values() if inspect.isclass(each) and of_plugins(each)}
    events = {name: each for name, each in classes.items() if issubclass(each, turn_events.TurnEvent)}
    lines += ["", "## What a plugin observes", "", *prose(rules)]
    lines += section("Events", "event", events, {name: fields(each) for name, each in events.items()})
    source, _, _ = inspect.getsource(turn_events).partition("# Events that quote people")
    lines += ["", "## Types of the arguments", "", *prose(_TYPES), *type_aliases(source)]
    for name in ("TurnReport", "TurnCall", "Tried"):
        lines += ["", *shown(name, classes[name], fields(classes[name]))]
    return re.sub(r"\n\n\n+", "\n\n", "\n".join(lines)).rstrip() + "\n"


_TYPES = """\
Those below are of `linqbot.turn_events`, as the events are; [`Delivery`](classes/deliveries.md) is of `linqbot.events`; `Run`,
[`Call` and `ApiResponse`](classes/calls.md) of `linqbot.client.call`; `StorageBackend` of `linqbot.storage.backend`; `Bot`, `Router`,
`Context`, `Event` and [`Running`](classes/bot.md#running) of `linqbot`; the others of `linqbot.hookspecs`."""


def of_plugins(kind: type) -> bool:
    """Return True for a class of `turn_events.py` that an installed plugin may read."""
    is_base = kind in (turn_events.TurnEvent, turn_events.QuotingEvent)
    return kind.__module__ == turn_events.__name__ and not is_base and not issubclass(kind, turn_events.QuotingEvent)


def section(title: str, what: str, part: Mapping[str, Any], code: Mapping[str, str]) -> Iterator[str]:
    """Yield a table of hooks or classes with their summaries, and the entry of each."""
    rows = [f"| [`{name}`](#{name.lower()}) | {summary(each)} |" for name, each in part.items()]
    yield from ("", f"## {title}", "", f"| {what} | what |", "| --- | --- |", *rows)
    for name, each in part.items():
        yield from ("", *shown(name, each, code[name]))


def shown(name: str, each: Any, code: str) -> Iterator[str]:
    yield from (f"### {name}", "", "```python", code, "```", "", *prose(inspect.getdoc(each) or ""))


def fields(kind: type) -> str:
    """Return the fields of a class, a line for each, as its source writes them."""
    node = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(node, ast.ClassDef)
    return "\n".join(ast.unparse(each).partition(" = ")[0] for each in node.body if isinstance(each, ast.AnnAssign))


def type_aliases(source: str) -> Iterator[str]:
    """Yield the entries of the type aliases of a module: for a name, its values and the text below it."""
    for node, below in pairwise(ast.parse(source).body):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            assert isinstance(node.target, ast.Name)
            assert isinstance(below, ast.Expr)
            assert isinstance(below.value, ast.Constant)
            yield from (
                "",
                f"### {node.target.id}",
                "",
                "```python",
                ast.get_source_segment(source, node) or "",
                "```",
                "",
            )
            yield from prose(inspect.cleandoc(str(below.value.value)))


def signature(name: str, function: Callable[..., Any]) -> str:
    """Return a function's signature as a call, as its source writes it: `await retrieve(chat_id: str) -> Chat`.

    The arguments of a long signature have a line each. `self` and `cls` are left out.
    """
    node = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if node.args.args and node.args.args[0].arg in {"self", "cls"}:
        node.args.args.pop(0)
    start = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    if inspect.isasyncgenfunction(function):
        start = "async for … in "
    result = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    line = f"{start}{name}({ast.unparse(node.args)}){result}"
    if len(line) <= 100:
        return line
    arguments = "".join(f"    {each},\n" for each in _arguments(node.args))
    return f"{start}{name}(\n{arguments}){result}"


def _arguments(given: ast.arguments) -> Iterator[str]:
    """Yield each argument with its default."""
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


def summary(member: Any) -> str:
    return (inspect.getdoc(member) or "").partition("\n")[0]


def prose(docstring: str) -> Iterator[str]:
    """Yield a docstring as Markdown: its sections become lists, its source a link."""
    section, item = "", ""
    for line in [*docstring.splitlines(), "End:"]:
        found = re.match(r"(\w+):(?: (.*))?$", line)
        is_head = found is not None and found[1] in {*SECTIONS, "Attributes", "End"}
        starts = section in {"Args", "Raises", "Attributes"} and re.match(r"    \w[\w, /]*: ", line)
        if item and (is_head or starts):
            yield item
            item = ""
        if found is not None and is_head:
            section = found[1]
            if section == "Source":
                yield from ("", f"[Linq's page]({found[2]})")
            elif section != "End":
                yield from ("", f"**{section}**", "")
        elif starts:
            name, _, said = line.strip().partition(": ")
            item = f"- `{name}`: {said}"
        elif item and not line.strip():  # an example follows
            yield from (item, "")
            item = ""
        elif item:
            item += " " + line.strip()
        else:
            yield line.strip() if section else line


def skill() -> str:
    """Return the skill for coding agents: the facts, rules and links of llms.txt, with the files that `linqbot new` writes."""
    llms = (HERE.parent / "llms.txt").read_text()
    (about,) = re.findall(r"^> (.*)$", llms, re.MULTILINE)
    facts, rules = (
        "\n".join(re.findall(r"^- .*$", part, re.MULTILINE))
        for part in llms.partition("The essential API")[0].split("Rules for writing a bot:")
    )
    numbered = "\n".join(f"{n}. {rule.removeprefix('- ')}" for n, rule in enumerate(rules.splitlines(), 1))
    pages = llms[llms.index("## Write a bot") : llms.index("## Look it up")]
    links = re.sub(r"\]\((?!http)", f"]({RAW}/", pages).replace("## ", "### ")
    template = files("linqbot.cli") / "templates" / "bot"
    bot, tests = ((template / f"{name}.py.tmpl").read_text("utf-8") for name in ("bot", "test_bot"))
    return f"""\
{_SKILL_HEAD}
# linqbot

{about}

{facts}

## Rules

{numbered}

## The smallest bot

`linqbot new mybot` writes this file, with its tests:

```python bot.py
{bot.replace("$name", "mybot").rstrip()}
```

## Test it

```python test_bot.py
{tests.rstrip()}
```

```console
pytest                      # runs the tests
linqbot check bot.py        # before it goes live: token, lines, subscriptions, secrets, storage
linqbot rehearse bot.py     # simulated people, while the process is killed
```

The essential API in one program, with each import: [llms.txt]({RAW}/llms.txt). An error code: `linqbot explain LQB1001`.

## Pages

{links.rstrip()}
"""


_SKILL_HEAD = """\
---
name: linqbot
description: Write, test and run chatbots on iMessage, RCS and SMS in Python with linqbot, a framework for Linq (linqapp.com). Use it to write or change a bot that imports linqbot, to test or deploy one, or to receive Linq's webhooks in Python.
---

<!-- Built from llms.txt by docs/generate.py: change that file. -->
"""


def write(folder: Path) -> None:
    for name, text in built().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--skill"]:
        SKILL.write_text(skill())
        sys.exit()
    if not sys.argv[1:]:
        shutil.rmtree(HERE / "reference", ignore_errors=True)  # pages of what is gone
    write(Path(sys.argv[1]) if sys.argv[1:] else HERE / "reference")
