"""Opting out: STOP ends what the bot still wanted to say, and reaches no message handler."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from answers import answers
from asking_talk import Talk, asking
from fakes import CHAT, LINE, PERSON, handle, message, text_body
from one_handler import does, notes
from simulated_crash import crash
from structlog.testing import capture_logs

from linqbot import AskCancelled, Bot, Context, Event, Failure, MessageReceived, Scheduled
from linqbot.bot.router import Next
from linqbot.engine.failure import RetryPolicy
from linqbot.linq.rules.keywords import opts_out
from linqbot.testing import Phone, killed_between_calls, talking

OTHER_CHAT = "3c99d589-8d03-5753-96bd-addff71de8c3"


async def fails(message: MessageReceived, ctx: Context) -> None:
    raise ValueError


def test_the_words_are_those_of_linq_in_its_letters_from_a_person_in_a_chat_of_two() -> None:
    words = ["STOP", " UNSUBSCRIBE\n", "CANCEL", "END", "QUIT", "OPTOUT", "opt out", "Opt-Out"]
    others = ["stop", "Stop", "cancel", "end", "STOP it", "STOP.", "", "START"]
    assert [word for word in [*words, *others] if opts_out(message(word))] == words
    assert not any(opts_out(message(word, is_group=True)) for word in words)
    assert not opts_out(message("STOP", direction="outbound", sender_handle=handle(LINE, is_me=True)))


async def test_an_opt_out_word_reaches_no_message_handler(talk: Talk) -> None:
    seen: list[str] = []
    bot = talk.deploy(groups="all")

    @bot.on_message("stop")
    async def stop(message: MessageReceived, ctx: Context) -> None:
        seen.append("stop")

    bot.on_message(during_ask=True)(notes(seen, lambda message: message.text))
    bot.on(Event)(notes(seen, lambda event: event.type))
    await talk.say("STOP")
    assert seen == []
    await talk.say("STOP", is_group=True, chat=OTHER_CHAT)
    await talk.say("stop")
    assert seen == ["stop", "stop"]


async def test_the_bots_own_handler_may_record_it_and_confirm_it_over_the_opt_out(talk: Talk) -> None:
    seen: list[str] = []
    bot = talk.deploy()

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Hello.")
        await ctx.send_later("Later.", after_s=3600, tag="later")

    @bot.on_opt_out
    async def record(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.reply("You will hear nothing more.")
        content = {"parts": [{"type": "text", "value": "One person less."}]}
        await ctx.client.chats.messages.send(OTHER_CHAT, message=content)
        confirmation = {"parts": [{"type": "text", "value": "You are unsubscribed."}]}
        await ctx.client.chats.messages.send(CHAT, message=confirmation, override_optout=True)
        seen.append(f"{message.text} {sent.status} {[each.tag for each in await ctx.scheduled()]}")

    @bot.on_opt_out
    async def never(message: MessageReceived, ctx: Context) -> None:
        seen.append("never")

    await talk.say("hi", "STOP")
    assert seen == ["STOP opted_out ['later']"]
    assert talk.said == ["Hello.", "One person less.", "You are unsubscribed."]
    assert await talk.storage.scheduled() == []
    await talk.say("hi")
    assert talk.said[3:] == ["Hello."]


async def test_a_reaction_an_edit_and_a_deletion_are_left_out() -> None:
    made: list[object] = []
    bot = Bot()

    @bot.on_message
    async def ask(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.reply("Hello.")
        try:
            await ctx.ask("Your name?")
        except AskCancelled:
            made.append(await sent.edit("Goodbye."))
            await sent.delete()
            made.append("ended")

    @bot.on_opt_out
    async def record(message: MessageReceived, ctx: Context) -> None:
        await ctx.react("like")
        await ctx.chat.set_background("mango")
        made.append("recorded")

    async with talking(bot) as phone:
        assert await answers(phone, "hi") == ["Hello.", "Your name?"]
        await phone.text("STOP")
        await phone.quiet()
        assert await phone.dead_letters() == []
    assert sorted(map(str, made)) == ["False", "ended", "recorded"]


async def test_open_questions_of_the_chat_end_without_a_word(talk: Talk) -> None:
    ends: list[str] = []

    async def ask(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("Your name?", who="anyone" if message.text == "all" else "asker")
        except AskCancelled as error:
            sent = await ctx.reply("A pity.")
            ends.append(f"{message.text}: {error.reason}, {sent.status}")
            await ctx.ask("Why?")

    talk.deploy(ask)
    await talk.say("all", sender="+15550001111")
    await talk.say("one", sender="+15550001111", chat=OTHER_CHAT)
    talk.linq.calls.clear()
    await talk.say("STOP")
    assert ends == ["all: opted_out, opted_out"]
    assert talk.said == []
    assert talk.open_questions() == []
    assert talk.open_questions(OTHER_CHAT) == ["waiting"]
    assert [timer.lane for timer in await talk.storage.scheduled()] == [f"c:{OTHER_CHAT}"]
    assert await talk.storage.dead_letters() == []


async def test_scheduled_sends_of_the_chat_are_cancelled_and_those_of_others_stay(talk: Talk) -> None:
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Once.", after_s=60)
        await ctx.send_later("Daily.", every="day 09:00", timezone="UTC")

    await talk.to(remind, "hi")
    await talk.say("hi", chat=OTHER_CHAT, sender="+15550001111")
    assert len(await talk.storage.scheduled()) == 4
    with capture_logs() as logs:
        await talk.say("STOP")
    kinds = sorted((timer.lane, timer.kind) for timer in await talk.storage.scheduled())
    assert kinds == sorted([(f"c:{CHAT}", "stopped"), (f"c:{OTHER_CHAT}", "repeat"), (f"c:{OTHER_CHAT}", "send")])
    assert [each for each in logs if each["event"] == "chat.opted_out"] == [
        {
            "event": "chat.opted_out",
            "log_level": "info",
            "chat_id": CHAT,
            "cancelled_sends": 2,
            "paused_sends": 1,
            "ended_questions": 0,
        }
    ]
    assert PERSON not in str(logs)
    await talk.pass_time(7 * 86_400)
    assert [call.path for call in talk.linq.calls if CHAT in call.path] == []


async def test_what_is_scheduled_because_a_person_opts_out_is_not_sent_although_they_come_back(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        if message.text == "hi":
            reminder = await ctx.send_later("Your name, please.", after_s=600)
            try:
                await ctx.ask("Your name?")
            except AskCancelled:
                await ctx.send_later("A pity.", after_s=60)
                await ctx.reschedule(reminder, after_s=60)

    bot = talk.deploy(ask)

    @bot.on_opt_out
    async def bye(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Do you miss us?", after_s=3600)
        await ctx.send_later("Daily.", every="day 09:00", timezone="UTC")

    await talk.say("hi", "STOP")
    assert await talk.storage.scheduled() == []
    await talk.say("back again")
    await talk.pass_time(7 * 86_400)
    assert talk.said == ["Your name?"]


async def test_a_recurring_send_that_is_due_when_the_person_opts_out_does_not_recur(talk: Talk) -> None:
    await talk.to(does(lambda ctx: ctx.send_later("Hourly.", every="hour", timezone="UTC")), "hi")
    await talk.put(text_body("STOP"))
    talk.clock.advance(3600)
    await talk.storage.fire(talk.clock.now())
    await talk.run()
    assert [timer.kind for timer in await talk.storage.scheduled()] == ["stopped"]
    await talk.pass_time(86_400)
    assert talk.linq.calls == []


async def test_a_recurring_send_that_has_stopped_is_not_moved_and_starts_again_if_its_rhythm_can_be_read(
    talk: Talk,
) -> None:
    made: list[Scheduled] = []
    bot = talk.deploy()

    @bot.on_message("remind me")
    async def remind(message: MessageReceived, ctx: Context) -> None:
        made.append(await ctx.send_later("Hourly.", every="hour", timezone="UTC"))

    bot.on_message("later", attempts=1)(does(lambda ctx: ctx.reschedule(made[0], after_s=60)))
    await talk.say("remind me", "STOP")
    (stopped,) = await talk.storage.scheduled()
    unreadable = replace(stopped, id="unreadable", payload=stopped.payload.replace(b'"hour"', b'"blue moon"'))
    await talk.storage.schedule(unreadable)
    assert "sent or cancelled" in await talk.error_of("later")
    await talk.say("START")
    kinds = {timer.id: timer.kind for timer in await talk.storage.scheduled()}
    assert kinds == {made[0].id: "repeat", "unreadable": "stopped"}
    assert len(await talk.storage.dead_letters()) == 1


async def test_the_notice_that_it_was_given_up_is_no_second_opt_out(talk: Talk) -> None:
    bot = talk.deploy(does(lambda ctx: ctx.send_later("Later.", after_s=60)))
    bot.on_opt_out(fails)

    @bot.on_dead_letter
    async def sorry(failure: Failure, message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("We have noted it.")

    talk.attempts = 1
    for text in ("STOP", "back again"):
        await talk.put(text_body(text))
    await talk.run()
    await talk.pass_time(60)
    assert talk.said == ["We have noted it.", "Later."]


async def test_it_holds_although_the_bots_handler_fails_or_kills_the_process(talk: Talk) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Later.", after_s=86_000)
        await ctx.ask("Your name?")

    talk.deploy(ask).on_opt_out(fails)
    talk.attempts = 2
    await talk.say("hi", "STOP")
    assert await talk.storage.scheduled() == []
    await talk.pass_time(2)
    assert talk.open_questions() == []
    assert len(await talk.storage.dead_letters()) == 1

    talk.deploy(ask).on_opt_out(does(lambda ctx: crash()))
    await talk.pass_time(1000)
    await talk.say("hi")
    await talk.put(text_body("STOP"))
    for _ in range(RetryPolicy().crashes):
        assert await talk.crashable.run(talk.run())
        await talk.restart()
    await talk.run()
    assert talk.open_questions() == []
    assert await talk.storage.scheduled() == []


async def test_it_holds_whatever_the_middleware_and_the_settings_keep_from_handlers(talk: Talk) -> None:
    seen: list[str] = []

    await talk.to(asking("Your name?"), "hi")
    bot = talk.deploy(asking("Your name?"), allow=lambda event: False)

    @bot.on_opt_out
    async def record(message: MessageReceived, ctx: Context) -> None:
        seen.append("recorded")

    @bot.use
    def block(step: Next) -> Next:
        async def handle(event: Any, ctx: Context) -> None:
            seen.append(event.type)
            await step(event, ctx)

        return handle

    await talk.say("STOP")
    assert seen[0] == "message.received"
    assert "recorded" not in seen
    assert "waiting" not in talk.open_questions()


async def test_a_bot_without_message_handlers_cancels_too(talk: Talk) -> None:
    await talk.to(does(lambda ctx: ctx.send_later("Once.", after_s=60)), "hi")
    talk.deploy()
    await talk.put(text_body("no handler takes this"))
    await talk.receive(text_body("STOP"))
    assert await talk.storage.scheduled() == []


def daily() -> Bot:
    bot = Bot()

    @bot.on_message("hi")
    async def remind(message: MessageReceived, ctx: Context) -> None:
        await ctx.send_later("Once.", after_s=3600)
        await ctx.send_later("Daily.", every="day 09:00", timezone="UTC", tag="daily")

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"{message.text}: {[each.tag for each in await ctx.scheduled()]}")

    return bot


@pytest.mark.slow
async def test_start_brings_back_the_recurring_sends_that_stop_has_paused() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("hi")
        await phone.text("STOP")
        await phone.advance(3 * 86_400)
        await phone.text("START")
        assert await phone.next_reply() == "START: []"  # the end of this turn brings it back
        await phone.advance(86_400)
        assert await phone.replies() == ["Daily."]

    async for phone in killed_between_calls(daily(), scenario, start=datetime(2026, 11, 20, 8, tzinfo=UTC)):
        assert sum(each == "Daily." for each in phone.messages) == 1, phone.killed
