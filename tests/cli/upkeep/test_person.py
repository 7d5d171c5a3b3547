"""`linqbot person`: state is shown and edited; all that is kept of a person is shown, and erased after confirmation."""

from __future__ import annotations

import asyncio
import getpass
import json
import re
import stat
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cli.practice import KEY
from emulator_control import text
from fakes import CHAT, NOW, PERSON, delivery, text_body
from patience import PATIENCE_S
from pydantic import BaseModel
from sqlite_connections import bytes_of, in_storage
from typed_command import data, run, shown

from linqbot import Bot, Context, MessageReceived
from linqbot.client.call import Call
from linqbot.linq.events.lane import lane_of_chat
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.journal import JournalEntry
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.state import StateRow, StateWrite
from linqbot.storage.timers import Timer
from linqbot.testing import talking

ANN = "+14155550142"
WORDS = "meet me at nine"
VALUES = [
    StateWrite("bot", "Menu", b'{"soup":3}'),
    StateWrite("chat:c-1", "Table", b'{"seats":4}'),
    StateWrite("chat:c-10", "Table", b'{"seats":9}'),
    StateWrite(f"person:{ANN}", "Guest", '{"name":"Änn"}'.encode()),
]


@pytest.fixture(autouse=True)
def folder(command_folder: Path) -> Path:
    return command_folder


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "linqbot.db"
    monkeypatch.setenv("LINQBOT_STORAGE", f"sqlite:///{path}")
    in_storage(path, lambda storage: storage.write_state(VALUES))
    return path


def stored(path: Path) -> list[StateRow]:
    return in_storage(path, SQLiteStorage.state_rows, serving=False)


def test_the_log_says_who_did_what_and_why(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("person", "edit", "bot", "Menu", "--value", '{"soup": 4}', "--as", "Eve", "--reason", "new menu")
    monkeypatch.setenv("LINQBOT_OPERATOR", "Dana")
    run("person", "edit", "chat:c-1", "Table", "--value", '{"seats": 5}')
    monkeypatch.delenv("LINQBOT_OPERATOR")
    run("person", "forget", ANN, "--yes", "--reason", "ticket 12")
    facts = ("who", "what", "target", "about", "reason", "counts")
    log = data("waiting", "list", "--log")
    (receipt, *others) = [tuple(row[name] for name in facts) for row in log]
    assert others == [("Dana", "edit", "Table", "c-1", None, None), ("Eve", "edit", "Menu", None, "new menu", None)]
    assert receipt[:3] == (getpass.getuser(), "forget", "")
    assert receipt[4:] == ("ticket 12", {"state": 1})
    assert ANN not in str(log)
    (line, *_) = shown("waiting", "list", "--log", "--chat", "c-1").splitlines()[1:]
    assert re.fullmatch(r"\S+Z  Dana  edit  Table", line.strip())
    said = shown("person", "show", ANN)
    assert "Nothing is kept of this person." in said
    assert re.search(rf"Z  {getpass.getuser()}  forget  1 state +ticket 12$", said, re.MULTILINE)


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`editor(code)` sets $EDITOR to a program that runs `code` with the text of the file as `text`, and saves `text`."""

    def use(code: str) -> None:
        program = tmp_path / "edit.py"
        program.write_text(
            f"#!{sys.executable}\nimport os, pathlib, sys, time\nfile = pathlib.Path(sys.argv[1])\n"
            f"text = file.read_text()\n{code}\nfile.write_text(text)\n"
            "os.utime(file, (time.time() + 9, time.time() + 9))\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", str(program))

    return use


def test_show_prints_what_is_stored_about_a_person_a_chat_or_the_bot(path: Path) -> None:
    assert f'scope        person:{ANN}\nname         Guest\nvalue        {{"name": "Änn"}}\n' in shown(
        "person", "show", ANN
    )
    assert shown("person", "show", "bot") == 'bot  Menu\n{\n  "soup": 3\n}\n'
    assert data("person", "show", "chat:c-1") == [{"scope": "chat:c-1", "name": "Table", "value": {"seats": 4}}]
    assert data("person", "show", "bot")[0]["value"] == {"soup": 3}
    assert "Nothing is kept of this person.\n" in shown("person", "show", "ann@example.com")
    assert shown("person", "show", "chat:c-2") == "No state is stored for chat:c-2.\n"


def test_what_a_terminal_would_obey_is_escaped_as_json_does(path: Path) -> None:
    obeyed = "\x1b]0;owned\x07\x9b2J\x7f\u202e"
    for who, name in ((ANN, "Guest"), ("bot", "Menu")):
        shown("person", "edit", who, name, "--value", json.dumps({"name": obeyed}))
        for more in ([], ["--json"]):
            output = shown("person", "show", who, *more)
            assert all(line.isprintable() for line in output.split("\n"))
            assert r"\u202e" in output


def test_show_of_everything_lists_names_and_only_json_has_the_values(path: Path) -> None:
    said = shown("person", "show")
    assert [line.split() for line in said.splitlines()] == [
        ["scope", "name", "bytes"],
        ["bot", "Menu", "10"],
        ["chat:c-1", "Table", "11"],
        ["chat:c-10", "Table", "11"],
        [f"person:{ANN}", "Guest", "15"],
    ]
    assert "Änn" not in said
    rows = data("person", "show")
    assert [(row["scope"], row["name"], row["value"]) for row in rows] == [
        (each.scope, each.name, json.loads(each.value or b"")) for each in VALUES
    ]


@pytest.mark.process
def test_edit_opens_the_editor_and_stores_what_it_saves(path: Path, editor: Callable[[str], None]) -> None:
    editor("assert text == '{\\n  \"soup\": 3\\n}\\n', text\ntext = text.replace('3', '4')")
    assert shown("person", "edit", "bot", "Menu") == "Stored Menu of bot.\n"
    assert stored(path)[0] == StateRow("bot", "Menu", b'{"soup":4}')
    editor("text = text.strip()")
    assert shown("person", "edit", "bot", "Menu") == "Nothing was changed.\n"


@pytest.mark.process
def test_edit_asks_again_when_what_was_saved_is_no_json(path: Path, editor: Callable[[str], None]) -> None:
    editor("text = '{\"soup\": 5}' if text.strip() == '{' else '{'")
    assert "This is not JSON: line 1, column 2" in shown("person", "edit", "bot", "Menu", input="y\n")
    assert stored(path)[0].value == b'{"soup":5}'
    editor("text = '3'")
    assert "This is not a JSON object" in shown("person", "edit", "bot", "Menu", input="n\n", code=1)
    assert stored(path)[0].value == b'{"soup":5}'


@pytest.mark.process
def test_edit_writes_nothing_over_a_value_that_was_changed_meanwhile(path: Path, editor: Callable[[str], None]) -> None:
    editor(
        f"import sqlite3\ndb = sqlite3.connect({str(path)!r})\n"
        "db.execute(\"UPDATE state SET value = CAST('{}' AS BLOB) WHERE name = 'Menu'\")\ndb.commit()\ntext = '{\"a\": 1}'"
    )
    assert "[LQB4005]" in run("person", "edit", "bot", "Menu").output
    assert stored(path)[0].value == b"{}"


def test_edit_of_an_unknown_name_names_the_nearest(path: Path) -> None:
    assert "Did you mean Guest?" in run("person", "edit", ANN, "Gest", "--value", "{}").output
    assert "There is: Menu." in run("person", "edit", "bot", "Zebra", "--value", "{}").output
    shown("person", "edit", "bot", "Zebra", "--value", '{"a": 1}', "--create")
    assert stored(path)[1] == StateRow("bot", "Zebra", b'{"a":1}')


def test_a_list_is_stored_only_where_a_list_was_stored(path: Path) -> None:
    refused = shown("person", "edit", "bot", "Menu", "--value", "[1]", code=2)
    assert "--value: This is not a JSON object" in " ".join(refused.split())
    tables = StateWrite("bot", "Tables", b"[1]", expected=None)
    in_storage(path, lambda storage: storage.write_state([tables]))
    shown("person", "edit", "bot", "Tables", "--value", "[1, 2]")
    assert [row.value for row in stored(path) if row.name == "Tables"] == [b"[1,2]"]
    assert "a JSON list" in run("person", "edit", "bot", "Tables", "--value", "{}").output


def test_the_ledger_of_consents_is_imported_listed_and_exported(path: Path, tmp_path: Path) -> None:
    assert shown("person", "consent") == "No consent is on record.\n"
    file = tmp_path / "list.csv"
    rows = f"person,what,at,how\n{ANN},given,2026-03-01T09:00:00+01:00,a form\nBob@example.com,stopped,2026-04-01T09:00:00Z,STOP\n"
    file.write_text(f"\ufeff{rows}", encoding="utf-8")
    for new in (2, 0):
        assert shown("person", "consent", str(file)) == f"{new} of 2 rows are new.\n"
    assert ANN in shown("person", "consent")
    exported = shown("person", "consent", "--json")
    assert json.loads(exported) == [
        {"person": ANN, "what": "given", "at": "2026-03-01T08:00:00+00:00", "how": "a form"},
        {"person": "bob@example.com", "what": "stopped", "at": "2026-04-01T09:00:00+00:00", "how": "STOP"},
    ]
    assert [row["how"] for row in data("person", "consent", "--person", ANN)] == ["a form"]
    file.write_text(exported)
    assert shown("person", "consent", str(file)) == "0 of 2 rows are new.\n"


def test_rows_that_cannot_be_used_are_named_and_nothing_is_imported(
    path: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    good = f"{ANN},given,2026-03-01T09:00:00Z,a form"
    for wrong in (
        "415 555,given,2026-03-01T09:00:00Z,a form",
        f"{ANN},perhaps,2026-03-01T09:00:00Z,a form",
        f"{ANN},given,2026-03-01T09:00:00,no zone",
        f"{ANN},given,2999-03-01T09:00:00Z,not yet",
        f"{ANN},given,yesterday,no time",
        ANN,
    ):
        with subtests.test(wrong=wrong):
            file = tmp_path / "list.csv"
            file.write_text(f"person,what,at,how\n{good}\n{wrong}\n")
            assert "Row 2" in shown("person", "consent", str(file), code=2)
    assert shown("person", "consent") == "No consent is on record.\n"


# Shown and erased


def keep(chat: str = CHAT) -> None:
    async def handle(storage: SQLiteStorage) -> None:
        for outcome in (DeadLetter("Boom"), Ack()):
            await storage.put(delivery(text_body(WORDS, chat=chat)))
            (lease,) = await storage.take(1, lease_s=60)
            await storage.finish(lease, Commit(outcome, state=[StateWrite(f"chat:{chat}", "said", WORDS.encode())]))

    in_storage("linqbot.db", handle)


def test_all_that_is_kept_of_a_person_is_shown_and_erased_after_confirmation(folder: Path) -> None:
    keep()
    refused = shown("person", "forget", PERSON, input="n\n", code=1)
    assert f"Erase everything stored about {PERSON}?" in refused
    assert WORDS.encode() in bytes_of(folder / "linqbot.db")
    said = shown("person", "show", PERSON)
    assert re.search(rf"^scope +chat:{CHAT}\nname +said\nvalue +{WORDS}$", said, re.MULTILINE)
    assert re.search(r"^1 in dead, 1 in state$", said, re.MULTILINE)
    exported = data("person", "show", PERSON)
    assert (exported["person"], exported["chats"]) == (PERSON, [CHAT])
    (dead,) = exported["tables"]["dead"]
    assert dead["body"]["data"]["parts"][0]["value"] == WORDS
    assert dead["dead_lettered_at"].startswith("20")
    counts = {table: len(rows) for table, rows in exported["tables"].items() if rows}
    erased = data("person", "forget", PERSON, "--yes")
    assert erased == {"rows": counts, "left": [], "chats": [CHAT], "wiped": True}
    assert "Nothing is kept" in shown("person", "show", PERSON)
    keep()
    done = shown("person", "forget", PERSON, input="y\n")
    assert re.search(r"^dead +1$", done, re.MULTILINE)
    assert WORDS not in done
    assert WORDS.encode() not in bytes_of(folder / "linqbot.db")


class Guest(BaseModel):
    name: str = ""


async def test_show_says_in_a_few_lines_what_an_operator_wants_to_know_of_a_person(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = Bot()

    @bot.on_message
    async def greet(message: MessageReceived, ctx: Context) -> None:
        (await ctx.state.person(Guest)).name = message.text
        if message.text == "ask":
            await ctx.ask("Your size?")
        await ctx.reply(f"Hello, {message.text}")

    async with talking(bot, storage=f"sqlite:///{path}") as phone:
        for text in ("one", "two", "three", "four", "ask"):
            await phone.text(text)
        chat = (await phone.replies())[0].message.chat_id
    monkeypatch.setenv("LINQ_API_V3_API_KEY", "")
    said, every, exported = await asyncio.to_thread(
        lambda: (shown("person", "show", ANN), shown("person", "show", ANN, "--all"), data("person", "show", ANN))
    )
    for line in (
        rf"^chats +{chat}$",
        r"^Open questions$",
        rf"test_person:.*greet  {chat}  Your size\?",
        r"^Last texts, as far as they are kept.*\nNone\.",
        r'^value +\{"name": "ask"\}$',
        r"^\d+ in journal, 1 in timer, 1 in conversation, 1 in state, \d+ in outcome$",
    ):
        assert re.search(line, said, re.MULTILINE), (line, said)
    assert "digest" not in said
    rows = sum(len(each) for each in exported["tables"].values())
    assert len(said.splitlines()) < 35 < 10 * rows < len(every.splitlines())


def test_show_has_the_last_texts_that_are_kept(folder: Path) -> None:
    keep()

    async def said(storage: SQLiteStorage) -> None:
        message = {"parts": [{"type": "text", "value": "See you at nine"}]}
        call = Call("chats.messages.send", "POST", f"/v3/chats/{CHAT}/messages", "keyed", {"message": message})
        entry = JournalEntry("turn", 0, "0", "key", "keyed", call.to_json(), "accepted", NOW + 9, chat_id=CHAT)
        await storage.begin(entry)

    in_storage("linqbot.db", said)
    shows = shown("person", "show", PERSON)
    texts = shows.partition("Last texts")[2].splitlines()[2:4]
    assert [re.split(" {2,}", line.strip())[1:] for line in texts] == [
        [PERSON, WORDS],
        ["the bot", "See you at nine"],
    ], shows


def test_a_reminder_whose_turn_waits_is_shown_with_the_time_at_which_it_was_due() -> None:
    async def remind(storage: SQLiteStorage) -> None:
        payload = json.dumps({"chat_id": CHAT, "origin": {"handles": [PERSON], "chat_id": CHAT, "is_group": False}})
        await storage.schedule(Timer("daily", NOW, lane_of_chat(CHAT), "repeat", payload.encode()))
        await storage.fire(NOW)

    in_storage("linqbot.db", remind)
    (timer,) = data("person", "show", PERSON)["tables"]["timer"]
    assert datetime.fromisoformat(timer["due"]).timestamp() == NOW


def test_linq_is_asked_for_the_persons_chats(folder: Path, emulator: str) -> None:
    chat = text(emulator, "hi")
    keep(chat=chat)
    in_storage("linqbot.db", lambda storage: storage.purge(before=4e9), serving=False)
    environ: Any = {"LINQ_API_V3_API_KEY": KEY, "LINQ_API_V3_BASE_URL": f"{emulator}/api/partner"}
    without = shown("person", "show", PERSON, code=1, **environ | {"LINQ_API_V3_API_KEY": "another"})
    assert "to go on without Linq, set LINQ_API_V3_API_KEY to nothing" in without
    assert "Set LINQ_API_V3_API_KEY to the token from your Linq dashboard" in without
    erase = ("person", "forget", PERSON, "--yes")
    assert data(*erase)["rows"] == {}
    assert data(*erase, **environ)["rows"] == {"state": 1}


def test_if_a_handler_takes_too_long_the_chats_that_were_found_are_named_for_the_next_time(folder: Path) -> None:
    erase = ("person", "forget", PERSON, "--yes")

    async def work() -> tuple[str, Any]:
        async with SQLiteStorage("linqbot.db") as server:
            await server.put(delivery(text_body(WORDS)))
            (lease,) = await server.take(1, lease_s=60)
            first = await asyncio.to_thread(shown, *erase, "--wait", "0.1", code=1)
            effect = JournalEntry(lease.delivery.id, 0, "0", "k", "keyed", b"{}", "accepted", NOW, chat_id=CHAT)
            await server.finish(lease, Commit(Ack(), [effect]))
            printed = first.partition("linqbot ")[2].splitlines()[0].split()
            return first, await asyncio.to_thread(data, *printed, "--yes")

    first, second = asyncio.run(work())
    assert "1 delivery is being handled now" in first
    assert "Nothing is kept" not in first
    assert f"linqbot person forget {PERSON} --chat={CHAT}" in first
    assert second["rows"] == {"journal": 1}
    assert CHAT.encode() not in bytes_of(folder / "linqbot.db")


def test_a_question_of_another_person_is_not_awaited(folder: Path) -> None:
    async def ask() -> None:
        async with SQLiteStorage("linqbot.db") as server:
            await server.put(delivery(text_body(sender="+14155550187")))
            (lease,) = await server.take(1, lease_s=60)
            root, question = lease.delivery, json.dumps({"also": [PERSON]}).encode()
            asked = Conversation(root.id, 0, CHAT, "+1", "bot:gift", "waiting", NOW, NOW + 60, question, root=root.body)
            await server.finish(lease, Commit(Ack(), conversations=[asked]))

    asyncio.run(ask())
    told = shown("person", "forget", PERSON, "--yes", code=1)
    assert "or waits for the answer of another person" in told


def test_the_end_of_a_turn_is_awaited_and_what_it_stored_is_erased_too(folder: Path) -> None:
    payload = json.dumps({"origin": {"handles": [PERSON]}, "calls": WORDS}).encode()

    async def work() -> Any:
        async with SQLiteStorage("linqbot.db") as server:
            await server.put(delivery(text_body(WORDS)))
            await server.put(delivery(text_body(WORDS)))
            (lease,) = await server.take(1, lease_s=60)
            command = asyncio.create_task(asyncio.to_thread(data, "person", "forget", PERSON, "--yes"))
            async with asyncio.timeout(PATIENCE_S):
                while await server.depth() == 2:
                    await asyncio.sleep(0.01)
            await server.finish(lease, Commit(Ack(), timers=[Timer("t", NOW, "c:group", "send", payload)]))
            counts = await command
            assert await server.scheduled() == []
            return counts

    counts = asyncio.run(work())
    assert (counts["rows"]["delivery"], counts["rows"]["timer"], counts["left"]) == (1, 1, [])
    assert WORDS.encode() not in bytes_of(folder / "linqbot.db")
