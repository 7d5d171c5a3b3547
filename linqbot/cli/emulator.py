"""`linqbot emulator`: a pretend Linq on this machine, alone."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from linqbot.cli import http, logs
from linqbot.emulator.app import create_app
from linqbot.emulator.emulator import Emulator


@click.command("emulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=4010, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--api-key", envvar="LINQ_API_V3_API_KEY", help="The only bearer token accepted; any, without this.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Load the state from this JSON file and write it back on exit.",
)
def command(host: str, port: int, api_key: str | None, state: Path | None) -> None:
    """Run the emulator: Linq's API at /v3 and /api/partner/v3, a phone at /, the control API at /emulator."""
    logs.configure("warning", "auto")
    with http.listen(host, port) as bound:
        address = f"http://{host}:{bound.getsockname()[1]}"
        emulator = Emulator(api_key=api_key, public_url=address)
        if state is not None and state.exists():
            emulator.load(state)
        click.echo(f"Linq emulator on {address}")
        started = http.run(create_app(emulator), bound)
        if state is not None:
            emulator.save(state)
        if not started:
            sys.exit(1)
