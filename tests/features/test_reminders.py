"""A person's own reminders recur in their chat until cancelled, and an answer to one names it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from answers import answers
from one_handler import bot_of, does
from structlog.testing import capture_logs

from linqbot import Bot, Context, MessageReceived, ReactionAdded, Scheduled, regex
from linqbot.events import ReactionRemoved
from linqbot.testing import HandlerFailed, Phone, killed_between_calls, talking

DAY_S = 86_400.0
THURSDAY = datetime(2026, 11, 19, 7, tzinfo=UTC)


def reminding(**changes: object) -> Bot:
    bot = Bot(loop_breaker=False)

    @bot.on_message("remind me")
    async def remind(message: MessageReceived, ctx: Context) -> None:
        given = {"every": "weekdays 09:00", "timezone": "Europe/Paris", "tag": "stretch"} | changes
        made = await ctx.send_later("stretch!", **given)  # type: ignore[arg-type]
        assert (await ctx.scheduled()) == [made]
        await ctx.reply(f"{made.tag} {made.due:%a %H:%M}")

    @bot.on_message("stop it")
    async def stop(message: MessageReceived, ctx: Context) -> None:
        waiting = await ctx.scheduled()
        await ctx.reply(str([await ctx.cancel(each) for each in waiting]))

    @bot.on_message("list")
    async def show(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(
            "; ".join(f"{each.tag} {each.every} {each.due:%a %H:%M}" for each in await ctx.scheduled()) or "none"
        )

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        if message.answers is not None and message.text == "later":
            moved = await ctx.reschedule(message.answers, after_s=1800)
            await ctx.reply(f"again at {moved.due:%H:%M}")
        else:
            await ctx.reply(f"about {message.answers.tag}" if message.answers else "about nothing")

    @bot.on_reaction
    async def tapped(reaction: ReactionAdded, ctx: Context) -> None:
        await ctx.send(f"{reaction.reaction_type} for {reaction.answers.tag if reaction.answers else 'nothing'}")

    @bot.on_reaction(removed=True)
    async def untapped(reaction: ReactionRemoved, ctx: Context) -> None:
        await ctx.send(f"no {reaction.reaction_type} for {reaction.answers.tag if reaction.answers else 'nothing'}")

    return bot


async def test_a_reminder_recurs_until_it_is_cancelled() -> None:
    async with talking(reminding(), start=THURSDAY) as phone:
        assert await answers(phone, "remind me") == ["stretch Thu 08:00"]
        await phone.advance(DAY_S)
        await phone.advance(4 * DAY_S)
        assert [text for text in phone.messages if text == "stretch!"] == ["stretch!"] * 3  # Thursday, Friday, Monday
        await phone.replies()
        assert await answers(phone, "list") == ["stretch weekdays 09:00 Tue 08:00"]
        assert await answers(phone, "stop it") == ["[True]"]
        before = len(phone.messages)
        await phone.advance(7 * DAY_S)
        assert len(phone.messages) == before


async def test_an_answer_names_the_reminder_that_it_is_about() -> None:
    async with talking(reminding(), start=THURSDAY) as phone:
        await answers(phone, "remind me")
        await phone.advance(2 * 3600)
        bubble = await phone.next_reply()
        assert bubble == "stretch!"
        await phone.text("done", reply_to=bubble)
        answer = await phone.next_reply()
        assert answer == "about stretch"
        await phone.react(bubble, "like")
        assert await phone.next_reply() == "like for stretch"
        await phone.react(bubble, "like", remove=True)
        assert await phone.next_reply() == "no like for stretch"
        await phone.text("hm", reply_to=answer)
        assert await phone.next_reply() == "about nothing"
        assert await answers(phone, "hm") == ["about nothing"]


async def test_a_reminder_that_is_put_off_again_and_again_is_sent_once_more_each_time_and_keeps_its_rhythm() -> None:
    async with talking(reminding(), start=THURSDAY) as phone:
        await answers(phone, "remind me")
        await phone.advance(3600)
        bubble = await phone.next_reply()
        await phone.text("later", reply_to=bubble)
        assert await phone.next_reply() == "again at 08:30"
        assert await answers(phone, "list") == ["stretch None Thu 08:30; stretch weekdays 09:00 Fri 08:00"]
        await phone.advance(1801)
        again = await phone.next_reply()
        assert again == "stretch!"
        await phone.text("later", reply_to=again)
        assert await phone.next_reply() == "again at 09:00"
        await phone.advance(1801)
        await phone.text("ok", reply_to=await phone.next_reply())
        assert await phone.next_reply() == "about stretch"
        await phone.advance(DAY_S)
        assert await phone.next_reply() == "stretch!"


async def test_what_was_sent_cannot_be_moved() -> None:
    bot = reminding(every=None, timezone=None, after_s=60)
    async with talking(bot, start=THURSDAY) as phone:
        await answers(phone, "remind me")
        await phone.advance(61)
        bubble = await phone.next_reply()
        await phone.text("later", reply_to=bubble)
        with pytest.raises(HandlerFailed) as failed:
            await phone.next_reply()
        assert "This send is sent or cancelled, so its content is deleted." in str(failed.value.__cause__)


async def test_a_reminder_ends_when_its_chat_is_gone() -> None:
    async with talking(reminding(every="hour"), start=THURSDAY) as phone:
        await answers(phone, "remind me")
        del phone.emulator.state.chats[phone.chat_id]
        with pytest.raises(HandlerFailed, match="404"):
            await phone.advance(3700)
        before = len(phone.calls)
        await phone.advance(7200)
        assert len(phone.calls) == before


async def test_sends_to_a_group_that_the_bot_has_left_end_without_a_dead_letter() -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("once", after_s=600)
        await ctx.send_later("again", every="15 min", timezone="UTC")

    async with talking(bot_of(remind, "remind us", groups="all"), start=THURSDAY) as ann:
        group = ann.group("+14155550143", "+14155550144")
        await group.text("remind us")
        await group.remove(ann.line)
        with capture_logs() as logs:
            await group.advance(3600)
        assert [log["event"] for log in logs if log["event"].startswith(("send.", "turn.d"))] == ["send.left"] * 2
        assert await group.dead_letters() == []
        assert group.messages == ["remind us"]


async def test_a_recurring_send_that_is_due_while_its_end_is_handled_ends() -> None:
    bot, begun, go = Bot(), asyncio.Event(), asyncio.Event()
    bot.on_message("remind me")(does(lambda ctx: ctx.send_later("Stretch!", every="15 min", timezone="UTC")))

    @bot.on_message("enough")
    async def end(message: MessageReceived, ctx: Context) -> None:
        begun.set()
        await go.wait()
        for waiting in await ctx.scheduled():
            await ctx.cancel(waiting)
        await ctx.reply("Ended.")

    async with talking(bot, start=THURSDAY) as phone:
        await phone.text("remind me")
        await phone.advance(890)
        await phone.text("enough")
        await begun.wait()
        go.set()
        await phone.restart(down_s=60)
        await phone.advance(3600)
        assert phone.messages == ["remind me", "enough", "Ended."]


async def test_what_a_failed_handler_has_scheduled_and_moved_is_dropped_when_an_error_handler_takes_the_error() -> None:
    bot = Bot()
    bot.on_message("first")(does(lambda ctx: ctx.send_later("The first.", after_s=600)))

    @bot.on_message
    async def book(message: MessageReceived, ctx: Context) -> None:
        (waiting,) = await ctx.scheduled()
        await ctx.reschedule(waiting, after_s=60)
        await ctx.send_later("Your table is booked.", after_s=60)
        raise ValueError("We are closed.")

    @bot.on_error(ValueError)
    async def sorry(error: ValueError, event: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Try tomorrow.", after_s=120)
        await ctx.reply("Sorry.")

    async with talking(bot, start=THURSDAY) as phone:
        assert await answers(phone, "first", "book") == ["Sorry."]
        await phone.advance(130)
        assert await phone.replies() == ["Try tomorrow."]
        await phone.advance(480)
        assert await phone.replies() == ["The first."]


@pytest.mark.slow
async def test_a_second_run_cancels_the_reminder_of_the_first_and_no_other() -> None:
    """A question asks for a second run, too: the handler runs again from its start when the answer comes."""
    bot = Bot(read=False, typing=False)

    @bot.on_message("remind me twice")
    async def remind(message: MessageReceived, ctx: Context) -> None:
        for seconds in (100, 200):
            await ctx.send_later(f"due {seconds}", after_s=seconds, tag=str(seconds))

    @bot.on_message("cancel the first")
    async def cancel(message: MessageReceived, ctx: Context) -> str:
        first = (await ctx.scheduled())[0]
        was_waiting = await ctx.cancel(first)
        why = await ctx.ask("Why?")
        second = await ctx.cancel(first)
        return f"Cancelled {first.tag}: {was_waiting}, {second}, {why}."

    async def conversation(phone: Phone) -> None:
        await phone.text("remind me twice")
        await phone.text("cancel the first")
        assert await phone.next_reply() == "Why?"
        await phone.text("no reason")
        await phone.next_reply()
        await phone.advance(300)

    wrong = []
    async for phone in killed_between_calls(bot, conversation):
        said = [str(each) for each in phone.messages if each.from_bot]
        if said != ["Why?", "Cancelled 100: True, False, no reason.", "due 200"]:
            wrong.append((phone.killed, said))
    assert wrong == []


async def test_cancellations_in_another_order_are_made_once_each() -> None:
    bot = Bot(read=False, typing=False)
    runs: list[list[bool]] = []

    @bot.on_message("remind me")
    async def remind(message: MessageReceived, ctx: Context) -> None:
        for tag in ("a", "b"):
            await ctx.send_later(f"due {tag}", after_s=60, tag=tag)

    @bot.on_message
    async def cancel(message: MessageReceived, ctx: Context) -> None:
        found = {each.tag: each for each in await ctx.scheduled()}
        first, second = ("a", "b") if not runs else ("b", "a")
        runs.append([await ctx.cancel(found[first])])
        if len(runs) == 1:
            raise ValueError("once")
        runs[-1].append(await ctx.cancel(found[second]))

    async with talking(bot, start=THURSDAY) as phone:
        await phone.text("remind me")
        await phone.text("cancel")
        assert [type(error) for error in await phone.errors()] == [ValueError]
        await phone.advance(100)
        assert await phone.replies() == []
    assert runs == [[True], [True, True]]


PARIS = ZoneInfo("Europe/Paris")
SEVEN_PM = datetime(2026, 11, 28, 19, tzinfo=PARIS)


async def test_a_reminder_is_sent_some_time_before_the_event_by_the_calendar_of_its_time_zone() -> None:
    after_change = datetime(2027, 3, 28, 19, tzinfo=PARIS)  # the clocks went forward at two o'clock
    rows: list[tuple[datetime, str, str | None, str | None]] = [
        (SEVEN_PM, "1 day at 18:00", None, "2026-11-27T17:00"),
        (SEVEN_PM, "1 day", None, "2026-11-27T18:00"),
        (SEVEN_PM, "2 hours", None, "2026-11-28T16:00"),
        (SEVEN_PM, "a week at 9am", None, "2026-11-21T08:00"),
        (SEVEN_PM.astimezone(UTC), "1 day at 18:00", None, "2026-11-27T18:00"),
        (SEVEN_PM.astimezone(UTC), "1 day at 18:00", "Europe/Paris", "2026-11-27T17:00"),
        (SEVEN_PM.replace(tzinfo=None), "1 day at 18:00", "Europe/Paris", "2026-11-27T17:00"),
        (after_change, "1 day", None, "2027-03-27T18:00"),
        (after_change, "1 day at 18:00", None, "2027-03-27T17:00"),
        (after_change, "23 hours", None, "2027-03-27T18:00"),
        (after_change, "24 hours", None, "2027-03-27T17:00"),
        (after_change, "24 hours at 18:00", None, "2027-03-27T17:00"),
        (after_change, "1 Day", None, "2027-03-27T18:00"),
        (THURSDAY.astimezone(PARIS), "1 day at 18:00", None, None),
        (THURSDAY.astimezone(PARIS), "a minute", None, None),
    ]
    made: list[str | None] = []

    async def remind(message: MessageReceived, ctx: Context) -> None:
        for at, before, timezone, _ in rows:
            reminder = await ctx.remind("Tomorrow!", at=at, before=before, timezone=timezone, tag="table")
            made.append(None if reminder is None else f"{reminder.due.astimezone(UTC):%Y-%m-%dT%H:%M}")

    async with talking(bot_of(remind), start=THURSDAY) as phone:
        await answers(phone, "hi")
    assert made == [due for *_, due in rows]


def booking() -> Bot:
    """Return a bot that reminds of a booking the day before. A new booking, or none, ends the reminder of the old one."""
    bot = Bot()

    @bot.on_message(regex(r"^book (?P<day>\d+)"))
    async def book(message: MessageReceived, ctx: Context) -> None:
        await ctx.cancel(tag="table")
        day = int(ctx.match["day"])
        table = SEVEN_PM.replace(day=day)
        await ctx.remind(f"Tomorrow, the {day}th", at=table, before="1 day at 18:00", tag="table")
        await ctx.reply(f"Booked: {day}")

    @bot.on_message("free my table")
    async def free(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(str(await ctx.cancel(tag="table")))

    bot.on_message("wrong")(does(lambda ctx: ctx.cancel()))
    return bot


async def test_sends_are_cancelled_by_their_tag() -> None:
    async with talking(booking(), start=THURSDAY) as phone:
        await phone.text("book 28")
        await phone.text("book 25")
        await phone.advance(10 * DAY_S)
        assert await phone.replies() == ["Booked: 28", "Booked: 25", "Tomorrow, the 25th"]
        assert await answers(phone, "free my table") == ["False"]
    async with talking(booking(), start=THURSDAY) as phone:
        await phone.text("book 28")
        await phone.text("free my table")
        await phone.advance(10 * DAY_S)
        assert await phone.replies() == ["Booked: 28", "True"]
        await phone.text("wrong")
        with pytest.raises(HandlerFailed, match="either a scheduled send or tag="):
            await phone.replies()


@pytest.mark.slow
async def test_a_reminder_that_replaces_another_by_its_tag_is_sent_once_over_every_kill() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("book 28")
        await phone.text("book 25")
        await phone.advance(10 * DAY_S)

    async for phone in killed_between_calls(booking(), scenario, start=THURSDAY):
        said = [message for message in phone.messages if message.from_bot]
        assert said == ["Booked: 28", "Booked: 25", "Tomorrow, the 25th"], phone.killed


async def test_a_send_is_the_same_after_a_question_although_a_reminder_was_put_off_before_it() -> None:
    bot = Bot()
    bot.on_message("remind me")(does(lambda ctx: ctx.send_later("Stretch!", every="hour", timezone="UTC")))

    @bot.on_message
    async def later(message: MessageReceived, ctx: Context) -> None:
        assert message.answers is not None
        await ctx.reschedule(message.answers, after_s=600)
        check = await ctx.send_later("Did you?", after_s=900)
        await ctx.ask("Why?")
        await ctx.cancel(check)

    async with talking(bot, start=THURSDAY) as phone:
        await phone.text("remind me")
        await phone.advance(3601)
        await phone.reply(await phone.next_reply(), "later")
        await phone.text("no time")
        await phone.advance(1000)
        assert await phone.replies() == ["Why?", "Stretch!"]


async def test_a_send_that_was_moved_before_a_question_may_be_gone_when_the_answer_comes() -> None:
    bot, moved = Bot(), list[Scheduled]()

    @bot.on_message("remind me")
    async def remind(message: MessageReceived, ctx: Context) -> None:
        moved.append(await ctx.send_later("Stretch!", after_s=3600))

    @bot.on_message
    async def sooner(message: MessageReceived, ctx: Context) -> None:
        await ctx.reschedule(moved[0].id, after_s=30)
        await ctx.reply(f"Because {await ctx.ask('Sooner. Why?')}.")

    async with talking(bot) as phone:
        await phone.text("remind me")
        await phone.text("sooner")
        await phone.advance(31)
        assert await answers(phone, "of my back") == ["Sooner. Why?", "Stretch!", "Because of my back."]
