"""An address that a person sends alone comes as a link without a text; every door of the bot reads it as what was said."""

from __future__ import annotations

from linqbot import Bot, Context, MessageReceived, contains, has_link, regex
from linqbot.testing import talking

MENU = "https://example.com/menu"


async def test_each_kind_of_filter_sees_the_address_of_a_link() -> None:
    for filters in ((MENU,), (contains("example.com"),), (regex(r"https?://[^/]+"),), (has_link,)):
        bot = Bot()

        @bot.on_message(*filters)
        async def take(message: MessageReceived, ctx: Context) -> None:
            await ctx.reply(f"took {message.text.removeprefix('https://')}")

        async with talking(bot) as phone:
            await phone.link(MENU)
            assert await phone.next_reply() == "took example.com/menu"


async def test_an_echo_of_a_link_says_its_address_once() -> None:
    bot = Bot()

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(message.text)

    async with talking(bot) as phone:
        await phone.link(MENU)
        assert await phone.replies() == [MENU]


async def test_a_burst_a_question_and_the_history_have_the_address_once() -> None:
    bot = Bot(gather_s=2)

    @bot.on_message("go")
    async def ask(message: MessageReceived, ctx: Context) -> None:
        page = await ctx.ask("Which page?")
        await ctx.reply(page)

    @bot.on_message
    async def other(message: MessageReceived, ctx: Context) -> None:
        said = (await ctx.history()).as_text()
        await ctx.reply(f"{message.text!r}, {len(message.links)} link, {said.count(MENU)} in the history")

    async with talking(bot) as phone:
        await phone.text("look at this")
        await phone.link(MENU)
        assert await phone.next_reply() == f"'look at this\\n{MENU}', 1 link, 1 in the history"
        await phone.text("go")
        assert await phone.next_reply() == "Which page?"
        await phone.link(MENU)
        assert await phone.next_reply() == MENU
