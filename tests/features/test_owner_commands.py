"""Commands of the owner, such as `closed tomorrow`, are for the bot: in a handoff, and while the bot has a question open to the owner."""

from __future__ import annotations

from datetime import UTC, datetime

from answers import answers

from linqbot import Bot, Context, Hours, MessageReceived, from_handle
from linqbot.testing import Phone, talking

ANN, OWNER = "+14155550142", "+14155550100"
START = datetime(2026, 11, 25, 8, tzinfo=UTC)  # a Wednesday


def shop() -> Bot:
    bot = Bot(owner=OWNER, mute_word="bot off", unmute_word="bot on")
    bot.include(Hours("mon-sun 9-18", timezone="UTC").changed_by(OWNER))

    @bot.on_message("human", during_ask=True)
    async def human(message: MessageReceived, ctx: Context) -> None:
        await ctx.handoff(to=OWNER, say="One moment.", summary="", name="Ann")

    @bot.on_message("price list", from_handle(OWNER), during_ask=True)
    async def prices(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Trout: 9")

    @bot.on_message("close", from_handle(OWNER))
    async def close(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Closed.")

    @bot.on_message("note")
    async def note(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Noted: {await ctx.ask('Note for the kitchen?')}")

    @bot.on_message("state")
    async def state(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Chosen: {await ctx.ask('Which?', choices=['Sold out today', 'Open', 'Price list'])}")

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("?")

    return bot


COMMANDS = {
    "closed tomorrow": "Thursday 26 November 2026: closed",
    "Sold out today!": "Wednesday 25 November 2026: sold out",
    "open sunday 9-12, monday closed": "Sunday 29 November 2026",
    "Hours": "Mon–Sun",
    "price list": "Trout: 9",
    "Close": "Closed.",
    "bot off": "The bot is silent in all chats. To end that, write: bot on",
}


async def test_commands_of_the_owner_are_not_passed_on_in_a_handoff() -> None:
    wrong = {}
    for text, wanted in COMMANDS.items():
        async with talking(shop(), handle=ANN, start=START) as ann:
            owner: Phone = ann.person(OWNER)
            await answers(ann, "human")
            await owner.replies()
            said = await answers(owner, text)
            if not said or wanted not in said[0] or await ann.replies():
                wrong[text] = said
    assert wrong == {}


async def test_what_only_begins_or_ends_like_a_command_is_for_the_person_of_the_handoff() -> None:
    async with talking(shop(), handle=ANN, start=START) as ann:
        owner = ann.person(OWNER)
        await answers(ann, "human")
        for text in (
            "Sorry, on Mondays we are closed",
            "Open the door on the left",
            "The price list is on the table",
            "We are open",
        ):
            await owner.text(text)
            assert await ann.replies() == [text]


async def test_a_command_answers_no_question_that_is_open_to_the_owner() -> None:
    wrong = {}
    for text, wanted in COMMANDS.items():
        if text == "Close":  # its handler takes nothing while a question is open
            continue
        async with talking(shop(), handle=OWNER, start=START) as owner:
            await answers(owner, "note")
            said = await answers(owner, text)
            if not said or wanted not in said[0] or "Noted" in str(said):
                wrong[text] = said
            if text != "bot off" and (noted := await answers(owner, "less salt")) != ["Noted: less salt"]:
                wrong[text] = noted
    assert wrong == {}


async def test_what_only_begins_or_ends_like_a_command_answers_the_question() -> None:
    async with talking(shop(), handle=OWNER, start=START) as owner:
        for text in ("closed for salmon lovers", "No trout, sold out"):
            await answers(owner, "note")
            assert await answers(owner, text) == [f"Noted: {text}"]


async def test_a_choice_of_the_open_question_is_an_answer_and_no_command() -> None:
    async with talking(shop(), handle=OWNER, start=START) as owner:
        for text, choice in {"sold out today": "Sold out today", "Price list.": "Price list", "open": "Open"}.items():
            await answers(owner, "state")
            assert await answers(owner, text) == [f"Chosen: {choice}"]


async def test_each_spelling_of_done_ends_the_handoff() -> None:
    for text in ("#done", "#done.", "# done", "#Done!", "#done 👍", "👍", "👍🏽", "✅", "✔️", "\uff03done"):
        async with talking(shop(), handle=ANN, start=START) as ann:
            owner = ann.person(OWNER)
            await answers(ann, "human")
            await owner.text(text)
            assert await ann.replies() == ["You are talking to the bot again."], text
