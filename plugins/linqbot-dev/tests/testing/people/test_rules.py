"""Simulated people find bots that break a rule, and accept bots that break none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from one_handler import bot_of, does, says

from linqbot import Bot, Context, Event, MessageEdited, MessageReceived
from linqbot.testing import killed_between_calls, talking
from linqbot.testing.ledger import Ledger
from linqbot.testing.people import (
    Correct,
    Decide,
    Dialogue,
    Inject,
    Locate,
    Pause,
    PayRequest,
    Persona,
    Say,
    Tap,
    Violation,
    VoteFor,
    crowd,
    rehearse,
)


def ann(*acts: Any) -> Persona:
    return Persona("Ann", acts)


def echo(**options: Any) -> Bot:
    return bot_of(says("You said: {}"), **options)


async def found(bot: Bot, *people: Persona, **options: Any) -> list[Violation]:
    async with talking(bot) as phone:
        return await rehearse(phone, *people, **options)


def rules(violations: list[Violation]) -> list[str]:
    return [one.rule for one in violations]


LATER = bot_of(does(lambda ctx: ctx.send_later("Here it is.", after_s=20)))
SAME = "What can you do for me?"
SOUND: dict[str, tuple[Bot, list[Persona]]] = {
    "a bot that answers everything": (
        echo(),
        [ann(Say("hi"), Say("and now?", waits=False), Say("hello??"), Correct("hey"), Tap("love"), Say("bye"))],
    ),
    "an answer that comes later": (LATER, [ann(Say("hi"), Say("again"))]),
    "a tapback on the message": (bot_of(does(lambda ctx: ctx.react("like"))), [ann(Say("hi"), Say("thanks"))]),
    "one answer to a burst that is joined": (
        echo(gather_s=2),
        [ann(Say("hey", waits=False), Say(photos=2, waits=False, expects="anything"), Say("what is this?"))],
    ),
    "the same answer to several messages": (
        bot_of(says("Write: menu")),
        [ann(Say("hi"), Say("one", waits=False), Say("two", waits=False), Say("three"), Say("four"))],
    ),
    "a text that several people write": (echo(), [Persona("Bob", [Say(SAME)]), ann(Say(SAME))]),
}


async def test_what_people_accept_breaks_no_rule(subtests: pytest.Subtests) -> None:
    for what, (bot, people) in SOUND.items():
        with subtests.test(what):
            assert await found(bot, *people) == []


async def test_a_message_without_an_answer_in_time_is_found() -> None:
    assert rules(await found(LATER, ann(Say("hi")), patience_s=10)) == ["unanswered"]
    after_the_answer = ann(Say("first", waits=False), Pause(1), Say("second"))
    assert rules(await found(bot_of(says("one"), "first"), after_the_answer)) == ["unanswered"]


async def test_a_message_without_an_answer_is_found_with_its_text() -> None:
    (one,) = await found(bot_of(says("hello"), "hi"), ann(Say("hi"), Say("who are you?"), Say("hi")))
    assert (one.rule, one.person, one.message) == ("unanswered", "Ann", "'who are you?'")
    assert (one.expected, one.happened) == ("an answer", "no message")
    assert "who are you?" in str(one)


async def test_a_bot_may_be_silent_where_no_answer_is_expected() -> None:
    talk = ann(Say("thanks", expects="silence"), Say("whatever", expects="anything"), Say("hi"))
    assert await found(bot_of(says("hello"), "hi"), talk) == []
    (one,) = await found(echo(), ann(Say("thanks", expects="silence")))
    assert (one.rule, one.happened) == ("unexpected", "'You said: thanks'")


async def test_an_answer_with_other_content_than_expected_is_found() -> None:
    assert await found(echo(), ann(Say("The Menu", contains="menu"))) == []
    (one,) = await found(echo(), ann(Say("menu", contains="soup")))
    assert (one.rule, one.expected) == ("unanswered", "an answer that contains 'soup'")
    assert one.happened == "'You said: menu'"


async def test_a_question_that_is_open_is_answered_by_the_next_message() -> None:
    async def book(message: MessageReceived, ctx: Context) -> None:
        if await ctx.ask("Book it?", yes="like"):
            await ctx.reply("Booked.")
        else:
            await ctx.reply("Then not.")

    talk = ann(Say("a table"), Tap("like", expects="answer"), Say("a table"), Say("no", contains="then not"))
    assert await found(bot_of(book), talk) == []


async def test_a_handler_that_fails_for_ever_is_given_up_and_found() -> None:
    async def fail(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("wait")
        raise ValueError("the kitchen is closed")

    (one,) = await found(bot_of(fail), ann(Say("hi")))
    assert (one.rule, one.expected) == ("given-up", "message.received is handled")
    assert "ValueError" in one.happened


async def test_a_handler_that_fails_once_breaks_no_rule() -> None:
    tries = list[str]()

    async def flaky(message: MessageReceived, ctx: Context) -> None:
        tries.append(message.text)
        if len(tries) % 2:
            raise ValueError
        await ctx.reply("done")

    assert await found(bot_of(flaky), ann(Say("hi"), Say("again"))) == []


async def test_a_message_that_is_sent_twice_is_found() -> None:
    (one,) = await found(bot_of(says("hello", "hello")), ann(Say("hi")))
    assert (one.rule, one.expected, one.happened) == ("doubled", "'hello' at most once", "twice")


async def test_one_answer_twice_is_found_among_the_answers_to_a_burst() -> None:
    async def twice(message: MessageReceived, ctx: Context) -> None:
        for _ in range(2 if "second" in message.text else 1):
            await ctx.reply(f"You said: {message.text}")

    talk = ann(Say("the first one", waits=False), Say("the second one", waits=False), Say("the third one"))
    (one,) = await found(bot_of(twice), talk)
    assert (one.rule, one.message) == ("doubled", "'the second one'")


async def test_a_help_text_that_holds_a_persons_words_is_not_their_answer_and_may_come_again() -> None:
    bot = Bot()
    bot.on_message("refund 20")(says("Done, refunded."))
    bot.on_message(says("I can give refunds. Write: refund 20"))
    asks = [Say("come on", waits=False), Say("please?", waits=False), Say("Deutsch?")]
    assert await found(bot, ann(Say("refund 20", waits=False), *asks)) == []
    twice = Bot()
    twice.on_message("refund 20")(says("Done: refund 20", "Done: refund 20"))
    twice.on_message(says("What?"))
    (one,) = await found(twice, ann(Say("refund 20", waits=False), *asks))
    assert (one.rule, one.message, one.happened) == ("doubled", "'refund 20'", "twice")


async def test_answers_in_another_order_than_the_messages_are_found() -> None:
    held = list[str]()

    async def swap(message: MessageReceived, ctx: Context) -> None:
        held.append(message.text)
        if len(held) == 2:
            await ctx.reply(f"You said: {held[1]}")
            await ctx.reply(f"You said: {held[0]}")

    (one,) = await found(bot_of(swap), ann(Say("the first one", waits=False), Say("the second one")))
    assert (one.rule, one.message) == ("order", "'the first one'")


async def test_a_text_of_another_person_is_found() -> None:
    last = ["nothing"]

    async def remember(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Before that I heard: {last[0]}")
        last[0] = message.text

    bob = Persona("Bob", [Say("my code is tulip-4821")])
    (one,) = await found(bot_of(remember), bob, ann(Say("hi")))
    assert (one.rule, one.person, one.other) == ("leak", "Ann", "Bob")
    assert one.expected == "no text of another person in a message"


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("The key is live_5f2a9c11d0", "secret"),
        ("Traceback (most recent call last):\n  File ...", "traceback"),
        ('{"tool": "book", "hour": 20}', "JSON"),
        ("<tool_call>book(20)</tool_call>", "narration of a tool call"),
    ],
)
async def test_what_belongs_inside_the_program_is_found_unless_the_person_wrote_it(said: str, what: str) -> None:
    (one,) = await found(bot_of(says(said)), ann(Say("hi")), secrets=["live_5f2a9c11d0"])
    assert (one.rule, one.expected) == ("leak", f"no {what} in a message")
    if what == "secret":
        assert "live_5f2a9c11d0" not in str(one)
    else:
        assert await found(echo(), ann(Say(said))) == []


async def test_a_message_after_stop_is_found() -> None:
    bot = echo()

    @bot.on_opt_out
    async def bye(event: Event, ctx: Context) -> None:
        assert event.actor is not None
        message = {"parts": [{"type": "text", "value": "Please stay!"}]}
        await ctx.client.messages.create(to=[event.actor], message=message, override_optout=True)

    talk = ann(Say("hi"), Say("STOP"), Pause(5), Say("START", expects="anything"), Say("hi again"))
    (one,) = await found(bot, talk)
    assert (one.rule, one.message, one.happened) == ("opted-out", "'STOP'", "'Please stay!'")
    assert await found(echo(), talk) == []


async def test_a_function_can_choose_the_acts_and_sees_the_conversation() -> None:
    seen: list[str] = []

    async def curious(dialogue: Dialogue) -> Say | None:
        seen.append(dialogue.text)
        return Say(f"question {len(seen)}") if len(seen) < 3 else None

    assert await found(echo(), Persona("Eve", curious)) == []
    first, second = (f"me: question {number}\nbot: You said: question {number}" for number in (1, 2))
    assert seen == ["", first, f"{first}\n{second}"]


@pytest.mark.parametrize("fault", ["kill", "429", "500", "lost-answer", "slow", "double"])
async def test_linqbot_survives_each_fault(fault: Any) -> None:
    talk = ann(Inject(fault), Say("the first one"), Inject(fault), Say("the second one", waits=False), Say("the third"))
    assert await found(echo(), talk) == []


async def test_a_fault_with_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="There are: kill, 429"):
        Inject("fire")  # type: ignore[arg-type]


async def test_a_seed_determines_what_people_do() -> None:
    def scripts(seed: int) -> list[list[Any]]:
        return [list(started(one, 20).script) for one in crowd(8, seed=seed, faults=["429"])]  # type: ignore[arg-type]

    assert scripts(5) == scripts(5)
    assert scripts(5) != scripts(6)


def started(persona: Persona, acts: int) -> Persona:
    """Return a persona with the first acts of an endless script."""
    assert not callable(persona.script)
    script = iter(persona.script)
    return replace(persona, script=[next(script) for _ in range(acts)])


async def test_a_person_can_talk_while_the_bot_is_killed_at_every_point() -> None:
    async for phone in killed_between_calls(echo(), lambda phone: rehearse(phone, ann(Say("one"), Say("two")))):
        assert phone.messages == ["one", "You said: one", "two", "You said: two"], phone.killed


async def test_a_handler_that_never_ends_leaves_the_message_unanswered() -> None:
    violations, hang = list[Violation](), does(lambda ctx: asyncio.Event().wait())
    with pytest.raises(AssertionError, match="still at work"):
        async with talking(bot_of(hang, read=False, typing=False), handler_timeout_s=0.05) as phone:
            violations = await rehearse(phone, ann(Say("hi")))
    assert [one.happened for one in violations] == ["no message, and the bot has not finished"]


async def test_people_do_what_the_bot_asks_for_and_nothing_where_it_asks_for_nothing() -> None:
    ledger, results = Ledger(), list[str]()

    async def asks(message: MessageReceived, ctx: Context) -> None:
        match message.text:
            case "pay":
                results.append(type(await ctx.pay(1250, "2 soups", timeout_s=60)).__name__)
            case "vote":
                results.append(str((await ctx.vote(["Thai", "Pizza"], "Lunch", timeout_s=60)).winner))
            case "locate":
                results.append(f"{(await ctx.location('Where are you?', timeout_s=60)).latitude:.0f}")
            case "book":
                if await ctx.ask("Shall I book it?", yes="like"):
                    await ledger.do("book")
        await ctx.reply("Done.")

    bot, kinds = bot_of(asks), (VoteFor(1), PayRequest(), PayRequest(pays=False), Locate(), Decide(), Decide(yes=False))
    assert await found(bot, ann(Say("hi"), *kinds[:3], *kinds[4:]), ledger=ledger) == []
    assert (results, ledger.entries) == ([], [])
    said = ("vote", "pay", "pay", "locate", "book", "book")
    talk = [act for text, kind in zip(said, kinds, strict=True) for act in (Say(text), kind)]
    assert await found(bot, ann(*talk), ledger=ledger) == []
    assert results == ["Pizza", "Paid", "Declined", "53"]
    assert len(ledger.entries) == 1


async def test_what_a_refused_person_or_a_persona_of_the_author_expects_to_be_done_is_checked() -> None:
    ledger = Ledger()

    async def book(message: MessageReceived, ctx: Context) -> None:
        await ledger.do("book", text=message.text)
        await ctx.reply("Shall I book it?")

    talk = ann(Say("hi", does="pay"), Decide(yes=False), Say("ho", does="book"))
    broken = [(one.rule, one.expected) for one in await found(bot_of(book), talk, ledger=ledger)]
    assert broken == [("unanswered", "'pay' is done"), ("unexpected", "nothing is done")]


async def test_a_bot_that_answers_what_friends_write_to_each_other_is_found() -> None:
    talk = Persona("Ann", [Say("Are you coming?", expects="silence"), Say("@bot menu?", mentions=True)], in_group=True)
    assert await found(echo(), talk) == []
    assert rules(await found(echo(groups="all"), talk)) == ["unexpected"]


async def booked(handler: Any, *acts: Any, ledger: Ledger) -> list[tuple[str, str]]:
    broken = await found(bot_of(handler), ann(*acts), ledger=ledger)
    return [(one.rule, one.happened) for one in broken]


async def test_an_effect_that_is_had_twice_for_one_message_is_found_and_one_under_its_key_is_not() -> None:
    ledger, tries = Ledger(), list[str]()

    def books(key: str | None) -> Any:
        async def book(message: MessageReceived, ctx: Context) -> None:
            tries.append(message.text)
            await ledger.do("book", key and f"{key}{ctx.event.event_id}", guest="Ann", text=message.text)
            if len(tries) % 2:
                raise ValueError
            await ctx.reply("Booked.")

        return book

    acts = [Say("table for two"), Say("table for three")]
    assert await booked(books("k"), *acts, ledger=ledger) == []
    assert {one.kind for one in ledger.entries} == {"book"}
    assert await booked(books(None), *acts, ledger=ledger) == [("effect-twice", "twice, with the keys none")] * 2


async def test_an_effect_before_a_question_is_had_again_with_the_answer_and_is_found() -> None:
    ledger = Ledger()

    async def book(message: MessageReceived, ctx: Context) -> None:
        await ledger.do("book", guest="Ann")
        await ctx.ask("Your name?")
        await ctx.reply("Booked.")

    talk = [Say("a table"), Say("Ann")]
    assert await booked(book, *talk, ledger=ledger) == [("effect-twice", "twice, with the keys none")]


async def test_what_is_done_and_said_belong_together() -> None:
    ledger = Ledger(said={"book": r"\bbooked\b"})

    async def book(message: MessageReceived, ctx: Context) -> None:
        if message.text != "only said":
            await ledger.do("book", text=message.text)
        await ctx.reply("Hm." if message.text == "only done" else "It is booked.")

    assert await booked(book, Say("both"), Say("both"), ledger=ledger) == []
    assert await booked(book, Say("only done"), ledger=ledger) == [("effect-unsaid", "'Hm.'")]
    assert await booked(book, Say("only said"), ledger=ledger) == [("effect-unsaid", "'It is booked.' without it")]


async def test_an_effect_after_the_last_message_is_found_without_a_pattern_too() -> None:
    ledger, bot = Ledger(), echo()

    @bot.on_edit
    async def edited(event: MessageEdited, ctx: Context) -> None:
        await ledger.do("book")

    assert rules(await found(bot, ann(Say("hi"), Correct("hello")), ledger=ledger)) == ["effect-unsaid"]
