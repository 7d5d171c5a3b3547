"""Messages that grow old: one whose handler has begun is answered or given up, and never dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from storages import open_storage

from linqbot import Bot, Context, Failure, MessageReceived
from linqbot.testing import HandlerFailed, Phone, talking

DAY_S = 86_400.0


class Kitchen:
    """A bot whose handlers fail while it is closed, and the messages that it gave up.

    Args:
        has_late: True adds a handler for late messages.
    """

    def __init__(self, *, has_late: bool) -> None:
        self.is_open = True
        self.given_up: list[str] = []
        self.bot = bot = Bot(loop_breaker=False)

        @bot.on_message(attempts=1)
        async def order(message: MessageReceived, ctx: Context) -> None:
            self.check()
            await ctx.reply(f"{message.text}!")

        async def regret(message: MessageReceived, ctx: Context) -> None:
            self.check()
            await ctx.reply(f"{message.text} is off.")

        if has_late:
            bot.on_message(late=True, attempts=1)(regret)

        @bot.on_dead_letter
        async def apologise(failure: Failure, message: MessageReceived, ctx: Context) -> None:
            self.given_up.append(message.text)

    def check(self) -> None:
        if not self.is_open:
            raise OSError("The kitchen is closed.")


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen(has_late=True)


@pytest.fixture
def fresh() -> Kitchen:
    return Kitchen(has_late=False)


async def closed(kitchen: Kitchen, phone: Phone, *, late_s: float = 0.0) -> None:
    """Let an order come while the kitchen is closed, which then opens after three days."""
    kitchen.is_open = False
    await phone.text("soup", late_s=late_s)
    assert len(await phone.errors()) == 1
    await phone.advance(3 * DAY_S)
    kitchen.is_open = True


async def put_back(phone: Phone, url: str) -> None:
    """Put all dead letters back as `linqbot waiting retry` does, and start the bot again, which finds them at once."""
    ids = [letter.delivery.id for letter in await phone.dead_letters()]
    async with open_storage(url, serving=False) as inbox:
        assert await inbox.retry(ids) == len(ids)
    await phone.restart()


async def test_a_message_that_linq_has_put_off_for_a_day_is_given_up_and_not_dropped(fresh: Kitchen) -> None:
    async with talking(fresh.bot) as phone:
        phone.fail_next("chats.messages.send", status=429, retry_after_s=3500, times=100)
        await phone.text("soup")
        with pytest.raises(HandlerFailed, match="given up"):
            await phone.advance(DAY_S + 3600)
        assert (fresh.given_up, len(await phone.dead_letters())) == (["soup"], 1)


async def test_after_a_long_downtime_a_message_that_was_put_off_is_given_up_and_one_that_waited_reaches_no_handler(
    fresh: Kitchen,
) -> None:
    async with talking(fresh.bot) as phone:
        phone.fail_next("chats.messages.send", status=429, retry_after_s=600, times=2)
        await phone.text("soup")
        await phone.text("trout")  # waits behind the soup
        await phone.restart(down_s=3 * DAY_S)
        (error,) = await phone.errors()
        assert "older than Bot(max_age_s=…)" in str(error)
        assert (fresh.given_up, await phone.waiting(), await phone.replies()) == (["soup"], 0, [])


@pytest.mark.parametrize("late_s", [0.0, 2 * DAY_S])
async def test_an_operator_who_puts_an_old_dead_letter_back_has_it_handled_by_the_handler_that_failed(
    kitchen: Kitchen, tmp_path: Path, late_s: float
) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    async with talking(kitchen.bot, storage=url) as phone:
        await closed(kitchen, phone, late_s=late_s)
        await put_back(phone, url)
        assert await phone.replies() == ["soup is off." if late_s else "soup!"]


async def test_an_old_dead_letter_that_is_put_back_waits_for_linq_as_long_as_it_is_away(
    kitchen: Kitchen, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    async with talking(kitchen.bot, storage=url) as phone:
        await closed(kitchen, phone)
        phone.fail_next("chats.messages.send", status=429, retry_after_s=600)
        await put_back(phone, url)
        assert (await phone.replies(), await phone.waiting()) == ([], 1)
        await phone.advance(600)
        assert await phone.replies() == ["soup!"]
