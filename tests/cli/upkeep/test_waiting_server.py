"""`linqbot waiting` and running processes: who a timer is for, the storage of `linqbot dev`, a server with older code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.practice import Practice, serve
from emulator_control import text
from fakes import delivery, text_body
from sqlite_connections import in_storage
from typed_command import data, run, shown

from linqbot.ops.served_code import old_code
from linqbot.storage.inbox import Commit, DeadLetter
from linqbot.storage.sqlite.storage import SQLiteStorage

FAILS = """
import words
from linqbot import Bot, Context, MessageReceived

bot = Bot(max_age_s=None)


@bot.on_message
async def fail(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("x", effect=words.EFFECT)
"""


@pytest.mark.slow
def test_retry_warns_if_the_running_server_has_older_code(practice: Practice, command: Callable[..., Any]) -> None:
    async def give_up_three(storage: SQLiteStorage) -> None:
        for _ in range(3):
            await storage.put(delivery(text_body("hello")))
            (lease,) = await storage.take(1, lease_s=60)
            await storage.finish(lease, Commit(DeadLetter("Boom")))

    words = practice.folder / "words.py"
    words.write_text('EFFECT = "lasers"\n')
    (practice.folder / "bot.py").write_text(FAILS)
    practice.sync()
    in_storage("linqbot.db", give_up_three)
    one, two, three = (row["id"] for row in data("waiting", "list", "--dead"))
    assert shown("waiting", "retry", one) == "1 delivery put back.\n"
    bot = serve(practice, command)
    assert shown("waiting", "retry", two) == "1 delivery put back.\n"

    words.write_text('EFFECT = "confetti"\n')
    changed = run("waiting", "retry", three, "--json")
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
    assert "No linqbot dev runs in this folder" in shown("waiting", "list", "--dead", "--dev", code=2)
    dev = command("dev", "bot.py", "--port", str(port), "--no-reload")
    dev.until(lambda: "Text your bot" in dev.said())
    text(f"http://127.0.0.1:{port}", "hello")
    (row,) = dev.until(lambda: data("waiting", "list", "--dead", "--dev"), 90)
    assert row["type"] == "message.received"
    assert "1 delivery put back." in shown("waiting", "retry", "--dev", row["id"])
    other = " ".join(shown("waiting", "list", "--dead", code=2).split())
    assert "There is no storage file" in other
    assert "linqbot dev, which runs in this folder, has its own storage: add --dev." in other
    (tmp_path / "linqbot.db").touch()
    empty = run("waiting", "list", "--dead")
    assert empty.stdout == "There are no dead letters.\n"
    assert empty.stderr == "linqbot dev, which runs in this folder, has its own storage: add --dev.\n"
    assert dev.stop() == 0
    assert shown("waiting", "list", "--dead") == "There are no dead letters.\n"
