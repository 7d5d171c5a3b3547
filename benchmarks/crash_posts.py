"""Kills `linqbot serve` with SIGKILL while a program posts events, and counts what was lost, doubled or out of order.

    uv run --all-packages python benchmarks/crash_posts.py --kills 20            # a file; posts over HTTP
    uv run --all-packages python benchmarks/crash_posts.py --kills 20 --postgres # the posts of every second chat in SQL

Each chat gets its numbers one after the other, each as soon as the one before is stored. A post without an answer is made
again with the same id. At the end, every chat must show the answer to every number once, in order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx
from crash import (
    PER_CHAT,
    SECRET,
    Load,
    Report,
    Served,
    all_answered,
    chats,
    house,
    judge,
    kill_now_and_then,
)

from linqbot.linq.signatures import sign
from linqbot.storage.postgres.address import Address

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from postgres_server import empty_storage_url, server_url

BOT = """
from linqbot import Bot, Context, Posted

bot = Bot()


@bot.on_post("number")
async def say(post: Posted, ctx: Context) -> None:
    await ctx.reply(post.post_id)
    if int(post.post_id) % 3 == 0:
        await ctx.send(post.post_id + "b")
"""


class Posts(Load):
    """Posts the numbers of each chat.

    Args:
        schema: The schema of the bot in the database, for the posts of every second chat; None posts all over HTTP.
    """

    def __init__(
        self, bot: str, http: httpx.AsyncClient, ids: list[str], count: int, seed: int, schema: str | None
    ) -> None:
        super().__init__(bot, http, ids, count, seed)
        self._url = f"{bot}/posts"
        self._client = http
        self._schema = schema
        self._in_sql = set(ids[::2]) if schema else set()

    async def _chat(self, chat: str, numbers: list[str]) -> None:
        if chat in self._in_sql:
            await self._chat_in_sql(chat, numbers)
            return
        for number in numbers:
            body = json.dumps({"type": "number", "data": {}, "chat": chat}).encode()
            while not await self._is_stored(body, number):  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(self.random.uniform(0.01, 0.1))

    async def _is_stored(self, body: bytes, number: str) -> bool:
        at = int(time.time())
        signature = sign(body, webhook_id=number, timestamp=at, secret=SECRET)
        headers = {"webhook-id": number, "webhook-timestamp": str(at), "webhook-signature": signature}
        self.posts += 1
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx.TransportError:
            return False
        assert answer.status_code in (202, 503), answer.text
        return answer.status_code == 202

    async def _chat_in_sql(self, chat: str, numbers: list[str]) -> None:
        sql = f"SELECT {self._schema}.post('number', '{{}}', $1, chat => $2)"
        program = await asyncpg.connect(server_url())
        try:
            for number in numbers:
                async with program.transaction():
                    await program.execute(sql, number, chat)
                self.posts += 1
                await asyncio.sleep(self.random.uniform(0.0, 0.1))
        finally:
            await program.close()


async def run(posts: int, kills: int, *, seed: int = 0, postgres: bool = False) -> Report:
    """Post `posts` numbers and kill the bot `kills` times meanwhile."""
    report, started = Report(posts), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="linqbot-crash-") as place:
        storage = empty_storage_url("posts") if postgres else None
        async with house(Path(place), BOT, storage=storage) as (bot, emulator, http):
            bot.environ["LINQBOT_POST_SECRETS"] = SECRET
            await restart(bot, http)
            ids = await chats(http, emulator.url, -(-posts // PER_CHAT))
            load = Posts(bot.url, http, ids, posts, seed, Address.parse(storage).schema if storage else None)
            arriving = asyncio.create_task(load.run())
            await kill_now_and_then(bot, http, arriving, kills, random.Random(seed), report)
            await arriving
            await all_answered(http, emulator.url, load.said)
            await judge(report, load, bot, emulator, http)
    report.seconds = time.monotonic() - started
    return report


async def restart(bot: Served, http: httpx.AsyncClient) -> None:
    await bot.kill()
    await bot.start()
    await bot.up(http, "/readyz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--posts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    report = asyncio.run(run(given.posts, given.kills, seed=given.seed, postgres=given.postgres))
    print(report)
    sys.exit(bool(report.lost or report.doubled or report.disordered))


if __name__ == "__main__":
    main()
