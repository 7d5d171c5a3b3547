"""Signs of life: what a person does on purpose is an answer to promotional messages; receipts and typing are none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from one_handler import does

from linqbot import Bot, Context, Manners, ScheduleDue
from linqbot.testing import Bubble, Phone, talking

ANN, LINE = "+14155550142", "+12025550100"
Act = Callable[[Phone, Bubble, Bubble], Awaitable[object]]


def hourly() -> Bot:
    bot = Bot(manners=Manners(per_day=None))

    @bot.every("hour")
    async def send(due: ScheduleDue, ctx: Context) -> None:
        await ctx.bot.send(f"{due.due:%H}", to=ANN, line=LINE)

    bot.on_message(does(lambda ctx: ctx.mark_read()))
    return bot


ALIVE: dict[str, Act] = {
    "text": lambda phone, sent, own: phone.text("thanks"),
    "tapback": lambda phone, sent, own: phone.react(sent, "love"),
    "edit": lambda phone, sent, own: phone.edit(own, "hello!"),
    "poll": lambda phone, sent, own: phone.poll("one", "two"),
    "location": lambda phone, sent, own: phone.share_location(41.9, 12.5),
    "contact card": lambda phone, sent, own: phone.share_card("Ann"),
}
NOTHING: dict[str, Act] = {
    "read": lambda phone, sent, own: phone.read(sent),
    "typing": lambda phone, sent, own: phone.typing(),
}


async def test_a_person_who_gives_a_sign_of_life_gets_further_messages(subtests: pytest.Subtests) -> None:
    for name, act in (ALIVE | NOTHING).items():
        with subtests.test(name=name):
            async with talking(hourly(), handle=ANN) as phone:
                own = await phone.text("hello")
                await phone.quiet()
                await phone.advance(3 * 3600)
                sent = await phone.replies()
                assert len(sent) == 2
                await act(phone, sent[-1], own)
                await phone.quiet()
                await phone.restart()
                await phone.advance(3 * 3600)
                assert len(await phone.replies()) == (2 if name in ALIVE else 0)


async def test_a_sign_of_life_that_comes_late_counts_at_its_own_time() -> None:
    async with talking(hourly(), handle=ANN) as phone:
        phone.fail_next_delivery("message.received", status=503)
        await phone.text("written before both")
        await phone.advance(3 * 3600)
        assert len(await phone.replies()) == 2
