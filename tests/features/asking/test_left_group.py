"""Questions in a group that the bot leaves by itself."""

from __future__ import annotations

from linqbot import Bot, Context, MessageReceived
from linqbot.testing import talking


async def test_the_bots_own_leave_ends_the_questions_of_the_group() -> None:
    bot = Bot(groups="all", on_ask_timeout="That took too long.")

    @bot.on_message("seats")
    async def seats(message: MessageReceived, ctx: Context) -> None:
        await ctx.ask("How many?", timeout_s=60)

    @bot.on_message("go away")
    async def go_away(message: MessageReceived, ctx: Context) -> None:
        await ctx.chat.leave()

    async with talking(bot) as ann:
        group = ann.group("+14155550143", "+14155550144", "+14155550145")
        await group.text("seats")
        assert await group.next_reply() == "How many?"
        await group.by("+14155550143").text("go away")
        await group.quiet()
        await group.advance(100)
        assert await group.replies() == []
        assert await group.dead_letters() == []
