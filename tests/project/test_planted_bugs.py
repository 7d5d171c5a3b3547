"""Each planted bug of `benchmarks/planted/` fits the tree, and says what it is: see `benchmarks/planted/README.md`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from linqbot_dev.simulation.checker import RULES

ROOT = Path(__file__).parents[2]
PLANTED = sorted((ROOT / "benchmarks" / "planted").glob("*.diff"))

PLACES = ("linqbot/", "plugins/linqbot-postgres/linqbot_postgres/")
"""The code in which bugs are planted: what a bot runs with, and none of what finds the bugs."""

_FILE = re.compile(r"^(?:---|\+\+\+) (?:[ab]/)?(\S+)", re.MULTILINE)
_CHANGED = re.compile(r"^[+-](?![+-]{2} )", re.MULTILINE)
_MOST_LINES = 30


def test_there_are_enough_planted_bugs() -> None:
    assert len(PLANTED) >= 25


@pytest.mark.process
def test_each_planted_bug_applies_to_the_tree() -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git (Debian: apt-get install git)")
    if not (ROOT / ".git").exists():
        pytest.skip("needs a clone of the repository: without one, git apply leaves out what is outside of it")
    found = {}
    for plant in PLANTED:
        ran = subprocess.run(
            ["git", "apply", "--check", "-p1", str(plant)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            found[plant.stem] = ran.stderr
    assert found == {}


def test_each_planted_bug_has_a_sentence_its_rules_and_its_needs() -> None:
    found = {}
    for plant in PLANTED:
        sentence, rules, needs = plant.read_text("utf-8").splitlines()[:3]
        fits = sentence.endswith(".") and rules.startswith("Rule: ") and needs.startswith("Needs: ")
        unknown = set(rules.removeprefix("Rule: ").split("; ")) - RULES.keys()
        if not fits or unknown:
            found[plant.stem] = sentence, unknown
    assert found == {}


def test_planted_bugs_are_small_and_change_only_what_a_bot_runs_with() -> None:
    found = {}
    for plant in PLANTED:
        diff = plant.read_text("utf-8").partition("\ndiff --git ")[2]
        elsewhere = {each for each in _FILE.findall(diff) if not each.startswith(PLACES)}
        lines = len(_CHANGED.findall(diff))
        if elsewhere or not 1 <= lines <= _MOST_LINES:
            found[plant.stem] = lines, elsewhere
    assert found == {}
