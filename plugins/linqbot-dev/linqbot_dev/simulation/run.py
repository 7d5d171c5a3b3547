"""Runs schedules: each in a loop and in a world of its own, and gives the record of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import structlog

from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot_dev.simulation import disk, scenes
from linqbot_dev.simulation.checker import Breach, check
from linqbot_dev.simulation.loop import VirtualLoop
from linqbot_dev.simulation.postgres import Database
from linqbot_dev.simulation.schedule import AimedFault, SceneVisit, SeededSchedule
from linqbot_dev.simulation.world import SimulatedWorld

_SERVED_S: Final = 120.0


@dataclass
class SimulationResult:
    """The end of a schedule.

    Attributes:
        breaches: The promises that were broken, by the checker.
        record: What the world saw.
        trace: The digest of all steps: the same for each run of a schedule, on every machine.
        happened: The faults that were reached.
        history: What happened, a line for each thing.
        errors: Processes that ended by themselves.
    """

    schedule: SeededSchedule
    breaches: list[Breach]
    record: dict[str, Any]
    trace: str
    steps: int
    happened: list[AimedFault]
    history: list[str]
    errors: list[str]

    @property
    def problems(self) -> list[str]:
        """Sentences about all that should not have happened."""
        return [*(breach.says for breach in self.breaches), *self.errors]


def run(schedule: SeededSchedule, *, folder: Path | None = None, database: Database | None = None) -> SimulationResult:
    """Run a schedule to its end and check its record.

    Args:
        folder: For files; None is a temporary one.
        database: For schedules on PostgreSQL.
    """
    with tempfile.TemporaryDirectory(prefix="linqbot-simulation-", dir=folder) as own, alone():
        _prepare()
        return _result(schedule, Path(own), database)


@cache
def _prepare() -> None:
    """Make the empty storages that schedules copy, with the same ids on every machine, and what libraries make when first used."""
    loop = VirtualLoop(0)
    with loop.replacing_time():
        MemoryStorage()
        disk.empty()
    loop.close()
    if scenes.HAS_AGENTS:
        with tempfile.TemporaryDirectory() as folder:
            _result(SeededSchedule(0, "memory", (SceneVisit("errand", 0, 1, 0.1),)), Path(folder), None)


def _result(schedule: SeededSchedule, folder: Path, database: Database | None) -> SimulationResult:
    loop = VirtualLoop(schedule.seed)
    loop.set_exception_handler(lambda *_: None)  # of tasks that are dropped with a dead process
    asyncio.set_event_loop(loop)
    try:
        with loop.replacing_time():
            world, record = loop.run_until_complete(_played(schedule, loop, folder, database))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    happened = world.faults.happened
    return SimulationResult(
        schedule, check(record), record, loop.trace.hexdigest(), loop.steps, happened, world.history, world.errors
    )


async def _played(
    schedule: SeededSchedule, loop: VirtualLoop, folder: Path, database: Database | None
) -> tuple[SimulatedWorld, dict[str, Any]]:
    async with SimulatedWorld(schedule, loop, scenes.bot_of, folder, database) as world:
        await _begun(world)
        people = [
            scenes.SimulatedPerson(world, number) for number in range(1 + max(each.person for each in schedule.visits))
        ]
        visits = [
            world.spawn(scenes.visit(person, [each for each in schedule.visits if each.person == number]))
            for number, person in enumerate(people)
        ]
        await asyncio.wait(visits)
        await world.settle()
        if any(each.scene == "buy" for each in schedule.visits):
            person = next((each for each in people if not each.has_stopped), None)
            if person is not None:
                await scenes.SCENES["holder"].play(person, 1000)
                await world.settle()
        return world, world.record()


async def _begun(world: SimulatedWorld) -> None:
    """Let a bot that has served for a while meet the schedule: what was written before its first webhook is not fetched."""
    first = scenes.SimulatedPerson(world, 99)
    await scenes.SCENES["echo"].play(first, 0)
    await first.sees("echo 0")
    world.loop.now += _SERVED_S
    world.begin_faults()


@contextmanager
def alone() -> Iterator[None]:
    """Keep what is left of dead processes until the end of the block, and log nothing."""
    config, hook = structlog.get_config(), sys.unraisablehook
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    gc.disable()
    gc.freeze()  # or the collection at the end would look at every module
    try:
        yield
    finally:
        # Coroutines of dead processes end here, in no event loop, and some were never begun.
        sys.unraisablehook = lambda _: None
        with warnings.catch_warnings(action="ignore"):
            while gc.collect():  # what ends in one collection may be left for another
                pass
        gc.unfreeze()
        gc.enable()
        sys.unraisablehook = hook
        structlog.configure(**config)
        logging.disable(level)


def _drop(_: object, __: str, ___: Any) -> Any:
    raise structlog.DropEvent
