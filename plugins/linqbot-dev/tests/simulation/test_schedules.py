"""Schedules of a seed: they keep every promise, can be repeated, and shrink to a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from linqbot_dev.simulation import checker, story
from linqbot_dev.simulation.disk import preloading
from linqbot_dev.simulation.run import run
from linqbot_dev.simulation.scenes import DRAWN
from linqbot_dev.simulation.schedule import AimedFault, Kind, SceneVisit, SeededSchedule, drawn
from linqbot_dev.simulation.shrink import shrunk


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_seeds_keep_every_promise(kind: Kind, tmp_path: Path) -> None:
    """A failing seed: `story.of_failure(drawn(seed, kind, DRAWN))` shrinks it and prints what happened."""
    broken = {
        seed: problems for seed in range(25) if (problems := run(drawn(seed, kind, DRAWN), folder=tmp_path).problems)
    }
    assert broken == {}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_seed_is_repeated_step_by_step_whatever_ran_before(kind: Kind, tmp_path: Path) -> None:
    first = run(drawn(3, kind, DRAWN), folder=tmp_path)
    run(drawn(4, kind, DRAWN), folder=tmp_path)
    again = run(drawn(3, kind, DRAWN), folder=tmp_path)
    assert (again.trace, again.steps, again.record) == (first.trace, first.steps, first.record)


def test_a_schedule_is_written_and_read_as_it_was() -> None:
    schedule = drawn(12, "sqlite", DRAWN)
    assert (
        eval(schedule.source(), {"SeededSchedule": SeededSchedule, "SceneVisit": SceneVisit, "AimedFault": AimedFault})
        == schedule
    )


def test_what_happened_to_the_processes_is_in_the_story() -> None:
    visits = (SceneVisit("ask", 0, 1, 0.5), SceneVisit("buy", 1, 2, 0.5))
    kill, power = AimedFault("after question", 1, "kill", 5.0), AimedFault("before commit", 24, "power loss", 1.0)
    result = run(SeededSchedule(1, "sqlite", visits, (kill, power)))
    assert result.happened == [kill, power]
    assert result.problems == []
    assert [line.split(maxsplit=1)[1] for line in result.history if "p1" in line] == [
        "p1: at after question 1: kill, 5 s",
        "p1 starts",
        "p1: at before commit 24: power loss, 1 s",
        "p1 starts",
    ]


def test_a_failing_schedule_shrinks_to_what_the_failure_needs() -> None:
    schedule = drawn(5, "memory", ["echo", "two", "buy"])
    needed = schedule.visits[-1]

    def breaks(smaller: SeededSchedule) -> bool:
        return needed in smaller.visits

    small = shrunk(schedule, breaks)
    assert (small.visits, small.faults, small.processes) == ((needed,), (), 1)


def test_a_broken_promise_is_printed_as_a_story_with_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    real = checker.check

    def check(record: dict[str, Any]) -> list[checker.Breach]:
        kept = [each for each in record["shown"] if each["text"] != "echo 2"]
        return real({**record, "shown": kept})

    monkeypatch.setattr("linqbot_dev.simulation.run.check", check)
    schedule = SeededSchedule(
        1,
        "memory",
        (SceneVisit("two", 1, 1, 0.1), SceneVisit("echo", 0, 2, 0.1)),
        (AimedFault("call", 1, "slow", 9.0),),
    )
    printed = story.of_failure(schedule)
    assert "+14155550101 writes: echo 2" in printed
    assert "writes: two 1" not in printed
    assert "Lost: “echo 2” of +14155550101" in printed
    namespace: dict[str, Any] = {}
    exec(printed[printed.index("from linqbot_dev") :], namespace)
    with pytest.raises(AssertionError):
        namespace["test_seed_1_keeps_every_promise"]()


@pytest.mark.process
def test_a_loss_of_power_takes_what_was_not_synced(tmp_path: Path) -> None:
    """SQLite that does not wait for the disk loses what it has said: the checker names it in some of these seeds."""
    added = preloading(tmp_path)
    if not added:
        pytest.skip("no Linux, or no C compiler: the disk cannot lose what was not synced")
    program = """
import json, sqlite3, sys
from pathlib import Path
from linqbot_dev.simulation.run import run
from linqbot_dev.simulation.schedule import AimedFault, SceneVisit, SeededSchedule
from linqbot.storage.sqlite import file, writer
if sys.argv[1] == "hasty":
    def connect(path):
        db = file.connect(path)
        db.execute("PRAGMA synchronous = OFF")
        return db
    writer.connect = connect
visits = tuple(SceneVisit("count", n % 2, n, 0.3) for n in range(1, 9))
found = [
    run(SeededSchedule(seed, "sqlite", visits, (AimedFault("after commit", 20, "power loss", 1.0),)), folder=Path(sys.argv[2])).problems
    for seed in range(10)
]
print(json.dumps(found))
"""
    environ = {**os.environ, **added}
    found = {}
    for disk in ("careful", "hasty"):
        done = subprocess.run(
            [sys.executable, "-c", program, disk, str(tmp_path)],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found[disk] = [problems for problems in json.loads(done.stdout) if problems]
    assert found["careful"] == []
    assert found["hasty"]


def test_two_processes_share_a_storage_in_memory_and_one_takes_over_what_the_other_left() -> None:
    visits = tuple(SceneVisit("two", person, 1 + person, 0.1) for person in range(3))
    schedule = SeededSchedule(
        5, "memory", visits, (AimedFault("after begin", 2, "kill", 20.0),), processes=2, handler_s=0.0
    )
    result = run(schedule)
    assert result.problems == []
    tried = [call for call in result.record["calls"] if call["text"] == "one 2"]
    assert [call["process"] for call in tried] == ["p1", "p2"]
    assert len({call["key"] for call in tried}) == 1
