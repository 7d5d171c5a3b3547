"""Quiet hours: the first time that is allowed in all zones, over a year and its changes of the clock."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linqbot import Bot, BotError, Manners
from linqbot.features.manners.options import QuietHours, zones_of_number
from linqbot.installing import extra_command

NAMES = """UTC Europe/London Europe/Paris Europe/Moscow America/New_York America/Los_Angeles America/St_Johns Asia/Kolkata
Asia/Tokyo Australia/Sydney Australia/Lord_Howe Pacific/Auckland"""
ZONES = tuple(map(ZoneInfo, NAMES.split()))
YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
QUARTER_S, HOUR_S, DAY_S = 900, 3600, 86_400
times = st.integers(0, 365 * 96).map(lambda n: YEAR + n * QUARTER_S)
zones = st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True)
clocks = st.integers(0, 47).map(lambda n: f"{n // 2}:{n % 2 * 30:02}")


def minutes(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute)


def is_quiet(begin: str, end: str, at: float, zone: tzinfo) -> bool:
    """Return True if the clock on the wall shows a time of the quiet hours."""
    local = datetime.fromtimestamp(at, zone)
    clock, first, last = local.hour * 60 + local.minute, minutes(begin), minutes(end)
    return first <= clock < last if first < last else clock >= first or clock < last


@settings(deadline=None, max_examples=600)
@given(times, zones, clocks, clocks)
def test_the_first_time_that_is_allowed_everywhere_is_found(
    now: float, where: list[ZoneInfo], begin: str, end: str
) -> None:
    if begin == end:
        return
    found = QuietHours.read(f"{begin}-{end}").allowed_at(now, where)
    if found is None:  # they have no hour in common
        soon = [now + n * QUARTER_S for n in range(2 * 96 - 4)]
        assert all(any(is_quiet(begin, end, at, zone) for zone in where) for at in soon)
        return
    assert found >= now
    assert not any(is_quiet(begin, end, found, zone) for zone in where)
    # The clock may be set forward over the end of the hours: then they may end an hour later.
    at = now
    while at < found - HOUR_S:
        assert any(is_quiet(begin, end, at, zone) for zone in where)
        at += QUARTER_S


def test_the_zones_of_a_number_are_known() -> None:
    assert zones_of_number("+14155550142") == (ZoneInfo("America/Los_Angeles"),)
    assert len(zones_of_number("+79161234567")) > 5
    assert zones_of_number("ann@example.com") == zones_of_number("+55119") == zones_of_number("+") == ()


@pytest.mark.parametrize("given", ["", "21", "21-21", "21-8-9", "25-8", "a-b", "21:60-8", 21])
def test_hours_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(BotError, match="quiet_hours"):
        Manners(quiet_hours=given)


def test_other_values_that_cannot_be_are_refused() -> None:
    wrong: dict[str, Any]
    for wrong in ({"timezone": "Mars/Olympus"}, {"timezone": 1}, {"per_day": 0}, {"per_day": True}):
        with pytest.raises(BotError):
            Manners(**wrong)
    with pytest.raises(BotError, match="manners"):
        Bot(manners="21-8")  # type: ignore[arg-type]


def test_a_missing_library_is_named_and_is_needed_for_quiet_hours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers.timezone", None)
    Manners()
    with pytest.raises(BotError, match=re.escape(extra_command("manners"))):
        Manners(quiet_hours="21-8")
