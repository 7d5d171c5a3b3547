"""Programs that are not Python's, which the tests of `deploy/` run: found, or said how to get."""

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
    """What a program ended with and said."""

    code: int
    out: str
    err: str


def tool(name: str, *, get: str) -> str:
    """The path of a program. Without it the test is skipped, saying how to `get` it; in CI it fails."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not on the PATH. To run this test: {get}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def ran(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end, whatever that is."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)
