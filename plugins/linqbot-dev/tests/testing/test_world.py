"""A test that begins with a declared world."""

from __future__ import annotations

import pytest
from answers import answers

from linqbot import Bot, Context, MessageReceived
from linqbot.testing import AccountLine, Contact, DeclaredWorld, GroupChat, killed_between_calls, talking

WORLD = DeclaredWorld(
    people=[Contact("+14155550150", name="Ann"), Contact("+14155550143", name="Bob", service="SMS")],
    groups=[GroupChat(["Ann", "Bob"], name="Climbing")],
    lines=[AccountLine("+12025550111", reputation="AT_RISK")],
)
bot = Bot(groups="all")


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"{message.service} {message.text}")


async def test_people_and_groups_are_found_by_their_names() -> None:
    async with talking(bot, world=WORLD) as ann:
        assert (ann.handle, ann.line) == ("+14155550150", "+12025550111")
        bob, group = ann.person("Bob"), ann.group("Climbing")
        assert await answers(bob, "hi") == ["SMS hi"]
        await group.by("Bob").text("who is in?")
        assert await group.next_reply() == "SMS who is in?"
        assert group.chat.display_name == "Climbing"
        assert ann.group("Bob").chat.id == group.chat.id
        assert await answers(ann, "hello") == ["iMessage hello"]


async def test_a_handle_and_a_service_of_ones_own_come_before_the_worlds() -> None:
    async with talking(bot, world=WORLD, handle="+14155550143") as bob:
        assert await answers(bob, "hi") == ["SMS hi"]
    async with talking(bot, world=WORLD, handle="dan@example.com", service="RCS") as dan:
        assert await answers(dan, "hi") == ["RCS hi"]


async def test_a_misspelt_name_or_number_is_refused_with_the_nearest_name() -> None:
    world = DeclaredWorld(people=[Contact("+14155550142", name="Ann"), Contact("+14155550143", name="Bob")])
    async with talking(Bot(), world=world) as ann:
        for find in (ann.person, ann.group, ann.group("Bob").by):
            with pytest.raises(ValueError, match=r"'Bobb' is neither a phone number.* Did you mean 'Bob'\?"):
                find("Bobb")
    async with talking(Bot()) as phone:
        with pytest.raises(ValueError, match="'4155550143' is neither a phone number"):
            phone.person("4155550143")


async def test_each_run_of_killed_between_calls_begins_with_the_world() -> None:
    async def hello(phone: object) -> None: ...

    async for phone in killed_between_calls(bot, hello, world=WORLD):
        assert (phone.handle, phone.chat.display_name) == ("+14155550150", "+14155550150")
