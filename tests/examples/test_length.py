"""Bots that people write first are short: if one needs more lines, linqbot lacks something."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
MOST_LINES = {
    **dict.fromkeys(("agent", "facilitator", "reminders", "intake_form", "photos_and_voice", "newsletter"), 40),
    "salon": 80,
}


def test_a_bot_of_each_kind_is_short(subtests: pytest.Subtests) -> None:
    for name, most in MOST_LINES.items():
        with subtests.test(example=name):
            lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
            assert sum(bool(line.strip()) for line in lines) <= most
