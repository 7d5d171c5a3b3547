"""`linqbot dev` with its bot: the clock on the page, what the bot stores, and starting again from a message."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from dev_command import Dev
from emulator_control import ANN, replies
from linqbot_dev.dev.runner import KEPT
from patience import PATIENCE_S

pytestmark = [pytest.mark.process, pytest.mark.slow]

BOT = """
import asyncio
from linqbot import Bot, Context, MessageReceived

bot = Bot()
count = 0


@bot.on_message("remind me")
async def remind(message: MessageReceived, ctx: Context) -> None:
    await ctx.send_later("an hour is over", after_s=3600)
    await ctx.send_later("a day is over", after_s=86_400)
    await ctx.reply("I will")


@bot.on_message("boom")
async def boom(message: MessageReceived, ctx: Context) -> None:
    raise ValueError("broken")


@bot.on_message
async def number(message: MessageReceived, ctx: Context) -> None:
    global count
    count += 1
    await ctx.reply(f"{message.text} {count}")
"""


class Page:
    """Acts as the page of a running `linqbot dev` does."""

    def __init__(self, dev: Dev) -> None:
        self.url, self.file = dev.url, dev.file
        self.save, self.until = dev.save, dev.until
        self._http = httpx.Client(base_url=dev.url, timeout=PATIENCE_S)

    def close(self) -> None:
        self._http.close()

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self._http.post(f"/emulator/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **query: str) -> Any:
        return self._http.get(f"/emulator/{path}", params=query).raise_for_status().json()

    def write(self, text: str, *awaited: str) -> dict[str, str]:
        """Write to the bot, and wait until the replies in all chats are these."""
        parts = [{"type": "text", "value": text}]
        written = self.post("inbound", 201, **{"from": ANN}, to="+12025550100", parts=parts)
        if awaited:
            self.until(lambda: replies(self.url) == list(awaited))
        return dict(written)

    def stored(self, chat_id: str) -> dict[str, Any]:
        return dict(self.get("stored", chat_id=chat_id))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Dev(tmp_path_factory.mktemp("dev"), BOT) as dev:
        running = Page(dev)
        yield running
        running.close()


@pytest.fixture
def page(served: Page) -> Page:
    """A page without conversations, in real time, whose bot has just started."""
    served.post("reset", 204)
    return served


def test_the_bots_clock_moves_along_also_after_a_saved_file_and_scheduled_sends_come_at_their_times(page: Page) -> None:
    chat_id = page.write("remind me", "I will")["chat_id"]
    scheduled = page.until(lambda: page.stored(chat_id)["scheduled"])
    assert [(send["text"], send["chat_id"]) for send in scheduled] == [
        ("an hour is over", chat_id),
        ("a day is over", chat_id),
    ]
    assert page.post("clock", to=scheduled[0]["due"])["stopped"] is None
    assert replies(page.url) == ["I will", "an hour is over"]
    # Seven days in one move: the second send must not be six days late, which is more than it allows.
    assert page.post("clock", advance_s=7 * 86_400)["stopped"] is None
    assert replies(page.url) == ["I will", "an hour is over", "a day is over"]
    ahead_s = page.get("clock")["ahead_s"]
    assert abs(ahead_s - 7 * 86_400 - 3600) < 30
    # A bot that a saved file starts has the moved clock too: its sends are due from then on.
    page.save(BOT.replace("I will", "I shall"))
    page.write("remind me")
    page.until(lambda: replies(page.url)[-1] == "I shall")
    due = page.until(lambda: page.stored(chat_id)["scheduled"])[0]["due"]
    assert abs(time.time() + ahead_s + 3600 - time_of(due)) < 60
    page.save(BOT)


def time_of(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def test_restarting_from_a_message_rewinds_emulator_storage_and_clock(page: Page) -> None:
    chat_id = page.write("remind me", "I will")["chat_id"]
    first = page.until(lambda: page.stored(chat_id)["scheduled"])
    second = page.write("two", "I will", "two 1")
    page.post("clock", advance_s=2 * 86_400)
    third = page.write("three", "I will", "two 1", "an hour is over", "a day is over", "three 2")
    restarted = page.post("restart", 201, message_id=second["message_id"])
    # The bot's process is a new one, so it counts from 1 again.
    page.until(lambda: replies(page.url) == ["I will", "two 1"])
    assert restarted["chat_id"] == chat_id
    assert page.stored(chat_id)["scheduled"] == first
    assert abs(page.get("clock")["ahead_s"]) < 1
    (chat,) = page.get("state")["chats"]
    assert [message["parts"][0]["value"] for message in chat["messages"]] == ["remind me", "I will", "two", "two 1"]
    # The message has a new id; its old id and those of later messages are gone.
    for gone in (second, third):
        error = page.post("restart", 409, message_id=gone["message_id"])["error"]["message"]
        assert f"latest {KEPT} messages" in error
    page.post("restart", 201, message_id=restarted["message_id"])
    page.until(lambda: replies(page.url) == ["I will", "two 1"])


def test_deliver_again_is_ignored_run_again_sends_all_again_dead_letters_are_shown_and_a_reset_empties_all(
    page: Page,
) -> None:
    (subscription,) = page.get("state")["subscriptions"]
    bot = subscription["target_url"].partition("/webhooks")[0]
    assert httpx.put(f"{bot}/plugins/linqbot-dev-runner/clock").status_code == 401, "a key protects its clock"
    written = page.write("one", "one 1")
    page.post("deliver-again", 202, message_id=written["message_id"])
    page.post("flush")
    page.until(lambda: page.stored(written["chat_id"])["waiting"] == [])
    assert replies(page.url) == ["one 1"]
    page.post("run-again", 202, message_id=written["message_id"])
    page.until(lambda: replies(page.url) == ["one 1", "one 2"])
    chat_id = page.write("boom")["chat_id"]
    waiting = page.until(lambda: page.stored(chat_id)["waiting"])
    assert waiting[0]["type"] == "message.received"
    page.post("clock", advance_s=600)
    stored = page.stored(chat_id)
    assert stored["waiting"] == []
    assert "ValueError: broken" in stored["dead"][0]["error"]
    assert replies(page.url) == ["one 1", "one 2"]
    page.write("remind me", "one 1", "one 2", "I will")
    page.post("reset", 204)
    assert (page.get("state")["chats"], page.get("clock")["ahead_s"]) == ([], 0)
    assert (page.stored(chat_id)["scheduled"], page.stored(chat_id)["dead"]) == ([], [])
    page.post("restart", 409, message_id=written["message_id"])
    page.write("one", "one 1")


def test_what_the_bot_does_while_it_does_not_run_is_said_and_a_restart_needs_no_running_bot(page: Page) -> None:
    written = page.write("one", "one 1")
    page.save("1 / 0\n")
    assert page.stored(written["chat_id"]) == {"available": True, "is_running": False}
    page.post("run-again", 409, message_id=written["message_id"])
    page.post("restart", 201, message_id=written["message_id"])
    page.save(BOT)
    page.until(lambda: replies(page.url) == ["one 1"])
