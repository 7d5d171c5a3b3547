"""Edits: what a person changes before the turn of a message begins is what the turn gets; later, an edit is an event."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from asking_talk import Talk
from fakes import LINE, edit_body, handle, text_body
from one_handler import notes
from slow_work import Work

from linqbot import Bot, Context, MessageEdited, MessageReceived
from linqbot.options import DAY_S, OverlapMode
from linqbot.storage.inbox import Ack, Commit
from linqbot.testing import Phone, killed_between_calls, talking

Heard = list[str]


def slow_bot(work: Work, **settings: object) -> tuple[Bot, Heard]:
    """Return a bot whose handler of "slow" waits for `work`, and what its handlers heard: texts, and edits with a mark."""
    bot, heard = Bot(read=False, typing=False, **settings), Heard()  # type: ignore[arg-type]

    @bot.on_message("slow", gather=False)
    async def slow(message: MessageReceived, ctx: Context) -> None:
        await work()

    @bot.on_message("menu")
    async def menu(message: MessageReceived, ctx: Context) -> None:
        heard.append("the menu")
        await ctx.reply("the menu")

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        heard.append(message.text + ("*" if message.edited else ""))
        await ctx.reply(message.text)

    bot.on_edit(notes(heard, lambda event: f"edit: {event.text}"))
    return bot, heard


async def behind(work: Work, phone: Phone) -> None:
    """Keep the lane of the phone's chat busy: what is written from now on waits until `work` ends."""
    await phone.text("slow")
    await work.begun.wait()


async def test_a_message_that_waits_is_handled_with_its_newest_words_and_its_edits_are_no_events() -> None:
    work = Work()
    bot, heard = slow_bot(work)
    async with talking(bot) as phone:
        await behind(work, phone)
        first = await phone.text("transfer 1000")
        second = await phone.text("mneu")
        await phone.react(first, "like")
        third = await phone.text("bye")
        await phone.edit(second, "menu")
        await phone.edit(first, "transfer 100")
        await phone.edit(first, "transfer 10")
        work.end.set()
        await phone.quiet()
        await phone.edit(third, "bye!")
        await phone.quiet()
    assert heard == ["transfer 10*", "the menu", "bye", "edit: bye!"]


async def test_an_edit_that_comes_before_its_message_is_kept_for_a_day(talk: Talk, subtests: pytest.Subtests) -> None:
    heard = Heard()
    bot = talk.deploy(notes(heard, lambda message: message.text), max_age_s=None)
    bot.on_edit(notes(heard, lambda edit: f"edit: {edit.text}"))
    for number, (wait_s, said) in enumerate(((1.0, "10"), (DAY_S - 60, "10"), (DAY_S + 60, "1000"))):
        with subtests.test(wait_s=wait_s):
            name, heard[:] = f"m{number}", []
            await talk.receive(edit_body("other", of="never"), edit_body("10", of=name))
            await talk.pass_time(wait_s / 2)
            await talk.restart()
            await talk.pass_time(wait_s / 2)
            assert heard == []
            await talk.receive(text_body("1000", id=name))
            assert heard == [said]
            await talk.receive(edit_body("11", of=name))
            assert heard == [said, "edit: 11"]


async def test_an_early_edit_and_a_later_one_leave_the_words_that_were_written_last(talk: Talk) -> None:
    heard = Heard()
    talk.deploy(notes(heard, lambda message: message.text))
    await talk.receive(edit_body("third", of="m1", at="2026-11-05T17:33:50Z"))
    await talk.put(text_body("first", id="m1"))
    await talk.put(edit_body("second", of="m1", at="2026-11-05T17:33:40Z"))
    await talk.run()
    assert heard == ["third"]


async def test_a_crash_between_the_lease_and_the_turn_leaves_the_newest_words_to_the_turn(talk: Talk) -> None:
    heard = Heard()
    bot = talk.deploy(notes(heard, lambda message: message.text))
    bot.on_edit(notes(heard, lambda edit: f"edit: {edit.text}"))
    await talk.put(text_body("first", id="m0"))
    await talk.storage.take(1, lease_s=1000)  # the lane is busy
    for body in (text_body("1000", id="m1"), edit_body("10", of="m1"), edit_body("0", of="m0")):
        await talk.put(body)
    await talk.restart()
    await talk.turn()
    for _ in range(2):
        await talk.storage.take(1, lease_s=1000)
        await talk.restart()
    await talk.run()
    assert heard == ["first", "10", "edit: 0"]


async def test_a_further_run_has_the_words_of_the_first_and_a_later_edit_is_an_event(
    talk: Talk, subtests: pytest.Subtests
) -> None:
    for way in ("retry", "crash", "replay"):
        with subtests.test(way=way):
            heard, name = Heard(), f"m.{way}"

            async def fail_once(message: MessageReceived, ctx: Context, way: str = way, heard: Heard = heard) -> None:
                heard.append(message.text)
                await ctx.reply(message.text)
                if len(heard) == 1:
                    await talk.put(edit_body("1", of=message.id))
                    if way == "crash":
                        raise KeyboardInterrupt
                    raise RuntimeError

            talk.attempts = 1 if way == "replay" else 5
            bot = talk.deploy(fail_once)
            bot.on_edit(notes(heard, lambda edit: f"edit: {edit.text}"))
            await talk.put(text_body("first", id=f"{name}.0"))
            (busy,) = await talk.storage.take(1, lease_s=1000)
            first = await talk.put(text_body("1000", id=name))
            await talk.put(edit_body("10", of=name))
            await talk.storage.finish(busy, Commit(Ack()))
            with contextlib.suppress(KeyboardInterrupt):
                await talk.run()
            if way == "crash":
                await talk.restart()
            if way == "replay":
                assert heard == ["10", "edit: 1"]
                await talk.storage.retry([first.id])
            await talk.pass_time(60)
            assert heard == (["10", "edit: 1", "10"] if way == "replay" else ["10", "10", "edit: 1"])


async def test_an_edit_of_the_bot_itself_or_of_a_message_in_no_chat_is_kept_for_nobody(talk: Talk) -> None:
    heard = Heard()
    bot = talk.deploy()
    bot.on_edit(notes(heard, lambda edit: edit.text))
    await talk.receive(edit_body("mine", of="m1", direction="outbound", sender_handle=handle(LINE, is_me=True)))
    await talk.receive(edit_body("nowhere", of="m1", chat=None))
    assert await talk.storage.scheduled() == []


async def test_a_word_by_which_a_person_opts_out_stays_one(talk: Talk) -> None:
    heard = Heard()
    talk.deploy(notes(heard, lambda message: message.text))
    await talk.put(text_body("first"))
    (busy,) = await talk.storage.take(1, lease_s=1000)
    for body in (text_body("STOP", id="m1"), edit_body("hello", of="m1"), text_body("hi", id="m2")):
        await talk.put(body)
    await talk.put(edit_body("STOP", of="m2"))
    await talk.storage.finish(busy, Commit(Ack()))
    await talk.run()
    assert heard == []


async def test_messages_of_a_burst_have_their_newest_words_wherever_their_edits_wait() -> None:
    work = Work()
    bot, heard = slow_bot(work, gather_s=2)
    async with talking(bot) as phone:
        await behind(work, phone)
        one = await phone.text("one")
        two = await phone.text("tow")
        await phone.react(one, "like")
        three = await phone.text("three")
        await phone.edit(two, "two")
        await phone.edit(three, "3")
        work.end.set()
        await phone.advance(5)
        await phone.quiet()
    assert heard == ["one\ntwo*", "3*"]


@pytest.mark.parametrize("mode", ["restart", "steer"])
async def test_a_message_that_joins_a_running_turn_has_its_newest_words(mode: OverlapMode) -> None:
    bot, heard, work = Bot(read=False, typing=False), Heard(), Work()

    @bot.on_message(overlap=mode)
    async def answer(message: MessageReceived, ctx: Context) -> None:
        if not heard:
            heard.append(message.text)
            async with ctx.uninterrupted():
                await work()
        heard.extend([each.text async for each in ctx.incoming()] if ctx.takes_incoming else [message.text])

    bot.on_edit(notes(heard, lambda edit: f"edit: {edit.text}"))
    async with talking(bot) as phone:
        first = await phone.text("one")
        await work.begun.wait()
        second = await phone.text("tow")
        await phone.react(first, "like")
        await phone.edit(second, "two")
        await phone.edit(first, "1")
        work.end.set()
        await phone.quiet()
    assert heard == ["one", "one\ntwo" if mode == "restart" else "two", "edit: 1"]


@pytest.mark.slow
async def test_a_kill_at_any_point_neither_drops_nor_repeats_an_edit() -> None:
    is_edited = asyncio.Event()

    async def scenario(phone: Phone) -> None:
        is_edited.clear()
        await phone.text("one")
        said = await phone.text("tow")
        await phone.edit(said, "two")
        is_edited.set()
        await phone.quiet()
        await phone.edit(said, "2")

    bot = Bot(read=False, typing=False)

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await is_edited.wait()
        await ctx.reply(message.text)

    @bot.on_edit
    async def edited(edit: MessageEdited, ctx: Context) -> None:
        await ctx.reply(f"edit: {edit.text}")

    said = set[tuple[str, ...]]()
    async for phone in killed_between_calls(bot, scenario):
        said.add(tuple(map(str, await phone.replies())))
    assert said == {("one", "two", "edit: 2")}
