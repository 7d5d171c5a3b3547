"""docs/tutorial: the code of each page is a file of examples/restaurant, and the tests that a page shows pass."""

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

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
TUTORIAL = ROOT / "docs" / "tutorial"
RESTAURANT = ROOT / "examples" / "restaurant"
STEPS = {
    "1-hello.md": "step1",
    "2-understanding.md": "step2",
    "3-remembering.md": "step3",
    "4-groups.md": "step4",
    "5-reminding.md": "bot",
}
READ_LINES = 125


def blocks(page: str, language: str) -> list[str]:
    text = (TUTORIAL / page).read_text()
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


CONVERSATIONS = [
    pytest.param(step, code, id=page) for page, step in STEPS.items() for code in blocks(page, "python test_bot.py")
]


def test_every_page_with_code_and_every_step_is_checked() -> None:
    with_code = {page.name for page in TUTORIAL.glob("*.md") if blocks(page.name, "python bot.py")}
    assert with_code == set(STEPS)
    assert {file.stem for file in RESTAURANT.glob("*.py")} == set(STEPS.values())
    assert len(CONVERSATIONS) == 4


@pytest.mark.parametrize(("page", "step"), STEPS.items())
def test_the_listing_of_a_page_is_the_file_of_its_step(page: str, step: str) -> None:
    assert blocks(page, "python bot.py") == [(RESTAURANT / f"{step}.py").read_text()]


@pytest.mark.parametrize(("page", "step"), STEPS.items())
def test_the_parts_that_a_page_explains_are_in_its_listing(page: str, step: str) -> None:
    for part in blocks(page, "py"):
        assert part in (RESTAURANT / f"{step}.py").read_text()


@pytest.mark.parametrize("page", sorted(TUTORIAL.glob("*.md")), ids=lambda page: page.name)
def test_a_page_is_short_and_leads_to_all_others(page: Path) -> None:
    text = page.read_text()
    shown = re.sub(r"^<details>$.*?^</details>$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert len(shown.splitlines()) <= READ_LINES
    links = set(re.findall(r"\]\((\d-\w+\.md)\)", text))
    assert links | {page.name} == {other.name for other in TUTORIAL.glob("*.md")}


@pytest.mark.parametrize(("step", "code"), CONVERSATIONS)
async def test_the_conversations_of_a_page_pass(
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
