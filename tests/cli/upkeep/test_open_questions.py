"""`linqbot check --open`: the open questions with which new code would not go on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking_talk import Talk
from click.testing import CliRunner
from fakes import CHAT, handle
from simulated_crash import begun

from linqbot.cli.main import main
from linqbot.client.call import ApiResponse
from linqbot.ops.bot_file import load_bot

BOT = """
import json
from pathlib import Path
from pydantic import BaseModel
from linqbot import Bot, Context, MessageReceived
from intake import ask_name

bot = Bot(read=False, typing=False)


class Guest(BaseModel):
    town: str


@bot.on_message
async def book(message: MessageReceived, ctx: Context) -> None:
    if message.text == "name":
        await ask_name(ctx)
    elif message.text == "day":
        await ctx.ask(f"Which day, {message.sender}?")
    elif message.text == "size":
        await ctx.ask("Which size do you take?", choices=["S", "M"], key="size")
    elif message.text == "form":
        await ctx.form(Guest)
    elif message.text == "pay":
        await ctx.pay(800, "1 soup")
    elif message.text == "vote":
        await ctx.vote(["Thai", "Pizza"], "Lunch?", until=1)
"""
INTAKE = """
async def ask_name(ctx):
    return await ctx.ask("Hello!", "What is your *name*?")
"""
WAYS = ("name", "day", "size", "form", "pay", "vote")
CHATS = {way: f"{n}c99d589-8d03-4753-96bd-addff71de8c2" for n, way in enumerate(WAYS)}


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with begun(Talk, tmp_path) as opened:
        yield opened


def written(folder: Path, bot: str = BOT, intake: str = INTAKE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "intake.py").write_text(intake)
    (folder / "bot.py").write_text(bot)
    sys.modules.pop("intake", None)
    return folder / "bot.py"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what the loading of a bot's file changes."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in ("bot", "intake"):  # and no module of linqbot: a second import would make other classes of its events
        sys.modules.pop(name, None)


async def checked(talk: Talk, file: Path) -> tuple[int, list[dict[str, Any]]]:
    arguments = ["check", str(file), "--open", "--storage", f"sqlite:///{talk.path}", "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments, catch_exceptions=False)
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.usefixtures("loads")
async def test_questions_that_are_not_in_the_code_any_more_are_listed_with_what_becomes_of_them(
    talk: Talk, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    talk.bot = load_bot(str(written(tmp_path / "old")))
    for way in WAYS:
        await talk.say(way, chat=CHATS[way], service="SMS", sender=f"+1415555{WAYS.index(way):04}")
    found: dict[str, list[tuple[str, str]]] = {}
    edits = {
        "nothing changed": (BOT, INTAKE),
        "another line in the file": (f"{BOT}\nX = 1\n", INTAKE),
        "a handler renamed": (BOT.replace("def book", "def order"), INTAKE),
        "words changed in a module": (BOT, INTAKE.replace("*name*", "*first name*")),
        "words changed in an f-string": (BOT.replace("Which day", "What day"), INTAKE),
        "a key changed": (BOT.replace('key="size"', 'key="shirt"'), INTAKE),
        "words of a question with a key changed": (BOT.replace("Which size", "What size"), INTAKE),
        "a field renamed": (BOT.replace("town: str", "city: str"), INTAKE),
        "no payment": (BOT.replace("ctx.pay(800", "ctx.bot.send(800"), INTAKE),
        "a vote changed": (BOT.replace("Lunch?", "Dinner?"), INTAKE),
        "words in a data file": (BOT, INTAKE.replace('"Hello!", "What is your *name*?"', "*open('words.txt')")),
    }
    for what, (bot, intake) in edits.items():
        code, rows = await checked(talk, written(tmp_path / f"new{len(found)}", bot, intake))
        found[what] = [(next(way for way in WAYS if CHATS[way] == row["chat"]), row["effect"]) for row in rows]
        with subtests.test(what):
            assert code == int(bool(rows))
            assert all(row["handler"] == "bot:book" and row["why"] for row in rows)
    assert found == {
        "nothing changed": [],
        "another line in the file": [],
        "a handler renamed": [(way, "abandoned") for way in WAYS],
        "words changed in a module": [("name", "asked again")],
        "words changed in an f-string": [("day", "asked again")],
        "a key changed": [("size", "asked again")],
        "words of a question with a key changed": [],
        "a field renamed": [("form", "asked again")],
        "no payment": [("pay", "asked again")],
        "a vote changed": [("vote", "asked again")],
        "words in a data file": [("name", "perhaps asked again")],
    }


async def test_it_needs_the_file_of_a_bot_and_no_other_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["--open"], ["bot.py", "--open", "--only", "storage"]):
        result = await asyncio.to_thread(CliRunner().invoke, main, ["check", *arguments])
        assert result.exit_code == 2


OWNERS_CHAT = "9c99d589-8d03-4753-96bd-addff71de8c2"
REFUNDS = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False)


@bot.on_message
async def refund(message: MessageReceived, ctx: Context) -> None:
    await ctx.ask("May I refund?", yes="like", who="+14155550199")
"""


@pytest.mark.usefixtures("loads")
async def test_a_question_that_an_owner_is_asked_elsewhere_is_listed_once_in_the_chat_of_its_handler(
    talk: Talk, tmp_path: Path
) -> None:
    listed = {"id": OWNERS_CHAT, "is_group": False, "handles": [handle("+14155550199")]}
    talk.linq.will_answer("chats.list_chats", ApiResponse(200, {"chats": [listed], "next_cursor": None}))
    talk.bot = load_bot(str(written(tmp_path / "old", REFUNDS)))
    await talk.say("refund")
    for _ in range(4):
        await talk.run()
    assert talk.said == ["For +14155550142: May I refund?"]
    assert {each.chat_id for each in await talk.storage.conversations()} == {CHAT, OWNERS_CHAT}
    assert await checked(talk, written(tmp_path / "same", REFUNDS)) == (0, [])
    code, (row,) = await checked(talk, written(tmp_path / "new", REFUNDS.replace("refund?", "pay it back?")))
    assert (code, row["chat"], row["effect"]) == (1, CHAT, "asked again")
