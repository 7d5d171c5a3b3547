"""`@bot.every` runs handlers on a schedule, and `ctx.bot.send` writes to a person first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from linqbot_dev.testing.stage.record import HandlerFailed
from one_handler import bot_of

from linqbot import Bot, BotError, Context, MessageReceived, RuleBroken, ScheduleDue
from linqbot.bot.dispatch import Dispatcher
from linqbot.clock import SystemClock
from linqbot.testing import talking

PERSON = "+14155550142"
LINE = "+12025550100"
THURSDAY = datetime(2026, 11, 19, 7, tzinfo=UTC)


async def report(event: ScheduleDue, ctx: Context) -> None: ...


async def test_a_handler_that_fails_too_often_does_not_end_its_schedule() -> None:
    bot, seen = Bot(), list[str]()

    @bot.every("hour", attempts=1)
    async def hourly(event: ScheduleDue, ctx: Context) -> None:
        seen.append(f"{event.due:%H:%M}")
        raise ValueError("bad")

    async with talking(bot, start=THURSDAY) as phone:
        for _ in range(3):
            with pytest.raises(HandlerFailed, match="It was given up"):
                await phone.advance(3600)
    assert seen == ["08:00", "09:00", "10:00"]


async def test_a_schedule_has_no_chat_to_reply_in() -> None:
    bot = Bot()

    @bot.every("hour", attempts=1)
    async def hourly(event: ScheduleDue, ctx: Context) -> str:
        return "hello?"

    async with talking(bot, start=THURSDAY) as phone:
        with pytest.raises(HandlerFailed) as failed:
            await phone.advance(3600)
    assert str(failed.value.__cause__) == (
        'A schedule belongs to no chat, so there is no chat to reply in. Write to a person with ctx.bot.send(…, to="+1…"), '
        "or use ctx.client."
    )


@pytest.mark.parametrize(
    ("spec", "zone", "name", "message"),
    [
        ("sometimes", "UTC", None, "@bot.every('sometimes', timezone='UTC'): Please say how often"),
        ("weekdays", "UTC", None, "At which time of day?"),
        ("99 * * * *", "UTC", None, "is not a cron expression: Bad minute"),
        ("hour", "Mars/Base", None, "There is no time zone 'Mars/Base'"),
        ("9:00", None, None, '@bot.every(timezone=…) takes the IANA name of a time zone, such as "Europe/Paris"'),
        ("9:00", ZoneInfo("UTC"), None, "but got a value of type ZoneInfo"),
        ("hour", "UTC", "a b", "'a b' cannot be the name of a schedule"),
        ("hour", "UTC", 5, "5 cannot be the name of a schedule"),
        (lambda event, ctx: None, "UTC", None, "@bot.every() needs a rhythm"),
    ],
)
def test_a_schedule_that_could_never_run_is_refused_at_once(spec: Any, zone: Any, name: Any, message: str) -> None:
    with pytest.raises(BotError) as refused:
        Bot().every(spec, timezone=zone, name=name)(report)
    assert message in str(refused.value)
    assert zone == "UTC" or "cron expression" not in str(refused.value)


def test_two_schedules_of_one_name_are_refused() -> None:
    bot = Bot()
    bot.every("hour")(report)
    bot.every("9:00")(report)
    with pytest.raises(BotError, match="There are two schedules named 'report'"):
        Dispatcher(bot, SystemClock())


async def test_writing_first_begins_with_a_text_without_an_address() -> None:
    rules = list[str]()

    async def invite(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.bot.send("Hello Bob. The menu: https://x.test/menu", to="+14155550199")
        assert len(sent.messages) == 2
        for text in ("https://x.test/menu", "Read https://x.test/menu first."):
            with pytest.raises(RuleBroken, match="Send a text without a link first, and the link next") as broken:
                await ctx.bot.send(text, to="+14155550177")
            rules.append(broken.value.rule)

    async with talking(bot_of(invite)) as phone:
        other = phone.person("+14155550199")
        await phone.text("hi")
        assert await other.next_reply() == "Hello Bob. The menu:"
        card = await other.next_reply()
        assert (card, card.parts[0].type) == ("https://x.test/menu", "link")
        assert await phone.replies() == []
    assert rules == ["R52", "R52"]


async def test_writing_first_needs_a_line_if_there_are_several_and_one_person() -> None:
    bot, errors = Bot(), list[str]()

    @bot.every("hour")
    async def hourly(event: ScheduleDue, ctx: Context) -> None:
        for to in (PERSON, [PERSON, "+14155550199"], ""):
            try:
                await ctx.bot.send("hello", to=to)  # type: ignore[arg-type]
            except BotError as error:
                errors.append(str(error))
        with pytest.raises(RuleBroken):
            await ctx.bot.send("hello", to="Ann", line=LINE)

    async with talking(bot, start=THURSDAY) as phone:
        await phone.advance(3600)
        assert phone.messages == []
    assert errors[0].startswith("This account has 2 lines, and the event is not from one of them.")
    assert errors[1].startswith("ctx.bot.send(to=…) takes the handle of one person, such as '+14155550142', not list.")
    assert len(errors) == 3
