"""Posts: what a program outside the bot puts into a chat's lane is handled once, in order, with the promises of a message."""

from __future__ import annotations

from functools import partial

import pytest
from answers import answers
from asking_talk import Talk
from fakes import CHAT
from pydantic import BaseModel

from linqbot import Bot, BotError, Context, MessageReceived, Posted, Running
from linqbot.features.posts import post_delivery
from linqbot.testing import Phone, killed_between_calls, talking

ANN = "+14155550142"


class Order(BaseModel):
    number: int
    parcel: str = "none"


def shop() -> Bot:
    bot = Bot(groups="never", allow=[])  # neither concerns what a program posts

    @bot.on_post("order.shipped")
    async def shipped(post: Posted, ctx: Context) -> str:
        order = post.read(Order)
        return f"Order {order.number} is in parcel {order.parcel}."

    @bot.on_post("order.packed", "order.paid")
    async def changed(post: Posted, ctx: Context) -> str:
        return f"{post.name}: {post.post_id}"

    return bot


async def test_a_post_is_handled_in_its_chat_or_group_and_twice_the_same_id_once() -> None:
    async with talking(shop(), handle=ANN) as phone:
        await phone.text("hi")
        await phone.post("order.shipped", {"number": 7, "parcel": "1Z"}, post_id="7")
        await phone.post("order.shipped", {"number": 7, "parcel": "1Z"}, post_id="7")
        await phone.post("order.paid", {}, post_id="8")
        assert await phone.replies() == ["Order 7 is in parcel 1Z.", "order.paid: 8"]
        group = phone.group("+14155550143")  # the bot takes no message of a group
        await group.text("hi")
        await group.post("order.packed", {}, post_id="9")
        assert await group.replies() == ["order.packed: 9"]


class Shop:
    """A bot with what its process posts with."""

    def __init__(self) -> None:
        self.bot = shop()
        self.running: Running | None = None
        self.bot.on_start(self._start)

    async def _start(self, running: Running) -> None:
        self.running = running

    async def post(self, name: str, post_id: str, **to: str) -> bool:
        assert self.running is not None
        return await self.running.post(name, {}, id=post_id, **to)


async def test_a_post_to_a_person_finds_the_direct_chat_also_after_an_outage_of_linq() -> None:
    owner = Shop()
    async with talking(owner.bot, handle=ANN) as phone:
        await phone.text("hi")
        await phone.group("+14155550143").text("hi all")
        phone.fail_next("chats.list_chats", status=503, times=10)
        assert await owner.post("order.paid", "7", person=ANN)
        assert not await owner.post("order.paid", "7", person=ANN)
        assert await phone.waiting() == 1
        await phone.advance(3600)
        assert await phone.replies() == ["order.paid: 7"]


async def test_a_post_without_a_chat_is_handled_and_can_write_to_anyone() -> None:
    owner = Shop()

    @owner.bot.on_post("stock.low")
    async def low(post: Posted, ctx: Context) -> None:
        assert post.chat_id is None
        await ctx.bot.send("Order more.", to=post.actor or ANN, line=line)

    async with talking(owner.bot, handle=ANN) as phone:
        line = phone.line
        await owner.post("stock.low", "a")
        await owner.post("stock.low", "b", person="+14155550143")  # with whom the bot has no chat
        assert await phone.replies() == ["Order more."]
        assert await phone.person("+14155550143").replies() == ["Order more."]


async def test_a_post_that_nothing_handles_or_that_does_not_fit_is_kept_as_a_dead_letter() -> None:
    owner = Shop()
    async with talking(owner.bot, handle=ANN) as phone:
        await phone.text("hi")
        await owner.post("order.lost", "1")
        await phone.post("order.shipped", {"number": "many"}, post_id="2")
        unhandled, unfit = await phone.dead_letters()
        assert "@bot.on_post('order.lost')" in unhandled.error
        assert "number missing or wrong" in unfit.whole_error
        assert "many" not in unfit.whole_error
        await phone.errors()


async def test_a_post_whose_handler_is_in_another_release_waits_for_a_process_that_has_it(talk: Talk) -> None:
    talk.shared_since = talk.clock.now()
    await talk.storage.put(post_delivery("order.paid", {}, talk.clock.now(), post_id="7", chat=CHAT))
    await talk.run()
    talk.bot = shop()
    await talk.pass_time(1)
    assert talk.said == ["order.paid: 7"]


async def test_a_post_does_not_wait_for_a_question_and_answers_none() -> None:
    bot = shop()

    @bot.on_message("order")
    async def order(message: MessageReceived, ctx: Context) -> str:
        return f"One {await ctx.ask('Which size?')}."

    bot.allow = None
    async with talking(bot, handle=ANN) as phone:
        assert await answers(phone, "order") == ["Which size?"]
        await phone.post("order.paid", {}, post_id="7")
        assert await phone.replies() == ["order.paid: 7"]
        assert await answers(phone, "large") == ["One large."]


async def test_a_handler_of_a_post_to_a_person_asks_them_and_knows_their_state() -> None:
    class Guest(BaseModel):
        rating: int = 0

    owner = Shop()
    owner.bot.allow = None

    @owner.bot.on_post("visit.ended")
    async def ended(post: Posted, ctx: Context) -> str:
        guest = await ctx.state.person(Guest)
        guest.rating = await ctx.ask("How was it, 1 to 5?", kind=int)
        return "Thank you."

    async with talking(owner.bot, handle=ANN) as phone:
        await phone.text("hi")
        await owner.post("visit.ended", "7", person=ANN)
        assert await phone.next_reply() == "How was it, 1 to 5?"
        assert await answers(phone, "5") == ["Thank you."]
        assert (await phone.state(Guest)).rating == 5


async def test_a_test_posts_for_the_person_of_a_phone_or_for_a_chat_as_a_program_does() -> None:
    class Guest(BaseModel):
        visits: int = 0

    bot = Bot()

    @bot.on_post("visit.ended")
    async def ended(post: Posted, ctx: Context) -> str:
        if post.actor is None:
            return "Thank you all."
        guest = await ctx.state.person(Guest)
        guest.visits += 1
        return f"Visit {guest.visits}"

    async with talking(bot, handle=ANN) as ann:
        dana, group = ann.person(DANA), ann.group(DANA)
        await ann.post("visit.ended", {})  # who has no chat yet
        assert await ann.replies() == ["Visit 1"]
        await ann.post("visit.ended", {})
        await ann.post("visit.ended", {}, person=dana)
        await dana.post("visit.ended", {}, person=ANN)
        await ann.post("visit.ended", {}, chat=ann.chat_id)
        assert sorted(await ann.replies()) == ["Thank you all.", "Visit 2", "Visit 3"]
        assert await dana.replies() == ["Visit 1"]
        await group.text("hi")
        await group.post("visit.ended", {})
        await group.post("visit.ended", {}, person=ANN)
        assert (await group.replies(), await ann.replies()) == (["Thank you all."], ["Visit 4"])
        with pytest.raises(BotError, match="not both"):
            await ann.post("visit.ended", {}, person=ANN, chat=ann.chat_id)
        with pytest.raises(BotError, match="give the handle to person="):
            await ann.post("visit.ended", {}, chat=ANN)


async def test_a_post_of_a_sender_that_linq_cannot_find_goes_to_its_chat() -> None:
    bot = shop()
    async with talking(bot, handle="68849") as bank:
        await bank.text("hi")
        await bank.post("order.paid", {}, post_id="7")
        assert await bank.replies() == ["order.paid: 7"]


@pytest.mark.slow
async def test_a_post_is_handled_once_however_the_process_is_killed() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("hi")
        for number in range(2):
            await phone.post("order.shipped", {"number": number}, post_id=str(number))
        await phone.quiet()

    async for phone in killed_between_calls(shop(), scenario):
        sent = [each for each in phone.messages if each.from_bot]
        assert sent == [f"Order {number} is in parcel none." for number in range(2)], phone.killed


async def test_what_cannot_be_posted_is_refused_with_the_reason() -> None:
    owner = Shop()
    async with talking(owner.bot, handle=ANN):
        assert owner.running is not None
        post = owner.running.post
        wrong = {
            "cannot be the name of a post": partial(post, "order shipped", {}, id="1"),
            "the same for every repetition": partial(post, "order.paid", {}, id=""),
            "not both": partial(post, "order.paid", {}, id="1", chat="c", person=ANN),
            "E.164 form": partial(post, "order.paid", {}, id="1", person="415 555"),
            "an e-mail address": partial(post, "order.paid", {}, id="1", person="22395"),  # Linq lists no such chat
            "give the handle to person=": partial(post, "order.paid", {}, id="1", chat=ANN),
            "must be a JSON object": partial(post, "order.paid", [1], id="1"),  # type: ignore[arg-type]
            "this dict is none": partial(post, "order.paid", {"a": object()}, id="1"),
            "are the most": partial(post, "order.paid", {"a": "x" * 300_000}, id="1"),
        }
        for why, call in wrong.items():
            with pytest.raises(BotError, match=why):
                await call()
    with pytest.raises(BotError, match="needs the names of the posts"):
        Bot().on_post()


DANA = "+14155550199"


def plumber() -> Bot:
    """Return a bot whose owner quotes: what goes on in the guest's chat is begun in the owner's."""
    bot = Bot(read=False, typing=False)

    @bot.on_message("quote")
    async def quote(message: MessageReceived, ctx: Context) -> str:
        made = [await ctx.bot.post("quoted", {"dollars": 120}, id="job 1", person=DANA) for _ in range(2)]
        return f"Quoted: {made}"

    @bot.on_post("quoted")
    async def quoted(post: Posted, ctx: Context) -> str:
        if post.data.get("greets"):
            await ctx.send("Good morning.")
        agreed = await ctx.ask(f"Our quote is ${post.data['dollars']}. Shall we come?", yes="like", timeout_s=60)
        await ctx.send("One moment.")
        return f"Agreed: {agreed}"

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> str:
        return f"heard {message.text}"

    return bot


async def test_a_handler_posts_and_what_it_posts_asks_a_person_who_has_no_chat_yet() -> None:
    async with talking(plumber(), handle=ANN) as ann:
        dana = ann.person(DANA)
        await ann.text("quote")
        assert await ann.replies() == ["Quoted: [True, False]"]
        assert await dana.replies() == ["Our quote is $120. Shall we come?"]
        await dana.text("yes")
        await dana.text("thanks")
        assert await dana.replies() == ["One moment.", "Agreed: True", "heard thanks"]


async def test_the_first_message_of_a_post_opens_the_chat_in_which_it_goes_on() -> None:
    async with talking(plumber(), handle=DANA) as dana:
        await dana.post("quoted", {"dollars": 5, "greets": True}, post_id="7")
        assert await dana.replies() == ["Good morning.", "Our quote is $5. Shall we come?"]
        await dana.text("no")
        assert await dana.replies() == ["One moment.", "Agreed: False"]


async def test_a_post_that_a_handler_makes_is_checked_like_any_other() -> None:
    bot = Bot()

    @bot.on_message
    async def post(message: MessageReceived, ctx: Context) -> None:
        await ctx.bot.post("quoted", {}, id="1", chat="c", person=DANA)

    async with talking(bot, handle=ANN) as ann:
        await ann.text("hi")
        (error,) = await ann.errors()
        assert "not both" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("greets", [False, True])
async def test_killed_anywhere_a_post_opens_one_chat_and_asks_once(greets: bool) -> None:
    async def scenario(dana: Phone) -> None:
        await dana.post("quoted", {"dollars": 5, "greets": greets}, post_id="7")
        await dana.quiet()
        await dana.text("yes")

    async for dana in killed_between_calls(plumber(), scenario, handle=DANA):
        said = ["Our quote is $5. Shall we come?", "One moment.", "Agreed: True"]
        assert await dana.replies() == (["Good morning.", *said] if greets else said), dana.killed


@pytest.mark.slow
async def test_killed_anywhere_a_handler_posts_once() -> None:
    async def scenario(ann: Phone) -> None:
        await ann.text("quote")

    async for ann in killed_between_calls(plumber(), scenario, handle=ANN):
        (said,) = await ann.replies()
        assert said in ("Quoted: [True, False]", "Quoted: [False, False]"), ann.killed
        assert await ann.person(DANA).replies() == ["Our quote is $120. Shall we come?"], ann.killed
