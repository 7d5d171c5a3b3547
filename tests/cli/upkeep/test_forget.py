"""`linqbot person show` prints all that is kept of a person. `forget` asks for confirmation, erases it, and prints the counts."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli.practice import KEY
from click.testing import CliRunner, Result
from emulator_control import text
from fakes import CHAT, NOW, PERSON, delivery, text_body
from patience import PATIENCE_S
from plugin_packages import install_plugin

from linqbot.cli.main import main
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.journal import JournalEntry
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.state import StateWrite
from linqbot.storage.timers import Timer

WORDS = "meet me at nine"


@pytest.fixture(autouse=True)
def folder(command_folder: Path) -> Path:
    return command_folder


def forget(*arguments: str, **how: Any) -> Result:
    return CliRunner().invoke(main, ["person", "forget", *arguments], **how)


def stored(chat: str = CHAT) -> None:
    async def work() -> None:
        async with SQLiteStorage("linqbot.db") as storage:
            for outcome in (DeadLetter("Boom"), Ack()):
                await storage.put(delivery(text_body(WORDS, chat=chat)))
                (lease,) = await storage.take(1, lease_s=60)
                await storage.finish(lease, Commit(outcome, state=[StateWrite(f"chat:{chat}", "said", WORDS.encode())]))

    asyncio.run(work())


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("linqbot.db*"))


def test_a_person_is_erased_after_confirmation(folder: Path) -> None:
    stored()
    refused = forget(PERSON, input="n\n")
    assert refused.exit_code == 1
    assert f"Erase everything stored about {PERSON}?" in refused.output
    assert WORDS.encode() in on_disk(folder)
    done = forget(PERSON, input="y\n")
    assert re.search(r"^dead +1$", done.output, re.MULTILINE)
    assert WORDS not in done.output
    assert WORDS.encode() not in on_disk(folder)


def test_all_that_is_kept_of_a_person_is_shown_before_it_is_erased(folder: Path) -> None:
    stored()
    shown = CliRunner().invoke(main, ["person", "show", PERSON]).output
    assert re.search(rf"^scope +chat:{CHAT}\nname +said\nvalue +{WORDS}$", shown, re.MULTILINE)
    assert re.search(r"^1 in dead, 1 in state$", shown, re.MULTILINE)
    exported = json.loads(CliRunner().invoke(main, ["person", "show", PERSON, "--json"]).output)
    assert (exported["person"], exported["chats"]) == (PERSON, [CHAT])
    (dead,) = exported["tables"]["dead"]
    assert dead["body"]["data"]["parts"][0]["value"] == WORDS
    assert dead["dead_lettered_at"].startswith("20")
    counts = {table: len(rows) for table, rows in exported["tables"].items() if rows}
    erased = json.loads(forget(PERSON, "--yes", "--json").output)
    assert erased == {"rows": counts, "left": [], "chats": [CHAT], "wiped": True}
    assert "Nothing is kept" in CliRunner().invoke(main, ["person", "show", PERSON]).output


def test_linq_is_asked_for_the_persons_chats(folder: Path, emulator: str) -> None:
    chat = text(emulator, "hi")
    stored(chat=chat)

    async def purge() -> None:
        async with SQLiteStorage("linqbot.db", serving=False) as storage:
            await storage.purge(before=4e9)

    asyncio.run(purge())
    environ = {"LINQ_API_V3_API_KEY": KEY, "LINQ_API_V3_BASE_URL": f"{emulator}/api/partner"}
    assert json.loads(forget(PERSON, "--yes", "--json", "--no-ask-linq", env=environ).output)["rows"] == {}
    assert json.loads(forget(PERSON, "--yes", "--json", env=environ).output)["rows"] == {"state": 1}


def test_if_a_handler_takes_too_long_the_chats_that_were_found_are_named_for_the_next_time(folder: Path) -> None:
    async def work() -> tuple[Result, Result]:
        async with SQLiteStorage("linqbot.db") as server:
            await server.put(delivery(text_body(WORDS)))
            (lease,) = await server.take(1, lease_s=60)
            first = await asyncio.to_thread(forget, PERSON, "--yes", "--wait", "0.1", "--no-ask-linq")
            effect = JournalEntry(lease.delivery.id, 0, "0", "k", "keyed", b"{}", "accepted", NOW, chat_id=CHAT)
            await server.finish(lease, Commit(Ack(), [effect]))
            printed = first.output.partition("linqbot person forget ")[2].splitlines()[0].split()
            return first, await asyncio.to_thread(forget, *printed, "--yes", "--json", "--no-ask-linq")

    first, second = asyncio.run(work())
    assert first.exit_code == 1
    assert "1 delivery is being handled now" in first.output
    assert f"linqbot person forget {PERSON} --chat={CHAT}" in first.output
    assert second.exit_code == 0
    assert json.loads(second.output)["rows"] == {"journal": 1}
    assert CHAT.encode() not in on_disk(folder)


def test_the_end_of_a_turn_is_awaited_and_what_it_stored_is_erased_too(folder: Path) -> None:
    payload = json.dumps({"origin": {"handles": [PERSON]}, "calls": WORDS}).encode()

    async def work() -> Result:
        async with SQLiteStorage("linqbot.db") as server:
            await server.put(delivery(text_body(WORDS)))
            await server.put(delivery(text_body(WORDS)))
            (lease,) = await server.take(1, lease_s=60)
            command = asyncio.create_task(asyncio.to_thread(forget, PERSON, "--yes", "--json"))
            async with asyncio.timeout(PATIENCE_S):
                while await server.depth() == 2:
                    await asyncio.sleep(0.01)
            await server.finish(lease, Commit(Ack(), timers=[Timer("t", NOW, "c:group", "send", payload, 60.0)]))
            result = await command
            assert await server.scheduled() == []
            return result

    result = asyncio.run(work())
    assert result.exit_code == 0
    counts = json.loads(result.output)
    assert (counts["rows"]["delivery"], counts["rows"]["timer"], counts["left"]) == (1, 1, [])
    assert WORDS.encode() not in on_disk(folder)


TICKETS = """
import json
from pathlib import Path
from linqbot import hookimpl
from linqbot.hookspecs import PersonalData

FILE = Path("tickets.json")

@hookimpl
def register_personal_data():
    return PersonalData(export, forget)

async def export(handle, chats):
    return {"tickets": json.loads(FILE.read_text()).get(handle, []), "chats": [{"id": chat} for chat in chats]}

async def forget(handle, chats):
    kept = json.loads(FILE.read_text())
    gone = kept.pop(handle, [])
    FILE.write_text(json.dumps(kept))
    return {"tickets": len(gone), "chats": len(chats)}
"""


def test_what_a_plugin_keeps_is_exported_and_erased_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "site").mkdir()
    install_plugin(folder / "site", "desk", TICKETS)
    monkeypatch.syspath_prepend(folder / "site")
    stored()
    (folder / "tickets.json").write_text(json.dumps({PERSON: [{"ticket": 7}], "+1999": [{"ticket": 8}]}))
    exported = json.loads(CliRunner().invoke(main, ["person", "show", PERSON, "--json"]).output)
    assert exported["tables"]["desk.tickets"] == [{"ticket": 7}]
    assert exported["tables"]["desk.chats"] == [{"id": CHAT}]
    assert re.search(r"^ticket +7$", CliRunner().invoke(main, ["person", "show", PERSON]).output, re.MULTILINE)
    erased = json.loads(forget(PERSON, "--yes", "--json").output)["rows"]
    assert erased == {"dead": 1, "state": 1, "desk.tickets": 1, "desk.chats": 1}
    assert json.loads((folder / "tickets.json").read_text()) == {"+1999": [{"ticket": 8}]}
    (newest, *_) = json.loads(CliRunner().invoke(main, ["person", "show", "--json", PERSON]).output)["receipts"][1:]
    assert (newest["what"], newest["counts"]) == ("forget", {"desk.tickets": 1, "desk.chats": 1})


def test_a_plugin_that_fails_is_named_and_all_else_is_erased(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "site").mkdir()
    install_plugin(folder / "site", "desk", TICKETS)  # there is no file of tickets
    install_plugin(folder / "site", "gone", "import does_not_exist")
    monkeypatch.syspath_prepend(folder / "site")
    stored()
    done = forget(PERSON, "--yes", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["rows"] == {"dead": 1, "state": 1}
    assert "gone is disabled: loading it raised ModuleNotFoundError" in done.output
    assert "the plugin desk failed: forget raised FileNotFoundError" in done.output
    assert WORDS.encode() not in on_disk(folder)
