"""Everything that a person can do on a phone, and everything that the phone shows."""

from __future__ import annotations

import asyncio

import pytest
from linqbot_dev.emulator.acts.chat_acts import ChangeLine
from linqbot_dev.emulator.acts.conversation import Text, Write
from linqbot_dev.emulator.model.answers import ApiError
from one_handler import bot_of, says

from linqbot import Bot, Context, Event, MessageEdited, MessageReceived, ReactionAdded
from linqbot.errors import ConfigError
from linqbot.linq.types.message import MessageContent, ReplyTo, TextPart
from linqbot.testing import talking

BOB = "+14155550143"
CAT = "cat@example.com"


def noting() -> tuple[Bot, list[Event]]:
    """Return a bot that answers nothing, and the list of its events without receipts."""
    bot, seen = Bot(groups="all", read=False), []

    @bot.on(Event)
    async def note(event: Event, ctx: Context) -> None:
        if not event.is_own and event.type != "chat.created":
            seen.append(event)

    return bot, seen


async def test_what_a_person_writes_reaches_the_bot_as_it_was_written() -> None:
    bot, seen = noting()
    async with talking(bot) as phone:
        first = await phone.text("hi", effect="confetti")
        await phone.reply(first, "and again")
        await phone.link("https://example.com/a")
        photo = await phone.media(b"\x89PNG", "cat.png", text="look")
        await phone.media(b"GIF", "dog.gif")
        await phone.text("old", late_s=90_000)
        await phone.quiet()
        assert photo.media[0].mime_type == "image/png"
        assert (first.effect, photo) == ("confetti", "look")
    messages = [event for event in seen if isinstance(event, MessageReceived)]
    assert [message.text for message in messages][:2] == ["hi", "and again"]
    assert messages[1].reply_to == ReplyTo(message_id=first.id, part_index=0)
    assert [part.type for part in messages[3].parts] == ["text", "media"]
    # A message that Linq found late goes only to handlers that ask for such messages.
    assert len(messages) == 5


async def test_an_email_address_is_the_same_person_in_any_case() -> None:
    bot, seen = noting()
    async with talking(bot, handle="Cat@Example.com", service="SMS") as phone:
        await phone.text("hi")
        await phone.quiet()
        assert (phone.handle, phone.chat.service, phone.messages) == (CAT, "SMS", ["hi"])
        assert phone.person("CAT@example.com").chat_id == phone.chat_id
    assert len(seen) == 1


async def test_a_message_has_the_service_that_the_line_and_all_people_of_its_chat_have_now() -> None:
    bot, seen = noting()
    rcs_line = "+12025550155"
    async with talking(bot) as phone:
        await phone.text("on an iPhone")
        phone.person(phone.handle, service="RCS")
        await phone.text("on a new phone")
        phone.person(phone.handle, service="iMessage")
        await phone.group(phone.person(BOB, service="SMS")).text("with Bob")
        phone.emulator.do(ChangeLine(phone_number=rcs_line, assigned=True, line_type="RCS"))
        phone.emulator.do(Write(from_=phone.handle, to=rcs_line, parts=[Text(value="to a line without iMessage")]))
        await phone.quiet()
    services = [event.service for event in seen if isinstance(event, MessageReceived)]
    assert services == ["iMessage", "RCS", "SMS", "RCS"]


async def test_an_empty_text_and_an_impossible_handle_are_refused() -> None:
    bot, seen = noting()
    async with talking(bot) as phone:
        with pytest.raises(ValueError, match="at least 1 character"):
            await phone.text("")
        with pytest.raises(ValueError, match="an e-mail address"):
            await phone.person("Bob").text("hi")
    assert seen == []


async def test_edits_tapbacks_typing_and_votes_reach_the_bot() -> None:
    bot, seen = noting()
    async with talking(bot) as phone:
        said = await phone.text("helo")
        await phone.edit(said, "hello")
        await phone.react(said, "love")
        await phone.react(said, "🎂")
        await phone.react(said, "🎂", remove=True)
        await phone.typing()
        await phone.typing(False)
        poll = await phone.poll("red", "green")
        await phone.vote(poll, "green")
        await phone.add_option(poll, "blue")
        assert poll.votes == {"red": [], "green": [phone.handle], "blue": []}
        await phone.vote(poll, "green", remove=True)
        await phone.share_location(52.5, 13.4)
        await phone.stop_sharing_location()
        await phone.share_card("Ann", "Lee")
        await phone.quiet()
        assert phone.messages[0] == "hello"
        assert phone.messages[0].is_edited
        with pytest.raises(LookupError, match="There are: red, green, blue"):
            await phone.vote(poll, "pink")
    # Typing and receipts are in a second lane, next to the chat's; only events of one lane are in order.
    types = [event.type for event in seen]
    assert [type_ for type_ in types if type_.startswith("chat.typing")] == [
        "chat.typing_indicator.started", "chat.typing_indicator.stopped",
    ]  # fmt: skip
    assert [type_ for type_ in types if not type_.startswith("chat.typing")] == [
        "message.received", "message.edited", "reaction.added", "reaction.removed", "reaction.added",
        "reaction.removed", "poll.received", "poll.vote.added", "poll.updated", "poll.vote.removed",
        "location.sharing.started", "location.sharing.stopped", "contact_card.received",
    ]  # fmt: skip
    assert isinstance(seen[1], MessageEdited)
    assert ReactionAdded in {type(event) for event in seen}


async def test_a_sticker_lies_where_it_was_put_and_payment_requests_are_found_in_order() -> None:
    bot, seen = noting()
    async with talking(bot) as phone:
        said = await phone.text("hi")
        await phone.sticker(said, b"\x89PNG", "cat.png", x=0.5, y=-1)
        assert said.tapbacks == ["sticker"]
        (sticker,) = phone.emulator.state.message(said.id).reactions
        assert sticker.placement is not None
        assert (sticker.placement.x, sticker.placement.y) == (0.5, -1)
        assert phone.payments == []
        with pytest.raises(ConfigError, match="No payment request is open"):
            await phone.pay()
        for amount in (100, 200):
            await phone.client.payment_requests.create(amount=amount, currency="usd")
        await phone.decline(phone.payments[0])
        await phone.pay(phone.payments[1])
    assert [event.type for event in seen[1:]] == ["reaction.added", "payment.declined", "payment.succeeded"]


async def test_people_join_and_leave_a_group() -> None:
    bot, seen = noting()
    async with talking(bot) as ann:
        bob = ann.person(BOB)
        group = ann.group(bob, CAT)
        first = await group.text("hi all")
        await group.by(bob).text("hi @Ann", mention=True)
        await group.by(CAT).react(first, "laugh")
        await group.by(bob).leave()
        await group.bring(bob)
        await group.remove(CAT)
        await group.quiet()
        assert group.messages == ["hi all", "hi @Ann"]
        assert first.tapbacks == ["laugh"]
        assert group.chat.is_group
        assert {one.handle for one in group.chat.handles if one.status == "active"} == {ann.handle, BOB, ann.line}
        assert group.by(bob).chat_id == group.chat_id
    assert [event.type for event in seen] == [
        "message.received", "message.received", "reaction.added", "participant.removed", "participant.added",
        "participant.removed",
    ]  # fmt: skip
    assert isinstance(seen[1], MessageReceived)
    assert seen[1].is_addressed


async def test_a_mention_marks_a_piece_of_the_text_as_a_person_does() -> None:
    bot, seen = noting()
    async with talking(bot) as ann:
        group = ann.group(BOB)
        await group.text("soup?", mention=True)
        await group.text("\U0001f372 for @Linq", mention=True)
        await group.text("Your bot, a@b.example wants soup", mention="Your bot")
        await group.quiet()
        with pytest.raises(ConfigError, match="mention='Bot' is not in the text 'soup'"):
            await group.text("soup", mention="Bot")
    said = [event for event in seen if isinstance(event, MessageReceived)]
    assert [one.text for one in said] == ["@bot soup?", "\U0001f372 for @Linq", "Your bot, a@b.example wants soup"]
    assert [one.mentions[0].range for one in said] == [(0, 4), (7, 12), (0, 8)]
    assert [one.text_to_me for one in said] == ["soup?", "\U0001f372 for", "a@b.example wants soup"]


async def test_waits_return_the_bot_s_tapbacks_threads_and_typing() -> None:
    go = asyncio.Event()

    async def work(message: MessageReceived, ctx: Context) -> None:
        async with ctx.typing():
            await go.wait()
            await ctx.react("love")
            await ctx.react("custom", custom_emoji="🎂")
            await ctx.reply("done", effect="slam", thread=True)

    async with talking(bot_of(work)) as phone:
        said = await phone.text("please")
        await phone.next_typing()
        assert phone.is_shown_typing
        go.set()
        assert await phone.next_tapback() == "love"
        reply = await phone.next_reply()
        assert (reply, reply.effect, reply.thread) == ("done", "slam", said.id)
        await phone.quiet()
        assert not phone.is_shown_typing
        # A person or a bot has at most one tapback on a message: the newest.
        tapback = await phone.next_tapback()
        assert (tapback, tapback.on.id) == ("🎂", said.id)
        assert said.tapbacks == ["🎂"]


async def test_api_calls_can_be_looked_at() -> None:
    async with talking(bot_of(says("{}"), read=False)) as phone:
        await phone.text("hi")
        await phone.quiet()
        (call,) = phone.calls
        assert (call.name, call.method, call.status) == ("chats.messages.send", "POST", 202)
        assert call.path == f"/v3/chats/{phone.chat_id}/messages"
        assert call.body["message"]["parts"][0]["value"] == "hi"
        assert call.answer["message"]["delivery_status"] == "pending"
        # The repr has no text of people, because it ends up in the logs of test runs.
        assert "hi" not in repr(call).replace("chats", "")


async def test_a_message_of_a_blocked_person_is_not_stored() -> None:
    bot, seen = noting()
    async with talking(bot) as phone:
        await phone.client.blocked_handles.block(handle=phone.handle)
        said = await phone.text("hello?")
        await phone.quiet()
        assert (said, said.id, said.tapbacks, said.votes) == ("hello?", "", [], {})
        with pytest.raises(LookupError):
            _ = said.parts
    assert seen == []


async def test_a_message_that_the_bot_deletes_at_once_is_what_the_person_wrote() -> None:
    async def delete(message: MessageReceived, ctx: Context) -> None:
        await ctx.client.messages.delete(message.id)
        await ctx.reply("It is gone.", thread=True)

    async with talking(bot_of(delete, typing=False)) as phone:
        said = await phone.text("my password is 1234")
        reply = await phone.next_reply()
        assert (said, said.from_bot, reply, reply.thread) == ("my password is 1234", False, "It is gone.", None)


async def test_a_bot_can_write_first() -> None:
    async with talking(Bot()) as phone:
        with pytest.raises(ConfigError, match="does not exist yet"):
            _ = phone.chat_id
        message = MessageContent(parts=(TextPart(value="Good morning"),))
        await phone.client.chats.create(from_=phone.line, to=[phone.handle], message=message)
        assert await phone.next_reply() == "Good morning"
        assert phone.chat_id


async def test_an_act_that_linq_would_not_allow_is_refused() -> None:
    async with talking(Bot()) as phone:
        said = await phone.text("mine")
        bob = phone.person(BOB)
        await bob.text("hi")
        with pytest.raises(ApiError, match="Only the sender"):
            await bob.edit(said, "not mine")
        with pytest.raises(ApiError, match="Only groups"):
            await phone.leave()
