"""`ctx.chat`: changes of the event's chat, which start no turn of their own and are made once, whatever crashes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from answers import answers
from one_handler import bot_of, does
from refusing import Refusing

from linqbot import Bot, BotError, Context, MessageReceived, RuleBroken, regex
from linqbot.events import GroupChange, ParticipantAdded, ParticipantRemoved
from linqbot.testing import Phone, killed_between_calls, talking

BOB, EVE, DAN = "+14155550143", "+14155550144", "+14155550145"
ICON = "https://example.com/icon.png"


def facilitating() -> tuple[Bot, list[GroupChange]]:
    """Return a bot that changes its group when a person says so, and the changes that reach its handler."""
    bot, seen = Bot(groups="all", loop_breaker=False), list[GroupChange]()

    bot.on_message(regex(r"^add (\S+)$"))(does(lambda ctx: ctx.chat.add(ctx.match[1])))
    bot.on_message(regex(r"^remove (\S+)$"))(does(lambda ctx: ctx.chat.remove(ctx.match[1])))

    @bot.on_message("decorate")
    async def decorate(message: MessageReceived, ctx: Context) -> None:
        await ctx.chat.rename("Dinner")
        await ctx.chat.set_icon(ICON)
        await ctx.chat.set_background("sky sunset")
        await ctx.reply(", ".join(each.handle for each in await ctx.chat.people()))

    @bot.on_message("leave")
    async def leave(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Bye!")
        await ctx.chat.leave()

    @bot.on_group_change
    async def note(change: GroupChange, ctx: Context) -> None:
        seen.append(change)

    return bot, seen


def members(phone: Phone) -> set[str]:
    return {each.handle for each in phone.chat.handles if each.status == "active" and not each.is_me}


async def test_the_group_changes_and_its_own_changes_reach_no_handler() -> None:
    bot, seen = facilitating()
    async with talking(bot) as phone:
        group = phone.group(BOB, EVE)
        assert await answers(group, "decorate") == [f"{phone.handle}, {BOB}, {EVE}"]
        assert (group.chat.display_name, group.chat.group_chat_icon) == ("Dinner", ICON)
        background = phone.emulator.state.chat(group.chat_id).background
        assert background is not None
        assert (background.style, background.variant) == ("sky", "sunset")
        await group.text(f"add {DAN}")
        await group.quiet()
        assert members(group) == {phone.handle, BOB, EVE, DAN}
        await group.text(f"remove {DAN}")
        await group.quiet()
        assert members(group) == {phone.handle, BOB, EVE}
        assert seen == []


async def test_being_added_to_a_group_and_being_removed_reach_a_handler_and_leaving_does_not() -> None:
    bot, seen = facilitating()
    async with talking(bot) as phone:
        group = phone.group(BOB, EVE, DAN)
        await group.text("hi")
        await group.remove(phone.line)
        await group.bring(phone.line)
        await group.text("leave")
        await group.quiet()
        assert [type(change) for change in seen] == [ParticipantRemoved, ParticipantAdded]
        assert "bot" not in {each.status for each in group.chat.handles if each.is_me}
        assert {each.status for each in group.chat.handles if each.is_me} == {"left"}


async def test_an_event_that_never_comes_is_awaited_for_an_hour_only() -> None:
    bot, seen = facilitating()
    async with talking(bot) as phone:
        group = phone.group(BOB, EVE)
        phone.fail_next_delivery("participant.added", status=400)
        await group.text(f"add {DAN}")
        await phone.advance(timedelta(hours=2).total_seconds())
        await group.remove(DAN)
        await group.bring(DAN)
        await group.quiet()
        assert [change.type for change in seen] == ["participant.removed", "participant.added"]


async def test_a_change_that_is_there_already_is_no_error() -> None:
    bot, seen = facilitating()
    async with talking(bot) as phone:
        group = phone.group(BOB, EVE, DAN)
        await group.text(f"add {BOB}")
        await group.text("remove +14155550199")
        await group.quiet()
        assert members(group) == {phone.handle, BOB, EVE, DAN}
        assert seen == []


@pytest.mark.parametrize(("said", "verb"), [(f"add {DAN}", "add"), (f"remove {DAN}", "remove"), ("leave", "leave")])
async def test_a_lost_answer_makes_a_change_once_and_its_event_reaches_no_handler(said: str, verb: str) -> None:
    bot, seen = facilitating()
    async with talking(bot) as phone:
        group = phone.group(BOB, EVE, *([] if verb == "add" else [DAN]))
        await group.text("hi")
        await phone.advance(60)
        phone.drop_next(f"chats.participants.{verb}" if verb != "leave" else "chats.leave_chat", lost="answer")
        await group.text(said)
        await group.quiet()
        assert (DAN in members(group)) == (verb != "remove")
        assert seen == []
        assert len(await group.replies()) == (verb == "leave")


@pytest.mark.slow
@pytest.mark.parametrize("said", [f"add {DAN}", "leave"])
async def test_a_crash_at_any_point_changes_the_group_once(said: str) -> None:
    bot, seen = facilitating()
    groups: list[Phone] = []

    async def scenario(phone: Phone) -> None:
        groups.append(phone.group(BOB, EVE, *([DAN] if said == "leave" else [])))
        await groups[-1].text(said)

    async for _ in killed_between_calls(bot, scenario, copies=3):
        group = groups[-1]
        assert DAN in members(group)
        assert await group.replies() == (["Bye!"] if said == "leave" else [])
        assert seen == []


@pytest.mark.slow
async def test_a_groups_picture_is_uploaded_once_also_when_the_handler_is_killed_and_runs_again(tmp_path: Path) -> None:
    path = tmp_path / "icon.png"
    path.write_bytes(b"icon")

    async def decorate(message: MessageReceived, ctx: Context) -> None:
        await ctx.chat.set_icon(path)
        with path.open("rb") as opened:
            await ctx.chat.set_icon(opened)  # the same file
        await ctx.chat.set_icon(b"other", filename="other.png")
        await ctx.reply("Done.")

    groups: list[Phone] = []

    async def scenario(phone: Phone) -> None:
        groups.append(phone.group(BOB, EVE))
        await groups[-1].text("hi")

    async for phone in killed_between_calls(bot_of(decorate, groups="all"), scenario):
        assert await groups[-1].replies() == ["Done."]
        assert (groups[-1].chat.group_chat_icon or "").endswith("/other.png")
        # Only a kill between an upload and its record repeats the upload.
        assert len([call for call in phone.calls if call.name == "attachments.create"]) <= 3


@pytest.mark.parametrize("verb", ["rename", "add", "remove", "set_icon", "leave"])
async def test_changes_of_groups_are_refused_in_a_direct_chat(verb: str) -> None:
    async def change(message: MessageReceived, ctx: Context) -> None:
        await getattr(ctx.chat, verb)(*([] if verb == "leave" else [DAN]))

    async with talking(bot_of(change)) as phone:
        await phone.text("hi")
        (error,) = await phone.errors()
        assert isinstance(error, BotError)
        assert f"ctx.chat.{verb}() is for groups, and this chat is direct" in str(error)
        assert not [call for call in phone.calls if call.method != "GET" and "read" not in call.path]


async def test_a_mistake_says_what_to_do() -> None:
    said: list[str] = []

    async def change(message: MessageReceived, ctx: Context) -> None:
        for wrong in (
            lambda: ctx.chat.set_background("mago"),
            lambda: ctx.chat.set_background("mango", photo=ICON),  # type: ignore[call-overload]
            lambda: ctx.chat.set_background(photo="icon.png"),
            lambda: ctx.chat.set_background(shades=["red", "blue"]),
            lambda: ctx.chat.rename(" "),
            lambda: ctx.chat.rename(None),  # type: ignore[arg-type]
            lambda: ctx.chat.add("Dan"),
            lambda: ctx.chat.renam("x"),  # type: ignore[attr-defined]
        ):
            try:
                await wrong()
            except (BotError, RuleBroken, AttributeError) as error:
                said.append(str(error))

    async with talking(bot_of(change)) as phone:
        await phone.group(BOB, EVE).by(BOB).text("hi", mention=True)
        await phone.quiet()
    assert [each[:40] for each in said] == [
        "R66: variant is not a value Linq knows. ",
        "ctx.chat.set_background() takes one of a",
        "R66: a photo needs an https image_url.",
        "R66: shades must be two colors such as #",
        "ctx.chat.rename(' ') has no name. Linq c",
        "ctx.chat.rename(None) has no name. Linq ",
        "R8: handle is neither an E.164 phone num",
        "ChatContext has no attribute renam. Did ",
    ]


async def test_a_change_that_a_plugin_refuses_is_not_made_and_the_handler_goes_on() -> None:
    async def rename(message: MessageReceived, ctx: Context) -> None:
        await ctx.chat.rename("Dinner")
        await ctx.reply("Done.")

    no_names = Refusing(lambda call: call.name == "chats.update", "no names")
    async with talking(bot_of(rename, groups="all", plugins=[no_names])) as phone:
        group = phone.group(BOB)
        await group.text("rename")
        assert await group.replies() == ["Done."]
        assert group.chat.display_name != "Dinner"


async def test_a_change_by_an_interrupted_run_reaches_no_handler_either() -> None:
    bot = Bot(groups="all")
    seen, added = list[GroupChange](), asyncio.Event()

    @bot.on_message(overlap="restart")
    async def add(message: MessageReceived, ctx: Context) -> None:
        if len(message.burst) > 1:
            await ctx.reply("Done.")
        else:
            await ctx.chat.add(DAN)
            added.set()
            await asyncio.Event().wait()

    @bot.on_group_change
    async def note(change: GroupChange, ctx: Context) -> None:
        seen.append(change)

    async with talking(bot) as phone:
        group = phone.group(BOB, EVE)
        phone.fail_next_delivery("participant.added")  # Linq delivers it again, after the message
        await group.text("add Dan")
        await added.wait()
        assert await answers(group, "please") == ["Done."]
        await phone.advance(60)
        assert DAN in members(group)
        assert seen == []
