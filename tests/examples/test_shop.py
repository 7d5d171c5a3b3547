"""examples/shop.py: a paid order in another system, made once."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from answers import answers

from linqbot import AppPart, Bot
from linqbot.testing import Bubble, Phone, killed_between_calls, talking


def kitchen() -> Any:
    return sys.modules["shop"].kitchen


def card(bubble: Bubble) -> tuple[str | None, str | None]:
    """Return what is paid for and the amount, as the payment card shows them."""
    (part,) = bubble.parts
    assert isinstance(part, AppPart)
    return part.layout.caption, part.layout.subcaption


def statuses(phone: Phone) -> list[str]:
    return [request.status for request in phone.emulator.state.payment_requests.values()]


async def order_soup(phone: Phone) -> None:
    kitchen().orders.clear()
    kitchen().tickets.clear()
    await phone.text("Soup!")
    assert card(await phone.next_reply()) == ("1 soup", "$8.00")
    await phone.quiet()
    assert not kitchen().orders
    await phone.pay()
    await phone.quiet()


@pytest.mark.slow
async def test_an_order_is_made_once_wherever_the_bot_is_killed_though_each_webhook_comes_three_times(bot: Bot) -> None:
    ends = []
    async for phone in killed_between_calls(bot, order_soup, copies=3):
        asked, end = [message for message in phone.messages if message.from_bot]
        assert card(asked) == ("1 soup", "$8.00")
        assert statuses(phone) == ["succeeded"]
        assert [*kitchen().orders.values()] == ["soup"]
        assert len(kitchen().tickets) <= 1
        if end == "Your soup is order 1.":
            assert end.effect == "celebration"
            assert kitchen().tickets == ["1: soup"]
        else:
            ends.append(end)
    # Killed before and after it prints: in both cases it cannot know.
    assert ends == ["You have order 1. Please tell the waiter, too."] * 2


async def test_who_does_not_pay_gets_nothing_and_may_order_again(bot: Bot) -> None:
    async with talking(bot) as phone:
        assert await answers(phone, "what is there?") == ["We have:\nsoup $8.00\ntrout $21.00\napple tart $7.00"]

        await phone.text("Apple tart")
        assert card(await phone.next_reply()) == ("1 apple tart", "$7.00")
        await phone.decline()
        assert await phone.replies() == ["Your bank has declined it. Write 'apple tart' to try another card."]

        await phone.text("trout")
        assert card(await phone.next_reply()) == ("1 trout", "$21.00")
        await phone.advance(3601)
        assert await phone.replies() == ["Not paid within an hour, so not ordered. Write 'trout' to order again."]

        assert statuses(phone) == ["canceled", "canceled"]
        assert not kitchen().orders

        await order_soup(phone)
        assert await phone.replies() == ["Your soup is order 1."]
        assert [*kitchen().orders.values()] == ["soup"]
