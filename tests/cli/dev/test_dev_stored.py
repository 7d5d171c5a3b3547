"""The storage of a bot as the page of `linqbot dev` shows it."""

from __future__ import annotations

import pytest

from linqbot.cli.dev.inside import MOST, everything
from linqbot.features.later import KIND as SEND
from linqbot.features.schedules import REPEAT, SCHEDULE
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.timers import Timer

pytestmark = pytest.mark.anyio

CALL = (
    b'{"calls": [{"name": "chats.messages.send", "body": {"message": {"parts": [{"type": "text", "value": "hi"}]}}}]}'
)


async def test_scheduled_are_the_authors_sends_and_schedules_and_not_timers_of_linqbots_own() -> None:
    storage = MemoryStorage()
    for n in range(MOST):
        await storage.schedule(Timer(f"timeout{n}", 10.0 + n, "c:chat", "ask", b"{}", 0.0))
    await storage.schedule(Timer("soon", 500.0, "c:chat", SEND, CALL, 0.0))
    await storage.schedule(Timer("daily", 600.0, "c:chat", REPEAT, CALL, 0.0))
    await storage.schedule(Timer("standup", 700.0, "s:standup", SCHEDULE, b"{}", 0.0))
    shown = (await everything(storage, None, [], []))["scheduled"]
    assert [(each["id"], each["text"]) for each in shown] == [
        ("soon", "hi"),
        ("daily", "hi"),
        ("standup", "@bot.every: standup"),
    ]
