"""Completions of command arguments for the shell, and the script with which it asks `linqbot` for them.

If completions cannot be found, none are offered; there is no error.

`advice_on` helps with an event type that linqbot does not know: it names the nearest type, or the list of all types.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from linqbot.nearest import nearest_name

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


PLACES: Final = {
    "bash": "~/.local/share/bash-completion/completions/linqbot",
    "zsh": "~/.zfunc/_linqbot",
    "fish": "~/.config/fish/completions/linqbot.fish",
}
"""The file in which each shell looks for the completion script of a command."""
_NOTES: Final = {
    "bash": "It works in the next shell, if the package bash-completion is installed.",
    "zsh": "It works in the next shell, if ~/.zshrc has: fpath+=~/.zfunc; autoload -Uz compinit; compinit",
    "fish": "It works in the next shell.",
}


def print_script(command: click.Command, shell: str) -> None:
    """Print the script for a shell, and on standard error where to put it."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None, shell
    # Not .source(): it would start bash to warn about a bash older than 4.4, which is from 2016.
    about = made(command, {}, "linqbot", "_LINQBOT_COMPLETE")
    click.echo((about.source_template % about.source_vars()).strip())
    folder = PLACES[shell].rpartition("/")[0]
    keep = f"# To keep it: mkdir -p {folder} && linqbot --completion {shell} > {PLACES[shell]}"
    click.echo(f"{keep}\n# {_NOTES[shell]}", err=True)


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


def waiting(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _starting(incomplete, _deliveries(ctx.params, is_dead=None))


def dead(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _starting(incomplete, _deliveries(ctx.params, is_dead=True))


def _deliveries(params: dict[str, Any], *, is_dead: bool | None) -> list[tuple[str, str]]:
    import asyncio

    from linqbot.cli.storage_option import chosen_storage, open_configured_storage

    async def found() -> list[tuple[str, str]]:
        async with open_configured_storage(chosen_storage(params)) as inbox:
            rows = [(each.delivery.id, f"dead {each.delivery.type}") for each in await inbox.dead_letters(limit=100)]
            if is_dead is None:
                rows += [(each.id, f"{each.state} {each.type}") for each in await inbox.waiting(limit=100)]
            return rows

    # An error message would be printed into the command line that is being typed.
    with contextlib.suppress(Exception):
        return asyncio.run(found())
    return []


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
