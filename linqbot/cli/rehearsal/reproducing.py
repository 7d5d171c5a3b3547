"""Writes tests that show the findings, and runs each of them to see if it does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from linqbot.cli.rehearsal.report import print_trying
from linqbot.testing.people.checks import Violation
from linqbot.testing.people.persona import Visit
from linqbot.testing.people.reproduction import name_of, reproductions

MOST: Final = 5
"""The most tests that are written: further people usually show the same."""
TIMEOUT_S: Final = 60.0
TRYING_S: Final = 120.0
"""Seconds for all tests. Each finding has at least one run, for which a loaded machine needs ten seconds."""

_FAILS: Final = "fails, as it should until the bot is corrected"
_PASSES: Final = "passes here: this needs a real process, or its timing"
_UNTRIED: Final = "was not run: pytest is not installed"
_NOT_ENDED: Final = f"did not end within {TIMEOUT_S:.0f} s here: run it again when the machine is less busy"
_TOO_LATE: Final = "passes here, and longer ones were not tried: running them takes too long"


def write_reproductions(
    violations: Sequence[Violation], visits: Sequence[Visit], bot: str, out: Path, *, shows_progress: bool
) -> dict[str, str]:
    """Write a test for the first violation of each person, of at most five. Return their paths, and what each did.

    Of several tests that may show a violation, the shortest that fails is kept.
    """
    chosen: dict[str, Violation] = {}
    kinds: set[tuple[str, str]] = set()
    for one in violations:
        # Other rules and other kinds of people first: the same finding of ten people needs no ten tests.
        kind = (one.rule, one.person.rpartition(" ")[0])
        if one.person not in chosen and kind not in kinds and len(chosen) < MOST:
            chosen[one.person] = one
            kinds.add(kind)
    written: dict[str, str] = {}
    until = time.monotonic() + TRYING_S
    for number, (person, one) in enumerate(chosen.items()):
        if shows_progress:
            print_trying(number + 1, len(chosen))
        path = out / f"test_{name_of(person)}.py"
        # A share of the time that is left for each, so that the first ones do not use it up.
        now = time.monotonic()
        written[str(path)] = _write(one, visits, bot, path, now + (until - now) / (len(chosen) - number))
    return written


def _write(violation: Violation, visits: Sequence[Visit], bot: str, path: Path, until: float) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_run = False
    for text in reproductions(violation, visits, bot, path.parent):
        if is_run and time.monotonic() > until:
            return _TOO_LATE
        path.write_text(text, encoding="utf-8")
        if find_spec("pytest") is None:
            return _UNTRIED
        is_run = True
        try:
            if _shows(violation, path):
                return _FAILS
        except subprocess.TimeoutExpired:
            return _NOT_ENDED
    return _PASSES


def _shows(violation: Violation, path: Path) -> bool:
    """Return True if the test fails with a violation of the same rule.

    Raises:
        subprocess.TimeoutExpired: the test was still running after `TIMEOUT_S`.
    """
    # Without the configuration of a project around it, which may ask for plugins or other options.
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(path.parent), "--noconftest", "-q"]
    ran = subprocess.run(  # noqa: S603 - it runs the file that was just written
        [*command, "-p", "no:cacheprovider", "-o", "addopts=", str(path)],
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=False,
    )
    return ran.returncode == 1 and f"rule='{violation.rule}'" in ran.stdout
