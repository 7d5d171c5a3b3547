"""Writes the storage file of a release, with rows in every table, for tests/storage/test_released_files.py.

    uv run --all-packages python tests/support/released_storage.py tests/data/storage/0.2.0.db.gz

`.ci/release` runs it for the version that it releases. A bot is served until it has a waiting delivery, a dead letter, a kept
one, an open question, a scheduled message, a muted chat, a refused
send, and a broadcast that has reached one of two people.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
from fakes import LINE, NOW, PERSON, delivery, text_body
from patience import until
from pydantic import BaseModel

from linqbot import Bot, Client, Context, MessageReceived
from linqbot.clock import MovableClock
from linqbot.server.app import create_app, running
from linqbot.storage.acts import By
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.state import StateWrite

FRIEND = "+14155550143"
CHATS = {
    name: f"20000000-0000-4000-8000-{n:012}"
    for n, name in enumerate(("book", "later", "knock", "fail", "july", "rest"), 1)
}
"""The chat in which each text is written."""


class Door(BaseModel):
    """Closed while the file is written: what fails then succeeds when the file is served."""

    is_open: bool = False


class Guest(BaseModel):
    visits: int = 0


bot = Bot(read=False, typing=False, max_age_s=None, allow_to=[PERSON, FRIEND])
door = Door()


@bot.on_message("book")
async def book(message: MessageReceived, ctx: Context) -> None:
    guest = await ctx.state.person(Guest)
    guest.visits += 1
    number = await ctx.once("number", lambda _: _number())
    name = await ctx.ask("Your name?")
    await ctx.reply(f"Booked, {name}: {number}, visit {guest.visits}.")


async def _number() -> str:
    return "K-1" if not door.is_open else "K-2"


@bot.on_message("later")
async def later(message: MessageReceived, ctx: Context) -> None:
    await ctx.send_later("It is time.", after_s=30)
    await ctx.reply("In half a minute.")


@bot.on_message("knock")
async def knock(message: MessageReceived, ctx: Context) -> None:
    if not door.is_open:
        raise RuntimeError("The door is closed.")
    await ctx.reply("Come in.")


@bot.on_message("fail", attempts=1)
async def fail(message: MessageReceived, ctx: Context) -> None:
    if not door.is_open:
        raise RuntimeError("The door is closed.")
    await ctx.reply("Better now.")


@bot.on_message("july")
async def july(message: MessageReceived, ctx: Context) -> None:
    await ctx.bot.broadcast([PERSON, FRIEND], "July is out.", name="july", per_minute=2, line=LINE)


@bot.on_message("rest")
async def rest(message: MessageReceived, ctx: Context) -> None:
    await ctx.bot.send("Hello.", to="+14155550199", line=LINE)  # refused
    await ctx.bot.record_consent(PERSON, given=True, how="said so")
    await ctx.mute(reason="Dana answers")


@dataclass
class Linq:
    """Linq, which accepts every message. `said` has the texts, in order."""

    said: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "GET" and path.endswith(CHATS["rest"]):
            return httpx.Response(200, json={"id": CHATS["rest"], "handles": [], "is_group": False})
        if request.method == "GET":
            lines = [{"id": str(uuid4()), "phone_number": LINE}]
            return httpx.Response(200, json={"phone_numbers": lines, "chats": [], "messages": []})
        body = json.loads(request.content)
        self.said += [part["value"] for part in body["message"]["parts"]]
        message = {"id": str(uuid4()), "delivery_status": "pending", "parts": []}
        if path.endswith("/chats"):
            chat = {"id": str(uuid4()), "handles": [], "is_group": False, "service": "iMessage", "message": message}
            return httpx.Response(201, json={"chat": chat})
        return httpx.Response(202, json={"chat_id": path.split("/")[-2], "message": message})


@asynccontextmanager
async def served(path: Path, clock: MovableClock) -> AsyncIterator[tuple[SQLiteStorage, Linq]]:
    """Serve the bot on a file, at a time that stands still."""
    linq, storage = Linq(), SQLiteStorage(path, clock=clock, keep_days=9)
    client = Client("key", transport=httpx.MockTransport(linq), clock=clock)
    secrets = ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="]
    app = create_app(bot, client=client, storage=storage, secrets=secrets, clock=clock, order_wait_s=0)
    async with running(app):
        yield storage, linq


async def write(path: Path) -> None:
    """Write the file. Its process has ended, and its time is `NOW`."""
    door.is_open = False
    async with served(path, MovableClock(NOW, frozen=True)) as (storage, linq):
        for text, chat in CHATS.items():
            await storage.put(delivery(text_body(text, chat=chat)))

        async def is_complete() -> bool:
            waiting, counts = await storage.waiting(), await storage.inbox_counts()
            texts = {"Your name?", "In half a minute.", "July is out."}
            is_asked = bool(await storage.conversations()) and bool(storage.holds)
            return (
                [each.state for each in waiting] == ["retrying"]
                and counts.dead == 1
                and is_asked
                and texts <= {*linq.said}
            )

        await until(is_complete)
        await storage.write_state([StateWrite("bot", "Menu", b'{"soup":3}')], by=By("dana", "new menu"))


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bot.db"
        asyncio.run(write(path))
        assert [each.name for each in path.parent.iterdir() if each.suffix == ".db-wal"] == []
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    print(f"{target} has {target.stat().st_size} bytes.")


if __name__ == "__main__":
    # As a module: the file has the names of the handlers, which are the same when a test serves it.
    import released_storage

    released_storage.main(Path(sys.argv[1]))
