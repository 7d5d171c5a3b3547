"""A muted chat: the bot says nothing there, what comes is kept, and what waits goes on when the mute is over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from answers import answers
from one_handler import does, says
from pydantic import BaseModel

from linqbot import Bot, BotError, BroadcastDone, Context, Hours, MessageReceived, Posted, Running, muted, voice_memo
from linqbot.bot.router import Next
from linqbot.events import Event, MessageSent, TypingStarted
from linqbot.testing import Phone, killed_between_calls, talking


class Parcel(BaseModel):
    number: int


ANN, OWNER = "+14155550142", "+14155550143"


def desk() -> Bot:
    bot = Bot()

    @bot.on_message("person")
    async def person(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("A person takes over.")
        await ctx.mute(for_s=600, reason="asked for")
        lost = await ctx.reply("You do not see this.")
        await ctx.bot.send(f"Please look: {lost.status}", to=OWNER)

    @bot.on_message("#done", muted)
    async def done(message: MessageReceived, ctx: Context) -> None:
        assert (await ctx.reply("Not yet.")).status == "muted"
        await ctx.react("like")
        await ctx.unmute()
        await ctx.reply("I am back.")

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(f"Booked: {await ctx.ask('Book it?', yes='like')}.")

    bot.on_message("mute this", during_ask=True)(does(lambda ctx: ctx.mute(for_s=600)))
    bot.on_message(says("{}"))
    return bot


async def test_only_a_handler_with_the_filter_runs_and_ends_the_mute() -> None:
    async with talking(desk(), handle=ANN) as phone:
        await phone.text("#done")  # not muted
        assert await phone.replies() == ["#done"]
        assert await answers(phone, "person") == ["A person takes over."]
        assert await answers(phone, "#done") == ["I am back."]
        assert await answers(phone, "hello") == ["hello"]


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_wherever_the_bot_is_killed() -> None:
    async def scenario(phone: Phone) -> None:
        await phone.text("person")
        assert await phone.next_reply() == "A person takes over."
        await phone.text("hello?")
        await phone.text("#done")
        assert await phone.next_reply() == "I am back."
        await phone.text("hello")

    async for phone in killed_between_calls(desk(), scenario, handle=ANN):
        said = ["person", "A person takes over.", "hello?", "#done", "I am back.", "hello", "hello"]
        assert phone.messages == said, phone.killed
        assert phone.person(OWNER).messages == ["Please look: muted"], phone.killed


async def test_a_tapback_that_answers_counts_after_the_mute() -> None:
    async with talking(desk(), handle=ANN) as phone:
        await phone.text("book")
        question = await phone.next_reply()
        await phone.text("mute this")
        await phone.react(question, "like")
        await phone.text("yes")
        await phone.quiet()
        await phone.advance(601)
        assert await phone.replies() == ["Booked: True."]


async def by_hand(phone: Phone, text: str | None = "I take over.", **data: Any) -> None:
    """Report a message of the line that no program has sent, as one that is written on Linq's dashboard."""
    chat = {"id": phone.chat_id, "is_group": False, "owner_handle": {"handle": phone.line, "is_me": True}}
    parts = [] if text is None else [{"type": "text", "value": text}]
    sent_at = datetime.fromtimestamp(phone.now, UTC).isoformat()
    message = {"id": str(uuid4()), "chat": chat, "direction": "outbound", "parts": parts, "sent_at": sent_at}
    await phone.event("message.sent", {**message, "idempotency_key": None, **data})


@pytest.mark.parametrize("takes_sent", [False, True])
async def test_a_text_that_a_person_writes_on_the_dashboard_mutes_the_bot(takes_sent: bool) -> None:
    bot = desk()
    if takes_sent:

        @bot.on(MessageSent)
        async def note(message: MessageSent, ctx: Context) -> None:
            ctx.log.info("sent")

    async with talking(bot, handle=ANN, copies=2) as phone:
        await answers(phone, "hello")
        await by_hand(phone)
        await phone.text("and now?")
        await phone.quiet()
        await phone.advance(1799)
        await phone.text("and now?")
        await phone.quiet()
        await phone.advance(2)
        assert await answers(phone, "hello") == ["hello"]


async def test_a_text_by_hand_mutes_a_handler_that_runs_and_sends_to_the_person_from_elsewhere() -> None:
    bot = Bot()

    @bot.on_message("slow")
    async def slow(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("One moment.")
        await by_hand(phone)
        await ctx.reply("Here it is.")

    @bot.on_message("write to Ann")
    async def write(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.bot.send("News!", to=ANN)
        await ctx.reply(sent.status)
        again = await ctx.bot.send("News!", to=ANN)
        await ctx.reply(again.status)

    async with talking(bot, handle=ANN) as phone:
        assert await answers(phone, "slow") == ["One moment."]
        assert await answers(phone.person(OWNER), "write to Ann") == ["muted", "muted"]
        await phone.quiet()


async def test_what_programs_send_does_not_mute_the_bot_and_neither_does_a_bot_that_is_not_to() -> None:
    async def hears(phone: Phone) -> bool:
        await phone.text("hello")
        return "hello" in await phone.replies()

    bot = Bot()
    bot.on_message("hello")(says("{}"))
    bot.on_message("speak")(does(lambda ctx: ctx.reply(voice_memo(b"ID3", filename="hello.mp3"))))

    async with talking(bot, handle=ANN) as phone:
        await answers(phone, "speak")
        assert await hears(phone)
        await phone.client.chats.messages.send(
            phone.chat_id, message={"parts": [{"type": "text", "value": "From a program."}]}
        )
        assert await hears(phone)
        await by_hand(phone, None)  # a voice memo, or a line with zero retention
        assert await hears(phone)
        await by_hand(phone, sent_at="2020-01-01T00:00:00Z")
        assert await hears(phone)
    never = Bot(mute_s=0)
    never.on_message("hello")(says("{}"))
    async with talking(never, handle=ANN) as phone:
        assert await hears(phone)
        await by_hand(phone)
        assert await hears(phone)
    with pytest.raises(BotError, match="mute_s=-1"):
        Bot(mute_s=-1)


async def test_what_ends_a_wait_and_what_comes_from_outside_counts_after_the_mute() -> None:
    bot = Bot(groups="all")
    bot.on_message("mute this")(does(lambda ctx: ctx.mute(for_s=600)))

    @bot.on_message("soup")
    async def soup(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Paid." if await ctx.pay(1250, "A soup", timeout_s=60) else "Not paid.")

    @bot.on_message("lunch")
    async def lunch(message: MessageReceived, ctx: Context) -> None:
        result = await ctx.vote(["Thai", "Pizza"], until=1)
        await ctx.reply(f"{result.winner}!")

    @bot.on_post("order.shipped")
    async def shipped(post: Posted, ctx: Context) -> None:
        await ctx.send(f"Parcel {post.read(Parcel).number} is on its way.")

    async with talking(bot, handle=ANN) as phone:
        *_, choices = await answers(phone, "soup", "lunch")
        await phone.text("mute this")
        await phone.pay()
        await phone.vote(choices, "Thai")
        await phone.post("order.shipped", {"number": 17})
        await phone.advance(300)  # longer than the payment is awaited
        await phone.quiet()
        await phone.advance(301)
        assert {*map(str, await phone.replies())} == {"Paid.", "Thai!", "Parcel 17 is on its way."}


@pytest.mark.parametrize("person", [OWNER, None])
async def test_a_post_without_a_chat_waits_for_the_end_of_a_mute_of_all_chats(person: str | None) -> None:
    bot = Bot()

    started = list[Running]()
    bot.on_message("mute all")(does(lambda ctx: ctx.bot.mute("*", for_s=600)))

    @bot.on_start
    async def start(running: Running) -> None:
        started.append(running)

    @bot.on_post("menu.changed")
    async def changed(post: Posted, ctx: Context) -> None:
        await ctx.bot.send("A new menu!", to=OWNER, line=phone.line)

    async with talking(bot, handle=ANN) as phone:
        await phone.text("mute all")
        await phone.quiet()
        await started[0].post("menu.changed", {}, id="1", person=person)
        await phone.advance(300)
        assert await phone.person(OWNER).replies() == []
        await phone.advance(301)
        assert await phone.person(OWNER).replies() == ["A new menu!"]


async def test_a_broadcast_leaves_out_a_person_whose_chat_is_muted() -> None:
    bot = Bot()
    bot.on_message("hello")(says("{}"))
    bot.on_message("news")(does(lambda ctx: ctx.bot.broadcast([ANN, OWNER], "News!", name="news")))

    @bot.on_broadcast_done
    async def done(event: BroadcastDone, ctx: Context) -> None:
        refused = [each async for each in ctx.bot.recipients(event.name, "refused")]
        await ctx.bot.send(f"{refused[0].handle}: {refused[0].reason}", to=OWNER, line=phone.line)

    async with talking(bot, handle=ANN) as phone:
        await answers(phone, "hello")
        await by_hand(phone)
        await phone.person(OWNER).text("news")
        await phone.advance(60)
        heard = [*map(str, await phone.person(OWNER).replies())]
        assert heard[0] == "News!"
        assert heard[1].startswith(f"{ANN}: a mute: The bot is muted")
        await phone.quiet()


async def test_a_handler_of_an_event_that_no_mute_concerns_runs_again_while_all_chats_are_muted() -> None:
    bot, runs = Bot(), list[bool]()
    bot.on_message("mute all")(does(lambda ctx: ctx.bot.mute("*", for_s=600)))

    @bot.on(TypingStarted)
    async def typing(event: TypingStarted, ctx: Context) -> None:
        runs.append(event.muted)
        if len(runs) == 1:
            raise ConnectionError

    async with talking(bot, handle=ANN) as phone:
        await answers(phone, "mute all")
        await phone.typing()
        assert [type(each) for each in await phone.errors()] == [ConnectionError]
        await phone.advance(60)
    assert runs == [False, False]


async def test_the_handle_of_a_person_is_no_chat_to_mute() -> None:
    bot, refused = Bot(), list[str]()

    @bot.on_message
    async def handle(message: MessageReceived, ctx: Context) -> None:
        for call in (ctx.bot.mute, ctx.bot.unmute, ctx.bot.end_questions):
            with pytest.raises(BotError, match="takes the id of a chat") as info:
                await call(message.sender.handle)
            refused.append(str(info.value))
        await ctx.bot.send("I still write to people.", to=OWNER)

    async with talking(bot, handle=ANN) as phone:
        await phone.text("mute me")
        assert await phone.person(OWNER).next_reply() == "I still write to people."
    assert len(refused) == 3
    assert ANN not in " ".join(refused)


async def test_a_word_of_the_owner_joins_no_burst() -> None:
    bot = Bot(gather_s=2, owner=OWNER, mute_word="bot off")
    bot.on_message(says("hello"))
    async with talking(bot) as phone:
        owner = phone.person(OWNER)
        assert await answers(owner, "one moment", "bot off", "thanks") == [
            "hello",
            "The bot is silent in all chats. To end that, write: bot on",
        ]
        assert await answers(phone, "hi") == []


async def test_handlers_of_linqbot_have_names_that_authors_know() -> None:
    bot, names = Bot(owner=OWNER, mute_word="bot off"), list[str | None]()
    bot.include(Hours("mon 9-12", timezone="UTC").changed_by(OWNER))

    @bot.use
    def note(next_: Next) -> Next:
        async def handle(event: Event, ctx: Context) -> None:
            await next_(event, ctx)
            if isinstance(event, MessageReceived):
                names.append(ctx.handler)

        return handle

    async with talking(bot, handle=OWNER) as phone:
        for text in ("hours", "bot off", "bot on"):
            await answers(phone, text)
    assert names == ["linqbot:Hours.changed_by", "linqbot:Bot.mute_word", "linqbot:Bot.unmute_word"]
