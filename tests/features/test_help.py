"""HELP and START are answered wherever a person writes them to a bot with manners."""

from __future__ import annotations

from answers import answers

from linqbot import Bot, Context, Manners, MessageReceived
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.testing import Phone, killed_between_calls, talking

BOB = "+14155550143"
HELP = "You are writing to an automatic service. STOP ends its messages, START begins them again."
AGAIN = "You get our messages again. STOP ends them."


def helpful(own: str | None = None) -> Bot:
    """Return a bot that asks, hands over and is muted, with a handler of its own for HELP if a text is given."""
    bot = Bot(read=False, typing=False, manners=Manners())

    @bot.on_message("human", during_ask=True)
    async def human(message: MessageReceived, ctx: Context) -> None:
        await ctx.handoff(to=BOB, say="One moment.", name="Ann")

    @bot.on_message("quiet")
    async def quiet(message: MessageReceived, ctx: Context) -> None:
        await ctx.mute()

    @bot.on_message("silence")
    async def silence(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.mute(EVERY_CHAT)

    @bot.on_message("order")
    async def order(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Ordered: {await ctx.ask('What?')}")

    if own is not None:

        @bot.on_message("help")
        async def own_help(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply(own)

    return bot


async def test_help_is_answered_everywhere() -> None:
    found = {}
    for own, first in {None: "hi", "Call us.": "hi"}.items():
        for where in ("hi", "order", "quiet", "human"):
            async with talking(helpful(own)) as phone:
                await answers(phone, first, where)
                found[where, own] = await answers(phone, "HELP")
    async with talking(Bot(manners=Manners())) as phone:
        found["no handler", None] = await answers(phone, "HELP")
    ours = {(where, None): [HELP] for where in ("hi", "order", "quiet", "human", "no handler")}
    theirs = {("hi", "Call us."): ["Call us."], ("order", "Call us."): ["Call us."]}
    assert found == ours | theirs | {("quiet", "Call us."): [HELP], ("human", "Call us."): [HELP]}


async def test_help_answers_no_question_and_is_passed_on_in_a_handoff() -> None:
    async with talking(helpful("Call us.")) as phone:
        owner = phone.person(BOB)
        assert await answers(phone, "order", "HELP", "soup") == ["What?", "Call us.", "Ordered: soup"]
        await answers(phone, "human")
        await owner.replies()
        assert await answers(phone, "HELP") == [HELP]
        assert await owner.replies() == ["Ann: HELP"]
        assert await answers(owner, "HELP") == ["Call us."]
        assert await phone.replies() == []


async def test_help_is_answered_while_the_bot_is_silent_everywhere() -> None:
    async with talking(helpful()) as phone:
        await answers(phone.person(BOB), "silence")
        assert await answers(phone, "hello", "HELP", "START") == [HELP, AGAIN]


async def test_help_in_a_handoff_is_answered_and_passed_on_once_wherever_the_bot_is_killed() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("human")
        await phone.replies()
        await phone.text("HELP")
        await phone.replies()

    async for phone in killed_between_calls(helpful(), scenario):
        assert phone.messages == ["human", "One moment.", "HELP", HELP], phone.killed
        assert phone.person(BOB).messages[-1:] == ["Ann: HELP"], phone.killed
        assert [str(each) for each in phone.person(BOB).messages].count("Ann: HELP") == 1, phone.killed
