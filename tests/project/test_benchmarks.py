"""The programs of `benchmarks/` work: each runs for a short time, with real processes.

The measured figures are not checked: figures of a short run on a busy machine mean nothing. See `benchmarks/`.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import crash_agent
import crash_fleet
import grown
import order
import pytest
import scale
import soak
import speed
import stages
import versus
from processes import Cores, run

pytestmark = [pytest.mark.slow, pytest.mark.process]


def test_speed_compares_each_measurement_with_a_peer(capsys: pytest.CaptureFixture[str]) -> None:
    # The other measurements start twice as many processes and use the same parts.
    short = ["--rounds", "1", "--seconds", "0.1", "--turns", "200", "--chats", "100", "--noise", "1"]
    speed.main(["ack", "latency", "memory", *short])
    printed = capsys.readouterr().out
    assert "| ack ÷ bare ASGI " in printed
    assert "| ack p99, 200 handlers at work ÷ idle " in printed
    assert "| RSS after 200 turns in 100 chats ÷ 60 MiB " in printed


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler (Debian: apt-get install gcc)")
def test_versus_prints_a_row_with_the_share_of_the_load_generator(capsys: pytest.CaptureFixture[str]) -> None:
    versus.main(["--rounds", "1", "--seconds", "0.2", "--only", "linqbot"])
    head, _, row = capsys.readouterr().out.splitlines()[:3]
    assert "loader's core" in head
    assert row.startswith("| linqbot |")
    assert row.count("%") == 1


def test_stages_prints_a_row_for_each_stage_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    stages.main(["verify", "finish", "echo", "--count", "50"])
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| verify", "| finish", "| echo"]


def test_messages_around_a_gap_are_answered_in_order(tmp_path: Path) -> None:
    result = asyncio.run(order.run(tmp_path, "kill", 3, 0.2, 0.5))
    assert (result.in_order, result.lost, result.doubled) == (3, 0, 0), result


def test_soak_answers_every_delivery_and_measures_the_server_repeatedly(tmp_path: Path) -> None:
    with (cores := Cores()).ours():
        report = run(soak.soak(tmp_path, cores, seconds=1, per_s=50, every_s=0.1))
    assert report.sent == report.replies > 0
    assert report.refused == 0
    # On a busy machine there are few.
    assert all(len(series.values) > 1 for series in report.series), str(report)


def test_a_fleet_on_postgresql_loses_nothing_when_its_processes_are_killed() -> None:
    report = asyncio.run(crash_fleet.run(100, 4, seed=1))
    assert report.kills
    assert (report.lost, report.doubled, report.disordered) == ([], [], []), str(report)


def test_a_fleet_on_postgresql_keeps_its_word_when_connections_end_and_nothing_receives_for_long() -> None:
    report = asyncio.run(crash_fleet.run(80, 0, seed=1, faults=(crash_fleet.flap, crash_fleet.leave)))
    assert report.kills == 2
    assert (report.lost, report.doubled, report.disordered, report.dead_letters) == ([], [], [], 0), str(report)


def test_agents_that_are_killed_lose_double_and_repeat_nothing() -> None:
    report = asyncio.run(crash_agent.run("pydantic-ai", stream=True, kills=1, hits=2, seed=1, at_once=2))
    assert (report.kills, report.hits) == (1, 2)
    assert report.people > 1
    assert report.findings == [], str(report)


def test_what_agents_lost_doubled_misordered_repeated_and_misremembered_is_found() -> None:
    report = crash_agent.Report()
    said = {
        "lost": crash_agent.ANSWER[:-1],
        "doubled": [*crash_agent.ANSWER, f"{crash_agent.PARAGRAPHS[-1]} (in other words)."],
        "late": crash_agent.ANSWER[::-1],
    }
    tools = [(1, "reserve a"), (2, "reserve a"), (2, "reserve b"), (2, "charge c"), (2, "notify d")]
    acts = [
        crash_agent.Act(1, "lost", "request 0", ["lost"]),
        *(crash_agent.Act(run, "lost", tool) for run, tool in tools),
        crash_agent.Act(2, "lost", "request 2", ["lost", f"{crash_agent.PARAGRAPHS[0]}\n\nNot on the phone"]),
        crash_agent.Act(3, "lost", "request 0", ["lost"]),
    ]
    crash_agent.judge(report, {name: [(False, name), *((True, each) for each in said[name])] for name in said}, acts)
    assert report.lost == ["lost: Enjoy your meal"]
    assert report.doubled == ["doubled: Enjoy your meal"]
    assert report.disordered == ["late"]
    assert report.acted_twice == [
        "lost: reserve",
        *(f"{turn}: {tool}" for turn in ("doubled", "late") for tool in crash_agent.TOOLS),
    ]
    assert len(report.misremembered) == 1
    assert report.repeated == ["lost: request 0"]
    assert report.made_again == 2


def test_what_the_owner_of_agents_is_asked_twice_not_at_all_or_too_early_is_found() -> None:
    people = [f"+1415000000{end}" for end in crash_agent.OF_OWNER[:2]]
    transcripts = {
        each: [(False, f"A table for {each}"), *((True, text) for text in crash_agent.ANSWER_OF_OWNER)]
        for each in people
    }
    first, second = (f"For {each}: {crash_agent.ASKED}" for each in people)

    def found(*shown: str) -> tuple[list[str], list[str], list[str]]:
        report = crash_agent.Report()
        owner = [(text != "yes", text) for text in shown]
        crash_agent.judge(report, {**transcripts, crash_agent.OWNER: owner}, [])
        assert report.of_owner == report.people == 2
        return report.lost, report.doubled, report.disordered

    of_owner = f"{crash_agent.OWNER}: "
    assert found(second, "yes", first, "yes") == ([], [], [])
    assert found(first, "yes") == ([of_owner + second], [], [])
    assert found(first, "yes", second, "yes", second) == ([], [of_owner + second], [])
    assert found(first, "yes", second, "yes", "Too late.") == ([], [of_owner + "Too late."], [])
    assert found(first, second, "yes", "yes") == ([], [], [crash_agent.OWNER])


def test_a_request_is_true_only_with_each_text_of_the_phone_and_each_result_of_earlier_tools_once() -> None:
    done = crash_agent.DONE
    transcript = [(False, "one"), *((True, text) for text in crash_agent.ANSWER), (False, "two")]
    texts = [text for _, text in transcript]
    charge = done[done.index("\n\n", 2) : done.rindex("\n\n")]

    def is_found(framework: str, *shown: str) -> bool:
        report = crash_agent.Report(framework)
        crash_agent.judge(report, {"+1": transcript}, [crash_agent.Act(1, "two", "request 0", shown)])
        return bool(report.misremembered)

    assert "tool charge with" in charge
    for framework in crash_agent.IMPORTED:
        # The calls of pydantic-ai are no texts.
        wrong, right = ("", done)[:: -1 if framework == "pydantic-ai" else 1]
        assert not is_found(framework, f"one{right}", *texts[1:])
        assert not is_found(framework, f"one{right}", *texts[1:], "", "[You were cut off here.]")
        assert is_found(framework, f"one{wrong}", *texts[1:])
        assert is_found(framework, f"one{right}{charge}", *texts[1:])
        assert is_found(framework, f"one{right}", *texts[1:-1], f"two{charge}")
        assert is_found(framework, f"one{done.replace(charge, '')}", *texts[1:])
        assert is_found(framework, f"one{right} [You have called the tool", *texts[1:])
        for place in range(1, len(texts)):
            assert is_found(framework, f"one{right}", *texts[1:place], *texts[place + 1 :])
            assert is_found(framework, f"one{right}", *texts[1:place], texts[place], *texts[place:])


def test_scale_compares_a_fleet_with_procrastinate_and_leases_with_and_without_a_backlog(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The other measurements use the same parts.
    tiny = ["--events", "100", "--workers", "1", "--backlog", "500", "--chats", "100"]
    scale.main(["rates", "backlog", "--rounds", "1", *tiny])
    printed = capsys.readouterr().out
    assert "| linqbot, storage: handled by 1 worker |" in printed
    assert "| a lease with 500 events in 100 chats ÷ without |" in printed


def test_grown_measures_commands_next_to_a_server_that_refuses_nothing(tmp_path: Path) -> None:
    with (cores := Cores()).ours():
        count = grown.made(tmp_path / "bot.db", 500_000)
        figures = run(grown.measured(tmp_path / "bot.db", count, cores, idle_s=0.5))
    assert figures.refused == 0
    assert {"start", "person show", "forget", "purge", "why", "waiting list"} <= figures.seconds.keys()
    assert set(grown.LIMITS) <= grown.ratios([figures]).keys()
    assert "refused deliveries" in grown.printed([figures])
