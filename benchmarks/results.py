"""Keeps what programs of this folder measured in `results/`, with the date, the versions and the machine.

`charts.py` draws the pictures of the docs from these files.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Conditions:
    """The day, the versions and the machine of a measurement.

    Attributes:
        load: The load average before the measurement began. Near 0, no other program was running.
        note: A fact that a reader of the figures must know; empty if there is none.
    """

    date: str
    machine: str
    load: float
    versions: dict[str, str]
    note: str = ""

    @classmethod
    def now(cls, *libraries: str) -> Conditions:
        """Return the present conditions, with the versions of linqbot, of Python and of those libraries that are installed."""
        versions = {"linqbot": version("linqbot") + _commit(), "Python": platform.python_version()}
        for library in libraries:
            try:
                versions[library] = version(library)
            except PackageNotFoundError:
                continue
        return cls(datetime.now(UTC).date().isoformat(), _machine(), round(os.getloadavg()[0], 1), versions)

    def __str__(self) -> str:
        day = datetime.fromisoformat(self.date)
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        busy = f"; other programs were running (load average {self.load})" if self.load >= 0.5 else ""
        return f"{day.day} {day:%B %Y}, {self.machine}{busy}. {versions}." + (f" {self.note}" if self.note else "")


def save(name: str, conditions: Conditions, figures: Any, *, folder: Path = RESULTS) -> None:
    """Write the result file of a program, in the place of its last one."""
    kept = {**asdict(conditions), "figures": figures}
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def load(name: str, *, folder: Path = RESULTS) -> tuple[Conditions, Any]:
    """Return the conditions and the figures of a result file."""
    kept = json.loads((folder / f"{name}.json").read_text())
    figures = kept.pop("figures")
    return Conditions(**kept), figures


def rounded(values: Sequence[float]) -> list[float]:
    """Return the values of all rounds with four digits."""
    return [float(f"{value:.4g}") for value in values]


def _commit() -> str:
    """Return the last commit that changed linqbot, in brackets; nothing outside of a clone."""
    command = ["git", "log", "-1", "--format=%h", "--", "linqbot"]
    try:
        found = subprocess.run(command, cwd=RESULTS.parents[1], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" ({found.strip()})" if found else ""


def _machine() -> str:
    """Return the number of cores and their name."""
    try:
        cores = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        cores = None
    return f"{os.cpu_count()} cores of {cores[1].strip() if cores else platform.machine()}, {platform.system()}"
