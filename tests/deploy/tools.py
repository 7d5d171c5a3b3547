"""Other programs that the tests of `deploy/` run, and what its files give to the processes of a bot: settings, roles, time to stop.

A test whose program is missing says how to install it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import pytest

from linqbot.cli.main import main
from linqbot.settings import Settings, variable

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


class Ran(NamedTuple):
    """The exit code and the output of a program."""

    code: int
    out: str
    err: str


def tool(name: str, *, get: str) -> str:
    """Return the path of a program. Without the program, skip the test and say how to `get` it; in CI, fail."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not on the PATH. To run this test: {get}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def ran(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end, whatever its exit code."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def compose_command() -> list[str]:
    """Return the command that reads compose files. Without one, skip the test; in CI, fail."""
    docker = shutil.which("docker")
    if docker and ran([docker, "compose", "version"]).code == 0:
        return [docker, "compose"]
    return [tool("docker-compose", get="apt-get install docker-compose, or Docker's compose plugin")]


# The processes of a bot

POSTGRES_MAX_CONNECTIONS: Final = 100
"""PostgreSQL's default; 3 of them are for its owner."""


STOP_S: Final = Settings.model_fields["drain_s"].default + 5 + 10
"""Seconds that a process may take to stop: its drain, its open requests, and some to spare."""


def role_of(arguments: list[str]) -> str | None:
    """Return the role that a command line of linqbot asks for, as linqbot itself reads it."""
    name, *rest = arguments
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command.make_context(name, rest).params["role"]  # type: ignore[no-any-return]


def is_closed(service: dict[str, Any]) -> None:
    """Check that a container of a bot has no port and few rights, settings without a secret, and the time to stop."""
    assert "ports" not in service
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_S
    settings_of(service["environment"])


def settings_of(environ: dict[str, str]) -> None:
    """Check that variables are settings of linqbot or the folder of SQLite's copies, and that none is a secret."""
    assert set(environ) <= {"SQLITE_TMPDIR", *(variable(name) for name in Settings.model_fields)}, environ
    assert set(environ) & {"LINQ_API_V3_API_KEY", "LINQ_WEBHOOK_SECRET"} == set()
