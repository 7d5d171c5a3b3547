"""`linqbot completion`: print the script that lets a shell complete linqbot's command lines, by asking `linqbot` itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import click
from click.shell_completion import get_completion_class

from linqbot.cli.kit import Arg, Result
from linqbot.errors import ConfigError

PLACES = {
    "bash": "~/.local/share/bash-completion/completions/linqbot",
    "zsh": "~/.zfunc/_linqbot",
    "fish": "~/.config/fish/completions/linqbot.fish",
}
"""The file in which each shell looks for the completion script of a command."""

NOTES = {
    "bash": "It works in the next shell, if the package bash-completion is installed.",
    "zsh": "It works in the next shell, if ~/.zshrc has: fpath+=~/.zfunc; autoload -Uz compinit; compinit",
    "fish": "It works in the next shell.",
}


def completion(
    shell: Annotated[str | None, Arg(f"[{'|'.join(PLACES)}]", click.Choice(tuple(PLACES)), required=False)],
) -> Result:
    """Print the completion script for SHELL, and say where to put it. Without SHELL, your shell is used.

    It completes commands, options, event types, effects, codes, and the ids of stored deliveries.
    """
    shell = shell or _own_shell()
    script, where = _script(shell), PLACES[shell]
    folder = where.rpartition("/")[0]

    def show() -> None:
        click.echo(script)
        keep = f"# To keep it: mkdir -p {folder} && linqbot completion {shell} > {where}"
        click.echo(f"{keep}\n# {NOTES[shell]}", err=True)

    return Result({"shell": shell, "place": where, "script": script}, show)


def _own_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in PLACES:
        raise ConfigError(
            f"SHELL names {name or 'no shell'}, which linqbot has no completion for. "
            f"Name the shell: linqbot completion {'|'.join(PLACES)}"
        )
    return name


def _script(shell: str) -> str:
    from linqbot.cli.main import main

    made = get_completion_class(shell)
    assert made is not None, shell
    # Not .source(): it would start bash to warn about a bash older than 4.4, which is from 2016.
    about = made(main, {}, "linqbot", "_LINQBOT_COMPLETE")
    return (about.source_template % about.source_vars()).strip()
