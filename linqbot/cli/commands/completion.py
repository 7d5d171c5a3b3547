"""`linqbot completion`: print the script that lets a shell complete linqbot's command lines.

The script asks `linqbot` itself for each completion: commands and options come from click, arguments from
`cli/completions.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from linqbot.cli.output import json_option
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


@click.command("completion")
@click.argument("shell", type=click.Choice(tuple(PLACES)), required=False, metavar=f"[{'|'.join(PLACES)}]")
@json_option
def command(*, shell: str | None, as_json: bool) -> None:
    """Print the completion script for SHELL, and say where to put it. Without SHELL, your shell is used.

    It completes commands, options, event types, effects, codes, and the ids of deliveries in the inbox.
    """
    shell = shell or _own_shell()
    script = _script(shell)
    if as_json:
        click.echo(json.dumps({"shell": shell, "place": PLACES[shell], "script": script}))
        return
    click.echo(script)
    where = PLACES[shell]
    folder = where.rpartition("/")[0]
    click.echo(
        f"# To keep it: mkdir -p {folder} && linqbot completion {shell} > {where}\n# {NOTES[shell]}",
        err=True,
    )


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
