"""Completions of command arguments for the shell.

`advice_on` helps with an event type that linqbot does not know: it names the nearest type, or the list of all types.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from linqbot.nearest import nearest_name

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def event_types(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from linqbot.linq.events.parse import EVENT_TYPES

    return _starting(incomplete, ((name, _about(kind)) for name, kind in EVENT_TYPES.items()))


def effects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from linqbot.linq.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS

    named = ((name, kind) for kind, names in (("screen", SCREEN_EFFECTS), ("bubble", BUBBLE_EFFECTS)) for name in names)
    return _starting(incomplete, sorted(named))


def codes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from linqbot.ops.explanations import everything, of_linq, of_rules

    # linqbot's own codes need many imports, so they are left out if another kind of code was begun.
    known = everything() if "LQB".startswith(incomplete.upper()[:3]) else {**of_linq(), **of_rules()}
    return _starting(incomplete.upper(), ((each.code, each.summary) for each in known.values()))


def _starting(incomplete: str, words: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word, help=about) for word, about in words if word.startswith(incomplete)]


def _about(kind: type) -> str:
    return (kind.__doc__ or "").partition("\n")[0].replace("`", "")


def advice_on(unknown: str) -> str:
    # Imported here, so that shell completion and --help do not wait for the events to be imported.
    from linqbot.linq.events.parse import EVENT_TYPES

    near = nearest_name(unknown, EVENT_TYPES)
    return f"Did you mean {near}?" if near else "See: linqbot trigger --list"
