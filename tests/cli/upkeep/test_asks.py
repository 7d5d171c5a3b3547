"""`linqbot waiting`: what waits for something else than words is listed and ended, and takes no text."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from asking_talk import Talk
from click.testing import CliRunner
from fakes import CHAT, PERSON
from simulated_crash import begun

from linqbot.bot.context import Context
from linqbot.cli.main import main
from linqbot.linq.events.message import MessageReceived


async def tea(message: MessageReceived, ctx: Context) -> None:
    await ctx.pay(500, "Tea")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The storage of a bot that waits for a payment."""

    async def begin() -> Path:
        async with begun(Talk, tmp_path) as talk:
            talk.deploy(tea)
            await talk.say("tea")
            return talk.path

    return f"sqlite:///{asyncio.run(begin())}"


def test_a_payment_is_listed_and_cancelled_and_takes_no_text(url: str) -> None:
    run = CliRunner().invoke
    listed = run(main, ["waiting", "list", "--questions", "--json", "--storage", url])
    (row,) = json.loads(listed.output)
    assert (row["person"], row["waits_for"], row["question"]) == (PERSON, "payment", "Tea: $5.00")
    answered = run(main, ["waiting", "answer", row["id"], "yes", "--storage", url])
    assert answered.exit_code == 1
    assert "waits for payment, which no text can stand for" in answered.output
    assert run(main, ["waiting", "cancel", row["id"], "--storage", url]).exit_code == 0


async def names(message: MessageReceived, ctx: Context) -> None:
    if message.text == "tea":
        await ctx.pay(500, "Tea")
    await ctx.ask("Your name?")


def test_the_questions_of_a_chat_are_cancelled_together(tmp_path: Path) -> None:
    async def begin() -> Path:
        async with begun(Talk, tmp_path) as talk:
            talk.deploy(names, groups="all")
            await talk.say("tea")
            for person in (PERSON, "+15550001111"):
                await talk.say("hi", sender=person, is_group=True)
            return talk.path

    url = f"sqlite:///{asyncio.run(begin())}"
    run = CliRunner().invoke
    rows = json.loads(run(main, ["waiting", "list", "--questions", "--json", "--chat", CHAT, "--storage", url]).output)
    asked = [row["id"] for row in rows if row["waits_for"] == "answer"]
    assert (len(rows), len(asked)) == (3, 2)
    done = run(main, ["waiting", "cancel", "--chat", CHAT, "--json", "--storage", url, "--yes"])
    assert json.loads(done.output) == {"cancelled": asked}
    assert "no question" in run(main, ["waiting", "cancel", "--chat", "other", "--storage", url, "--yes"]).output
    for wrong in ([], [asked[0], "--chat", CHAT]):
        refused = run(main, ["waiting", "cancel", *wrong, "--storage", url, "--yes"])
        assert (refused.exit_code, "Give an ID, or --chat" in refused.output) == (2, True)

    async def go_on() -> list[str]:
        async with begun(Talk, tmp_path) as talk:
            talk.deploy(names, groups="all")
            await talk.run()
            return talk.open_questions()

    assert asyncio.run(go_on()) == ["waiting"]
