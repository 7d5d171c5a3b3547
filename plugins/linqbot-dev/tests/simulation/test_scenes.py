"""Scenes without faults: each keeps every rule, and shows what its texts say is due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from linqbot_dev.simulation.run import SimulationResult, run
from linqbot_dev.simulation.scenes import DRAWN, HAS_AGENTS
from linqbot_dev.simulation.schedule import SceneVisit, SeededSchedule

SEEDS = range(1, 4)


def played(tmp_path: Path, *scenes: str, seed: int = 1, manners: bool = True) -> SimulationResult:
    """Play scenes by one person, and each once more by another one."""
    visits = [
        SceneVisit(scene, person, 1 + n + 100 * person, 0.5) for person in (0, 1) for n, scene in enumerate(scenes)
    ]
    return run(SeededSchedule(seed, "memory", tuple(visits), manners=manners), folder=tmp_path)


def texts(result: SimulationResult, **about: Any) -> list[dict[str, Any]]:
    return [text for text in result.record["texts"] if about.items() <= text.items()]


def shown(result: SimulationResult, chat: str | None = None) -> list[str]:
    return [bubble["text"] for bubble in result.record["shown"] if chat in (None, bubble["chat"])]


def test_each_scene_keeps_every_rule_and_shows_what_is_due(tmp_path: Path) -> None:
    played_by_seed = {(name, seed): played(tmp_path, name, seed=seed) for name in DRAWN for seed in SEEDS}
    assert {place: result.problems for place, result in played_by_seed.items() if result.problems} == {}
    assert [place for place, result in played_by_seed.items() if not shown(result)] == []


def test_scenes_of_a_bot_without_manners_keep_the_rules_too(tmp_path: Path) -> None:
    result = played(tmp_path, "slow", "quit", "news", "echo", manners=False)
    assert result.problems == []
    assert texts(result, text="STOP") == []


def test_all_scenes_in_one_schedule_have_the_same_trace_each_time(tmp_path: Path) -> None:
    names = [name for name in DRAWN if name not in {"news", "slow", "quit"}]  # without a STOP, each is played
    first, second = (played(tmp_path, *names) for _ in range(2))
    assert first.problems == []
    assert (first.trace, first.record) == (second.trace, second.record)


def test_a_form_asks_again_when_an_answer_does_not_fit(tmp_path: Path) -> None:
    chat = texts(result := played(tmp_path, "form"), text="form 1")[0]["chat"]
    assert shown(result, chat) == [
        "who 1?",
        "how many 1?",
        "Please answer with 1001 or more.",
        "filled in 1: Ada 1 and 1001",
    ]


def test_an_owner_and_a_guest_read_each_others_texts_until_the_owner_gives_the_chat_back(tmp_path: Path) -> None:
    results = [played(tmp_path, "human", seed=seed) for seed in range(1, 9)]
    result = next(each for each in results if "comfort 1 0" in shown(each))
    guest = texts(result, text="human 1")[0]["chat"]
    owner = texts(result, text="hello 98")[0]["chat"]
    assert shown(result, guest)[:2] == ["hold on 1", "comfort 1 0"]
    assert shown(result, guest)[-2:] == ["You are talking to the bot again.", "echo after 1"]
    relayed = [text for text in shown(result, owner) if text.startswith("Guest 1: ")]
    assert relayed[:2] == ["Guest 1: human 1", "Guest 1: plea 1 0"]
    (mute,) = (each for each in result.record["muted"] if each["chat"] == guest)
    assert mute["since"] < mute["until"] < mute["lifted"]
    ends = [text["text"] for each in results for text in texts(each) if text["text"] in {"Guest 1: #done", "done 1"}]
    assert set(ends) == {"Guest 1: #done", "done 1"}  # in words and by a tapback


def test_a_guest_hears_that_no_one_can_answer(tmp_path: Path) -> None:
    results = (played(tmp_path, "human", seed=seed) for seed in range(1, 60))
    alone = next(each for each in results if texts(each, text="human 1 alone"))
    guest = texts(alone, text="human 1 alone")[0]["chat"]
    no_one = "Sorry, no one can answer you right now. You are talking to the bot again."
    assert shown(alone, guest) == ["hold on 1", no_one, "echo after 1"]


def test_a_broadcast_leaves_out_who_has_written_stop(tmp_path: Path) -> None:
    results = [played(tmp_path, "echo", "news", seed=seed) for seed in range(1, 25)]
    left_out = []
    for result in results:
        for stop in texts(result, text="STOP"):
            news = [due for text in texts(result) for due in text["due"] if due["kind"] == "broadcast"]
            left_out += [due for due in news if due["text"] not in shown(result, stop["chat"])]
    assert left_out
    assert [result.schedule.seed for result in results if result.problems] == []


def test_what_is_written_in_a_muted_chat_is_not_answered_there(tmp_path: Path) -> None:
    results = [played(tmp_path, "mute", seed=seed) for seed in range(1, 11)]
    assert [result.schedule.seed for result in results if result.problems] == []
    # A text that arrives when the mute has just ended is answered.
    silent = [result for result in results if not any("while" in text for text in shown(result))]
    assert silent
    for result in silent:
        assert all(mute["since"] < mute["until"] < mute["lifted"] for mute in result.record["muted"])
        assert "echo again 1" in shown(result)


@pytest.mark.skipif(not HAS_AGENTS, reason="linqbot-agent or pydantic-ai is not installed.")
def test_a_tool_of_an_agent_acts_under_one_key(tmp_path: Path) -> None:
    result = played(tmp_path, "errand")
    assert {act["what"] for act in result.record["ledger"]} == {"errand 1", "errand 101"}
    assert len({act["key"] for act in result.record["ledger"]}) == 2
