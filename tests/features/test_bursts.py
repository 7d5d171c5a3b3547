"""Messages that a person writes one after the other, joined into one: `Bot(gather_s=…)`."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from answers import answers
from fakes import NOW, delivery, message, settled, text_body
from one_handler import bot_of, does, notes, says
from structlog.testing import capture_logs

from linqbot import AskCancelled, Bot, Context, Manners, MessageEdited, MessageReceived, Router
from linqbot.bot.dispatch import Dispatcher
from linqbot.clock import MovableClock
from linqbot.engine.routing import handler_name
from linqbot.errors import StorageUnavailable
from linqbot.features.bursts import Bursts
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.testing import Phone, killed_between_calls, talking

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


def collector(**settings: object) -> tuple[Bot, list[MessageReceived]]:
    """Return a bot that answers with the texts that it got, and the messages that reached it."""
    bot, seen = Bot(**settings), []  # type: ignore[arg-type]

    @bot.on_message("stop", gather=False)
    async def stop(message: MessageReceived, ctx: Context) -> None:
        seen.append(message)
        await ctx.reply("stopped")

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        seen.append(message)
        await ctx.reply(f"{message.text.replace(chr(10), ' | ')} ({len(message.media)} photos)")

    return bot, seen


async def test_text_photos_and_a_link_are_one_message_with_all_parts_in_order() -> None:
    bot, seen = collector(gather_s=2)
    async with talking(bot) as phone:
        await phone.text("look")
        for _ in range(3):
            await phone.media(PIXEL, "photo.png")
        assert await answers(phone, "nice?") == ["look | nice? (3 photos)"]
    (message,) = seen
    assert [each.text for each in message.burst] == ["look", "", "", "", "nice?"]
    assert message.id == message.burst[-1].id
    assert message.event_id == message.burst[0].event_id
    assert len({each.id for each in message.burst}) == 5


async def test_the_window_begins_again_with_each_message_and_ends_two_seconds_after_the_last() -> None:
    bot, seen = collector(gather_s=2)
    async with talking(bot) as phone:
        for word in ("a", "b", "c"):
            await phone.text(word)
            await phone.advance(1.5)
        assert not seen
        assert await phone.next_reply() == "a | b | c (0 photos)"
        await phone.advance(3)
        assert await answers(phone, "later") == ["later (0 photos)"]
    assert seen[1].burst == ()


async def test_a_message_for_a_handler_that_does_not_gather_closes_the_burst_and_is_handled_at_once() -> None:
    bot, seen = collector(gather_s=30)
    async with talking(bot) as phone:
        assert await answers(phone, "one", "stop") == ["one (0 photos)", "stopped"]
        assert await answers(phone, "stop") == ["stopped"]
    assert len(seen) == 3


async def test_a_tapback_between_two_messages_closes_the_burst_so_that_the_order_holds() -> None:
    bot, _ = collector(gather_s=2)
    order: list[str] = []

    @bot.on_reaction
    async def tapped(event: object, ctx: Context) -> None:
        order.append("tapback")

    async with talking(bot) as phone:
        await phone.text("hi")
        reply = await phone.next_reply()
        await phone.text("one")
        await phone.react(reply, "like")
        assert await answers(phone, "two") == ["one (0 photos)", "two (0 photos)"]
    assert order == ["tapback"]


async def test_an_edit_of_a_waiting_message_joins_its_burst_so_that_only_the_new_text_is_answered() -> None:
    bot, seen = collector(gather_s=2)
    edits: list[str] = []
    bot.on(MessageEdited)(notes(edits, lambda event: event.text))

    async with talking(bot) as phone:
        alone = await phone.text("for tow")
        await phone.edit(alone, "for two")
        assert await phone.next_reply() == "for two (0 photos)"
        wrote = await phone.text("at seven")
        await phone.text("please")
        await phone.edit(wrote, "at eight")
        await phone.edit(alone, "for three")  # is answered already, so it closes the burst
        assert await answers(phone, "thanks") == ["at eight | please (0 photos)", "thanks (0 photos)"]
    assert [[each.text for each in message.burst] for message in seen] == [[], ["at eight", "please"], []]
    assert edits == ["for three"]


async def test_messages_of_different_people_in_a_group_are_not_joined() -> None:
    bot, seen = collector(gather_s=2, groups="all")
    async with talking(bot) as phone:
        other = phone.person("+14155550199")
        group = phone.group(other)
        await group.text("a")
        await group.by(other).text("b")
        await group.by(other).text("c")
        assert await group.next_reply() == "a (0 photos)"
        assert await group.next_reply() == "b | c (0 photos)"
    assert [message.sender.handle for message in seen] == [phone.handle, other.handle]


async def test_the_messages_of_an_answer_are_joined_and_not_taken_for_the_next_ones() -> None:
    async def form(message: MessageReceived, ctx: Context) -> None:
        name, city = await ctx.ask("Your name?"), await ctx.ask("Your city?")
        await ctx.reply(f"{name!r} in {city!r}")

    async with talking(bot_of(form, gather_s=2)) as phone:
        assert await answers(phone, "hello") == ["Your name?"]
        wrote = await phone.text("Ann")
        await phone.advance(1.5)
        await phone.text("Smiht")
        await phone.edit(wrote, "Anne")
        await phone.advance(1.5)
        assert [str(each) for each in await phone.replies()] == ["Your city?"]
        await phone.text("New")
        assert await answers(phone, "York") == ["'Anne\\nSmiht' in 'New\\nYork'"]


async def test_an_answer_that_needs_no_more_words_does_not_wait_and_joins_no_other(subtests: pytest.Subtests) -> None:
    rows: list[tuple[Callable[[Context], Awaitable[Any]], str, str, str]] = [
        (lambda ctx: ctx.ask("When?", choices=["Friday", "Sunday"]), "Friday", "got Friday", "got Friday"),
        (lambda ctx: ctx.ask("Sure?", yes="like"), "yes", "got True", "got True"),
        (lambda ctx: ctx.ask("What?"), "never mind", "cancelled", "got uh"),
        (lambda ctx: ctx.vote(["Rome", "Oslo"], "Where?", until=1), "Rome", "got VoteResult", "got VoteResult"),
    ]
    for ask, said, answer, after_another in rows:
        with subtests.test(said=said):

            async def begin(message: MessageReceived, ctx: Context, ask: Any = ask) -> None:
                try:
                    await ctx.reply(f"got {await ask(ctx)}")
                except AskCancelled:
                    await ctx.reply("cancelled")

            async with talking(bot_of(begin, "ask", gather_s=30), service="SMS") as phone:
                await answers(phone, "ask")
                began = phone.now
                await phone.text(said)
                assert str(await phone.next_reply()).startswith(answer)
                await phone.text("ask")
                await phone.replies()
                await phone.text("uh")
                await phone.text(said)
                assert after_another in str((await phone.replies())[-1])
                assert phone.now < began + 100


async def test_only_answers_to_the_same_question_are_joined() -> None:
    bot = Bot(gather_s=2, groups="all")

    @bot.on_message("ask", gather=False)
    async def ask(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"answer: {await ctx.ask('What?')!r}")

    @bot.on_message("menu", during_ask=True)
    async def menu(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("the menu")

    bot.on_message(says("text: {}"))
    async with talking(bot) as phone:
        other = phone.person("+14155550199")
        group = phone.group(other)
        assert await answers(group, "ask") == ["What?"]
        await group.by(other).text("a")
        await group.by(other).text("b")
        assert [str(each) for each in await group.replies()] == ["text: a\nb"]
        # The handler that asked does not gather, so neither do its answers.
        assert await answers(group, "menu") == ["the menu", "What?"]
        assert (await answers(group, "blue"))[0] == "answer: 'blue'"


async def test_a_burst_waits_while_the_person_types_and_no_longer_when_they_stop() -> None:
    bot, seen = collector(gather_s=2)
    async with talking(bot) as phone:
        await phone.text("so")
        await phone.typing()
        await phone.advance(7)
        assert not seen
        await phone.text("here")
        await phone.advance(1)
        assert not seen
        await phone.advance(4)
        assert await phone.next_reply() == "so | here (0 photos)"


async def test_only_the_handlers_of_a_router_gather_if_only_the_router_says_it() -> None:
    bot, orders = Bot(), Router(gather_s=2)

    @orders.on_message(lambda message: message.text.startswith("order"))
    async def order(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"ordered {len(message.burst)}")

    bot.include(orders)
    bot.on_message(says("chat {}"))

    async with talking(bot) as phone:
        assert await answers(phone, "order tea", "order cake") == ["ordered 2"]
        await phone.text("one")
        await phone.text("two")
        assert [await phone.next_reply(), await phone.next_reply()] == ["chat one", "chat two"]


async def test_a_mention_counts_wherever_it_is_in_the_burst() -> None:
    bot, seen = collector(gather_s=2)
    async with talking(bot) as phone:
        group = phone.group("+14155550199")
        await group.media(PIXEL, "menu.png")
        await group.text("what is this?", mention=True)
        assert await group.next_reply() == "@bot what is this? (1 photos)"
    assert len(seen[0].burst) == 2


@pytest.mark.slow
async def test_a_kill_at_any_point_neither_drops_nor_repeats_a_part_of_a_burst() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("a")
        wrote = await phone.text("x")
        await phone.edit(wrote, "b")
        await phone.text("c")

    heard: set[str] = set()
    bot, _ = collector(gather_s=2)
    async for phone in killed_between_calls(bot, scenario):
        words = [
            word for reply in await phone.replies() for word in str(reply).removesuffix(" (0 photos)").split(" | ")
        ]
        assert words == ["a", "b", "c"]
        heard.add(" ".join(words))
    assert heard == {"a b c"}


async def test_a_burst_is_stored_again_until_it_is_certain_that_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MovableClock(NOW, frozen=True)
    async with MemoryStorage(clock=clock) as storage:
        for text in ("look", "nice?"):
            await storage.put(delivery(text_body(text)))
        clock.advance(10)
        (lease,) = await storage.take(1, lease_s=60)
        join, failures = storage.join, [StorageUnavailable("The answer was lost.")]

        async def join_whose_answer_is_lost(*arguments: Any) -> None:
            await join(*arguments)
            if failures:
                raise failures.pop()

        monkeypatch.setattr(storage, "join", join_whose_answer_is_lost)
        gathering = asyncio.ensure_future(Bursts(Dispatcher(Bot(gather_s=2), clock), storage, clock).admit(lease))
        with capture_logs() as logs:
            while not gathering.done():
                await settled(3)
                clock.advance(1)
        gathered = gathering.result()
        assert gathered is not None
        assert len(gathered.delivery.joined.burst) == 1
        assert [line["event"] for line in logs] == ["burst.unfinished"]
        assert await storage.depth() == 1


async def test_fifty_people_write_bursts_at_once_and_each_burst_is_one_turn_and_delays_no_other_chat() -> None:
    bot, seen = collector(gather_s=2)
    async with talking(bot) as phone:
        people = [phone.person(f"+1415555{number:04}") for number in range(50)]
        began = phone.now
        for word in ("a", "b", "c"):
            for person in people:
                await person.text(word)
        await phone.text("stop")
        assert await phone.next_reply() == "stopped"
        assert phone.now == began  # all fifty still wait
        await phone.advance(2)
        for person in people:
            assert await person.replies() == ["a | b | c (0 photos)"]
        assert phone.now < began + 4  # the fifty wait at the same time
    assert len(seen) == 51


async def test_messages_are_joined_while_a_payment_is_awaited() -> None:
    shop, seen = Bot(gather_s=2), list[MessageReceived]()
    shop.on_message("buy")(does(lambda ctx: ctx.pay(1250, "soup")))
    shop.on_message(notes(seen, lambda message: message))

    async with talking(shop) as phone:
        await answers(phone, "buy")
        await phone.text("hey")
        await phone.text("what is this?")
        await phone.quiet()
    assert [len(each.burst) for each in seen] == [2]


async def test_the_first_handler_that_fits_decides_how_long_a_message_waits_and_else_the_bot_does() -> None:
    bot, menu = Bot(gather_s=2, manners=Manners()), Router(gather_s=5)

    @menu.on_message("menu")
    @bot.on_message("now", gather=False)
    async def noop(message: MessageReceived, ctx: Context) -> None: ...

    bot.include(menu)
    clock = MovableClock(NOW, frozen=True)
    bursts = Bursts(Dispatcher(bot, clock), MemoryStorage(clock=clock), clock)
    waits = {text: bursts.wait_s(message(text)) for text in ("menu", "now", "hello", "#answer yes", "STOP", "HELP")}
    assert waits == {"menu": 5.0, "now": 0.0, "hello": 2.0, "#answer yes": 0.0, "STOP": 0.0, "HELP": 0.0}
    assert bursts.wait_s(message("hello"), handler_name(noop)) == 0.0  # of two with one name, the first counts
