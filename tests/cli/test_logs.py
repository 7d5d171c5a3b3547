"""The lines of a log in production: JSON, whatever they hold."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from linqbot.cli import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = before[0], before[1]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Grüße\n\x1b[31m", "Grüße\n\x1b[31m"),
        ("half an emoji \ud83d", "half an emoji \ud83d"),
        (Path("/data/bot.db"), None),
        (b"\xff", "b'\\xff'"),
        ({"of": [1, None]}, {"of": [1, None]}),
    ],
)
def test_a_log_line_is_one_line_of_json(capsys: pytest.CaptureFixture[str], value: object, shown: object) -> None:
    logs.configure("info", "json")
    structlog.get_logger("test").info("turn.acked", value=value)
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["event"], found["level"]) == ("turn.acked", "info")
    assert found["timestamp"].endswith("Z")
    assert shown is None or found["value"] == shown
