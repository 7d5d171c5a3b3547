"""Linq's rate limits that the client enforces itself (R65, R94)."""

from __future__ import annotations

import httpx
import pytest
from client.http11_peers import CHAT, KEY

from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.errors import LinqUnavailable, RateLimited

pytestmark = pytest.mark.anyio

LINE, OTHER = "+12052535597", "+12052532136"
CARD = {"phone_number": LINE, "first_name": "Acme", "is_active": True}


class Linq:
    """Counts requests and accepts them, or sends a scripted response."""

    def __init__(self) -> None:
        self.status, self.calls = 200, 0

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.calls += 1
        return httpx.Response(self.status, json=CARD)


def client_over(linq: Linq) -> tuple[Client, MovableClock]:
    clock = MovableClock(0.0, frozen=True)
    return Client(KEY, transport=httpx.MockTransport(linq), clock=clock, max_retries=0), clock


async def test_R65_a_contact_card_is_shared_once_per_chat_in_five_minutes() -> None:
    linq = Linq()
    client, clock = client_over(linq)
    async with client:
        await client.chats.share_contact_card(CHAT)
        clock.advance(100)
        with pytest.raises(RateLimited, match="R65") as caught:
            await client.wrapped(lambda run: run).chats.share_contact_card(CHAT)
        assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, 1007, 200.0)
        await client.chats.share_contact_card(CHAT.replace("5", "6"))
        clock.advance(200)
        await client.chats.share_contact_card(CHAT)
    assert linq.calls == 3


async def test_a_call_that_a_wrapper_answers_is_neither_limited_nor_counted() -> None:
    linq = Linq()
    client, _ = client_over(linq)

    async def from_the_journal(call: Call) -> ApiResponse:
        return ApiResponse(200, CARD)

    async with client:
        answered = client.wrapped(lambda run: from_the_journal)
        for _again in range(4):
            await answered.chats.share_contact_card(CHAT)
            await answered.contact_card.create(phone_number=LINE, first_name="Acme")
        await client.chats.share_contact_card(CHAT)
        await client.contact_card.create(phone_number=LINE, first_name="Acme")
        await answered.chats.share_contact_card(CHAT)
    assert linq.calls == 2


async def test_R94_a_card_is_written_three_times_per_line_in_ten_minutes() -> None:
    linq = Linq()
    client, clock = client_over(linq)
    async with client:
        await client.contact_card.create(phone_number=LINE, first_name="Acme")
        clock.advance(60)
        await client.contact_card.update(phone_number=LINE, last_name="A")
        await client.contact_card.update(phone_number=LINE, last_name="B")
        with pytest.raises(RateLimited, match="R94") as caught:
            await client.contact_card.update(phone_number=LINE, last_name="C")
        assert caught.value.retry_after_s == 540.0
        await client.contact_card.create(phone_number=OTHER, first_name="Acme")
        clock.advance(540)
        await client.contact_card.update(phone_number=LINE, last_name="C")
    assert linq.calls == 5


async def test_R94_what_did_not_work_may_be_repeated_at_once() -> None:
    linq = Linq()
    client, _ = client_over(linq)
    linq.status = 500
    async with client:
        for _again in range(4):
            with pytest.raises(LinqUnavailable):
                await client.contact_card.create(phone_number=LINE, first_name="Acme")
    assert linq.calls == 4
