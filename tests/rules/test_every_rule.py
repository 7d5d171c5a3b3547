"""Every rule of Linq has a test named after it, or rows in `test_rules.py`; the client knows each one that the call alone shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from rules.test_rules import RULES

TESTS = Path(__file__).parent.parent

IN_THE_TABLE = {int(rule.name.removeprefix("R")) for rule in RULES}
ALL = frozenset(range(1, 97))
# The rules that a call alone can break, according to Linq's documentation: the client checks them before it sends.
OF_THE_CLIENT = frozenset({
    3, 4, 5, 7, 8, 9, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 32, 33, 35, 36, 37, 39, 40, 41, 43, 44, 45,
    46, 47, 48, 49, 50, 51, 52, 65, 66, 68, 76, 80, 81, 82, 83, 86, 90, 91, 92, 94, 95, 96,
})  # fmt: skip
# Rules without a test, each with its reason.
NOTHING_TO_CHECK: dict[int, str] = {}


def numbers_in(files: Iterable[Path]) -> set[int]:
    """Return the numbers in the names of the tests: `test_r64_r65_sharing_…` tests both rules."""
    names = (name for file in files for name in re.findall(r"def (test_\w+)", file.read_text()))
    return {
        int(number)
        for name in names
        if (found := re.match(r"test((?:_[rR]\d+)+)_", name))
        for number in re.findall(r"\d+", found[1])
    }


def test_every_rule_has_a_test_as_a_rule_or_where_the_emulators_state_decides() -> None:
    tested = numbers_in((TESTS / "rules").glob("test_*.py")) | numbers_in((TESTS / "emulator").rglob("test_*.py"))
    assert ALL - tested - IN_THE_TABLE == NOTHING_TO_CHECK.keys()


def test_every_rule_a_client_can_know_has_a_test_on_its_side() -> None:
    ours = numbers_in((TESTS / "rules").glob("test_*.py")) | numbers_in((TESTS / "client").glob("test_*.py"))
    ours |= IN_THE_TABLE
    assert OF_THE_CLIENT - ours == set()
    assert ours <= ALL
