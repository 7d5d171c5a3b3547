"""The examples, loaded as `linqbot dev examples/echo.py` loads them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linqbot import Bot
from linqbot.ops.bot_file import load_bot

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Bot]:
    """Return a function that loads the bot of an example by its name."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def load(name: str) -> Bot:
        monkeypatch.delitem(sys.modules, Path(name).name, raising=False)
        return load_bot(str(EXAMPLES / f"{name}.py"))

    return load
