"""Manners: what a bot does not send, and why."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from answers import answers
from linqbot_dev.emulator.acts.chat_acts import ChangeLine
from one_handler import bot_of, does, says
from pydantic import BaseModel
from structlog.testing import capture_logs

from linqbot import Bot, BroadcastDone, Context, Manners, MessageReceived, ScheduleDue, link
from linqbot.testing import Phone, killed_between_calls, talking

ANN, BOB, CHIARA, MAIL = "+14155550142", "+14155550143", "+393123456789", "dan@example.com"
LINE = "+12025550100"
JULY, URL = "The menu of July is out.", "https://example.com"


def on_trial() -> Bot:
    bot = Bot(allow_to=[ANN], groups="all")
    bot.on_message("broadcast")(does(lambda ctx: ctx.bot.broadcast([ANN, BOB], "Hello all.", name="all")))
    bot.on_message("later")(does(lambda ctx: ctx.send_later("It is time.", after_s=60)))

    @bot.on_message
    async def tell_bob(message: MessageReceived, ctx: Context) -> None:
        there = await ctx.bot.send("Hello, Bob.", to=BOB)
        here = await ctx.reply(f"Bob: {there.status}")
        await ctx.reply(f"Here: {here.status}")

    return bot


async def test_only_the_people_on_the_list_get_anything() -> None:
    with capture_logs() as logs:
        async with talking(on_trial(), handle=ANN) as phone:
            assert await answers(phone, "hello") == ["Bob: refused", "Here: accepted"]
            await phone.text("broadcast")
            await phone.advance(60)
            assert await phone.replies() == ["Hello all."]
            await phone.text("later")
            await phone.advance(61)
            assert await phone.replies() == ["It is time."]
            bob, group = phone.person(BOB), phone.group(BOB)
            for text in ("hello", "later"):
                await bob.text(text)
                await group.text(text)
                await phone.advance(61)
            assert (await bob.replies(), await group.replies()) == ([], [])
            assert await phone.dead_letters() == []
    assert any(each["event"] == "send.withheld" for each in logs)
    assert not any(BOB in str(each) or "Hello" in str(each) for each in logs)


@pytest.mark.slow
async def test_nothing_is_sent_to_others_wherever_the_bot_is_killed() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("hello")
        assert await phone.next_reply() == "Bob: refused"
        assert await phone.next_reply() == "Here: accepted"

    async for phone in killed_between_calls(on_trial(), scenario, handle=ANN):
        assert phone.messages == ["hello", "Bob: refused", "Here: accepted"], phone.killed
        assert phone.person(BOB).messages == [], phone.killed


class Guest(BaseModel):
    timezone: str = ""


def polite(**options: Any) -> Bot:
    """Return a bot that writes to people on its own: each day at 9:00 UTC, and when the owner says `july`."""
    bot = Bot(manners=Manners(quiet_hours="21-8", **options))

    @bot.every("09:00")
    async def morning(schedule: ScheduleDue, ctx: Context) -> None:
        statuses.append((await ctx.bot.send("Good morning!", link(URL), to=ANN, line=LINE)).status)
        await ctx.bot.send("Sales of yesterday.", to=BOB, line=LINE, purpose="requested")

    bot.on_message("july")(
        does(lambda ctx: ctx.bot.broadcast([CHIARA, MAIL, ANN], "The menu of July is out.", name="july"))
    )

    @bot.on_message("I am in Tokyo")
    async def move(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.person(Guest)).timezone = "Asia/Tokyo"

    bot.on_message(says("{}"))
    statuses: list[str] = []
    return bot


async def advance_to(phone: Phone, when: datetime) -> None:
    await phone.advance(when.timestamp() - phone.now)


def at(hour: int, day: int = 25) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


async def test_promotional_messages_wait_for_the_end_of_the_quiet_hours_of_each_person() -> None:
    async with talking(polite(timezone="Europe/London"), handle=ANN, start=at(20, 24)) as phone:  # 12:00 in California
        chiara, mail = phone.person(CHIARA), phone.person(MAIL)
        await phone.text("july")  # 21:00 in Rome, 20:00 in London
        await phone.advance(120)
        assert (await phone.replies(), await mail.replies()) == ([JULY], [JULY])
        assert await chiara.replies() == []
        await advance_to(phone, at(7) - timedelta(minutes=1))
        assert await chiara.replies() == []
        await phone.advance(120)
        assert await chiara.replies() == [JULY]


async def test_replies_and_what_was_asked_for_do_not_wait() -> None:
    async with talking(polite(), handle=ANN, start=at(8)) as phone:  # midnight in California
        bob = phone.person(BOB)
        assert await answers(phone, "hello") == ["hello"]
        await advance_to(phone, at(9) + timedelta(minutes=1))
        assert (await phone.replies(), await bob.replies()) == ([], ["Sales of yesterday."])
        await advance_to(phone, at(16) + timedelta(minutes=1))
        assert await phone.replies() == ["Good morning!", URL]


async def test_a_misspelt_purpose_does_not_pass_the_quiet_hours() -> None:
    purpose: Any = "promotonal"
    said = r"purpose='promotonal'\) is not known\. Did you mean 'promotional'\?"
    wrong = [
        lambda ctx: ctx.bot.send("The menu of July is out.", to=BOB, line=LINE, purpose=purpose),
        lambda ctx: ctx.bot.broadcast([BOB], "The menu of July is out.", name="july", purpose=purpose),
    ]
    for call in wrong:
        async with talking(bot_of(does(call)), start=at(3)) as phone:
            await phone.text("july")
            (error,) = await phone.errors()
            assert re.search(said, str(error))
            assert await phone.person(BOB).replies() == []


async def test_the_time_zone_that_the_bot_knows_of_a_person_counts() -> None:
    async with talking(polite(), handle=ANN, start=at(8)) as phone:
        await phone.text("I am in Tokyo")
        await advance_to(phone, at(9) + timedelta(minutes=1))  # 18:00 there
        assert await phone.replies() == ["Good morning!", URL]


async def test_a_person_gets_one_promotional_message_a_day() -> None:
    async with talking(polite(), handle=ANN, start=at(15)) as phone:
        await phone.text("I am in Tokyo")
        await advance_to(phone, at(23))  # 8:00 there
        await phone.text("july")
        await phone.advance(600)
        assert await phone.replies() == [JULY]
        await advance_to(phone, at(22, 26))  # the one of 18:00 waits
        assert await phone.replies() == []
        await advance_to(phone, at(23, 26) + timedelta(minutes=1))  # 8:00 there
        assert await phone.replies() == ["Good morning!", URL]


@pytest.mark.parametrize(("everywhere", "is_away"), [(False, False), (True, False), (False, True)])
async def test_what_waits_for_the_end_of_the_quiet_hours_waits_for_the_end_of_a_mute_too_and_outlives_an_outage_of_linq(
    everywhere: bool, is_away: bool
) -> None:
    bot = Bot(manners=Manners(quiet_hours="21-8"))
    bot.on_message("news")(does(lambda ctx: ctx.bot.send("News!", to=MAIL, purpose="promotional")))

    @bot.on_message("mute")
    async def mute(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.mute("*" if everywhere else phone.person(MAIL).chat_id, for_s=12 * 3600)

    bot.on_message(does(lambda ctx: ctx.mark_read()))

    async with talking(bot, handle=ANN, start=at(22, 24)) as phone:
        mail = phone.person(MAIL)
        await mail.text("hi")
        await phone.text("news")
        await phone.text("mute")
        await phone.quiet()
        if is_away:
            phone.fail_next("chats.retrieve", status=503, times=3)  # whose person is muted is not known yet
        await advance_to(phone, at(9, 25))
        assert await mail.replies() == []
        await advance_to(phone, at(10, 25) + timedelta(minutes=1))
        assert await mail.replies() == ["News!"]


@pytest.mark.slow
async def test_what_waits_is_sent_once_wherever_the_bot_is_killed() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("july")
        await advance_to(phone, at(9) + timedelta(minutes=1))
        await advance_to(phone, at(18))

    bot = Bot(manners=Manners(quiet_hours="21-8", per_day=2))

    @bot.every("09:00")
    async def morning(schedule: ScheduleDue, ctx: Context) -> None:
        await ctx.bot.send("Good morning!", link(URL), to=ANN, line=LINE)

    bot.on_message("july")(does(lambda ctx: ctx.bot.broadcast([CHIARA, ANN], "The menu of July is out.", name="july")))

    async for phone in killed_between_calls(bot, scenario, handle=ANN, start=at(8, 25)):
        assert sorted(phone.messages) == sorted(["july", JULY, "Good morning!", URL]), phone.killed
        assert phone.person(CHIARA).messages == [JULY], phone.killed


def campaign(**options: Any) -> Bot:
    bot = Bot(manners=Manners(per_day=None, **options))

    @bot.on_message("how is it")
    async def count(message: MessageReceived, ctx: Context) -> None:
        found = await ctx.bot.find_broadcast("news-1")
        assert found is not None
        await ctx.reply(f"{found.status}, {found.pending} pending, {found.refused} refused")

    bot.on_message("hello")(says("hello"))

    @bot.on_message
    async def news(message: MessageReceived, ctx: Context) -> None:
        content = ("News!", link(URL)) if message.text == "link" else ("News!",)
        name = f"news-{len(sent) + 1}"
        sent.append(name)
        await ctx.bot.broadcast([BOB, CHIARA], *content, name=name, per_minute=60)

    sent: list[str] = []
    return bot


async def test_a_third_message_of_a_day_is_refused_with_its_reason() -> None:
    bot, reasons = Bot(manners=Manners()), list[str | None]()

    @bot.on_message
    async def news(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.broadcast([BOB], "The menu is out.", name=message.text)

    @bot.on_broadcast_done
    async def report(broadcast: BroadcastDone, ctx: Context) -> None:
        reasons.extend([person.reason async for person in ctx.bot.recipients(broadcast.name, "refused")])

    async with talking(bot, handle=ANN) as phone:
        for name in ("july", "august", "september"):
            await phone.text(name)
            await phone.advance(60)
        await phone.advance(86_400)
        assert phone.person(BOB).messages == ["The menu is out."] * 2
    assert reasons == ["The limit of 1 promotional message a day leaves no room today or tomorrow."]


async def test_a_person_who_does_not_answer_gets_two_promotional_messages() -> None:
    async with talking(campaign(), handle=ANN) as phone:
        bob, chiara = phone.person(BOB), phone.person(CHIARA)
        for n in range(3):
            await phone.text("news")
            await phone.advance(60)
            await bob.text("hello") if n == 1 else None
        assert [sum(each == "News!" for each in person.messages) for person in (bob, chiara)] == [3, 2]


async def test_a_person_who_never_wrote_gets_no_link() -> None:
    async with talking(campaign(), handle=ANN) as phone:
        bob, chiara = phone.person(BOB), phone.person(CHIARA)
        await bob.text("hello")
        await phone.text("link")
        await phone.advance(60)
        assert bob.messages == ["hello", "hello", "News!", URL]
        assert chiara.messages == ["News!"]
        await chiara.text("hello")
        await phone.text("link")
        await phone.advance(60)
        assert chiara.messages == ["News!", "hello", "hello", "News!", URL]


async def test_a_person_with_a_chat_from_before_may_get_a_link() -> None:
    async with talking(bot_of(says("{}")), handle=ANN) as phone:
        bob = phone.person(BOB)
        await bob.text("hello")
        await phone.advance(60)
        await phone.restart(bot=campaign())
        await phone.text("link")
        await phone.advance(60)
        assert bob.messages == ["hello", "hello", "News!", URL]


async def test_a_line_with_its_limit_of_the_day_goes_on_the_next_day() -> None:
    async with talking(campaign(per_line=1), handle=ANN) as phone:
        bob, chiara = phone.person(BOB), phone.person(CHIARA)
        await phone.text("news")
        await phone.advance(3600)
        await phone.text("hello")
        assert (bob.messages, chiara.messages, await phone.replies()) == (["News!"], [], ["hello"])
        await phone.advance(86_400)
        assert chiara.messages == ["News!"]


async def test_a_line_at_risk_pauses_broadcasts_and_keeps_replies() -> None:
    async with talking(campaign(), handle=ANN) as phone:
        bob, chiara = phone.person(BOB), phone.person(CHIARA)
        phone.emulator.do(ChangeLine(phone_number=phone.line, reputation="AT_RISK"))
        await phone.text("news")
        await phone.text("hello")
        await phone.advance(3600)
        assert (bob.messages, chiara.messages, await phone.replies()) == ([], [], ["hello"])
        assert await answers(phone, "how is it") == ["paused, 2 pending, 0 refused"]
