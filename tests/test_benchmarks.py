"""The programs of `benchmarks/` work: each runs for a moment, with everything real but the length of it.

What they measure is not looked at here. A figure of a busy moment says nothing; see `benchmarks/`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soak
import speed
import turn_profile
from processes import Cores, run

pytestmark = [pytest.mark.slow, pytest.mark.process]


def test_speed_puts_what_it_measures_next_to_a_peer(capsys: pytest.CaptureFixture[str]) -> None:
    # The others start twice as many processes, and are made of the same parts.
    short = ["--rounds", "1", "--seconds", "0.1", "--turns", "200", "--chats", "100", "--noise", "1"]
    speed.main(["ack", "latency", "memory", *short])
    told = capsys.readouterr().out
    assert "| ack ÷ bare ASGI " in told
    assert "| ack p99, 200 handlers at work ÷ idle " in told
    assert "| RSS after 200 turns in 100 chats ÷ 60 MiB " in told


def test_profile_tells_room_by_room_where_a_turn_spends_its_time(tmp_path: Path) -> None:
    with (cores := Cores()).ours():
        found = run(turn_profile.profile(tmp_path, cores, bot="plain", seconds=0.3))
    assert found.turns > 0
    assert "linqbot.storage" in found.rooms
    assert found.rooms.total() == found.lines.total() + found.rooms["event loop"]


def test_soak_answers_every_delivery_and_looks_at_the_server_all_along(tmp_path: Path) -> None:
    with (cores := Cores()).ours():
        report = run(soak.soak(tmp_path, cores, seconds=1, per_s=50, every_s=0.1))
    assert report.sent == report.replies > 0
    assert report.refused == 0
    assert all(len(series.values) >= 5 for series in report.series), str(report)


@pytest.mark.parametrize(
    ("value_at", "is_flat"),
    [
        (lambda _: 50.0, True),
        (lambda n: 0.0 if n < 10 else 50.0, True),  # it warms up
        (lambda n: 50.0 + n % 2, True),  # it breathes
        (lambda n: 50.0 + n / 5, False),
    ],
)
def test_soak_calls_flat_what_does_not_grow_after_the_start(value_at: Callable[[int], float], is_flat: bool) -> None:
    values = iter(range(100))
    series = soak.Series("RSS, MiB", 2, lambda: value_at(next(values)))
    for now_s in range(100):
        series.look(float(now_s))
    assert series.is_flat is is_flat
