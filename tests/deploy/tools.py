"""Other programs that the tests of `deploy/` run. A test whose program is missing says how to install it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

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
