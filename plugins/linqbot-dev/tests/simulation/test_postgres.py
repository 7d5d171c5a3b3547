"""Schedules on a PostgreSQL server: its locks, its sessions and its notifications, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest
from linqbot_dev.simulation.loop import Life, VirtualLoop
from linqbot_dev.simulation.postgres import IDLE_S, Database, DatabaseConnections
from linqbot_dev.simulation.run import alone, run
from linqbot_dev.simulation.scenes import DRAWN
from linqbot_dev.simulation.schedule import AimedFault, SceneVisit, SeededSchedule, drawn
from postgres_server import server_url

pytestmark = [pytest.mark.process, pytest.mark.slow]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    server = server_url()
    if "host=/" not in server:
        pytest.skip("The server of TEST_POSTGRES_URL has no socket in a folder, which a simulation needs.")
    with Database(server) as database:
        yield database


# The server in the loop


class Two:
    """Two simulated processes with a connection each, and a table with one row, whose value is 0."""

    def __init__(self, loop: VirtualLoop, connections: DatabaseConnections, one: Connection, other: Connection) -> None:
        self.loop, self.connections, self.one, self.other = loop, connections, one, other
        self.lives: list[Life] = []

    def run(self, process: int, work: Awaitable[object]) -> asyncio.Task[object]:
        async def of_process() -> object:
            return await work

        return self.loop.create_task(of_process(), context=self.lives[process].context())


def with_two(database: Database, act: Callable[[Two], Awaitable[None]]) -> None:
    """Run `act` in a simulation."""
    database.control.ask("CREATE TABLE IF NOT EXISTS public.number (value int)")
    database.control.ask("TRUNCATE public.number; INSERT INTO public.number VALUES (0)")

    async def play(loop: VirtualLoop) -> None:
        connections = DatabaseConnections(database, loop, 0.001)
        lives = [Life(name, lambda: None) for name in ("p1", "p2")]
        url = database.url.partition("&schema")[0]
        made = [await loop.create_task(asyncpg.connect(url), context=life.context()) for life in lives]
        two = Two(loop, connections, made[0], made[1])
        two.lives = lives
        try:
            await act(two)
        finally:
            for each in made:
                if not each.is_closed():
                    each.terminate()
            connections.close()
            await asyncio.sleep(1.0)

    def play_alone() -> None:
        loop = VirtualLoop(1)
        asyncio.set_event_loop(loop)
        try:
            with loop.replacing_time():
                loop.run_until_complete(play(loop))
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    with alone():
        play_alone()


async def begun(connection: Connection) -> None:
    await connection.execute("BEGIN")
    await connection.execute("UPDATE public.number SET value = value + 1")


def test_a_statement_waits_in_virtual_time_for_the_transaction_of_another_process(database: Database) -> None:
    async def act(two: Two) -> None:
        await two.run(0, begun(two.one))
        waiting = two.run(1, two.other.execute("UPDATE public.number SET value = value + 10"))
        await asyncio.sleep(10.0)
        assert not waiting.done()
        await two.run(0, two.one.execute("COMMIT"))
        await waiting
        assert await two.run(1, two.other.fetchval("SELECT value FROM public.number")) == 11

    with_two(database, act)


def test_a_suspended_process_keeps_its_locks_until_the_server_ends_its_session(database: Database) -> None:
    async def act(two: Two) -> None:
        await two.run(0, begun(two.one))
        two.lives[0].suspend()
        since = two.loop.now
        await two.run(1, two.other.execute("UPDATE public.number SET value = value + 10"))
        assert two.loop.now - since == pytest.approx(IDLE_S, abs=0.1)
        assert await two.run(1, two.other.fetchval("SELECT value FROM public.number")) == 10
        two.lives[0].resume()
        await asyncio.sleep(1.0)
        assert two.one.is_closed()

    with_two(database, act)


def test_the_transaction_of_a_killed_process_is_rolled_back_before_the_next_step(database: Database) -> None:
    async def act(two: Two) -> None:
        await two.run(0, begun(two.one))
        waiting = two.run(1, two.other.execute("UPDATE public.number SET value = value + 10"))
        await asyncio.sleep(1.0)
        two.lives[0].end()
        two.connections.end(two.lives[0])
        since = two.loop.now
        await waiting
        assert two.loop.now - since < 0.1
        assert await two.run(1, two.other.fetchval("SELECT value FROM public.number")) == 10

    with_two(database, act)


def test_of_two_that_wait_for_each_other_the_server_ends_one(database: Database) -> None:
    async def act(two: Two) -> None:
        for connection, key in ((two.one, 1), (two.other, 2)):
            await connection.execute("BEGIN")
            await connection.execute(f"SELECT pg_advisory_xact_lock({key})")
        waiting = two.run(0, two.one.execute("SELECT pg_advisory_xact_lock(2)"))
        await asyncio.sleep(1.0)
        closing = two.run(1, two.other.execute("SELECT pg_advisory_xact_lock(1)"))
        # On a busy machine either of the two may be the first to look for a circle.
        ends = await asyncio.gather(waiting, closing, return_exceptions=True)
        assert [type(end) for end in ends if isinstance(end, Exception)] == [asyncpg.DeadlockDetectedError]

    with_two(database, act)


def test_a_statement_that_takes_too_long_is_cancelled(database: Database) -> None:
    async def act(two: Two) -> None:
        await two.run(0, begun(two.one))
        with pytest.raises(TimeoutError):
            await two.run(1, two.other.execute("UPDATE public.number SET value = 7", timeout=5.0))
        assert await two.run(1, two.other.fetchval("SELECT value FROM public.number")) == 0

    with_two(database, act)


def test_what_a_process_notifies_reaches_the_other_one(database: Database) -> None:
    async def act(two: Two) -> None:
        heard: list[object] = []
        await two.run(1, two.other.add_listener("news", lambda *args: heard.append(args[-1])))
        async with two.one.transaction():
            await two.run(0, two.one.execute("SELECT pg_notify('news', 'a delivery')"))
            await asyncio.sleep(1.0)
            assert heard == []
        await asyncio.sleep(0.1)
        assert heard == ["a delivery"]

    with_two(database, act)


# Schedules


def problems(database: Database, folder: Path, schedule: SeededSchedule) -> list[str]:
    return run(schedule, folder=folder, database=database).problems


def test_seeds_keep_every_promise(database: Database, tmp_path: Path) -> None:
    found = {seed: problems(database, tmp_path, drawn(seed, "postgresql", DRAWN)) for seed in (3, 7, 14)}
    assert {seed: broken for seed, broken in found.items() if broken} == {}


def test_a_seed_is_repeated_step_by_step_whatever_ran_before(database: Database, tmp_path: Path) -> None:
    schedule = drawn(7, "postgresql", DRAWN)
    run_here = partial(run, folder=tmp_path, database=database)
    first = run_here(schedule)
    run_here(drawn(14, "postgresql", DRAWN))
    again = run_here(schedule)
    assert (again.trace, again.steps, again.record) == (first.trace, first.steps, first.record)


TWO_TEXTS = (SceneVisit("two", 0, 1, 0.5), SceneVisit("two", 1, 2, 0.5))


@pytest.mark.parametrize("when", ["before commit", "after commit"])
def test_a_process_killed_at_a_commit_of_a_turn_loses_and_doubles_nothing(
    database: Database, tmp_path: Path, when: str
) -> None:
    schedule = SeededSchedule(1, "postgresql", TWO_TEXTS)
    for nth in (9, 12, 15):
        kill = AimedFault(when, nth, "kill", 0.5)
        result = run(replace(schedule, faults=(kill,)), folder=tmp_path, database=database)
        assert result.happened == [kill]
        assert result.problems == []


def test_the_lease_of_a_suspended_process_goes_to_another_which_sends_nothing_twice(
    database: Database, tmp_path: Path
) -> None:
    suspend = AimedFault("after begin", 2, "suspend", 2000.0)
    schedule = SeededSchedule(2, "postgresql", TWO_TEXTS[:1], (suspend,), processes=2)
    result = run(schedule, folder=tmp_path, database=database)
    assert result.happened == [suspend]
    assert result.problems == []
    calls = [(call["process"], call["text"]) for call in result.record["calls"] if call["text"] != "echo 0"]
    assert calls == [("p1", "one 1"), ("p2", "two 1")]
