"""Finds Pythons of other versions, on the PATH and in pyenv."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path


def interpreter(version: str) -> Path | None:
    """Return an interpreter of a version, such as 3.12; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    newest_first = sorted(pyenv.glob(f"{version}.*"), key=lambda one: [int(n) for n in re.findall(r"\d+", one.name)])[
        ::-1
    ]
    on_path = shutil.which(f"python{version}")
    candidates = [Path(on_path)] if on_path else []
    for candidate in [*candidates, *(one / "bin" / "python3" for one in newest_first)]:
        # A shim of pyenv may point to no interpreter.
        ran = subprocess.run(
            [candidate, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=False
        )
        if ran.returncode == 0:
            return Path(ran.stdout.strip())
    return None
