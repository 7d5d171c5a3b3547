"""Answers that are no texts and whose webhooks were lost in a downtime: Linq is asked for them, for open questions only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from answers import answers

from linqbot import AskTimeout, Bot, Context, MessageReceived
from linqbot.events import LocationSharingStarted, ParticipantRemoved, ReactionAdded
from linqbot.testing import Bubble, Phone, talking

ANN, BOB, EVE = "+14155550142", "+15550001111", "+15550002222"
ALL = ("poll", "reaction", "location", "participant")
"""Parts of the types of the events that are lost."""

bot = Bot(groups="all")
removals: list[str] = []


async def never(event: ReactionAdded, ctx: Context) -> bool:
    return False


@bot.on_message("day", "sure", "where", "near", "lunch", "dinner")
async def ask(message: MessageReceived, ctx: Context) -> None:
    said = ""
    try:
        match message.text:
            case "day":
                said = await ctx.ask("Which day?", choices=["Friday", "Saturday"], timeout_s=7200)
            case "sure":
                said = str(await ctx.ask("Sure?", yes="like", timeout_s=7200))
            case "where":
                said = (await ctx.ask("Where?", kind=LocationSharingStarted, timeout_s=7200)).actor or ""
            case "near":
                said = f"{(await ctx.location('Where?', timeout_s=7200)).latitude:.1f}"
            case "lunch":
                result = await ctx.vote(["Thai", "Pizza"], "Lunch?", timeout_s=7200)
                said = f"{result.winner}, {len(result.votes)} votes, all: {result.is_complete}"
            case _:
                await ctx.ask("Your name?", timeout_s=7200)
    except AskTimeout:
        said = "too late"
    await ctx.send(f"{message.text}: {said}")


@bot.on(ReactionAdded, during_ask=True, when=never)
async def aside(event: ReactionAdded, ctx: Context) -> None:
    await ctx.send("An aside.")


@bot.on(ReactionAdded)
async def reaction(event: ReactionAdded, ctx: Context) -> None:
    await ctx.send("A tapback.")


@bot.on(ParticipantRemoved)
async def removed(event: ParticipantRemoved, ctx: Context) -> None:
    removals.append(event.event_id)


async def like(phone: Phone, asked: list[Bubble]) -> None:
    await phone.react(asked[-1], "like")


async def share(phone: Phone, asked: list[Bubble]) -> None:
    await phone.share_location(48.85, 2.35)


async def vote_pizza_both(phone: Phone, asked: list[Bubble]) -> None:
    await phone.vote(asked[-1], "Thai")
    await phone.vote(asked[-1], "Thai", remove=True)
    await phone.vote(asked[-1], "Pizza")
    await phone.by(BOB).vote(asked[-1], "Pizza")
    await phone.by(EVE).vote(asked[-1], "Thai")


async def vote_added_option(phone: Phone, asked: list[Bubble]) -> None:
    await phone.add_option(asked[-1], "Sushi")
    for person in (phone, phone.by(BOB), phone.by(EVE)):
        await person.vote(asked[-1], "Sushi")


async def vote_and_leave(phone: Phone, asked: list[Bubble]) -> None:
    await phone.vote(asked[-1], "Thai")
    await phone.by(BOB).vote(asked[-1], "Thai")
    await phone.by(EVE).leave()


Answer = Callable[[Phone, list[Bubble]], Awaitable[None]]
ROWS: list[tuple[str, Answer, str]] = [
    ("day", lambda phone, asked: phone.vote(asked[-1], "Friday"), "day: Friday"),
    ("sure", like, "sure: True"),
    ("where", share, f"where: {ANN}"),
    ("near", share, "near: 48.9"),
    ("lunch", vote_pizza_both, "lunch: Pizza, 3 votes, all: True"),
    ("lunch", vote_added_option, "lunch: Sushi, 3 votes, all: True"),
    ("lunch", vote_and_leave, "lunch: Thai, 2 votes, all: True"),
]
"""What the person writes, the answer whose webhooks are lost, and what the bot says then."""


async def asked_in(phone: Phone, text: str) -> tuple[Phone, list[Bubble]]:
    """Ask a question, and lose the webhooks of all that follows. Return the phone in its chat, and what the bot said."""
    chat = phone.group(BOB, EVE, "+15550003333") if text in ("lunch", "dinner") else phone
    asked = await answers(chat, text)
    if text == "lunch":
        await chat.by("+15550003333").leave()  # so that a group of three stays after the next one
    await phone.advance(1)
    for event_type in ALL:
        phone.fail_next_delivery(event_type, times=500)
    return chat, asked


@pytest.mark.parametrize("down_s", [1300.0, 3600.0, 9000.0], ids=["Linq repeats", "before the timeout", "after it"])
async def test_an_answer_whose_webhook_was_lost_in_a_downtime_counts_once(down_s: float) -> None:
    wrong = []
    for text, answer, said in ROWS:
        async with talking(bot, handle=ANN) as phone:
            chat, asked = await asked_in(phone, text)
            await answer(chat, asked)
            await phone.restart(down_s=down_s)
            heard = await chat.replies()
            phone.emulator.world.faults.clear()
            await phone.advance(9000)
            late = await chat.replies()
            # After 1300 s Linq still repeats the webhook. The tapback answers nothing any more, so its handler gets it.
            if (heard, late) != ([said], ["A tapback."] if answer is like and down_s == 1300 else []):
                wrong.append((said, heard, late))
    assert wrong == []


@pytest.mark.parametrize("down_s", [1300.0, 3600.0, 9000.0])
async def test_a_removal_of_the_bot_whose_webhook_was_lost_ends_the_questions_of_the_group(down_s: float) -> None:
    removals.clear()
    async with talking(bot, handle=ANN) as phone:
        group, _ = await asked_in(phone, "dinner")
        await group.remove(phone.line)
        await phone.restart(down_s=down_s)
        phone.emulator.world.faults.clear()
        await phone.advance(9000)
        assert await group.replies() == []
        assert await phone.dead_letters() == []
        assert await phone.waiting() == 0
        # Handlers get only the webhook, which Linq repeats for half an hour.
        assert len(removals) == (1 if down_s == 1300 else 0)


async def test_a_question_that_linq_knows_nothing_about_times_out_as_usual() -> None:
    wrong = []
    for text, answer, _ in ROWS[:2]:
        async with talking(bot, handle=ANN) as phone:
            chat, asked = await asked_in(phone, text)
            await answer(chat, asked)
            phone.fail_next("GET /v3/messages", status=404, code=2002, times=500)
            await phone.restart(down_s=9000)
            if (heard := await chat.replies()) != [f"{text}: too late"]:
                wrong.append((text, heard))
    assert wrong == []
