"""Schedules are durable: each due time has one event, across crashes, restarts and changes of the code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from asking_talk import Talk
from clock_changes import clock_changes
from fakes import Linq
from hypothesis import given, settings
from hypothesis import strategies as st
from one_handler import bot_of, does, notes
from simulated_crash import crash

from linqbot import Bot, Context, ScheduleDue
from linqbot.bot.dispatch import Dispatcher
from linqbot.clock import MovableClock
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turns import Turns
from linqbot.features.catalog import catalogue
from linqbot.features.schedules import Schedule, start_schedules
from linqbot.parse.recurrences import recurrence
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.timers import PARKED_S, Timer

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
Handle = Callable[[ScheduleDue, Context], Awaitable[None]]


@pytest.fixture
def talk(talk: Talk) -> Talk:
    talk.clock.stop_at(MONDAY)
    return talk


def bot_with(spec: str, handler: Handle, name: str = "report") -> Bot:
    bot = Bot()
    bot.every(spec, timezone="Europe/Paris", name=name)(handler)
    return bot


async def start(talk: Talk, bot: Bot) -> None:
    """Let a process begin that serves a bot, and run what is due."""
    talk.bot = bot
    await start_schedules(talk.storage, talk.clock, Dispatcher(bot, talk.clock).routes.of_option(Schedule))
    await talk.run()


async def restart(talk: Talk, bot: Bot) -> None:
    await talk.restart()
    await start(talk, bot)


class Notes:
    """A handler that notes the events it gets."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def take(self, event: ScheduleDue, ctx: Context) -> None:
        self.events.append(f"{event.due:%a %H:%M}" + (f" +{event.missed}" if event.missed else ""))


async def test_a_restart_after_a_day_merges_the_due_times_that_were_missed(talk: Talk) -> None:
    notes = Notes()
    bot = bot_with("9:30 and 17:00", notes.take)
    await start(talk, bot)
    await talk.pass_time(2 * 3600)
    assert notes.events == ["Mon 09:30"]
    talk.clock.advance(DAY_S)
    await restart(talk, bot)
    assert notes.events[1:] == ["Tue 09:30 +1"]
    await talk.pass_time(DAY_S)
    assert notes.events[2:] == ["Wed 09:30 +1"]


async def test_a_crash_before_the_ack_runs_the_same_event_again_and_loses_none(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def finish(*_: object) -> None:
        await crash()

    notes = Notes()
    bot = bot_with("hour", notes.take)
    await start(talk, bot)
    with monkeypatch.context() as dying:
        dying.setattr(type(talk.storage), "finish", finish)
        assert await talk.crashable.run(talk.pass_time(3600))
    assert notes.events == ["Mon 10:00"]
    talk.clock.advance(4000)
    await restart(talk, bot)
    assert notes.events == ["Mon 10:00", "Mon 10:00", "Mon 11:00"]
    await talk.pass_time(3600)
    assert notes.events[3:] == ["Mon 12:00"]


async def test_due_times_that_pass_while_the_handler_runs_become_one(talk: Talk) -> None:
    notes = Notes()

    async def handle(event: ScheduleDue, ctx: Context) -> None:
        await notes.take(event, ctx)
        if len(notes.events) == 1:
            talk.clock.advance(850)
            assert await talk.storage.next_timer() is None

    await start(talk, bot_with("5 min", handle))
    await talk.pass_time(300)
    assert notes.events == ["Mon 09:05", "Mon 09:15 +1"]
    await talk.pass_time(60)
    assert notes.events[2:] == ["Mon 09:20"]


async def test_a_schedule_is_not_due_again_before_a_handler_that_failed_has_succeeded(talk: Talk) -> None:
    notes = Notes()

    async def handle(event: ScheduleDue, ctx: Context) -> None:
        await notes.take(event, ctx)
        if len(notes.events) == 1:
            raise ValueError

    await start(talk, bot_with("hour", handle))
    await talk.pass_time(3600)
    assert await talk.storage.next_timer() is None
    await talk.pass_time(3600)
    assert notes.events == ["Mon 10:00", "Mon 10:00", "Mon 11:00"]


async def test_a_schedule_that_left_the_code_leaves_no_timer(talk: Talk) -> None:
    notes = Notes()
    await start(talk, bot_with("hour", notes.take))
    assert [timer.id for timer in await talk.storage.scheduled()] == ["report"]
    await restart(talk, bot_with("9:30", notes.take, name="other"))
    assert [timer.id for timer in await talk.storage.scheduled()] == ["other"]
    await restart(talk, Bot())
    assert await talk.storage.recurring("schedule") == []
    await talk.pass_time(DAY_S)
    assert notes.events == []


async def test_a_schedule_whose_rhythm_changed_follows_the_new_one(talk: Talk) -> None:
    notes = Notes()
    await start(talk, bot_with("9:30", notes.take))
    talk.clock.advance(3600)
    await restart(talk, bot_with("13:00", notes.take))
    assert notes.events == []
    await talk.pass_time(DAY_S)
    assert notes.events == ["Mon 13:00"]


async def test_a_schedule_that_ran_under_a_clock_of_another_year_goes_on_with_the_next_start(talk: Talk) -> None:
    notes = Notes()
    bot = bot_with("hour", notes.take)
    await start(talk, bot)
    await talk.pass_time(10 * 365 * DAY_S)
    talk.clock.stop_at(MONDAY + 60)
    notes.events.clear()
    await restart(talk, bot)
    for _ in range(3):
        await talk.pass_time(3600)
    assert notes.events == ["Mon 11:00", "Mon 12:00"]  # 10:00 had its event, late, in the other year


async def test_a_schedule_that_changes_after_the_clock_was_set_back_goes_on_where_it_had_been(talk: Talk) -> None:
    notes = Notes()
    await start(talk, bot_with("1 min", notes.take))
    for _ in range(15):
        await talk.pass_time(60)
    talk.clock.stop_at(MONDAY + 30)
    notes.events.clear()
    await restart(talk, bot_with("2 min", notes.take))
    await talk.pass_time(14 * 60)
    assert notes.events == []
    await talk.pass_time(120)
    assert notes.events == ["Mon 09:16"]


async def test_a_parked_timer_whose_delivery_is_lost_is_started_again(talk: Talk) -> None:
    notes = Notes()
    bot = bot_with("hour", notes.take)
    await start(talk, bot)
    (timer,) = await talk.storage.recurring("schedule")
    await talk.storage.cancel("report")
    await talk.storage.schedule(Timer(timer.id, timer.due + PARKED_S, timer.lane, timer.kind, timer.payload))
    await restart(talk, bot)
    await talk.pass_time(3600)
    assert notes.events == ["Mon 10:00"]


async def test_a_recurring_send_whose_delivery_is_lost_is_started_again_unless_its_rhythm_cannot_be_read(
    talk: Talk,
) -> None:
    talk.bot = bot_of(does(lambda ctx: ctx.send_later("Stretch!", every="hour", timezone="UTC")), late=True)
    await talk.say("remind me")
    (timer,) = await talk.storage.recurring("repeat")
    await talk.storage.cancel(timer.id)
    lost = replace(timer, due=timer.due + PARKED_S)
    unreadable = replace(lost, id="unreadable", payload=lost.payload.replace(b'"hour"', b'"blue moon"'))
    for each in (lost, unreadable):
        await talk.storage.schedule(each)
    await restart(talk, Bot())
    await talk.pass_time(3600)
    assert talk.said == ["Stretch!"]
    assert unreadable in await talk.storage.recurring("repeat")


@pytest.fixture
def shared(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> Talk:
    monkeypatch.setattr(type(talk.storage), "is_shared", True)
    talk.shared_since = talk.clock.now()
    return talk


async def test_a_schedule_of_the_new_release_outlives_a_start_of_the_old_one_and_waits_for_a_process_that_has_it(
    shared: Talk,
) -> None:
    notes = Notes()
    new = bot_with("hour", notes.take)
    await start(shared, new)
    await restart(shared, Bot())
    for _ in range(2):
        shared.bot = Bot()
        await shared.pass_time(3600)
        assert await shared.storage.depth() == 1
        shared.bot = new
        await shared.pass_time(1)
    assert (notes.events, await shared.storage.depth()) == (["Mon 10:00", "Mon 11:00"], 0)


async def test_a_due_schedule_that_no_process_has_is_acked_after_a_minute_and_leaves_no_timer(shared: Talk) -> None:
    await start(shared, bot_with("hour", Notes().take))
    await restart(shared, Bot())
    await shared.pass_time(3600)
    assert await shared.storage.depth() == 1
    await shared.pass_time(60)
    assert (await shared.storage.depth(), await shared.storage.recurring("schedule")) == (0, [])


async def test_a_schedule_that_another_process_has_run_without_success_goes_on(shared: Talk) -> None:
    async def handle(event: ScheduleDue, ctx: Context) -> None:
        raise ValueError

    async def fail() -> None:
        await shared.turn()

    async def give_up() -> None:
        shared.attempts = 1
        await shared.turn()
        (letter,) = await shared.storage.dead_letters()
        assert await shared.storage.retry([letter.delivery.id]) == 1

    async def die() -> None:
        assert await shared.storage.take(1, lease_s=30)

    new = bot_with("hour", handle)
    for end in (fail, give_up, die):
        shared.bot = new
        await start_schedules(shared.storage, shared.clock, Dispatcher(new, shared.clock).routes.of_option(Schedule))
        shared.clock.advance(3600)
        await shared.storage.fire(shared.clock.now())
        await end()
        shared.bot = Bot()
        await shared.pass_time(60)
        left = [timer.id for timer in await shared.storage.scheduled()]
        assert (await shared.storage.depth(), left) == (0, ["report"]), end


ZONES = (
    "UTC", "Europe/Paris", "Europe/London", "America/New_York", "America/Sao_Paulo", "Africa/Cairo", "Asia/Kolkata",
    "Australia/Lord_Howe", "Pacific/Apia", "Antarctica/Troll",
)  # fmt: skip
SPECS = ("02:30", "weekdays 00:00, 23:59", "sun 01:30", "hour", "90 min", "30 2 1 * *")
PAUSES_S = st.sampled_from([60.0, 1800.0, 3600.0, 11 * 3600.0, DAY_S, 3 * DAY_S, 40 * DAY_S])


def near_changes(zone: str) -> list[float]:
    """Return a time shortly before each change of a zone's clocks in 50 years, in Unix seconds."""
    days = clock_changes(zone) or [datetime(1995, 1, 1, 3, tzinfo=UTC), datetime(2044, 12, 31, 3, tzinfo=UTC)]
    return [(day - timedelta(hours=3)).timestamp() for day in days]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(ZONES), st.sampled_from(SPECS))
def test_each_due_time_of_50_years_is_in_one_event_whenever_the_bot_looks(
    data: st.DataObject, zone: str, spec: str
) -> None:
    clock = MovableClock(data.draw(st.sampled_from(near_changes(zone))), frozen=True)
    began, seen = clock.now(), list[tuple[datetime, int]]()
    bot = Bot()
    bot.every(spec, timezone=zone)(notes(seen, lambda event: (event.due, event.missed)))

    async def run(pauses: list[tuple[float, bool]]) -> None:
        storage, dispatcher = MemoryStorage(clock=clock), Dispatcher(bot, clock)
        turns = Turns(dispatcher, Linq().client, storage, clock, SendRateLimit(clock), catalogue)
        await start_schedules(storage, clock, dispatcher.routes.of_option(Schedule))
        for pause_s, restarts in pauses:
            clock.advance(pause_s)
            if restarts:
                await start_schedules(storage, clock, dispatcher.routes.of_option(Schedule))
            await storage.fire(clock.now())
            for lease in await storage.take(1, lease_s=60):
                await turns.run(lease)

    asyncio.run(run(data.draw(st.lists(st.tuples(PAUSES_S, st.booleans()), min_size=1, max_size=12))))
    due_times = recurrence(spec, timezone=zone).after(datetime.fromtimestamp(began, UTC))
    wanted = [at.astimezone(UTC) for at in takewhile(lambda at: at.timestamp() <= clock.now(), due_times)]
    assert sum(1 + missed for _, missed in seen) == len(wanted)
    last = 0
    for due, missed in seen:
        last += 1 + missed
        assert due.astimezone(UTC) == wanted[last - 1]
