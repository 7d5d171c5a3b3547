"""Schedules that have broken a promise, each with its sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from linqbot_dev.simulation.run import run
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
