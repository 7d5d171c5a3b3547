"""`linqbot replay bot.py`: the lines for broadcasts, dead letters and answers. `test_waiting.py` has those for calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from engine_turns import turns_of
from fakes import Linq, delivery, text_body

from linqbot.cli.main import main
from linqbot.clock import SystemClock
from linqbot.ops.bot_file import load_bot
from linqbot.storage.open import open_storage

BOT = """
from linqbot import Bot, Context, Failure, MessageReceived

bot = Bot(max_age_s=None, read=False, typing=False)


@bot.on_message("go")
async def go(message: MessageReceived, ctx: Context) -> None:
    await ctx.bot.broadcast(["+14155552001", "+14155552002"], "Secret news", name="news")


@bot.on_message("one")
async def one(message: MessageReceived, ctx: Context) -> None:
    await ctx.bot.broadcast(["+14155552001"], "Secret news", name="only-one")


@bot.on_message("boom", attempts=1)
async def boom(message: MessageReceived, ctx: Context) -> None:
    raise ValueError("x")


@bot.on_message("book")
async def book(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(await ctx.ask("How many?"))


@bot.on_message
async def other(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("What?")


@bot.on_dead_letter
async def sorry(failure: Failure, message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Sorry!")
"""


@pytest.fixture(autouse=True)
def folder(command_folder: Path) -> Path:
    (command_folder / "bot.py").write_text(BOT)
    return command_folder


def handled(*texts: str) -> list[str]:
    """Let the bot handle messages, without a server, and return the ids of their deliveries."""
    ids = []

    async def work() -> None:
        clock = SystemClock()
        async with open_storage("sqlite:///linqbot.db", keep_days=2) as storage:
            turns = turns_of(load_bot("bot.py"), Linq(), storage, clock)
            for text in texts:
                arrived = delivery(text_body(text))
                ids.append(arrived.id)
                await storage.put(arrived)
                while leases := await storage.take(1, lease_s=60):
                    await turns.run(leases[0])
                    await storage.fire(clock.now())

    asyncio.run(work())
    return ids


def replay(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["replay", "bot.py", "--since", "2026-01-01", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_a_broadcast_is_shown_by_its_name_and_the_number_of_people() -> None:
    handled("go", "one")
    output = replay()
    assert "  handled by bot:go\n  would begin broadcast news to 2 people\n" in output
    assert "  would begin broadcast only-one to 1 person\n" in output
    assert "Secret" not in output
    (first, _) = json.loads(replay("--json"))
    assert first["broadcasts"] == [{"name": "news", "people": 2}]


def test_the_handler_of_dead_letters_is_shown_for_the_notice_of_one() -> None:
    (dead,) = handled("boom")
    output = replay(code=1)
    assert (
        f"i.dead_letter.{dead}.0 linqbot.dead_letter\n  handled by bot:sorry\n  would call chats.messages.send"
        in output
    )
    assert "event.unhandled" not in output
    assert "UnknownEvent" not in output
    # Nothing came of it: no retry, and no other dead letter.
    assert "turn.failed" not in output
    assert "turn.dead_lettered" not in output


def test_an_answer_names_the_delivery_with_which_its_conversation_began() -> None:
    first, answer, later = handled("book", "4", "5")
    output = replay()
    assert f"{answer} message.received\n  It answered a question" in output
    assert f"the delivery with which it began: {first}\n" in output
    assert f"{later} message.received\n  handled by bot:other\n" in output
    assert [row["began_with"] for row in json.loads(replay("--json"))] == [None, first, None]
    assert f"the delivery with which it began: {first}\n" in replay("--id", answer)
