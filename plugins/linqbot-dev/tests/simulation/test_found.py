"""Schedules that have broken a promise, each with its sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from linqbot_dev.simulation.run import run
from linqbot_dev.simulation.scenes import HAS_AGENTS
from linqbot_dev.simulation.schedule import AimedFault, Kind, SceneVisit, SeededSchedule


@pytest.mark.parametrize(("kind", "times"), [("memory", (0.62, 0.69, 0.9)), ("sqlite", (0.53, 0.63, 0.9))])
def test_a_question_that_was_begun_is_not_taken_for_another_one_of_new_code(
    kind: Kind, times: tuple[float, ...], tmp_path: Path
) -> None:
    """The first send of “first 1?” gets 503. The new code asks “name 1?” first, and showed “first 1?” for it."""
    visits = (SceneVisit("order", 0, 1, 0.5),)
    broken = {}
    for at in times:
        faults = (AimedFault("call", 1, "503"), AimedFault("time", at, "deploy", 1.0))
        result = run(SeededSchedule(1, kind, visits, faults, disk_s=0.0005, handler_s=0.0), folder=tmp_path)
        broken[at] = result.problems
    assert broken == {at: [] for at in times}


@pytest.mark.parametrize(
    ("seed", "kind", "visits", "faults", "disk_s"),
    [
        pytest.param(
            704925,
            "memory",
            (SceneVisit("order", 1, 1, 1.004), SceneVisit("buy", 0, 4, 1.005), SceneVisit("order", 1, 6, 0.007)),
            (AimedFault("call", 3, "500 after"), AimedFault("step", 111, "deploy", 5.0)),
            0.0005,
            id="memory",
        ),
        pytest.param(
            702222,
            "sqlite",
            (
                SceneVisit("buy", 0, 5, 0.5029),
                SceneVisit("buy", 1, 6, 0.5074),
                SceneVisit("order", 1, 2, 0.007),
                SceneVisit("errand", 1, 4, 1.004),
            ),
            (AimedFault("after commit", 14, "deploy", 5.0),),
            0.05,
            id="sqlite",
        ),
    ],
)
def test_a_question_whose_answer_came_before_another_question_of_new_code_is_asked_again(
    seed: int,
    kind: Kind,
    visits: tuple[SceneVisit, ...],
    faults: tuple[AimedFault, ...],
    disk_s: float,
    tmp_path: Path,
) -> None:
    """The old code has shown “first?”, and was stopped. The answer comes before the new code shows “name?”: it was dropped, and then
    the bot waited for an answer to “first?”, which it did not show again."""
    schedule = SeededSchedule(seed, kind, visits, faults, disk_s=disk_s, handler_s=0.0, manners=False)
    result = run(schedule, folder=tmp_path)
    assert result.problems == []
    assert any(text["text"].endswith(" again") for text in result.record["texts"])


def test_a_person_answers_the_last_question_in_the_chat(tmp_path: Path) -> None:
    """While the person thinks about “first?”, the new code shows “name?”: no bot can know which of the two a text answers."""
    schedule = SeededSchedule(
        704880,
        "memory",
        (SceneVisit("buy", 1, 2, 1.01), SceneVisit("order", 0, 4, 1.018)),
        (AimedFault("before question", 1, "deploy", 0.05),),
        disk_s=0.004,
        handler_s=0.0,
        manners=False,
    )
    assert run(schedule, folder=tmp_path).problems == []


@pytest.mark.skipif(not HAS_AGENTS, reason="linqbot-agent or pydantic-ai is not installed")
def test_an_agent_whose_machine_sleeps_while_its_model_works_answers_afterwards(tmp_path: Path) -> None:
    """An agent of which a request takes longer than its `timeout_s` apologises, and a machine of a schedule sleeps for longer."""
    visits = (SceneVisit("errand", 0, 1, 0.1),)
    broken: dict[int, list[str]] = {}
    for seed in (23, 25, 34):  # in a request to the model
        faults = (AimedFault("time", 0.5 + seed * 0.12, "suspend", 150.0),)
        result = run(SeededSchedule(seed, "memory", visits, faults, disk_s=0.004, handler_s=2.0), folder=tmp_path)
        broken |= {seed: result.problems} if result.problems else {}
    assert broken == {}
