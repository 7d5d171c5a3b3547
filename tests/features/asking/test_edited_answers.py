"""An edit of an answer that was not valid is a new answer; one of a valid answer is an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from answers import answers
from asking_talk import Talk
from fakes import edit_body, text_body
from one_handler import notes
from pydantic import BaseModel, Field

from linqbot import AskCancelled, Bot, Context, MessageReceived
from linqbot.testing import Phone, killed_between_calls, talking

Ask = Callable[[Context], Awaitable[Any]]


class Order(BaseModel):
    people: Annotated[int, Field(le=8, description="How many?")]


async def say_both(ctx: Context) -> str:
    return f"{await ctx.ask('How many?', kind=int)} {await ctx.ask('Where?')}"


async def form(ctx: Context) -> str:
    return f"{(await ctx.form(Order, timezone='UTC')).people}"


def asking(ask: Ask, **settings: Any) -> tuple[Bot, list[str]]:
    """Return a bot that asks when someone writes "ask", and the edits that came to its handler."""
    bot, edits = Bot(read=False, typing=False, groups="all", **settings), list[str]()

    @bot.on_message("ask")
    async def begin(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.reply(f"got {await ask(ctx)}")
        except AskCancelled as ended:
            await ctx.reply(f"cancelled: {ended.reason}")

    bot.on_edit(notes(edits, lambda event: event.text))
    return bot, edits


async def test_an_edit_of_an_invalid_answer_answers_every_question_that_a_word_answers(
    subtests: pytest.Subtests,
) -> None:
    rows: list[tuple[Ask, str, str, str]] = [
        (lambda ctx: ctx.ask("How many?", kind=int), "fuor", "4", "got 4"),
        (lambda ctx: ctx.ask("How many?", kind=int, who="anyone"), "fuor", "4", "got 4"),
        (lambda ctx: ctx.ask("When?", choices=["Friday", "Sunday"]), "Fridya", "Friday", "got Friday"),
        (lambda ctx: ctx.ask("Sure?", yes="like"), "yse", "yes", "got True"),
        (lambda ctx: ctx.ask("Sure?", kind=bool), "noo", "no", "got False"),
        (lambda ctx: ctx.ask("How many?", kind=int), "nevre mind", "never mind", "cancelled: word"),
        (say_both, "fuor", "4", "Where?"),
        (form, "fuor", "4", "People: 4"),
    ]
    for ask, wrong, right, said in rows:
        with subtests.test(wrong=wrong, right=right, said=said):
            bot, edits = asking(ask)
            async with talking(bot) as phone:
                await answers(phone, "ask")
                first = await phone.text(wrong)
                await phone.replies()
                await phone.text("really?")
                assert (await phone.replies())[-1] != said
                await phone.edit(first, right)
                assert said in str((await phone.replies())[-1])
            assert edits == []


async def test_an_edit_of_what_was_said_in_a_review_is_a_new_answer_too() -> None:
    bot, edits = asking(form)
    async with talking(bot) as phone:
        await answers(phone, "ask", "4")
        said = await phone.text("yess please do")
        await phone.replies()
        await phone.edit(said, "yes")
        assert str((await phone.replies())[-1]) == "got 4"
    assert edits == []


async def test_edits_of_valid_answers_and_of_other_messages_are_events() -> None:
    bot, edits = asking(say_both)
    async with talking(bot) as phone:
        before = await phone.text("hello")
        begun = await phone.text("ask")
        await phone.replies()
        wrong = await phone.text("fuor")
        await phone.replies()
        await phone.edit(before, "1")
        await phone.edit(begun, "2")
        await phone.quiet()
        assert edits == ["1", "2"]
        right = await phone.text("3")
        assert [str(each) for each in await phone.replies()] == ["Where?"]
        await phone.edit(wrong, "5")
        await phone.edit(right, "6")
        assert await answers(phone, "Rome") == ["got 3 Rome"]
    assert edits == ["1", "2", "5", "6"]


async def test_an_edit_that_is_wrong_again_counts_as_one_more_answer_and_may_be_edited_again() -> None:
    bot, edits = asking(lambda ctx: ctx.ask("How many?", kind=int, tries=4))
    async with talking(bot) as phone:
        await answers(phone, "ask")
        said = await phone.text("x")
        assert len(await phone.replies()) == 1
        await phone.edit(said, "y")
        assert len(await phone.replies()) == 1
        await phone.restart()
        await phone.edit(said, "4")
        assert [str(each) for each in await phone.replies()] == ["got 4"]
        await answers(phone, "ask")
        said = await phone.text("x")
        for text in ("y", "z"):
            await phone.edit(said, text)
        await phone.replies()
        await phone.edit(said, "w")
        assert [str(each) for each in await phone.replies()] == ["cancelled: invalid"]
    assert edits == []


async def test_an_answer_that_waits_is_judged_by_its_newest_words(talk: Talk) -> None:
    async def form(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"got {await ctx.ask('How many?', kind=int)}")

    async def menu(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("the menu")

    bot = talk.deploy()
    bot.on_message("menu", during_ask=True)(menu)
    bot.on_message(form)
    await talk.say("hello")
    for name, (wrong, right) in {"m1": ("mneu", "menu"), "m2": ("fuor", "4")}.items():
        for body in (text_body(wrong, id=name), edit_body(right, of=name)):
            await talk.put(body)
        await talk.run()
    assert talk.said == ["How many?", "the menu", "How many?", "got 4"]


async def test_another_person_cannot_answer_by_an_edit() -> None:
    bot, edits = asking(lambda ctx: ctx.ask("How many?", kind=int))
    async with talking(bot) as phone:
        other = phone.person("+14155550199")
        group = phone.group(other)
        theirs = await group.by(other).text("4 of us")
        await group.text("ask")
        await group.text("fuor")
        await group.quiet()
        await group.by(other).edit(theirs, "4")
        await group.quiet()
        assert edits == ["4"]


async def test_a_vote_in_words_counts_with_its_new_words() -> None:
    bot, _ = asking(lambda ctx: ctx.vote(["Rome", "Oslo"], "Where?", until=2))
    async with talking(bot, service="SMS") as phone:
        other = phone.person("+14155550199", service="SMS")
        group = phone.group(other)
        await group.text("ask")
        await group.quiet()
        said = await group.text("Rmoe")
        await group.edit(said, "Rome")
        await group.by(other).text("Oslo")
        assert "{'Rome': 1, 'Oslo': 1}" in str((await group.replies())[-1])


@pytest.mark.slow
async def test_a_kill_at_any_point_takes_an_edited_answer_once() -> None:
    bot, edits = asking(say_both)

    async def scenario(phone: Phone) -> None:
        await phone.text("ask")
        await phone.replies()
        said = await phone.text("fuor")
        await phone.replies()
        await phone.edit(said, "4")
        await phone.replies()
        await phone.text("Rome")

    async for phone in killed_between_calls(bot, scenario):
        assert [str(each) for each in await phone.replies()][-1] == "got 4 Rome"
    assert edits == []
