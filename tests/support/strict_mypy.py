"""Runs `mypy --strict` as an author of a bot does, in tests that share what mypy has learned about linqbot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".mypy_cache" / "strict"
"""Its first run in a checkout reads all of linqbot."""


def checked(folder: Path, *arguments: str, environ: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    """Check the types of files in a folder. Another process of the test run waits for the cache meanwhile."""
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(CACHE), *arguments]
    with (CACHE / "lock").open("w") as lock:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
