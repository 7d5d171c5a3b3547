"""Finds Pythons of other versions: those of Debian, on the PATH and in pyenv."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path


def interpreter(version: str) -> Path | None:
    """Return an interpreter of a version, such as 3.12; None if there is none.

    That of Debian is first: it was compiled with a profile, and the tests take a fifth less processor time on it than on one
    that pyenv compiled.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    newest_first = sorted(pyenv.glob(f"{version}.*"), key=lambda one: [int(n) for n in re.findall(r"\d+", one.name)])[
        ::-1
    ]
    found = [each for path in ("/usr/bin", None) if (each := shutil.which(f"python{version}", path=path))]
    for candidate in [*map(Path, found), *(one / "bin" / "python3" for one in newest_first)]:
        # A shim of pyenv may point to no interpreter.
        ran = subprocess.run(
            [candidate, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=False
        )
        if ran.returncode == 0:
            return Path(ran.stdout.strip())
    return None
