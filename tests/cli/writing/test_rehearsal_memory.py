"""The memory that `linqbot rehearse` reports: a warm-up and a busy minute are no growth, and a small leak is found."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S

from linqbot.cli.rehearsal.memory import MIB, Live, Resident, growth, in_use, live_bytes

BUSY = 2 * MIB
"""The most that turns which are under way take at a look."""

LEAKING = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, loop_breaker=False)
kept = []


@bot.on_message
async def keep(message: MessageReceived, ctx: Context) -> None:
    kept.append(bytes(1024))
"""
WRITERS = """
from linqbot.testing.people import Pause, Persona, Say


def script():
    for number in range(230):
        yield Say(f"text {number}", waits=False, expects="anything")
        yield Pause(0.5)


people = [Persona(f"writer {number}", script()) for number in range(3)]
"""


def looks(seed: int, *, leak: float = 0, minutes: float = 10, lives: int = 1, backlog: float = 0) -> list[Live]:
    """Return looks at a bot that warms up for a minute, and that is more or less busy at each look.

    Args:
        backlog: The part of the messages that the bot does not finish.
    """
    dice = random.Random(seed)
    seconds = minutes * 60 / lives
    found = []
    for life in range(lives):
        for look in range(1, int(seconds / 5)):
            age_s = look * 5.0
            messages = int((life * seconds + age_s) * 3)
            kept = leak * age_s * 3
            warm_up = 30 * MIB * min(age_s / 60, 1)
            unfinished = int(dice.uniform(0, 20) + backlog * age_s * 3)
            busy = 5000 * unfinished + dice.uniform(0, BUSY)
            found.append(Live(life, age_s, messages, unfinished, int(50 * MIB + warm_up + kept + busy)))
    return found


@pytest.mark.parametrize("lives", [1, 4])
def test_a_leak_of_one_kib_a_message_is_found(lives: int) -> None:
    # A life of more than two minutes has looks enough after its first minute.
    for seed in range(20):
        grown = growth(looks(seed, leak=1024, minutes=10 * lives, lives=lives))
        assert grown is not None
        assert grown.is_certain, grown
        assert grown.per_message == pytest.approx(1024, abs=5 * grown.error)


def test_a_warm_up_and_busy_minutes_are_no_growth() -> None:
    for seed in range(50):
        grown = growth(looks(seed))
        assert grown is not None
        assert not grown.is_certain, grown


def test_a_backlog_is_no_growth() -> None:
    for seed in range(50):
        grown = growth(looks(seed, backlog=0.5))
        assert grown is None or not grown.is_certain, grown


def test_growth_is_not_judged_by_few_looks_few_messages_or_lives_that_end_in_their_first_minute() -> None:
    assert growth([]) is None
    assert growth(looks(0, leak=1024, minutes=1.5)) is None
    assert growth(looks(0, leak=1024, lives=12)) is None
    assert growth([Live(0, 100.0 + look, 5, 0, MIB) for look in range(50)]) is None


def test_the_resident_memory_is_compared_after_the_first_minute() -> None:
    memory = [Resident(float(second), min(100 + second, 160) * MIB) for second in range(600)]
    assert in_use(memory) == (160, 160, 160)
    assert in_use(memory[:50]) == (102, 147, 149)
    assert in_use([]) is None


def test_live_memory_has_what_is_kept_and_no_garbage() -> None:
    before = live_bytes()
    kept = [bytes(1024) for _ in range(2000)]
    for _ in range(2000):
        cycle: list[Any] = [bytes(1024)]
        cycle.append(cycle)
    del cycle
    grown = live_bytes() - before
    assert len(kept) == 2000
    assert 1.8 * MIB < grown < 3 * MIB


@pytest.mark.process
@pytest.mark.slow
def test_a_rehearsal_finds_a_bot_that_keeps_one_kib_of_each_message(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    (tmp_path / "bot.py").write_text(LEAKING)
    (tmp_path / "writers.py").write_text(WRITERS)
    run = command(
        "rehearse", "bot.py", "--people", "0", "--personas", "writers.py", "--faults", "none", "--minutes", "2"
    )
    assert run.process.wait(PATIENCE_S) == 0, run.said()
    found = json.loads((tmp_path / "rehearsal" / "report.json").read_text())["memory_growth"]
    assert found["grows"], found
    assert 900 < found["bytes_per_message"] < 1800
    assert "KiB of each message" in run.said()
