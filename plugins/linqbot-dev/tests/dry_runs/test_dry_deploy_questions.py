"""New code runs on conversations of then: from the first delivery on, with the answers that are on record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dry_deploys import Day, texts, the_group
from fakes import CHAT, LINE, PERSON, envelope, handle, payment_request, poll_made, poll_vote, tapback, text_body
from one_handler import does, says
from pydantic import BaseModel
from simulated_crash import begun

from linqbot import AskCancelled, Bot, Context, Effect, MessageContent, MessageReceived, ReactionAdded, TextPart
from linqbot.client.call import ApiResponse
from linqbot.events import PollVoteAdded
from linqbot.storage.upkeep import Selection


def booking(question: str = "How many?", kind: Any = int, thanks: str = "A table for {} on {}.") -> Any:
    async def book(message: MessageReceived, ctx: Context) -> None:
        try:
            people = await ctx.ask(question, kind=kind)
            day = await ctx.ask("Which day?", choices=["Friday", "Saturday"])
        except AskCancelled:
            await ctx.reply("Another time!")
            return
        await ctx.reply(thanks.format(people, day))

    return book


async def test_a_conversation_runs_from_its_first_delivery_with_the_answers_of_then(
    day: Day, subtests: pytest.Subtests
) -> None:
    def even(text: str) -> int:
        if int(text) % 2:
            raise ValueError("An even number, please.")
        return int(text)

    async def ask_less(message: MessageReceived, ctx: Context) -> None:
        chosen = await ctx.ask("Which day?", choices=["Friday", "Saturday"])
        await ctx.reply(f"See you on {chosen}.")

    async def ask_more(message: MessageReceived, ctx: Context) -> None:
        await booking()(message, ctx)
        await ctx.ask("Your name?")

    day.deploy(booking())
    await day.say("book", "3", "Friday", service="SMS")
    report = await day.compared(booking())
    assert (report.counts, report.answers) == ({"same": 1}, 2)
    booked = "A table for 3 on Friday."
    days = "Which day?\n1. Friday\n2. Saturday"
    for new, said in (
        (booking(thanks="{}, {}: booked."), [(booked, "3, Friday: booked.")]),
        # There is no answer on record to this question, so the run ends there.
        (booking("For how many?"), [("How many?", "For how many?"), (days, None), (booked, None)]),
        (booking(kind=even), [(days, "An even number, please."), (booked, None)]),
        (ask_more, [(None, "Your name?")]),
        (ask_less, [("How many?", None), (booked, "See you on Friday.")]),
    ):
        with subtests.test(said=said):
            group = the_group(await day.compared(new))
            assert (group.kind, texts(group)) == ("different answer", said)


async def test_a_conversation_that_began_earlier_runs_too(day: Day) -> None:
    day.deploy(booking())
    await day.say("book", "4", service="SMS")
    since = day.clock.now() + 1
    await day.say("Friday", service="SMS")
    group = the_group(await day.compared(booking(thanks="{}, {}: booked."), selection=Selection(since=since)))
    assert group.count == 1
    assert texts(group) == [("A table for 4 on Friday.", "4, Friday: booked.")]


async def test_a_handler_that_failed_after_an_answer_runs_from_the_first_delivery(day: Day) -> None:
    def ask(*, fails: bool) -> Any:
        async def greet(message: MessageReceived, ctx: Context) -> None:
            name = await ctx.ask("Your name?")
            await ctx.reply(f"Hello {name}!")
            if fails:
                raise ValueError

        return greet

    day.deploy(ask(fails=True))
    await day.say("hi", "Ada")
    report = await day.compared(ask(fails=True))
    assert (report.counts, report.answers) == ({"same": 1}, 1)
    group = the_group(await day.compared(ask(fails=False)))
    assert (group.kind, group.count) == ("fixed failure", 1)
    assert texts(group) == []


async def test_an_answer_that_failed_means_what_it_meant_then(day: Day) -> None:
    def ask(*, fails: bool) -> Any:
        async def size(message: MessageReceived, ctx: Context) -> None:
            chosen = await ctx.ask("Which size?", choices=["S", "M"])
            await ctx.reply(f"One {chosen}.")
            if fails:
                raise ValueError

        return size

    day.deploy(ask(fails=True))
    day.linq.will_answer("chats.polls.create", poll_made("s", "m"))
    await day.say("hi")
    await day.receive(poll_vote("m"))
    group = the_group(await day.compared(ask(fails=False)))
    assert (group.kind, texts(group)) == ("fixed failure", [])


async def test_a_dead_answer_whose_conversation_is_not_kept_cannot_be_compared(tmp_path: Path) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your name?")
        raise ValueError

    async with begun(Day, tmp_path, keep_days=0) as day:
        day.deploy(ask)
        await day.say("hi", "Ada")
        group = the_group(await day.compared(ask))
        assert (group.kind, group.count) == ("could not be compared", 1)
        assert "is not kept" in group.cause


async def test_the_history_after_a_question_ends_with_the_answer(day: Day) -> None:
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("Your name?")
        await ctx.reply((await ctx.history(3)).as_text())

    day.deploy(ask)
    day.linq.will_answer("chats.messages.list", ApiResponse(200, {"messages": []}))
    await day.say("hi", "Ada")
    ((_, now),) = texts(the_group(await day.compared(ask)))
    assert now == "them: hi\nme: Your name?\nthem: Ada"


async def test_a_handler_of_a_conversation_sees_the_state_of_then(day: Day) -> None:
    class Guest(BaseModel):
        visits: int = 0

    async def ask(message: MessageReceived, ctx: Context) -> None:
        guest = await ctx.state.chat(Guest)
        await ctx.reply(f"Visit {guest.visits}")
        guest.visits += 1
        await ctx.ask("Again?")

    day.deploy(ask)
    await day.say("one", "yes", "two", "yes")
    assert (await day.compared(ask, selection=Selection(lane=f"c:{CHAT}"))).counts == {"same": 2}


async def test_what_middleware_does_for_an_answer_is_neither_made_again_nor_compared(day: Day) -> None:
    counted: list[str] = []

    def count(inner: Any) -> Any:
        async def counting(event: Any, ctx: Context) -> None:
            await ctx.once("count", counted.append)
            await ctx.send("Noted.")
            await inner(event, ctx)

        return counting

    day.deploy(booking())
    day.bot.use(count)
    await day.say("book", "4", "Friday", service="SMS")
    assert len(counted) == 3
    report = await day.compared(day.bot)
    assert (report.counts, report.answers) == ({"same": 1}, 2)
    assert len(counted) == 3


# What a delivery means while a question is open

BOB = "+15550001111"


def deciding(menu: str = "Soup.", **question: Any) -> Bot:
    """A bot that asks for a decision, and whose other handlers answer everything else."""
    bot = Bot(read=False, typing=False, groups="all")

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        booked = await ctx.ask("Book it?", **{"yes": "like", **question})
        await ctx.reply("Booked." if booked else "Not booked.")

    bot.on_message(says(f"{menu} {{}}"))
    return bot


async def test_a_question_with_an_effect_is_repeated_without_it(day: Day) -> None:
    bot = day.bot = Bot(read=False, typing=False)

    bot.on_message("menu", during_ask=True)(says("Soup."))

    @bot.on_message
    async def ask(message: MessageReceived, ctx: Context) -> None:
        effect = Effect(type="screen", name="confetti")
        await ctx.ask(MessageContent(parts=(TextPart(value="Your name?"),), effect=effect))

    await day.say("hi", "menu")
    assert day.said == ["Your name?", "Soup.", "Your name?"]
    assert (await day.compared(bot)).counts == {"same": 2}


async def test_a_vote_for_a_choice_is_an_answer_or_goes_to_its_handler(day: Day) -> None:
    def bot(votes: str, **how: Any) -> Bot:
        made = deciding(yes=None, choices=["Friday", "Saturday"])

        @made.on(PollVoteAdded, **how)
        async def voted(event: PollVoteAdded, ctx: Context) -> None:
            await ctx.send(f"{votes} {event.option_id}")

        return made

    day.linq.will_answer("chats.polls.create", *[poll_made("f", "s")] * 2)
    day.bot = bot("Thanks for")
    await day.say("book")
    await day.receive(poll_vote("f", poll="another"), poll_vote("s"))
    assert day.said == ["Book it?", "Thanks for f", "Booked."]
    report = await day.compared(day.bot)
    assert (report.counts, report.answers) == ({"same": 2}, 1)
    day.bot = bot("Noted:", during_ask=True)
    since = day.clock.now() + 1
    await day.say("book")
    await day.receive(poll_vote("s"))
    assert day.said[3:] == ["Book it?", "Noted: s", "Book it?"]
    assert (await day.compared(day.bot, selection=Selection(since=since))).counts == {"same": 2}


async def test_a_tapback_that_a_handler_takes_instead_leaves_the_question_open(day: Day) -> None:
    bot = day.bot = deciding()

    @bot.on(ReactionAdded, during_ask=True)
    async def tapped(event: ReactionAdded, ctx: Context) -> None:
        await ctx.send(f"Oh, {event.reaction_type}")

    await day.say("book", "maybe")
    refusal = f"sent-{len(day.linq.calls)}"
    await day.receive(tapback("like", "sent-1"), tapback("dislike", refusal), tapback("love", "sent-1"))
    assert day.said[2:] == ["Oh, like", "Book it?", "Oh, dislike", "Book it?", "Oh, love", "Book it?"]
    report = await day.compared(bot)
    assert (report.counts, report.answers) == ({"same": 4}, 1)


async def test_a_message_that_waited_while_the_question_was_asked_belongs_to_it(day: Day) -> None:
    bot = day.bot = deciding()
    await day.put(text_body("book"))
    day.clock.advance(1)
    await day.put(text_body("maybe"))
    day.clock.advance(60)
    await day.run()
    assert day.said[1:] == ["Please answer yes or no."]
    report = await day.compared(bot)
    assert (report.counts, report.answers) == ({"same": 1}, 1)


async def test_messages_while_a_payment_is_open_are_turns_of_their_own(day: Day) -> None:
    def bot(menu: str) -> Bot:
        made = Bot(read=False, typing=False)
        made.on_message("pay")(does(lambda ctx: ctx.pay(1250, "2 soups", timeout_s=3600)))
        made.on_message("menu")(says(menu))
        return made

    day.bot = bot("Soup.")
    await day.say("pay", "menu", "hello", "never mind")
    report = await day.compared(day.bot)
    assert (report.counts, report.answers) == ({"same": 3}, 1)
    assert texts(the_group(await day.compared(bot("Fish.")))) == [("Soup.", "Fish.")]


@pytest.mark.parametrize("kind", ["succeeded", "declined", "expired"])
async def test_the_end_of_a_payment_is_that_of_then(day: Day, kind: str) -> None:
    def paying(thanks: str) -> Any:
        async def pay(message: MessageReceived, ctx: Context) -> None:
            result = await ctx.pay(1250, "2 soups", timeout_s=3600)
            await ctx.send(f"{thanks} {type(result).__name__}")

        return pay

    day.deploy(paying("Well:"))
    await day.say("pay")
    (request,) = (f"pr_{call.key}" for call in day.linq.calls if call.name == "payment_requests.create")
    data = payment_request(request, {"metadata": {"linqbot_chat": CHAT}}, status=kind)
    await day.receive(envelope(f"payment.{kind}", data))
    said = (day.linq.calls[-1].body or {})["message"]["parts"][0]["value"]
    assert said.startswith("Well: ")
    report = await day.compared(paying("Well:"))
    assert (report.counts["same"], report.answers, report.groups) == (1 + report.untaken, 1, [])
    group = the_group(await day.compared(paying("Oh:")))
    assert texts(group) == [(said, said.replace("Well:", "Oh:"))]


async def test_a_location_is_that_of_then(day: Day) -> None:
    async def locate(message: MessageReceived, ctx: Context) -> None:
        where = await ctx.location("Where are you?", timeout_s=600)
        await ctx.send(f"You are at {where.latitude}.")

    place = {"type": "Point", "coordinates": [2.0, 48.0]}
    properties = {"handle": PERSON, "updated_at": "2027-11-05T17:34:00Z", "locality": "Paris"}
    found = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": place, "properties": properties}],
    }
    day.deploy(locate)
    await day.say("where")
    began = "2026-11-05T17:33:20.000Z"
    shared = {"chat_id": CHAT, "shared_by": PERSON, "shared_with": LINE, "began_at": began}
    day.linq.will_answer("chats.location.retrieve", ApiResponse(200, {"success": True, "data": found}))
    await day.receive(envelope("location.sharing.started", shared))
    assert day.said[-1] == "You are at 48.0."
    report = await day.compared(locate)
    assert (report.counts, report.answers) == ({"same": 1}, 1)


async def test_votes_of_a_group_belong_to_the_handler_that_waits_for_them(day: Day) -> None:
    bot = day.bot = Bot(read=False, typing=False, groups="all")

    @bot.on_message("lunch")
    async def lunch(message: MessageReceived, ctx: Context) -> None:
        result = await ctx.vote(["Thai", "Pizza"], "Lunch?", timeout_s=3600)
        await ctx.send(f"Winner: {result.winners[0]}")

    @bot.on(PollVoteAdded)
    async def voted(event: PollVoteAdded, ctx: Context) -> None:
        await ctx.send("A vote!")

    handles = [handle(LINE, is_me=True), handle(PERSON), handle(BOB)]
    day.linq.will_answer("chats.retrieve", ApiResponse(200, {"id": CHAT, "handles": handles}))
    day.linq.will_answer("chats.polls.create", poll_made("t", "p"))
    await day.say("lunch", is_group=True)
    await day.receive(poll_vote("t", BOB), poll_vote("t", PERSON))
    assert day.said == ["Lunch?", "Winner: Thai"]
    report = await day.compared(bot)
    assert report.answers == 2
    assert [group.cause for group in report.groups] == [
        "not recorded: what chats.retrieve returned (with --reads, Linq is asked now)"
    ]


async def test_a_message_that_new_code_would_take_as_an_answer_cannot_be_compared(day: Day) -> None:
    def bot(menu: str, **how: Any) -> Bot:
        made = Bot(read=False, typing=False)
        made.on_message("menu", **how)(says(menu))
        made.on_message(booking())
        return made

    day.bot = bot("Soup.", during_ask=True)
    await day.say("book", "menu", service="SMS")
    group = the_group(await day.compared(bot("Fish.")))
    assert (group.kind, group.count) == ("could not be compared", 1)
    assert group.cause.startswith("it would answer a question now")


async def test_an_answer_whose_question_is_not_kept_any_more_is_not_said_to_differ(day: Day) -> None:
    async def slow(message: MessageReceived, ctx: Context) -> None:
        size = await ctx.ask("Which size?", timeout_s=30 * 86_400)
        await ctx.ask("Which colour?", kind=int, timeout_s=30 * 86_400)
        await ctx.reply(f"Thanks for {size}.")

    day.bot = day.deploy(slow)
    await day.say("book")
    day.clock.advance(8 * 86_400)
    since = day.clock.now() + 1
    await day.say("small", "blue", "2")
    assert day.said[-1] == "Thanks for small."
    report = await day.compared(day.bot, selection=Selection(since=since))
    assert report.counts == {"could not be compared": 3}
    assert the_group(report).cause.endswith("its question is not kept any more")
