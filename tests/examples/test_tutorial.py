"""docs/tutorial.md: the code of each step is in a file of examples/restaurant, and the tests that the page shows pass."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linqbot import Bot
from linqbot.testing import talking

ROOT = Path(__file__).parent.parent.parent
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
RESTAURANT = ROOT / "examples" / "restaurant"
SECTIONS = {title: text for title, _, text in (part.partition("\n") for part in TUTORIAL.split("\n## ")[1:])}
STEPS = {title: re.findall(r"\(\.\./examples/restaurant/(\w+)\.py\)", text)[0] for title, text in SECTIONS.items()}


def blocks(title: str, language: str) -> list[str]:
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", SECTIONS[title], re.MULTILINE | re.DOTALL)


CONVERSATIONS = [
    pytest.param(step, code, id=title) for title, step in STEPS.items() for code in blocks(title, "python test_bot.py")
]


def test_every_step_has_its_file_its_code_and_from_the_second_on_a_test() -> None:
    assert sorted(STEPS.values()) == sorted(file.stem for file in RESTAURANT.glob("*.py"))
    assert all(blocks(title, "py") for title in STEPS)
    assert len(CONVERSATIONS) == len(STEPS) - 1


@pytest.mark.parametrize(("title", "step"), STEPS.items())
def test_the_code_that_a_step_shows_is_in_its_file(title: str, step: str) -> None:
    for part in blocks(title, "py"):
        assert part in (RESTAURANT / f"{step}.py").read_text()


@pytest.mark.parametrize(("step", "code"), CONVERSATIONS)
async def test_the_conversations_of_a_step_pass(
    step: str, code: str, example: Callable[[str], Bot], monkeypatch: pytest.MonkeyPatch
) -> None:
    example(f"restaurant/{step}")
    monkeypatch.setitem(sys.modules, "bot", sys.modules[step])
    names: dict[str, Any] = {"__name__": "test_bot"}
    exec(compile(code, "test_bot.py", "exec"), names)
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        for given in texts_of(test):
            await test(talking, *given)


def texts_of(test: Any) -> list[list[str]]:
    """Return the arguments after `phone_for` for each run of the test: those of its `parametrize`, or none."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    runs = [[text] for mark in marks for text in mark.args[1]] or [[]]
    assert all(len(inspect.signature(test).parameters) == 1 + len(run) for run in runs)
    return runs


async def test_the_first_step_greets(example: Callable[[str], Bot]) -> None:
    async with talking(example("restaurant/step1")) as phone:
        await phone.text("hello")
        reply = await phone.next_reply()
        assert (reply, reply.effect) == ("Welcome to Chez Cat! Write: menu", "confetti")
