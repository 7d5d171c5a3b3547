"""Makes a failing schedule small: it drops visits, faults, processes and waits as long as the same rule is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from linqbot_dev.simulation.schedule import SeededSchedule

MOST_RUNS = 400
"""Schedules that are tried at most."""


def shrunk(schedule: SeededSchedule, breaks: Callable[[SeededSchedule], bool]) -> SeededSchedule:
    """Return the smallest schedule that was found that still breaks the rule.

    Args:
        schedule: A schedule that breaks it.
        breaks: Runs a schedule, and returns True if it breaks the rule.
    """
    left = MOST_RUNS
    is_smaller = True
    while is_smaller and left:
        is_smaller = False
        for smaller in _smaller(schedule):
            left -= 1
            if breaks(smaller):
                schedule, is_smaller = smaller, True
                break
            if not left:
                break
    return schedule


def _smaller(schedule: SeededSchedule) -> Iterator[SeededSchedule]:
    """Yield schedules with a part less, those that drop most first."""
    persons = sorted({each.person for each in schedule.visits})
    if len(persons) > 1:
        for person in persons:
            yield schedule.without(visits=[each for each in schedule.visits if each.person == person])
    for parts in (2, 1):
        for begin in range(0, len(schedule.faults), parts):
            yield schedule.without(faults=schedule.faults[begin : begin + parts])
    if len(schedule.visits) > 1:
        for each in schedule.visits:
            yield schedule.without(visits=[each])
    if schedule.processes > 1:
        yield replace(schedule, processes=schedule.processes - 1)
    if schedule.handler_s:
        yield replace(schedule, handler_s=0.0)
