"""Texts whose webhooks come late: what was written first is taken for what it was then, by Linq's own times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from answers import answers
from engine_turns import run_worker
from fakes import NOW, Linq, delivery, text_body
from one_handler import notes, says
from patience import until
from slow_work import Work

from linqbot import AskCancelled, Bot, Context, MessageReceived, Posted
from linqbot.clock import MovableClock
from linqbot.options import OverlapMode
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.testing import Phone, talking

OWNER = "+14155550198"
Handler: TypeAlias = Callable[[MessageReceived, Context], Awaitable[None]]


async def late(phone: Phone, text: str) -> None:
    """Write a text whose webhook fails on its way, so that the bot gets it some seconds later."""
    phone.fail_next_delivery("message.received", status=503)
    await phone.text(text)
    await phone.advance(0.3)


def asks(ask: Callable[[Context], Awaitable[Any]]) -> Bot:
    """Return a bot that asks when someone writes "ask", and says what it heard and what else is written."""
    bot = Bot(read=False, typing=False, groups="all")

    @bot.on_message("ask")
    async def begin(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.reply(f"answer: {await ask(ctx)}")
        except AskCancelled as ended:
            await ctx.reply(f"cancelled: {ended.reason}")

    bot.on_message(says("text: {}"))
    return bot


async def test_a_text_that_was_written_before_a_question_is_no_answer_to_it(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, Callable[[Context], Awaitable[Any]], str, str]] = [
        ("a text", lambda ctx: ctx.ask("What?"), "blue", "answer: blue"),
        ("of anyone", lambda ctx: ctx.ask("What?", who="anyone"), "blue", "answer: blue"),
        ("a number", lambda ctx: ctx.ask("How many?", kind=int), "4", "answer: 4"),
        ("a choice", lambda ctx: ctx.ask("When?", choices=["Friday", "Sunday"]), "Friday", "answer: Friday"),
        ("yes or no", lambda ctx: ctx.ask("Sure?", yes="like"), "yes", "answer: True"),
        ("with side questions", lambda ctx: ctx.ask("Sure?", yes="like", side_questions=True), "yes", "answer: True"),
        ("a word that cancels", lambda ctx: ctx.ask("What?"), "never mind", "cancelled: word"),
        ("a word that cancels a location", lambda ctx: ctx.location("Where?"), "never mind", "cancelled: word"),
    ]
    for what, ask, text, answered in rows:
        with subtests.test(what=what):
            async with talking(asks(ask)) as phone:
                await late(phone, text)
                assert (await answers(phone, "ask"))[-1] == f"text: {text}"
                assert (await answers(phone, text))[-1] == answered


async def test_a_text_that_was_written_before_an_answer_does_not_answer_the_next_question() -> None:
    async def form(ctx: Context) -> str:
        return f"{await ctx.ask('Name?')} {await ctx.ask('City?')}"

    async with talking(asks(form)) as phone:
        assert await answers(phone, "ask") == ["Name?"]
        await late(phone, "hello?")
        assert await answers(phone, "Ann") == ["City?", "text: hello?"]
        assert await answers(phone, "Rome") == ["answer: Ann Rome"]


async def test_a_text_that_was_written_while_the_question_was_on_its_way_is_an_answer() -> None:
    bot, work = Bot(read=False, typing=False), Work()

    @bot.on_message("ask")
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await work()
        await ctx.reply(f"answer: {await ctx.ask('What?')}")

    async with talking(bot) as phone:
        await phone.text("ask")
        await work.begun.wait()
        await phone.text("blue")
        work.end.set()
        assert [str(await phone.next_reply()), str(await phone.next_reply())] == ["What?", "answer: blue"]


async def test_a_question_that_no_message_led_to_is_asked_when_linq_takes_it() -> None:
    bot = Bot(read=False, typing=False)

    @bot.on_post("arrived")
    async def arrived(post: Posted, ctx: Context) -> None:
        await ctx.reply(f"answer: {await ctx.ask('Shall we ring?', who='anyone')}")

    bot.on_message(says("text: {}"))
    async with talking(bot) as phone:
        await answers(phone, "hello")
        await late(phone, "are you there?")
        await phone.post("arrived", {})
        assert [str(each) for each in await phone.replies()] == ["Shall we ring?", "text: are you there?"]
        assert await answers(phone, "yes") == ["answer: yes"]


async def test_a_text_from_before_a_question_is_not_late_for_it_when_it_has_timed_out() -> None:
    bot, seen = Bot(read=False, typing=False), list[bool]()

    @bot.on_message("ask")
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("What?", timeout_s=1)

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        seen.append(ctx.after_ask is not None)

    async with talking(bot) as phone:
        phone.fail_next_delivery("message.received", status=503, times=2)
        await phone.text("hello")
        await phone.advance(0.2)
        await answers(phone, "ask")
        await phone.advance(20)
        await answers(phone, "blue")
    assert seen == [False, True]


async def test_a_burst_has_its_messages_in_the_order_in_which_they_were_written() -> None:
    bot, seen = Bot(gather_s=20), list[MessageReceived]()
    bot.on_message(notes(seen, lambda message: message))
    async with talking(bot) as phone:
        await late(phone, "one")
        await phone.text("two")
        await phone.advance(60)
        await phone.quiet()
    (message,) = seen
    assert (message.text, message.id) == ("one\ntwo", message.burst[-1].id)
    assert [each.text for each in message.burst] == ["one", "two"]


@pytest.mark.parametrize("mode", ["restart", "steer"])
async def test_a_text_that_was_written_before_the_one_in_hand_corrects_nothing(mode: OverlapMode) -> None:
    bot, work, heard = Bot(read=False, typing=False), Work(), list[str]()

    @bot.on_message(overlap=mode)
    async def answer(message: MessageReceived, ctx: Context) -> None:
        heard.append(message.text)
        if len(heard) == 1:
            await work()
        heard.extend([f"steer: {each.text}" async for each in ctx.incoming()] if ctx.takes_incoming else [])

    clock = MovableClock(NOW, frozen=True)
    async with MemoryStorage(clock=clock) as storage, run_worker(bot, Linq(), storage, clock):
        await storage.put(delivery(text_body("two", sent_at="2026-11-05T17:33:20Z")))
        await work.begun.wait()
        await storage.put(delivery(text_body("one", sent_at="2026-11-05T17:33:19Z")))
        if mode == "steer":
            work.end.set()
        await until(lambda: len(heard) == 2)
    assert heard == {"restart": ["two", "one\ntwo"], "steer": ["two", "one"]}[mode]


async def test_the_word_that_the_owner_wrote_last_decides_if_the_bot_is_silent(subtests: pytest.Subtests) -> None:
    for first, last, said in (("bot off", "bot on", ["hello"]), ("bot on", "bot off", [])):
        with subtests.test(first=first, last=last):
            bot = Bot(owner=OWNER, mute_word="bot off", read=False, typing=False)
            bot.on_message(says("hello"))
            async with talking(bot) as phone:
                owner = phone.person(OWNER)
                await late(owner, first)
                assert len(await answers(owner, last)) == 1
                await phone.advance(5)
                assert await owner.replies() == []
                assert await answers(phone, "hi") == said


def handing_over() -> Bot:
    bot = Bot(read=False, typing=False)

    @bot.on_message("human")
    async def human(message: MessageReceived, ctx: Context) -> None:
        await ctx.handoff(to=OWNER, say="One moment.", taken_within_s=7200)

    bot.on_message(says("text: {}"))
    return bot


async def test_what_the_owner_wrote_before_a_handoff_neither_ends_it_nor_reaches_its_person(
    subtests: pytest.Subtests,
) -> None:
    for text in ("#done", "I am on the train"):
        with subtests.test(text=text):
            async with talking(handing_over()) as phone:
                owner = phone.person(OWNER)
                await late(owner, text)
                assert await answers(phone, "human") == ["One moment."]
                assert str((await owner.replies())[-1]) == f"text: {text}"
                await owner.text("Hello, this is Dana")
                assert str(await phone.next_reply()) == "Hello, this is Dana"


async def test_what_the_owner_wrote_before_they_could_read_of_a_handoff_is_for_the_bot(
    subtests: pytest.Subtests,
) -> None:
    for text in ("#done", "I am on the train"):
        with subtests.test(text=text):
            async with talking(handing_over()) as phone:
                owner = phone.person(OWNER)
                await answers(owner, "hello")
                phone.slow_next("chats.create", delay_s=5)
                await phone.text("human")
                await owner.text(text)
                assert [str(each) for each in await phone.replies()] == ["One moment."]
                await phone.advance(60)
                assert str((await owner.replies())[-1]) == f"text: {text}"
                await owner.text("Hello, this is Dana")
                assert [str(each) for each in await phone.replies()] == ["Hello, this is Dana"]


async def test_a_text_of_the_owner_waits_until_linqs_answer_says_if_they_could_read_of_the_handoff(
    subtests: pytest.Subtests,
) -> None:
    rows = {"before": ["One moment."], "after": ["One moment.", "On my way"]}
    for written, reached in rows.items():
        with subtests.test(written=written):
            async with talking(handing_over()) as phone:
                owner = phone.person(OWNER)
                await answers(owner, "hello")
                phone.drop_next("chats.create", lost="request" if written == "before" else "answer", times=20)
                await phone.text("human")
                await phone.quiet()
                await owner.text("On my way")
                assert await phone.replies() == []
                await phone.advance(3600)
                assert [str(each) for each in await phone.replies()] == reached
                assert ("text: On my way" in [str(each) for each in await owner.replies()]) == (written == "before")


async def test_of_two_votes_of_a_person_the_one_that_was_given_last_counts(subtests: pytest.Subtests) -> None:
    for service in ("SMS", "iMessage"):
        with subtests.test(service=service):
            bot = asks(lambda ctx: ctx.vote(["Rome", "Oslo"], "Where?", until=2))
            async with talking(bot, service=service) as phone:
                other = phone.person("+14155550199", service=service)
                group = phone.group(other)
                await group.text("ask")
                await group.quiet()
                if service == "SMS":
                    await late(group, "Rome")
                    await group.text("Oslo")
                else:
                    poll = group.messages[-1]
                    phone.fail_next_delivery("poll.vote.added", status=503)
                    await group.vote(poll, "Rome")
                    await phone.advance(0.3)
                    await group.vote(poll, "Rome", remove=True)
                    await group.vote(poll, "Oslo")
                await phone.advance(5)
                if service == "SMS":
                    await group.by(other).text("Oslo")
                else:
                    await group.by(other).vote(poll, "Oslo")
                assert "{'Rome': 0, 'Oslo': 2}" in str((await group.replies())[-1])
