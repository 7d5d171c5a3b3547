"""examples/missed_call.py: a message to a person whose call was not answered."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from answers import answers

from linqbot import Bot
from linqbot.testing import Phone, killed_between_calls, talking

MISSED = 'Sorry that we missed your call! Write your question, or "call me".'
FRIDAY = datetime(2026, 11, 20, 9, tzinfo=UTC)


async def call(phone: Phone) -> None:
    await phone.event("call.no_answer", {"from": phone.handle, "to": phone.line})


async def test_a_missed_call_is_answered_and_the_person_is_called_back(bot: Bot) -> None:
    async with talking(bot, start=FRIDAY) as phone:
        await call(phone)
        assert await phone.next_reply() == MISSED
        assert await answers(phone, "Call me") == ["When shall we call you?"]
        assert await answers(phone, "monday 15:30") == ["We will call you on Monday at 15:30."]
        assert await answers(phone, "Do you have soup?") == ["Thank you. A person will answer you soon."]


async def test_a_call_of_our_own_and_one_without_numbers_send_nothing(bot: Bot) -> None:
    async with talking(bot) as phone:
        await phone.event("call.no_answer", {"from": phone.line, "to": phone.handle})
        await phone.event("call.no_answer", {"id": "1"})
        await phone.quiet()
        assert not [sent for sent in phone.calls if sent.method == "POST"]
        with pytest.raises(ValueError, match=r"no event 'call.not_answered'. Did you mean 'call.no_answer'"):
            await phone.event("call.not_answered", {})


async def test_a_crash_at_any_point_sends_it_once(bot: Bot) -> None:
    async for phone in killed_between_calls(bot, call, copies=3):
        assert phone.messages == [MISSED]
