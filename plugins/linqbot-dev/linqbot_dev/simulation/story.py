"""A failing schedule as people read it: what happened, what was broken, and the test that repeats it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from linqbot_dev.simulation.postgres import Database
from linqbot_dev.simulation.run import SimulationResult, run
from linqbot_dev.simulation.schedule import SeededSchedule
from linqbot_dev.simulation.shrink import shrunk


def of_failure(schedule: SeededSchedule, *, folder: Path | None = None, database: Database | None = None) -> str:
    """Return the story of the smallest schedule that breaks the same rule, and its test."""
    again = partial(run, folder=folder, database=database)
    rule = _rule(again(schedule))
    small = shrunk(schedule, lambda each: _rule(again(each)) == rule)
    result = again(small)
    return "\n".join(
        ["", *small.story(), "what happened:", *result.history, *_phones(result), *result.problems, "", test_of(small)]
    )


def test_of(schedule: SeededSchedule) -> str:
    """Return a test of a schedule."""
    return (
        "from linqbot_dev.simulation.run import run\n"
        "from linqbot_dev.simulation.schedule import AimedFault, SceneVisit, SeededSchedule\n\n\n"
        f"def test_seed_{schedule.seed}_keeps_every_promise() -> None:\n"
        "    schedule = " + schedule.source().replace("\n", "\n    ") + "\n"
        "    assert run(schedule).problems == []\n"
    )


def _rule(result: SimulationResult) -> str | None:
    if result.breaches:
        return result.breaches[0].rule
    return "error" if result.errors else None


def _phones(result: SimulationResult) -> list[str]:
    """Return what the bot said, by time."""
    shown = sorted(result.record["shown"], key=lambda each: float(each["at"]))
    return [f"{each['at']:9.3f} the bot says: {each['text']}" for each in shown]
