"""`dev`, `emulator`, `serve` and `send`, as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from cli.practice import ALONE, KEY, is_ready, serve_alone
from emulator_control import ANN, replies, text
from fake_api import FakeApi
from linqbot_dev.dry_runs.dry_deploy import loaded
from loader import Connection
from ports import free_port
from signed import linq
from typed_command import data, shown

from linqbot.ops.bot_file import log_opt_outs

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.slow
def test_every_example_is_loaded_as_dev_loads_it_and_offers_no_word_by_which_people_opt_out(
    monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for path in sorted(EXAMPLES.glob("*.py")):
        if "linqbot_agent" in path.read_text() and find_spec("linqbot_agent") is None:
            continue  # the lowest versions are tried without it
        with subtests.test(example=path.stem), structlog.testing.capture_logs() as lines, loaded(str(path)) as bot:
            log_opt_outs(bot)
            # A busy machine may take ten seconds to import the packages of an agent.
            assert [line for line in lines if line["event"] != "bot.still_loading"] == []


@pytest.mark.slow
def test_emulator_and_serve_run_as_separate_processes_and_stop_cleanly(
    tmp_path: Path, command: Callable[..., Any], port: int
) -> None:
    shutil.copy(EXAMPLES / "echo.py", tmp_path / "bot.py")
    linq = f"http://127.0.0.1:{port}"
    emulator = command("dev", "--no-bot", "--port", str(port), "--api-key", "token", "--state", "state.json")
    emulator.until(lambda: httpx.get(f"{linq}/emulator/state").status_code == 200)
    assert f"Linq emulator on {linq}" in emulator.said()

    own = free_port()
    made = httpx.post(
        f"{linq}/v3/webhook-subscriptions",
        json={"target_url": f"http://127.0.0.1:{own}/webhooks/linq", "subscribed_events": ["message.received"]},
        headers={"authorization": "Bearer token"},
    )
    assert made.status_code == 201
    environ = {
        "LINQ_API_V3_API_KEY": "token",
        "LINQ_API_V3_BASE_URL": f"{linq}/api/partner",
        "LINQ_WEBHOOK_SECRET": made.json()["signing_secret"],
    }
    bot = command("serve", "bot.py", "--port", str(own), **environ)
    bot.until(lambda: is_ready(own))
    text(linq, "hello")
    bot.until(lambda: replies(linq) == ["You said: hello"])
    assert (tmp_path / "linqbot.db").exists()

    refused = command(
        "serve",
        "--port",
        "0",
        "--json",
        **environ | {"LINQ_API_V3_API_KEY": "wrong", "LINQBOT_STORAGE": "sqlite:///other.db"},
    )
    refused.until(lambda: "key.refused" in refused.said())
    (line,) = [row for row in map(json.loads, refused.said().splitlines()) if row.get("event") == "key.refused"]
    assert (line["level"], line["code"]) == ("error", 2004)
    assert "Set it to the API token from your Linq dashboard" in line["what_to_do"]
    assert "LINQ_API_V3_API_KEY_FILE, without a restart" in line["what_to_do"]
    assert "wrong" not in refused.said()
    assert refused.stop() == 0

    # A program in JavaScript that cuts a text can cut an emoji, and sends its half as an escape.
    body = json.dumps(
        {"from": "+12025550100", "to": [ANN], "message": {"parts": [{"type": "text", "value": "Ünn \ud83d"}]}}
    )
    headers = {"content-type": "application/json", "authorization": "Bearer token"}
    assert httpx.post(f"{linq}/v3/chats", content=body, headers=headers).status_code == 201

    second = command("serve", "bot.py", "--port", "0", **environ)
    assert second.end() != 0
    assert "linqbot.db" in second.said()
    assert "linqbot serves" not in second.said(), "it has an address only when its storage is open"
    assert "Traceback" not in second.said()

    assert bot.stop() == 0
    assert emulator.stop(signal.SIGINT) == 0
    assert r"\ud83d" in (tmp_path / "state.json").read_text("utf-8")
    saved = json.loads((tmp_path / "state.json").read_text("utf-8"))
    assert len(saved["chats"]) == 1
    assert (tmp_path / "state.json").stat().st_mode & 0o077 == 0
    again = command("dev", "--no-bot", "--port", str(port), "--state", "state.json")
    again.until(lambda: replies(linq) == ["You said: hello", "Ünn \ud83d"])
    assert again.said() == f"Linq emulator on {linq}\n", "no other machine can connect, so there is no warning"
    assert again.stop() == 0


def test_send_sends_one_message(emulator: str) -> None:
    environ: dict[str, Any] = {"LINQ_API_V3_API_KEY": KEY, "LINQ_API_V3_BASE_URL": f"{emulator}/api/partner"}
    assert set(data("send", ANN, "--text", "hi", **environ)) == {"chat_id", "message_id"}
    shown("send", ANN, "--from", "+12025550100", "--effect", "slam", input="from a pipe\n", **environ)
    assert replies(emulator) == ["hi", "from a pipe"]
    assert "555 is not a handle" in shown("send", "555", "--text", "hi", code=2, **environ)


def test_what_an_operator_sends_and_posts_is_in_the_log_with_who_and_why(emulator: str, command_folder: Path) -> None:
    environ: dict[str, Any] = {"LINQ_API_V3_API_KEY": KEY, "LINQ_API_V3_BASE_URL": f"{emulator}/api/partner"}
    by = ("--as", "Dana", "--reason", "the oven is broken")
    assert "The log of operators does not name this message" in shown("send", ANN, "--text", "hi", **environ)
    assert not list(command_folder.iterdir()), "a send makes no storage where none is"
    shown("storage", "migrate")
    sent = data("send", ANN, "--text", "hi", *by, **environ)
    posted = data("post", "oven.broken", "--id", "7", "--chat", sent["chat_id"], "--data", "{}", *by)
    data("post", "oven.broken", "--id", "7", "--chat", sent["chat_id"], "--data", "{}", *by)  # nothing is stored again
    rows = [
        (row["what"], row["target"], row["about"], row["who"], row["reason"])
        for row in data("waiting", "list", "--log")
    ]
    about = (sent["chat_id"], "Dana", "the oven is broken")
    assert rows == [("post", posted["id"], *about), ("send", sent["message_id"], *about)]


def test_a_taken_port_is_an_error_of_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = shown("dev", "--no-bot", "--port", port, code=2)
    assert f"127.0.0.1:{port} cannot be listened on" in said
    assert "--port" in said


RARE = {
    "asyncpg",
    "click.shell_completion",
    "difflib",
    "httpx",
    "markdown_it",
    "rich",
    "tomllib",
    "watchfiles",
    "linqbot.content.received",
    "linqbot.client.http.media_fetch",
    "linqbot_dev.emulator",
    "linqbot.linq.events.chat",
    "linqbot.linq.events.payment",
    "linqbot.linq.events.poll",
    "linqbot.storage.personal",
    "linqbot_postgres.storage",
    "linqbot.storage.sqlite.upkeep",
    "linqbot.testing",
    "linqbot.linq.text.pieces",
    "linqbot.linq.types.payment",
    "linqbot.content.preview",
    "linqbot.features.streams",
    "linqbot.engine.prompts",
    "linqbot.engine.waits",
    "linqbot.features.asking.answers",
    "linqbot.features.asking.arrivals",
    "linqbot.features.asking.judge",
    "linqbot.features.asking.question",
    "linqbot.features.asking.records",
    "linqbot.features.asking.session",
    "linqbot.features.broadcasts",
    "linqbot.features.bursts",
    "linqbot.features.history",
    "linqbot.features.later",
    "linqbot.features.notices",
    "linqbot.features.overlap",
    "linqbot.features.proactive",
    "linqbot.parse.numbers",
    "linqbot.parse.yes_or_no",
}
"""Modules that a bot imports when it first needs them. Each would cost every bot memory and time at the start."""


@pytest.mark.process
def test_commands_that_only_read_settings_load_neither_bots_nor_the_server() -> None:
    code = "import linqbot.settings, sys; print(set(sys.argv[1:]) & set(sys.modules))"
    heavy = ["linqbot.bot", "linqbot.client", "linqbot.engine", "linqbot.server.app", "sqlite3", "starlette", "uvicorn"]
    out = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


REPORTING = """
import sys
from linqbot import Bot, Context, MessageReceived

bot = Bot()

@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You said: {message.text}")
    print(f"imported {len(sys.modules)}:", *sys.modules, flush=True)
"""


@pytest.mark.process
def test_an_echo_bot_that_has_answered_a_message_has_imported_nothing_that_few_bots_need(
    tmp_path: Path, program: Callable[..., Any], port: int
) -> None:
    (tmp_path / "bot.py").write_text(REPORTING)

    async def first_answer() -> str:
        async with FakeApi() as api:
            # The plugins that this workspace installs are left out: they import more.
            api_url = f"http://127.0.0.1:{api.port}/api/partner"
            environ = {"LINQ_API_V3_BASE_URL": api_url, "LINQBOT_PLUGINS": ""}
            bot = await asyncio.to_thread(partial(serve_alone, program, port, **environ))
            connection = await Connection.open(port)
            assert await connection.ask(next(linq(chats=1)).request) == 200
            await asyncio.to_thread(bot.until, lambda: "imported" in bot.said())
            connection.close()
            assert bot.stop() == 0
            return str(bot.said())

    (line,) = [line for line in asyncio.run(first_answer()).splitlines() if line.startswith("imported")]
    assert RARE & set(line.split()) == set()


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs a folder in which even root cannot create a file")
def test_a_start_without_the_right_to_write_the_storage_is_not_worth_a_repetition(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    (tmp_path / "bot.py").write_text("from linqbot import Bot\nbot = Bot()\n")
    serve = command("serve", "bot.py", "--port", "0", **ALONE | {"LINQBOT_STORAGE": "sqlite:////sys/linqbot.db"})
    assert serve.end() == 2  # a service manager that follows the documents does not start it again
    assert "Let this user write to the file and to its folder /sys" in serve.said()


@pytest.mark.process
@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs a folder in which even root cannot create a file")
def test_a_start_without_standard_output_and_error_fails_only_for_the_reasons_of_others(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text("from linqbot import Bot\nbot = Bot()\n")
    line = f'exec "{sys.executable}" -m linqbot serve bot.py --port 0 >&- 2>&-'
    environ = os.environ | ALONE | {"LINQBOT_STORAGE": "sqlite:////sys/linqbot.db"}
    # 2, as above: the program has come to the storage.
    assert subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, env=environ, check=False).returncode == 2
