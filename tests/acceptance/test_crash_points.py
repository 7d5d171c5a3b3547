"""The process dies between every two steps of the path of an event, and often under load: what was accepted is answered, once.

So it is in a turn that a newer message restarts: no bubble is said twice, and nothing is withdrawn later.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import crash
import pytest
from killed_once import DYING, killed_once
from patience import PATIENCE_S
from postgres_server import empty_storage_url

pytestmark = [pytest.mark.process, pytest.mark.slow]

TWO_REPLIES = (
    DYING
    + """
from STORAGE

dying(Storage, "put", "take", "begin", "finish")
bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("one " + message.text)
    await ctx.reply("two " + message.text)
"""
)
RESTARTED = (
    DYING
    + """
import asyncio

from linqbot.storage.sqlite.storage import SQLiteStorage

dying(SQLiteStorage, "put", "begin", "join", "finish")
bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message(overlap="restart")
async def answer(message: MessageReceived, ctx: Context) -> None:
    words = message.text.splitlines()
    await ctx.reply(f"seen {words[-1]}")
    if len(words) == 1:
        await asyncio.sleep(20)  # until the next message
        await ctx.reply("withdrawn")
    said = [entry.text for entry in await ctx.history() if entry.speaker == "me"]
    await ctx.reply(f"answered {words} after {list(ctx.already_sent)}, {said}")
"""
)
BROADCAST = (
    DYING
    + """
from linqbot import BroadcastDone
from linqbot.storage.sqlite.storage import SQLiteStorage

dying(SQLiteStorage, "start_broadcast", "fire", "finish")
bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message
async def offer(message: MessageReceived, ctx: Context) -> None:
    people = [person.handle for person in await ctx.chat.people()]
    await ctx.bot.broadcast(people, "The menu.", name=ctx.chat_id, per_minute=6000)


@bot.on_broadcast_done
async def report(broadcast: BroadcastDone, ctx: Context) -> None:
    await ctx.bot.send_in(broadcast.name, f"Sent: {broadcast.sent}")
"""
)
HANDOFF = (
    DYING
    + """
from linqbot.storage.sqlite.storage import SQLiteStorage

dying(SQLiteStorage, "change_holds", "finish")
bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message
async def human(message: MessageReceived, ctx: Context) -> None:
    await ctx.handoff(to="dana@example.com", say="Dana answers.")
"""
)
# Each state in which a kill can leave the bot and Linq: between the end of a step and the next one, nothing is written.
OF_ONE_CALL = [f"after {step} 1" for step in ("put", "take", "begin", "run", "finish")]
OF_SEVERAL_CALLS = [
    "before put 2",  # the delivery is not stored yet
    *(f"after {step}" for step in ("put 2", "begin 1", "run 1", "join 1", "begin 2", "run 2", "run 3", "finish 1")),
]
STORAGES = {
    "sqlite": "linqbot.storage.sqlite.storage import SQLiteStorage",
    "postgres": "linqbot_postgres.storage import PostgresStorage",
}


async def said_after_kills(
    folder: Path, code: str, points: list[str], *, messages: int = 1, storage: str | None = None, last: str = ""
) -> dict[str, list[str]]:
    """Let a bot die at each point, in a chat of its own, and start again; return what it has said in each.

    `last` is the last text of each chat, if the bot has nothing to handle for a moment before it.
    """
    async with crash.house(folder, code, storage=storage) as (bot, emulator, http):
        chats = await crash.chats(http, emulator.url, len(points))
        for chat, point in zip(chats, points, strict=True):
            await killed_once(bot, http, folder, chat, point, messages=messages)
        await bot.up(http, "/readyz")
        await crash.settled(http, bot.url)
        replies = await crash.replies(http, emulator.url)
        async with asyncio.timeout(PATIENCE_S):
            while last and any(replies[chat][-1:] != [last] for chat in chats):
                await asyncio.sleep(0.1)
                replies = await crash.replies(http, emulator.url)
    return {point: replies[chat] for chat, point in zip(chats, points, strict=True)}


@pytest.mark.parametrize("backend", STORAGES)
async def test_a_crash_between_any_two_steps_loses_and_repeats_nothing(tmp_path: Path, backend: str) -> None:
    url = empty_storage_url("points") if backend == "postgres" else None
    code = TWO_REPLIES.replace("STORAGE", f"{STORAGES[backend]} as Storage")
    said = await said_after_kills(tmp_path, code, OF_ONE_CALL, storage=url)
    assert said == {point: ["one 0", "two 0"] for point in OF_ONE_CALL}


async def test_a_restarted_turn_that_is_killed_at_any_step_says_each_thing_once(tmp_path: Path) -> None:
    for point, said in (await said_after_kills(tmp_path, RESTARTED, OF_SEVERAL_CALLS, messages=2)).items():
        before = said[:-2]  # a run that was restarted may have said this
        assert before in ([], ["seen 0"]), point
        # The history has what was delivered: nothing that was withdrawn, and all that a killed run has said.
        assert said[-2:] == ["seen 1", f"answered ['0', '1'] after {before}, {said[:-1]}"], point


async def test_a_broadcast_that_is_killed_at_any_step_reaches_its_person_and_is_reported_once(tmp_path: Path) -> None:
    points = [f"after {step}" for step in ("start_broadcast 1", "fire 1", "run 2", "finish 2", "run 3")]
    said = await said_after_kills(tmp_path, BROADCAST, points, last="Sent: 1")
    assert said == {point: ["The menu.", "Sent: 1"] for point in points}


async def test_a_handoff_that_is_killed_at_any_step_of_its_beginning_begins_once(tmp_path: Path) -> None:
    points = [f"after {step}" for step in ("change_holds 1", "run 2", "run 3", "change_holds 2", "finish 1")]
    said = await said_after_kills(tmp_path, HANDOFF, points)
    assert said == {point: ["Dana answers."] for point in points}


async def test_every_delivery_is_answered_once_and_in_order_despite_many_kills(tmp_path: Path) -> None:
    report = await crash.run(deliveries=300, kills=5, folder=tmp_path, direct=True)
    assert report.kills >= 3, f"{report}: too few kills to tell anything"
    assert (report.lost, report.doubled, report.disordered) == ([], [], []), str(report)


async def test_retried_deliveries_are_answered_once_and_in_order_after_each_kill(tmp_path: Path) -> None:
    report = await crash.run(deliveries=120, kills=4, folder=tmp_path)
    assert report.kills >= 3, f"{report}: too few kills to tell anything"
    assert (report.lost, report.doubled, report.disordered) == ([], [], []), str(report)
