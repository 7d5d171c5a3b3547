"""Runs the tests that the emulator's page has copied or saved, next to their bot."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path


def run_copied(tests: list[str], file: Path, folder: Path) -> dict[str, str]:
    """Run copied tests next to their bot, in one pytest. Return the outcome of each file by its name."""
    if file.parent != folder:
        shutil.copy(file, folder / file.name)
    for number, test in enumerate(tests):
        (folder / f"test_{number}.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-rA", "-W", "error", "--rootdir", str(folder), str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) (test_\d+)\.py::", done.stdout, re.MULTILINE)
    assert len(outcomes) == len(tests), done.stdout + done.stderr
    return {name: outcome for outcome, name in outcomes}
