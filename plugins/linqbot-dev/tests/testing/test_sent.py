"""`Sent`: what was sent can be edited and deleted; what Linq refused is sent in a plainer form."""

from __future__ import annotations

import pytest
from answers import answers
from one_handler import bot_of, does

from linqbot import Bot, BotError, Context, MessageReceived, ReplyTo, Sent, poll
from linqbot.client.call import ApiResponse
from linqbot.content.sent import UnreadMessage
from linqbot.linq.types.message import MessageContent, TextPart
from linqbot.testing import killed_between_calls, talking

GONE = "11111111-2222-4333-8444-555555555555"


@pytest.mark.slow
async def test_a_message_is_edited_and_deleted_once_wherever_the_bot_is_killed() -> None:
    async def work(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.reply("One moment …", "Two")
        assert await sent.edit("Done.")
        await sent.edit("Three", message=1)
        oops = await ctx.reply("Oops")
        await oops.delete()
        await ctx.reply("Bye")

    async for phone in killed_between_calls(bot_of(work), lambda phone: phone.text("hi")):
        said = [bubble for bubble in phone.messages if bubble.from_bot]
        assert said == ["Done.", "Three", "Bye"]
        assert [bubble.is_edited for bubble in said] == [True, True, False]


async def test_the_messages_of_a_send_are_those_that_linq_accepted() -> None:
    results = list[Sent]()

    async def work(message: MessageReceived, ctx: Context) -> None:
        results.append(await ctx.reply("One", MessageContent(parts=(TextPart(value="Two"),))))

    async with talking(bot_of(work)) as phone:
        await answers(phone, "hi")
    (sent,) = results
    assert [bubble.message.id for bubble in phone.messages if bubble.from_bot] == [each.id for each in sent.messages]
    assert sent.messages is sent.messages
    assert sent.id == sent.messages[0].id
    assert f"messages={sent.messages!r}" in repr(sent)


def test_a_send_whose_answer_cannot_be_read_has_a_repr() -> None:
    sent = Sent(((UnreadMessage("c", ApiResponse(202, {"message": "odd"})), None),))
    assert repr(sent) == "Sent(messages=<unreadable>, status='accepted', degraded=())"


async def test_what_was_not_sent_is_not_edited_and_a_poll_cannot_be() -> None:
    edited = list[bool]()

    async def work(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.reply("Hello")
        edited.append(await sent.edit("Hello!"))
        votes = await ctx.reply(poll("A", "B"))
        with pytest.raises(BotError, match="no message with a text"):
            await votes.edit("C")

    async with talking(bot_of(work)) as phone:
        phone.fail_next("chats.messages.send", status=403, code=2024)
        await answers(phone, "hi")
    assert edited == [False]
    with pytest.raises(BotError, match="outside of a handler"):
        await Sent(((phone.messages[0].message, None),)).delete()


async def test_a_message_that_is_deleted_is_not_edited_and_that_is_no_error() -> None:
    edited = list[bool]()

    async def work(message: MessageReceived, ctx: Context) -> None:
        sent = await ctx.reply("One moment …")
        await sent.delete()
        edited.append(await sent.edit("Done."))
        name = await ctx.ask("Your name?")
        edited.append(await sent.edit(f"Done, {name}."))

    async with talking(bot_of(work)) as phone:
        assert await answers(phone, "hi") == ["Your name?"]
        await answers(phone, "Ada")
    assert edited == [False, False, False]


@pytest.mark.slow
async def test_a_refused_thread_and_effect_do_not_cost_the_answer_wherever_the_bot_is_killed() -> None:
    results = list[Sent]()

    async def answer(message: MessageReceived, ctx: Context) -> None:
        lost = MessageContent(parts=(TextPart(value="Two"),), reply_to=ReplyTo(message_id=GONE))
        results.append(await ctx.reply("One", lost, "Three", effect="confetti"))

    async for phone in killed_between_calls(bot_of(answer), lambda phone: phone.text("hi")):
        said = [bubble for bubble in phone.messages if bubble.from_bot]
        assert said == ["One", "Two", "Three"]
        assert [bubble.effect for bubble in said] == [None, None, "confetti"]
        assert results.pop().degraded == ("thread",)


async def test_a_message_that_linq_refuses_without_thread_and_effect_is_an_error() -> None:
    bot, codes = Bot(), list[int | None]()
    bot.on_message(does(lambda ctx: ctx.reply("One", effect="confetti")))

    @bot.on_error(Exception)
    async def failed(error: Exception, event: object, ctx: Context) -> None:
        codes.append(getattr(error, "code", None))

    async with talking(bot) as phone:
        phone.fail_next("chats.messages.send", status=400, code=1005, times=2)
        await answers(phone, "hi")
        phone.fail_next("chats.messages.send", status=400, code=1005)
        assert await answers(phone, "hi") == ["One"]
    assert codes == [1005]
