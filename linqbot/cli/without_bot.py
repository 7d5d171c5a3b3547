"""`linqbot dev --no-bot`: the emulator of Linq on this machine, for a bot that runs elsewhere or without linqbot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from linqbot.cli import logs
from linqbot.cli.exposed import exposed, warn
from linqbot.cli.output import print_started, printable_json
from linqbot.emulator.declared_world import DeclaredWorld
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app
from linqbot.errors import ConfigError
from linqbot.server import uvicorn_server


def serve_emulator(
    host: str,
    port: int,
    names: tuple[str, ...],
    *,
    api_key: str | None,
    state: Path | None,
    declared: DeclaredWorld | None,
    as_json: bool,
) -> None:
    """Serve the emulator until the process is stopped.

    Args:
        names: More names under which the page may be opened.
        api_key: The only bearer token that is accepted; None for any.
        state: A JSON file to load the state from, and to write it to at the end.
        declared: The people, groups and lines at the beginning; None is two lines.
    """
    logs.configure("warning", "auto")
    if state is not None and not state.parent.is_dir():
        raise ConfigError(f"The folder of the state {state} does not exist. Create it, or change the path.")
    with uvicorn_server.listen(host, port) as bound:
        open_at = exposed(bound, host, names)
        # A bot on another machine reaches the emulator, and the files it serves, under the name that was given.
        address = open_at.elsewhere[0] if names and open_at.is_open else open_at.here
        emulator = Emulator(api_key=api_key, public_url=address, declared=declared)
        if state is not None and state.exists():
            emulator.reset(_read(state))
        if as_json:
            print_started({"phone": address, "api": f"{address}/api/partner", "control": f"{address}/emulator"})
        else:
            click.echo(f"Linq emulator on {address}")
        warn(
            open_at,
            "the phone page and the control API" if api_key else "the phone page, the control API and Linq's API",
            as_json=as_json,
        )
        app = create_app(emulator, allowed_hosts=[host, *names])
        uvicorn_server.run(app, bound, before_exit=emulator.end_streams)
        if state is not None:
            _write(state, emulator.save_state())


def _read(file: Path) -> dict[str, Any]:
    try:
        state = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file} cannot be read as JSON: {error}. Correct it, or remove it to begin with an empty state."
        ) from error
    if not isinstance(state, dict):
        raise ConfigError(f"{file} holds no JSON object. It has lists such as phone_numbers and chats.")
    return state


def _write(file: Path, state: dict[str, Any]) -> None:
    # Written to a new file first, so that a full disk cannot destroy the old state. 0600: it holds signing secrets.
    new = file.with_name(file.name + ".new")
    new.touch(mode=0o600)
    # A text may hold half an emoji, which no file in UTF-8 takes as it is.
    new.write_text(printable_json(state, indent=1), "utf-8")
    new.replace(file)
