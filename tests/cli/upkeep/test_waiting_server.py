"""`linqbot waiting` and running processes: who a timer is for, the storage of `linqbot dev`, a server with older code."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli.practice import Practice, serve, text_the_bot
from click.testing import CliRunner, Result
from emulator_control import text
from fakes import delivery, text_body

from linqbot.cli.main import main
from linqbot.client.call import prepare
from linqbot.features.later import timer
from linqbot.ops.served_code import old_code
from linqbot.storage.inbox import Commit, DeadLetter
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.timers import Timer

NOON = 1_793_900_000.0
WORDS = "meet me at nine"

LATER = """
from linqbot import Bot, Context, MessageReceived

bot = Bot()


@bot.on_message
async def later(message: MessageReceived, ctx: Context) -> None:
    await ctx.send_later("meet me at nine", after_s=3600)
"""
FAILS = """
import words
from linqbot import Bot, Context, MessageReceived

bot = Bot(max_age_s=None)


@bot.on_message
async def fail(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("x", effect=words.EFFECT)
"""


def waiting(*arguments: str, **environ: str) -> Result:
    result = CliRunner().invoke(main, ["waiting", *arguments], env=environ)
    assert result.exit_code == 0, result.output
    return result


def test_scheduled_names_the_person_and_the_kind_and_not_the_text(
    practice: Practice, command: Callable[..., Any]
) -> None:
    (practice.folder / "bot.py").write_text(LATER)
    practice.sync()
    bot = serve(practice, command)
    text_the_bot(practice)
    bot.until(lambda: json.loads(waiting("list", "--scheduled", "--json").stdout))
    head, row = waiting("list", "--scheduled").output.splitlines()
    assert head.split() == ["due", "kind", "for", "calls", "id"]
    assert row.split()[1:4] == ["send", "+14155550142", "chats.messages.send"]
    (data,) = json.loads(waiting("list", "--scheduled", "--json").stdout)
    assert data["people"] == ["+14155550142"]
    assert data["lane"].startswith("c:")
    assert data["grace_s"] > 0
    assert WORDS not in row + json.dumps(data)


def test_a_timer_without_people_is_listed_with_its_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def schedule() -> None:
        call = prepare("chats.messages.send", path={"chat_id": "x"}, body={"text": WORDS})
        async with SQLiteStorage("linqbot.db") as storage:
            await storage.schedule(timer("plain", "x", [call], NOON, 60.0))
            await storage.schedule(Timer("t", NOON, "c:y", "outage", b'{"chat_id": "y", "origin": null}', 60.0))

    asyncio.run(schedule())
    rows = [line.split() for line in waiting("list", "--scheduled").output.splitlines()[1:]]
    assert sorted(row[1:3] for row in rows) == [["outage", "c:y"], ["send", "c:x"]]


@pytest.mark.slow
def test_retry_warns_if_the_running_server_has_older_code(practice: Practice, command: Callable[..., Any]) -> None:
    async def give_up(count: int) -> None:
        async with SQLiteStorage("linqbot.db") as storage:
            for _ in range(count):
                await storage.put(delivery(text_body("hello")))
                (lease,) = await storage.take(1, lease_s=60)
                await storage.finish(lease, Commit(DeadLetter("Boom")))

    words = practice.folder / "words.py"
    words.write_text('EFFECT = "lasers"\n')
    (practice.folder / "bot.py").write_text(FAILS)
    practice.sync()
    asyncio.run(give_up(3))
    one, two, three = (row["id"] for row in json.loads(waiting("list", "--dead", "--json").stdout))
    assert waiting("retry", one).stderr == ""
    bot = serve(practice, command)
    same = waiting("retry", two)
    assert (same.stdout, same.stderr) == ("1 delivery put back.\n", "")

    words.write_text('EFFECT = "confetti"\n')
    changed = waiting("retry", three, "--json")
    assert json.loads(changed.stdout) == {"retried": 1}
    said = " ".join(changed.stderr.split())
    assert f"Process {bot.process.pid} serves this storage with the code of 2" in said
    assert "and words.py has changed since" in said
    assert "restart linqbot serve and retry again" in said
    assert bot.stop() == 0
    assert old_code("sqlite:///linqbot.db") is None

    serve(practice, command)
    assert old_code("sqlite:///linqbot.db") is None
    assert (practice.folder / "linqbot.db-served.json").stat().st_mode & 0o077 == 0
    (practice.folder / "bot.py").unlink()
    old = old_code("sqlite:///linqbot.db")
    assert old is not None
    assert old.changed == ("bot.py",)


@pytest.mark.slow
def test_dev_finds_the_storage_of_the_linqbot_dev_that_runs_in_this_folder(
    tmp_path: Path, command: Callable[..., Any], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.py").write_text(FAILS)
    (tmp_path / "words.py").write_text('EFFECT = "confeti"\n')
    missing = CliRunner().invoke(main, ["waiting", "list", "--dead", "--dev"])
    assert missing.exit_code == 2
    assert "No linqbot dev runs in this folder" in missing.output
    dev = command("dev", "bot.py", "--port", str(port), "--no-reload")
    dev.until(lambda: "Text your bot" in dev.said())
    text(f"http://127.0.0.1:{port}", "hello")
    (row,) = dev.until(lambda: json.loads(waiting("list", "--dead", "--dev", "--json").stdout), 90)
    assert row["type"] == "message.received"
    assert "1 delivery put back." in waiting("retry", "--dev", row["id"]).output
    other = CliRunner().invoke(main, ["waiting", "list", "--dead"])
    assert other.exit_code == 2
    assert "There is no storage file" in other.output
    assert "linqbot dev, which runs in this folder, has its own storage: add --dev." in " ".join(other.output.split())
    (tmp_path / "linqbot.db").touch()
    empty = waiting("list", "--dead")
    assert empty.stdout == "There are no dead letters.\n"
    assert empty.stderr == "linqbot dev, which runs in this folder, has its own storage: add --dev.\n"
    assert dev.stop() == 0
    assert waiting("list", "--dead").stderr == ""


@pytest.mark.slow
def test_serve_prints_its_address_only_when_the_storage_is_open(
    practice: Practice, command: Callable[..., Any]
) -> None:
    practice.sync()
    with closing(sqlite3.connect("linqbot.db")) as db:
        db.executescript(f"PRAGMA application_id = {0x6C696E71}; PRAGMA user_version = 99; CREATE TABLE meta (key)")
    plain = {name: value for name, value in practice.environ.items() if value}
    refused = command("serve", "bot.py", **plain)
    assert refused.end() == 1
    assert "linqbot serves" not in refused.said()
    (practice.folder / "linqbot.db").unlink()
    bot = serve(practice, command)
    bot.until(lambda: f"linqbot serves bot.py on {practice.url}" in bot.said())
    second = command("serve", "bot.py", "--json", **plain | {"LINQBOT_PORT": "0"})
    assert second.end() == 2
    assert "webhook" not in re.sub(r'"event": "[^"]+"', "", second.said())
    assert httpx.get(f"http://127.0.0.1:{practice.port}/readyz").status_code == 200
