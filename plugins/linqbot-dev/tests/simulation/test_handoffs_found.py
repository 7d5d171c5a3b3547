"""Faults of handoffs that simulated schedules have found. Each schedule keeps every promise now."""

from __future__ import annotations

from pathlib import Path

from linqbot_dev.simulation.run import run
from linqbot_dev.simulation.schedule import AimedFault, SceneVisit, SeededSchedule


def test_a_tapback_of_the_owner_is_not_lost_while_linq_is_slow_to_answer_the_guests_message(tmp_path: Path) -> None:
    """The owner's 👍 comes before the turn is over that has sent them the message, so no outcome of it names the message."""
    slow = (AimedFault("call", 7, "slow", 60.0),)
    broken = {
        seed: problems
        for seed in (1, 9, 12)
        if (
            problems := run(
                SeededSchedule(seed, "memory", (SceneVisit("human", 0, 1, 0.5),), slow), folder=tmp_path
            ).problems
        )
    }
    assert broken == {}
