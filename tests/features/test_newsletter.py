"""A daily newsletter: each person gets one on each of their days, none is lost, and two a day do not pile up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from one_handler import does
from pydantic import BaseModel

from linqbot import Bot, Context, Manners, MessageReceived, Running, ScheduleDue
from linqbot.storage.backend import Storage
from linqbot.testing import Phone, killed_between_calls, talking

LINE, ANN = "+12025550100", "+14155550142"
ROMAN, ROME = "+390612345678", ZoneInfo("Europe/Rome")


class Reader(BaseModel):
    wants: bool = False


def got(phone: Phone) -> list[str]:
    return [str(each) for each in phone.messages if each.from_bot]


async def got_each_day(phone: Phone, days: int, *others: Phone, where: ZoneInfo = ROME) -> list[list[int]]:
    """Let days pass that begin at midnight, and return for each person how many messages came on each of them."""
    people = (phone, *others)
    counts: list[list[int]] = [[] for _ in people]
    day = datetime.fromtimestamp(phone.now + 1, where).date()
    for _ in range(days):
        day += timedelta(days=1)
        midnight = datetime(day.year, day.month, day.day, tzinfo=where).timestamp()
        before = [len(got(each)) for each in people]
        await phone.advance(midnight - 0.001 - phone.now)
        for person, count, known in zip(people, counts, before, strict=True):
            count.append(len(got(person)) - known)
    return counts


def newsletter(at: str = "12:00", *, per_minute: float = 20, timezone: str = "Europe/Rome", **manners: Any) -> Bot:
    """Return a bot that sends a broadcast each day to all who have written, until they write `no news`."""
    bot = Bot(manners=Manners(**manners))

    @bot.on_message("no news")
    async def leave(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.person(Reader)).wants = False

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.person(Reader)).wants = True

    @bot.every(f"day {at}", timezone=timezone)
    async def news(due: ScheduleDue, ctx: Context) -> None:
        people = ctx.state.people(Reader, where=lambda reader: reader.wants)
        name = f"news-{due.due:%Y%m%d}"
        await ctx.bot.broadcast(people, f"News of {due.due:%d}", name=name, line=LINE, per_minute=per_minute)

    return bot


async def test_a_reader_who_leaves_costs_the_others_nothing() -> None:
    async with talking(newsletter(), handle=ANN, start=datetime(2026, 11, 25, 9, tzinfo=UTC)) as phone:
        others = [phone.person(f"+1415555020{n}") for n in range(3)]
        for day in range(4):
            for person in others if day == 3 else (phone, *others):
                await person.text("no news" if day == 2 and person is phone else "thanks")
            await phone.advance(86_400)
        assert got(phone) == ["News of 25", "News of 26"]
        assert [got(each) for each in others] == [["News of 25", "News of 26", "News of 27", "News of 28"]] * 3


async def test_a_pace_that_reaches_into_the_quiet_hours_costs_no_day() -> None:
    bot = newsletter("20:58", per_minute=2, quiet_hours="21-8", unanswered=None)
    async with talking(bot, handle=ROMAN, start=datetime(2026, 11, 25, 0, tzinfo=ROME)) as phone:
        others = [phone.person(f"+39061234500{n}") for n in range(5)]
        for person in (phone, *others):
            await person.text("hello")
        first, *days = zip(*await got_each_day(phone, 4, *others), strict=True)
        assert sorted(first) == [0, 0, 1, 1, 1, 1]
        assert days == [(1,) * 6] * 3


@pytest.mark.slow
@pytest.mark.parametrize("month", [3, 10])
@pytest.mark.parametrize("quiet_hours", [None, "21-8"])
async def test_a_day_of_23_or_25_hours_has_its_newsletter(
    month: int, quiet_hours: str | None, subtests: pytest.Subtests
) -> None:
    start = datetime(2027, 3, 26, tzinfo=ROME) if month == 3 else datetime(2027, 10, 29, tzinfo=ROME)
    for at in ("00:00", "00:30", "02:30", "12:30", "20:59", "23:59"):
        with subtests.test(at=at):
            bot = newsletter(at, quiet_hours=quiet_hours, unanswered=None)
            async with talking(bot, handle=ROMAN, start=start - timedelta(minutes=5)) as phone:
                phone.fail_next("chats.create", status=503, times=3)  # the first one is some seconds late
                await phone.text("hello")
                await got_each_day(phone, 1)
                assert await got_each_day(phone, 5) == [[1] * 5]


def several_a_day(*times: str, **manners: Any) -> Bot:
    """Return a bot that sends to Ann at times of each day."""
    bot = Bot(manners=Manners(unanswered=None, **manners))

    def send_at(time: str) -> None:
        @bot.every(f"day {time}", name=f"at-{time[:2]}", timezone="America/Los_Angeles")
        async def send(due: ScheduleDue, ctx: Context) -> None:
            sent = await ctx.bot.send(f"{due.due:%d} {time}", to=ANN, line=LINE)
            STATUSES.append(sent.status)

    for time in times:
        send_at(time)
    bot.on_message(does(lambda ctx: ctx.mark_read()))
    return bot


STATUSES: list[str] = []
CALIFORNIA = ZoneInfo("America/Los_Angeles")
MIDNIGHT = datetime(2026, 11, 25, tzinfo=CALIFORNIA)


async def test_a_message_over_the_limit_waits_for_the_next_day_and_two_a_day_do_not_pile_up() -> None:
    rows: dict[str | None, list[str]] = {
        None: ["accepted", "waiting", *["waiting", "refused"] * 4],
        "21-8": ["accepted", "waiting", *["waiting", "refused"] * 4],
    }
    for quiet_hours, statuses in rows.items():
        STATUSES.clear()
        bot = several_a_day("09:00", "17:00", quiet_hours=quiet_hours)
        async with talking(bot, handle=ANN, start=MIDNIGHT) as phone:
            await phone.text("hello")
            for restarts in range(5):
                (counts,) = await got_each_day(phone, 1, where=CALIFORNIA)
                assert counts == [1]
                if restarts % 2:
                    await phone.restart()
            assert statuses == STATUSES
            assert got(phone) == ["25 09:00", "25 17:00", "26 09:00", "27 09:00", "28 09:00"]
            assert await phone.dead_letters() == []


async def test_a_broadcast_that_is_cancelled_gives_its_room_of_the_next_day_back() -> None:
    bot, storages = Bot(manners=Manners(quiet_hours="21-8")), list[Storage]()

    @bot.on_start
    async def begun(running: Running) -> None:
        storages.append(running.storage)

    @bot.on_message("typo", "corrected")
    async def news(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.broadcast([ROMAN], message.text, name=message.text)

    async with talking(bot, handle=ANN, start=datetime(2026, 11, 25, 22, tzinfo=ROME)) as phone:
        await phone.text("typo")
        await phone.advance(60)
        await storages[-1].order_broadcast("typo", "cancel")
        await phone.text("corrected")
        await phone.advance(12 * 3600)
        assert got(phone.person(ROMAN)) == ["corrected"]


async def test_a_message_that_linq_takes_on_the_next_day_counts_on_that_day() -> None:
    async with talking(several_a_day("22:00", "09:00"), handle=ANN, start=MIDNIGHT + timedelta(hours=12)) as phone:
        await phone.text("hello")
        await phone.advance(9.5 * 3600)
        phone.fail_next("chats.create", status=429, retry_after_s=3600, times=3)
        assert await got_each_day(phone, 3, where=CALIFORNIA) == [[0, 1, 1]]


@pytest.mark.slow
async def test_wherever_the_bot_is_killed_a_person_gets_one_a_day_and_what_waits_is_sent_once() -> None:
    days: list[list[int]] = []

    async def scenario(phone: Phone) -> None:
        await phone.text("one")
        await phone.text("two")
        await phone.quiet()
        days.extend(await got_each_day(phone, 3, phone.person(ROMAN)))

    bot = Bot(manners=Manners())

    @bot.on_message
    async def news(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.broadcast([ROMAN], message.text, name=message.text)
        await ctx.bot.send(message.text, to=ANN, purpose="promotional")

    async for phone in killed_between_calls(bot, scenario, handle=ANN, start=datetime(2026, 11, 25, 12, tzinfo=ROME)):
        assert [each[1:] for each in days] == [[1, 0], [1, 0]], phone.killed
        assert (got(phone), got(phone.person(ROMAN))) == (["one", "two"], ["one", "two"]), phone.killed
        days.clear()
