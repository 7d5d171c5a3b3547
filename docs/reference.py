"""The reference's pages of commands, settings, events and codes, collected from their definitions.

`generate.py` writes them. Explanations and examples are on the pages that are written by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping

import click
from linqbot.cli.main import main
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEvent
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.ops.explanations import Explanation, of_linq, of_ours, of_rules
from linqbot.settings import Settings, variable

import control_reference


def pages() -> dict[str, str]:
    """Return the content of each page, by its file name."""
    return {
        "commands.md": _page(_commands()),
        "settings.md": _page(_settings()),
        "events.md": _page(_events()),
        "codes.md": _page(_codes()),
        "control.md": _page(control_reference.lines()),
    }


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", "`linqbot COMMAND --help` prints the same. Plugins may add more.")
    sections = main.sections()
    for title, commands in sections.items():
        yield from ("", f"**{title}**", "", "| command | does |", "| --- | --- |")
        yield from (f"| [`linqbot {name}`](#linqbot-{name}) | {about} |" for name, about in commands.items())
    yield from ("", "Every command also takes `--help`. Every command that prints something takes `--json`.")
    root = click.Context(main, info_name="linqbot")
    for name in (name for commands in sections.values() for name in commands):
        command = main.get_command(root, name)
        assert command is not None, name
        yield from _command(f"linqbot {name}", command, "##")


def _command(path: str, command: click.Command, level: str) -> Iterator[str]:
    yield from ("", f"{level} {path}", "")
    ctx = click.Context(command, info_name=path)
    yield from (f"    {path} {' '.join(command.collect_usage_pieces(ctx))}", "")
    yield _escaped(inspect.cleandoc(command.help or ""))
    options = [each for each in command.params if isinstance(each, click.Option)]
    rows = [_row(record) for each in options if (record := each.get_help_record(ctx))]
    if rows := [row for row in rows if not row.startswith("| `--json`")]:
        yield from ("", "| option | meaning |", "| --- | --- |", *rows)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None, name
            yield from _command(f"{path} {name}", below, "###")


def _row(record: tuple[str, str]) -> str:
    option, about = record
    return f"| `{_cell(option)}` | {_cell(about)} |"


def _settings() -> Iterator[str]:
    yield from (
        "# Settings",
        "",
        "Settings are read once, at the start. The first of these wins: an option of the command, the environment,",
        "`linqbot.toml` in the working folder, the default. An unknown name in `linqbot.toml` is an error that suggests the",
        "nearest name. So is a variable that nearly has the name of a setting which is not given, such as `LINQ_API_V3_APIKEY`.",
        "Other variables that begin with `LINQBOT_` or `LINQ_` are ignored: they may belong to a plugin or to Linq's own SDKs.",
        "",
        "| environment | `linqbot.toml` | default | meaning |",
        "| --- | --- | --- | --- |",
    )
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, (), "") else f"`{field.default}`"
        yield f"| `{variable(name)}` | `{name}` | {default} | {_cell(field.description or '')} |"


def _events() -> Iterator[str]:
    yield from (
        "# Events",
        "",
        f"Linq's {len(EVENT_TYPES)} event types, each with its class. Handle one with",
        "`@bot.on(ReactionRemoved)`; see [handling](../handling.md). A type that linqbot does not know is an",
        "`UnknownEvent`.",
        "",
        "Every event has these fields; a field is None if Linq does not send it: " + _names(Event.model_fields) + ".",
        "",
        "Events of messages also have: " + _names([*_own(MessageEvent), "text", "media", "links", "mentions"]) + ".",
    )
    modules: dict[str, list[tuple[str, type[Event]]]] = {}
    for name, kind in EVENT_TYPES.items():
        modules.setdefault(kind.__module__, []).append((name, kind))
    for module, kinds in modules.items():
        yield from ("", f"## {module}", "", "| type | class | when | fields |", "| --- | --- | --- | --- |")
        yield from (f"| `{name}` | `{kind.__name__}` | {_said(kind)} | {_fields(kind)} |" for name, kind in kinds)


def _fields(kind: type[Event]) -> str:
    known = MessageEvent if issubclass(kind, MessageEvent) else Event
    return _names(name for name in kind.model_fields if name not in known.model_fields)


def _own(kind: type[Event]) -> Iterator[str]:
    return (name for name in kind.model_fields if name not in Event.model_fields)


def _codes() -> Iterator[str]:
    yield from (
        "# Codes",
        "",
        "`linqbot explain CODE` prints why an error occurs and what to do. For the form and the places of errors, see",
        "[errors](../errors.md).",
        "",
        "## linqbot's",
        "",
        *_table(of_ours()),
        "",
        "## Linq's",
        "",
        *_table(of_linq()),
        "",
        "## Linq's rules",
        "",
        "If the call alone shows that it breaks a rule, linqbot refuses it before it is sent (LQB3001).",
        "",
        *_table(of_rules()),
    )


def _table(codes: Mapping[str, Explanation]) -> Iterator[str]:
    yield from ("| code | name | meaning |", "| --- | --- | --- |")
    for code, about in codes.items():
        shown = f"[{code}]({about.link})" if about.link else f"`{code}`"
        yield f"| {shown} | {about.name} | {_cell(about.summary)} |"


def _said(kind: type) -> str:
    return _cell((inspect.getdoc(kind) or "").partition("\n")[0])


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _escaped(text: str) -> str:
    return re.sub(r"\n\x08\n", "\n", text)


def _page(lines: Iterable[str]) -> str:
    return re.sub(r"\n\n\n+", "\n\n", "\n".join(lines)).rstrip() + "\n"
