"""`linqbot forget`: it asks, it erases, it tells how much."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from rooms import CHAT, PERSON, delivery, text_body

from linqbot.cli.main import main
from linqbot.storage.inbox import Ack, Bury, Finish
from linqbot.storage.sqlite import SQLiteStorage
from linqbot.storage.state import StateWrite

WORDS = "meet me at nine"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("LINQ_API_V3_API_KEY", "LINQ_API_V3_BASE_URL", "LINQ_WEBHOOK_SECRET", "LINQBOT_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def forget(*arguments: str, **how: Any) -> Result:
    return CliRunner().invoke(main, ["forget", *arguments], **how)


def stored(chat: str = CHAT) -> None:
    async def work() -> None:
        async with SQLiteStorage("linqbot.db") as storage:
            for outcome in (Bury("Boom"), Ack()):
                await storage.put(delivery(text_body(WORDS, chat=chat)))
                (lease,) = await storage.take(1, lease_s=60)
                await storage.finish(lease, Finish(outcome, state=[StateWrite(f"chat:{chat}", "said", WORDS.encode())]))

    asyncio.run(work())


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("linqbot.db*"))


def test_a_person_is_erased_after_asking(folder: Path) -> None:
    stored()
    refused = forget(PERSON, input="n\n")
    assert refused.exit_code == 1
    assert f"Erase everything stored about {PERSON}?" in refused.output
    assert WORDS.encode() in on_disk(folder)
    done = forget(PERSON, "--json", "--yes")
    assert done.exit_code == 0
    counts = json.loads(done.output)
    assert {name: counts[name] for name in ("dead", "state", "claimed", "wiped")} == {
        "dead": 1, "state": 1, "claimed": 0, "wiped": True,
    }  # fmt: skip
    assert WORDS.encode() not in on_disk(folder)


def test_counts_are_told_to_people(folder: Path) -> None:
    stored()
    output = forget(PERSON, input="y\n").output
    assert "dead         1" in output
    assert WORDS not in output


def test_chats_whose_messages_are_gone_can_be_named(folder: Path) -> None:
    stored(chat="known-to-the-operator")
    asyncio.run(_purge())
    assert json.loads(forget(PERSON, "--yes", "--json").output)["state"] == 0
    named = forget(PERSON, "--yes", "--json", "--chat", "known-to-the-operator")
    assert json.loads(named.output)["state"] == 1


async def _purge() -> None:
    async with SQLiteStorage("linqbot.db", serving=False) as storage:
        await storage.purge(before=4e9)


def test_linq_is_asked_which_chats_are_theirs(folder: Path, command: Callable[..., Any], port: int) -> None:
    linq = f"http://127.0.0.1:{port}"
    emulator = command("emulator", "--port", str(port))
    emulator.until(lambda: httpx.get(f"{linq}/emulator/state").status_code == 200)
    line = httpx.get(f"{linq}/emulator/state").json()["lines"][0]["phone_number"]
    inbound = {"from": PERSON, "to": line, "parts": [{"type": "text", "value": "hi"}]}
    chat = httpx.post(f"{linq}/emulator/inbound", json=inbound).json()["chat_id"]
    stored(chat=chat)
    asyncio.run(_purge())
    environ = {"LINQ_API_V3_API_KEY": "token", "LINQ_API_V3_BASE_URL": f"{linq}/api/partner"}
    assert json.loads(forget(PERSON, "--yes", "--json", "--no-ask-linq", env=environ).output)["state"] == 0
    assert json.loads(forget(PERSON, "--yes", "--json", env=environ).output)["state"] == 1


def test_what_is_being_handled_must_be_forgotten_once_more(folder: Path) -> None:
    async def work() -> Result:
        async with SQLiteStorage("linqbot.db") as server:
            await server.put(delivery(text_body(WORDS)))
            await server.take(1, lease_s=60)
            return await asyncio.to_thread(forget, PERSON, "--yes")

    result = asyncio.run(work())
    assert result.exit_code == 1
    assert "Run this once more" in result.output


@pytest.mark.parametrize("handle", ["415 555 0142", "(415) 555-0142"])
def test_a_number_without_its_country_is_a_usage_error(handle: str) -> None:
    result = forget(handle, "--yes")
    assert result.exit_code == 2
    assert "is no handle of Linq's" in result.output
