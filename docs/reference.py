"""The pages of docs/reference/: every command, setting, event and code, looked up where they are defined.

`python docs/generate.py` writes them. Explanations and examples stand on the pages written by hand; here stands what
must be complete.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping

import click
from linqbot.cli.main import COMMANDS, SECTIONS, main
from linqbot.events.event import Event
from linqbot.events.message import MessageEvent
from linqbot.events.parse import EVENT_TYPES
from linqbot.ops.explanations import Explanation, of_linq, of_ours, of_rules
from linqbot.settings import Settings, variable

import control_reference


def pages() -> dict[str, str]:
    """What each file of docs/reference/ holds, by its name."""
    return {
        "commands.md": _page(_commands()),
        "settings.md": _page(_settings()),
        "events.md": _page(_events()),
        "codes.md": _page(_codes()),
        "control.md": _page(control_reference.lines()),
    }


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", "`linqbot COMMAND --help` prints the same. Plugins may add more.")
    for title, names in SECTIONS.items():
        yield from ("", f"**{title}**", "", "| command | for |", "| --- | --- |")
        yield from (f"| [`linqbot {name}`](#linqbot-{name}) | {COMMANDS[name]} |" for name in names)
    yield from ("", "Each of them also takes `--help`, and what prints anything takes `--json`.")
    root = click.Context(main, info_name="linqbot")
    for name in (name for names in SECTIONS.values() for name in names):
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
        yield from ("", "| option | |", "| --- | --- |", *rows)
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _command(f"{path} {name}", below, "###")


def _row(record: tuple[str, str]) -> str:
    option, about = record
    return f"| `{_cell(option)}` | {_cell(about)} |"


def _settings() -> Iterator[str]:
    yield from (
        "# Settings",
        "",
        "Read once, at the start: an option of the command, else the environment, else `linqbot.toml` in the working",
        "folder, else the default. A name that is not known is refused with the nearest right one.",
        "",
        "| environment | `linqbot.toml` | default | |",
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
        "`@bot.on(ReactionRemoved)`; [which handler takes an event](../routing.md) tells the rest. A type of tomorrow",
        "is `UnknownEvent`.",
        "",
        "Every event has these, None where Linq does not say: " + _names(Event.model_fields) + ".",
        "",
        "Messages sent and received have, beside those: "
        + _names([*_own(MessageEvent), "text", "media", "links", "mentions"])
        + ".",
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
        "`linqbot explain CODE` tells of each why it comes and what to do. How errors look, and where they are told:",
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
        "A call that breaks one is refused before it is sent (LQB3001), where the call alone shows it.",
        "",
        *_table(of_rules()),
    )


def _table(codes: Mapping[str, Explanation]) -> Iterator[str]:
    yield from ("| code | | |", "| --- | --- | --- |")
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
