"""The calls of linqbot's functions in the turn of an echo. They are counted, so they are the same on every machine."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import httpx
from fakes import delivery, envelope, text_body

import linqbot
from linqbot import Bot, Client, Context, MessageReceived, Sent
from linqbot.server.app import create_app, running
from linqbot.storage.sqlite.storage import SQLiteStorage

PACKAGE = Path(linqbot.__file__).parent
# A commit serves several turns, and the worker's loop passes as often as it is woken: both vary.
VARYING = ("storage/", "engine/worker.py", "clock.py")
READ = "a read of the storage"
MOST = 202
"""The limit of the calls in one turn: there were 201 with Python 3.11."""
MOST_OF_RECEIPTS = 34
"""The limit of the calls for the three receipts of a reply: there were 31 with Python 3.11."""


class Calls:
    """Counts the functions of linqbot that this thread calls."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if code.co_qualname == "SQLiteStorage._read":
            self.counted[READ] += 1
        # A coroutine that goes on is no call.
        if event == "call" and frame.f_lasti < 5 and code.co_filename.startswith(f"{PACKAGE}/"):
            name = code.co_filename.removeprefix(f"{PACKAGE}/")
            if not name.startswith(VARYING):
                self.counted[f"{name} {code.co_qualname}"] += 1


def answer(request: httpx.Request) -> httpx.Response:
    chat_id = request.url.path.partition("/chats/")[2].partition("/")[0]
    message = {"id": str(uuid4()), "delivery_status": "pending", "parts": []}
    return httpx.Response(202, json={"chat_id": chat_id, "message": message})


async def test_an_echo_and_its_receipts_call_few_functions(tmp_path: Path) -> None:
    bot = Bot(read=False, typing=False, max_age_s=None)

    @bot.on_message
    async def echo(message: MessageReceived, ctx: Context) -> None:
        replied.append(await ctx.reply(message.text))

    replied: list[Sent] = []
    storage = SQLiteStorage(tmp_path / "bot.db")
    client = Client("key", transport=httpx.MockTransport(answer))
    app = create_app(bot, client=client, storage=storage, secrets=["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="])
    echoes, receipts = list[Counter[str]](), list[Counter[str]]()

    async def counted(*bodies: bytes) -> Counter[str]:
        calls = Calls()
        sys.setprofile(calls.note)
        try:
            await asyncio.gather(*(storage.put(delivery(body)) for body in bodies))
            while await storage.depth():
                await asyncio.sleep(0.01)
        finally:
            sys.setprofile(None)
        return calls.counted

    async with running(app):
        for number in range(4):
            chat = str(uuid4())
            reply_to = {"message_id": str(uuid4()), "part_index": 0}
            echoes.append(await counted(text_body(f"hello {number}", chat=chat, reply_to=reply_to)))
            data = {"id": replied[-1].id, "chat": {"id": chat}, "direction": "outbound"}
            kinds = ("message.sent", "message.delivered", "message.read")
            receipts.append(await counted(*(envelope(kind, data) for kind in kinds)))
    assert [each.status for each in replied] == ["accepted"] * len(echoes)
    # The first echoes also import modules and open a connection.
    fewest = min(echoes, key=Counter.total)
    assert fewest.total() <= MOST, (
        f"The turn of an echo calls {fewest.total()} functions of linqbot, and {MOST} are allowed. Ask for a feature's code "
        "only if the turn uses the feature, and compute a thing once. If the calls are needed, raise MOST and say in the "
        f"commit why. Most calls: {fewest.most_common(20)}"
    )
    assert not fewest[READ], "An echo reads nothing from the storage, also if it answers a message"
    fewest = min(receipts, key=Counter.total)
    assert fewest.total() <= MOST_OF_RECEIPTS, (
        f"Receipts that no handler wants have no turn. They call {fewest.most_common(20)}"
    )
