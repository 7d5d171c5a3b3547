"""`when=`: an async predicate, asked after the filters, chooses silence."""

from __future__ import annotations

import pytest
from answers import answers
from one_handler import bot_of, says
from pydantic import BaseModel

from linqbot import Bot, Context, MessageReceived, in_group
from linqbot.bot.router import Next
from linqbot.events import ReactionAdded, TypingStarted
from linqbot.linq.events.event import Event
from linqbot.testing import HandlerFailed, Phone, killed_between_calls, talking


async def test_a_predicate_is_asked_after_the_filters_and_silence_shows_nothing() -> None:
    asked = list[str]()

    async def is_question(message: MessageReceived, ctx: Context) -> bool:
        asked.append(message.text)
        return message.text.endswith("?")

    async with talking(bot_of(says("42"), in_group, when=is_question, groups="all")) as phone:
        group = phone.group("+14155550155")
        assert await answers(group, "so nice here") == []
        assert not [call.name for call in phone.calls if call.name.startswith("chats.")]
        assert await answers(group, "how many?") == ["42"]
        assert await answers(phone, "direct?") == []
    assert asked == ["so nice here", "how many?"]


async def test_the_predicate_of_another_event_than_a_message_is_asked() -> None:
    bot, asked, ran = Bot(), list[str](), list[str]()

    async def is_wanted(event: Event, ctx: Context) -> bool:
        asked.append(event.type)
        return asked.count(event.type) > 1

    def note(event: Event, ctx: Context) -> None:
        ran.append(event.type)

    bot.on(TypingStarted, when=is_wanted)(note)
    bot.on(ReactionAdded, when=is_wanted)(note)

    async with talking(bot) as phone:
        message = await phone.text("hi")
        for _ in range(2):
            await phone.typing()
            await phone.typing(False)
            await phone.react(message, "love")
            await phone.react(message, "love", remove=True)
            await phone.quiet()
    wanted = ["chat.typing_indicator.started", "reaction.added"]
    assert sorted(ran) == sorted(wanted)
    assert {event: asked.count(event) for event in wanted} == dict.fromkeys(wanted, 2)


@pytest.mark.slow
async def test_a_predicate_that_changes_its_mind_does_not_change_the_handler_after_a_crash() -> None:
    moods = list[bool]()

    async def moody(message: MessageReceived, ctx: Context) -> bool:
        moods.append(not moods)  # True at first, False when it is asked again
        return moods[-1]

    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("One")
        name = await ctx.ask("Two?")
        await ctx.reply(f"Three, {name}")

    async def talk(phone: Phone) -> None:
        moods.clear()
        await phone.text("hi")
        if await phone.replies():
            await phone.text("Ada")

    async for phone in killed_between_calls(bot_of(answer, when=moody), talk):
        said = [message for message in phone.messages if message.from_bot]
        # Killed before the decision was stored, the predicate is asked again; then nothing was said before.
        assert said in (["One", "Two?", "Three, Ada"], [])
        assert said or "storage" in (phone.killed or "")


class Desk(BaseModel):
    has_owner: bool = False


def desk(asked: list[str], seen: list[str]) -> Bot:
    """Return a bot whose messages go to the owner, also while a question is open, once the guest has asked for this."""
    bot = Bot()

    @bot.use
    def watch(next_: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            if isinstance(event, MessageReceived):
                seen.append(event.text)
            await next_(event, ctx)

        return handle

    async def has_owner(message: MessageReceived, ctx: Context) -> bool:
        asked.append(message.text)
        return (await ctx.state.person(Desk)).has_owner

    bot.on_message(when=has_owner, during_ask=True)(says("To the owner: {}"))

    @bot.on_message("owner", during_ask=True)
    async def hand_over(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.person(Desk)).has_owner = True

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        name = await ctx.ask("Your name?", repeat=False)
        number = await ctx.ask("How many?", kind=int, repeat=False)
        await ctx.reply(f"{name}, {number}")

    return bot


async def test_a_predicate_that_reads_state_decides_if_a_message_answers_the_open_question() -> None:
    asked, seen = list[str](), list[str]()
    async with talking(desk(asked, seen)) as phone:
        for text, said in [
            ("book", ["Your name?"]),
            ("Ada", ["How many?"]),
            ("a few", ["Please give one whole number, such as 2 or twelve."]),
            ("owner", []),
            ("2", ["To the owner: 2"]),
            ("never mind", ["OK, I have stopped here."]),
            ("2", ["To the owner: 2"]),
        ]:
            assert (text, await answers(phone, text)) == (text, said)
    # A word that ends the question is judged before. Middleware runs once for each message.
    assert asked == ["book", "Ada", "a few", "owner", "2", "2"]
    assert seen == ["book", "Ada", "a few", "owner", "2", "never mind", "2"]


@pytest.mark.slow
async def test_an_answer_that_a_predicate_lets_through_counts_once_over_a_kill() -> None:
    asked, seen = list[str](), list[str]()

    async def talk(phone: Phone) -> None:
        await phone.text("book")
        await phone.text("Ada")
        await phone.text("2")

    async for phone in killed_between_calls(desk(asked, seen), talk):
        said = [message for message in phone.messages if message.from_bot]
        assert said == ["Your name?", "How many?", "Ada, 2"], phone.killed


async def test_a_predicate_that_fails_is_asked_again_and_its_message_still_answers() -> None:
    bot, failures = Bot(), list[str]()

    async def failing(message: MessageReceived, ctx: Context) -> bool:
        if message.text == "Ada" and not failures:
            failures.append(message.text)
            raise ValueError("away")
        return False

    bot.on_message(when=failing, during_ask=True)(says("Aside"))

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(await ctx.ask("Your name?"))

    async with talking(bot) as phone:
        assert await answers(phone, "book") == ["Your name?"]
        await phone.text("Ada")
        with pytest.raises(HandlerFailed):
            await phone.replies()
        await phone.advance(5)
        assert await phone.replies() == ["Ada"]
