"""The examples, loaded as `linqbot dev examples/echo.py` loads them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linqbot import Bot
from linqbot.ops.bot_file import load_bot

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bot]]:
    """A function that loads the bot of an example by its name. No later test finds the example's module."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    loaded: list[str] = []

    def load(name: str) -> Bot:
        loaded.append(Path(name).name)
        sys.modules.pop(loaded[-1], None)
        return load_bot(str(EXAMPLES / f"{name}.py"))

    yield load
    for module in loaded:
        sys.modules.pop(module, None)


@pytest.fixture
def bot(example: Callable[[str], Bot], request: pytest.FixtureRequest) -> Bot:
    """The bot of the example for which the test's file is named, in a file or in a folder with a `bot.py`."""
    name = request.path.stem.removeprefix("test_")
    return example(f"{name}/bot" if (EXAMPLES / name).is_dir() else name)
