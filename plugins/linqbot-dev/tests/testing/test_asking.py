"""Questions between a phone and a bot, through the emulator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from answers import answers
from one_handler import bot_of, does, says

from linqbot import AskCancelled, AskTimeout, Bot, Context, MessageReceived, markdown, regex
from linqbot.testing import HandlerFailed, Phone, killed_between_calls, talking


async def test_two_questions_at_once_are_named_as_the_mistake() -> None:
    async def both(message: MessageReceived, ctx: Context) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.ask("One?"))
            tasks.create_task(ctx.ask("Two?"))

    with pytest.raises(HandlerFailed, match=r"the first is BotError: ctx.ask\(\) was called in a task"):
        async with talking(bot_of(both)) as phone:
            await phone.text("hi")


ANN, BOB, CY = "+14155550142", "+14155550143", "+14155550144"


def deciding(**options: Any) -> Bot:
    """Return a bot that asks if it may go on, and greets on "hi"."""
    bot = Bot(groups="all")
    bot.on_message("hi")(says("Hello!"))

    @bot.on_message("go")
    async def go(message: MessageReceived, ctx: Context) -> None:
        sure = await ctx.ask(f"{message.sender.handle[-1]}: sure?", yes="like", **options)
        await ctx.send("Gone." if sure else "Not gone.")

    return bot


@pytest.mark.parametrize("answer", ["yes", "like"])
async def test_another_person_may_decide_and_is_not_disturbed_otherwise(answer: str) -> None:
    async with talking(deciding(also=[BOB])) as ann:
        group = ann.group(BOB, CY)
        await group.text("go")
        asked = await group.next_reply()
        await group.by(CY).text("yes")
        await group.by(CY).react(asked, "like")
        await group.by(BOB).text("hi")
        assert await group.replies() == ["Hello!"]
        bob = group.by(BOB)
        await (bob.react(asked, answer) if answer == "like" else bob.text(answer))
        assert await group.replies() == ["Gone."]


async def test_a_yes_counts_for_one_question_only() -> None:
    async with talking(deciding(also=[BOB])) as ann:
        group = ann.group(BOB, CY)
        await group.text("go")
        await group.next_reply()
        await group.by(CY).text("go")
        second = await group.next_reply()
        await group.by(BOB).text("yes")
        assert await group.replies() == []
        await group.by(BOB).reply(second, "yes")
        assert await group.replies() == ["Gone."]
        await group.by(BOB).text("no")
        assert await group.replies() == ["Not gone."]


@pytest.mark.slow
async def test_a_question_stays_open_while_side_questions_are_answered() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("go")
        await phone.next_reply()
        await phone.text("hi")
        assert await phone.next_reply() == "Hello!"
        asked = await phone.next_reply()
        assert asked == "2: sure?"
        await phone.react(asked, "like")

    async for phone in killed_between_calls(deciding(side_questions=True), scenario):
        assert phone.messages == ["go", "2: sure?", "hi", "Hello!", "2: sure?", "Gone."], phone.killed


@pytest.mark.slow
async def test_a_form_is_filled_in_by_a_chat_and_by_a_group_at_the_same_time() -> None:
    async def form(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("One question.")
        await ctx.reply(f"Hello, {await ctx.ask('Name?')}.")

    async def scenario(phone: Phone) -> None:
        for in_chat, in_group in (("form", "form"), ("Ada", "ADA")):
            await phone.text(in_chat)
            await phone.group(BOB).text(in_group)
            await phone.quiet()

    async for phone in killed_between_calls(bot_of(form, "form", groups="all", read=False, typing=False), scenario):
        for chat, name in ((phone, "Ada"), (phone.group(BOB), "ADA")):
            assert chat.messages == ["form", "One question.", "Name?", name, f"Hello, {name}."], phone.killed


async def test_a_message_that_is_late_for_one_question_may_answer_another() -> None:
    bot = Bot(groups="all")
    bot.on_message("one")(does(lambda ctx: ctx.ask("One?", timeout_s=60)))

    @bot.on_message("who")
    async def who(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"{await ctx.ask('Who drives?', who='anyone')} drives")

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"late for {ctx.after_ask.question}" if ctx.after_ask else "no answer")

    async with talking(bot) as ann:
        bob = ann.person("+14155550143")
        group = ann.group(bob, "cat@example.com")
        await group.text("one")
        await group.advance(100)
        await group.by(bob).text("who")
        assert await group.replies() == ["One?", "Who drives?"]
        assert await answers(group, "Ann") == ["Ann drives"]
        assert await answers(group, "two") == ["late for One?"]


async def test_a_handler_that_asks_about_a_late_answer_knows_the_question_when_its_own_is_answered() -> None:
    bot = Bot()
    bot.on_message("book")(does(lambda ctx: ctx.ask("Your name?", timeout_s=60)))

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        if ctx.after_ask is None:
            await ctx.reply("Write: book")
        elif await ctx.ask("You are late. Book anyway?", yes="like") and await ctx.ask("Really?", yes="like"):
            await ctx.reply(f"{ctx.after_ask.question} {message.text}.")

    async with talking(bot) as phone:
        await phone.text("book")
        await phone.advance(61)
        assert await answers(phone, "Ann") == ["Your name?", "You are late. Book anyway?"]
        await phone.text("yes")
        await phone.restart()
        assert await answers(phone, "yes") == ["Really?", "Your name? Ann."]
        assert await answers(phone, "thanks") == ["Write: book"]


async def test_an_address_alone_is_a_text() -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(markdown(f"`{await ctx.ask('Your website?')}`"))

    async with talking(bot_of(ask, "ask")) as phone:
        await answers(phone, "ask")
        await phone.link("https://x.example")
        assert await phone.replies() == ["https://x.example"]


async def test_a_reply_to_another_message_of_the_bot_is_no_answer() -> None:
    bot = Bot()
    bot.on_message("remind")(does(lambda ctx: ctx.send_later("Stretch!", after_s=60, tag="stretch")))

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("With pleasure.")
        await ctx.reply(f"Booked, {await ctx.ask('Your name?')}.")

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> str:
        return f"About {message.answers.tag if message.answers else None}: {message.text}"

    async with talking(bot) as phone:
        said = list[str]()
        for place in (None, 0, 1):  # without a thread, to the welcome, to the question
            asked = await answers(phone, "remind", "book")
            await phone.advance(61)
            (reminder,) = await phone.replies()
            await phone.reply(reminder, "done, thanks")
            said += await phone.replies()
            await (phone.text("Ada") if place is None else phone.reply(asked[place], "Ada"))
            said += await phone.replies()
        assert said == ["About stretch: done, thanks", "Booked, Ada."] * 3


async def test_a_handler_ends_the_open_questions_of_the_chat_without_a_word() -> None:
    bot = Bot()
    ended: list[str] = []

    @bot.on_message("a person, please", during_ask=True)
    async def hand_over(message: MessageReceived, ctx: Context) -> str:
        ctx.end_questions()
        return "One moment."

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("Your name?", timeout_s=600)
        except (AskCancelled, AskTimeout) as error:
            ended.append(type(error).__name__)

    bot.on_message(says("Other: {}"))

    async with talking(bot) as phone:
        assert await answers(phone, "book", "a person, please", "Is Mia in?") == [
            "Your name?",
            "One moment.",
            "Other: Is Mia in?",
        ]
        await phone.text("book")
        await phone.advance(300)  # the timeout of the first question is not that of the second
        await phone.text("a person, please")
        await phone.advance(700)
        assert (await phone.replies(), ended) == (["Your name?", "One moment."], [])
        assert await phone.dead_letters() == []


@pytest.mark.parametrize("by_itself", [False, True])
async def test_a_bot_that_leaves_a_group_or_is_removed_ends_its_questions_there_without_a_word(by_itself: bool) -> None:
    bot, ended = Bot(groups="all"), list[str]()
    bot.on_message("go away")(does(lambda ctx: ctx.chat.leave()))

    @bot.on_message
    async def book(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("Your name?", timeout_s=600)
        except (AskCancelled, AskTimeout) as error:
            ended.append(type(error).__name__)
            await ctx.send("Too late.")

    async with talking(bot) as phone:
        group = phone.group(BOB, CY, "+14155550145")
        assert await answers(group, "book") == ["Your name?"]
        await (group.by(BOB).text("go away") if by_itself else group.remove(phone.line))
        await group.quiet()
        await group.advance(700)
        assert (await group.replies(), await group.dead_letters(), ended) == ([], [], [])


def with_texts(**settings: Any) -> Bot:
    made = Bot(on_ask_timeout="Too late.", on_ask_cancelled="OK, never mind.", **settings)

    @made.on_message("catch")
    async def catch(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.ask("Name?", timeout_s=60)
        except (AskTimeout, AskCancelled) as error:
            await ctx.send(f"Caught {type(error).__name__}")

    @made.on_message("ask", "where", "none")
    async def ask(message: MessageReceived, ctx: Context) -> None:
        if message.text == "where":
            await ctx.location("Where?", timeout_s=60)
        else:
            await ctx.ask("How many?", kind=int, tries=1, timeout_s=60)

    return made


async def test_the_bot_says_its_text_once_when_a_handler_does_not_catch_that_a_question_has_ended() -> None:
    rows: list[tuple[str, str, list[str]]] = [
        ("ask", "", ["Too late."]),
        ("where", "", ["Too late."]),
        ("ask", "Never mind!", ["OK, never mind."]),
        ("where", "never mind", ["OK, never mind."]),
        ("ask", "a few", ["OK, never mind."]),
        ("ask", "3", []),
        ("ask", "STOP", []),
        ("catch", "", ["Caught AskTimeout"]),
        ("catch", "forget it", ["Caught AskCancelled"]),
    ]
    made, wrong = with_texts(), []

    @made.on_error
    async def error(error: Exception, event: object, ctx: Context) -> None:
        await ctx.send(f"Error {error}")

    for asks, answer, said in rows:
        async with talking(made, copies=2) as phone:
            assert len(await answers(phone, asks)) == 1
            if answer:
                await phone.text(answer)
            heard = await phone.replies()
            await phone.advance(61)
            heard += await phone.replies()
            if heard != said:
                wrong.append((asks, answer, heard))
    assert wrong == []


async def test_a_question_that_could_not_be_asked_is_not_said_to_have_ended() -> None:
    async with talking(with_texts(), service="SMS") as phone:
        assert await answers(phone, "where") == []


@pytest.mark.slow
async def test_the_text_about_an_ended_question_is_said_once_over_every_kill() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("ask")
        await phone.text("never mind")
        await phone.text("ask")
        await phone.advance(61)

    async for phone in killed_between_calls(with_texts(), scenario):
        said = [message for message in phone.messages if message.from_bot]
        assert said == ["How many?", "OK, never mind.", "How many?", "Too late."], phone.killed


async def test_a_handler_ends_the_questions_of_another_chat_which_ends_as_by_a_cancel() -> None:
    owner = "+14155550100"
    made, runs = with_texts(), list[str]()

    @made.on_message(regex("^end "))
    async def end(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.end_questions(message.text.removeprefix("end "))
        runs.append(message.text)
        if len(runs) == 1:
            raise ValueError
        await ctx.reply("Ended.")

    for asks, said in (("ask", "OK, never mind."), ("catch", "Caught AskCancelled")):
        runs.clear()
        async with talking(made) as phone:
            assert len(await answers(phone, asks)) == 1
            desk = phone.person(owner)
            await desk.text(f"end {phone.chat_id}")
            with pytest.raises(HandlerFailed):
                await desk.replies()
            await phone.advance(5)
            assert (await desk.replies(), await phone.replies()) == (["Ended."], [said])
            assert await answers(desk, "end no chat of ours") == ["Ended."]
            await phone.advance(61)
            assert await phone.replies() == []


async def test_a_handler_that_ends_the_questions_of_all_chats_leaves_payments_open() -> None:
    made = with_texts()

    @made.on_message("pay")
    async def pay(message: MessageReceived, ctx: Context) -> None:
        await ctx.pay(500, "Tea", timeout_s=60)
        await ctx.send("Paid.")

    made.on_message("end", during_ask=True)(does(lambda ctx: ctx.bot.end_questions(ctx.chat_id)))

    async with talking(made) as phone:
        assert (await answers(phone, "pay", "ask"))[1:] == ["How many?"]
        assert await answers(phone, "end") == ["How many?", "OK, never mind."]
        await phone.pay()
        assert await phone.replies() == ["Paid."]


def reminding() -> Bot:
    """Return a bot whose form waits, and whose reminder a person may answer with a new question."""
    made = Bot(on_ask_cancelled="OK, never mind.")
    made.on_message("remind me")(does(lambda ctx: ctx.send_later("Do your exercises.", after_s=60)))

    @made.on_message("later")
    async def later(message: MessageReceived, ctx: Context) -> None:
        minutes = await ctx.ask("In how many minutes?", kind=int, timeout_s=600)
        await ctx.send(f"In {minutes} minutes.")

    @made.on_message("book", "note", "again")
    async def book(message: MessageReceived, ctx: Context) -> None:
        try:
            await ctx.send(f"Booked, {await ctx.ask('Your name?', timeout_s=600)}.")
        except AskCancelled as error:
            if message.text == "book":
                raise
            await ctx.send(f"{message.text}: {error.reason}")
            if message.text == "again":
                await ctx.ask("Your name?")

    return made


async def test_a_reply_to_another_message_whose_handler_asks_replaces_the_open_question() -> None:
    wrong = []
    for asks, said in (("book", []), ("note", ["note: replaced"])):
        async with talking(reminding(), copies=2) as phone:
            await phone.text("remind me")
            await phone.text(asks)
            await phone.advance(61)
            asked, reminder = await phone.replies()
            assert (asked, reminder) == ("Your name?", "Do your exercises.")
            await phone.reply(reminder, "later")
            heard = [await phone.replies()]
            heard.append(await answers(phone, "5"))
            await phone.advance(1200)
            heard.append(await phone.replies())
            if heard != [["In how many minutes?", *said], ["In 5 minutes."], []]:
                wrong.append((asks, heard))
            assert (await phone.waiting(), await phone.dead_letters()) == (0, [])
    assert wrong == []


@pytest.mark.slow
async def test_a_question_is_replaced_once_over_every_kill() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("remind me")
        await phone.text("note")
        await phone.advance(61)
        (reminder,) = (message for message in phone.messages if message == "Do your exercises.")
        await phone.reply(reminder, "later")
        await phone.text("5")

    async for phone in killed_between_calls(reminding(), scenario):
        said = [message for message in phone.messages if message.from_bot]
        assert said[:3] == ["Your name?", "Do your exercises.", "In how many minutes?"], phone.killed
        assert sorted(said[3:]) == ["In 5 minutes.", "note: replaced"], phone.killed


async def test_a_handler_whose_question_was_replaced_does_not_replace_the_newer_one() -> None:
    async with talking(reminding()) as phone:
        await phone.text("remind me")
        await phone.text("again")
        await phone.advance(61)
        await phone.reply((await phone.replies())[1], "later")
        with pytest.raises(HandlerFailed, match=r"ctx\.end_questions\(\) in the handler"):
            await phone.replies()
        assert await answers(phone, "5") == ["In how many minutes?", "again: replaced", "In 5 minutes."]
