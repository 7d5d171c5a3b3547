"""`linqbot dev --line`: an emulator in another process is the real account, a small program is Linq's CLI with its relay."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emulator_control
import linq_cli
import pytest
from cli.practice import ALWAYS, KEY, LINES, Practice
from typed_command import shown

from linqbot.cli.dev.real_account import said_by

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the program that stands for Linq's CLI is a shell script")


@pytest.fixture
def account(account: Practice, tmp_path: Path) -> Practice:
    account.environ["PATH"] = linq_cli.install(tmp_path / "bin")
    return account


@pytest.mark.slow
def test_the_bot_answers_on_its_line_once_is_reloaded_and_leaves_no_subscription(
    account: Practice, command: Callable[..., Any]
) -> None:
    theirs = account.create("https://live.test/hooks", "message.received")
    trying = command("dev", "--line", LINES[0], **account.settings)
    trying.until(lambda: f"Text your bot: {LINES[0]}" in trying.said() and "Listening for events" in trying.said())
    assert f"{theirs['id']} delivers {LINES[0]} to https://live.test/hooks too" in trying.said()

    def relays() -> dict[str, Any]:
        (own,) = [one for one in account.subscriptions() if one["id"] != theirs["id"]]
        return own

    trying.until(lambda: relays()["phone_numbers"] == [LINES[0]])
    assert set(relays()["subscribed_events"]) == {"message.received"} | ALWAYS
    account.text("one")
    trying.until(lambda: account.replies() == ["You said: one"])

    bot = account.folder / "bot.py"
    code = bot.read_text()
    bot.write_text(code + "broken(")
    trying.until(lambda: "did not start. Correct it and save" in trying.said())
    account.text("two")
    # As between the start of the CLI and the change of its subscription.
    account.api("PUT", f"/webhook-subscriptions/{relays()['id']}", {"phone_numbers": []})
    emulator_control.text(account.linq, "not for this bot", to=LINES[1])
    bot.write_text(code.replace("You said", "I heard"))
    trying.until(lambda: "I heard: two" in account.replies())
    account.text("three")
    trying.until(lambda: "I heard: three" in account.replies())
    assert account.replies() == ["You said: one", "I heard: two", "I heard: three"]

    assert trying.stop(signal.SIGINT) == 0
    assert [one["id"] for one in account.subscriptions()] == [theirs["id"]]
    assert "Traceback" not in trying.said()
    assert KEY not in trying.said()


@pytest.mark.slow
def test_when_the_relay_dies_dev_ends_and_says_so(account: Practice, command: Callable[..., Any]) -> None:
    trying = command("dev", "--line", LINES[0], "--no-reload", **account.settings)
    trying.until(lambda: "Text your bot" in trying.said() and account.subscriptions())
    trying.until(lambda: account.subscriptions()[0]["phone_numbers"])
    os.kill(int(account.subscriptions()[0]["target_url"].rpartition("/")[2]), signal.SIGKILL)
    assert trying.end() == 2
    assert "linq webhooks listen has ended" in trying.said()
    assert "linq doctor" in trying.said()
    assert account.subscriptions() == []
    assert "Traceback" not in trying.said()


def test_a_wrong_line_or_key_or_a_missing_program_ends_dev_with_what_to_do(account: Practice) -> None:
    for arguments, environ, code, says in [
        (["--line"], {}, 2, f"This account has 2 lines: {', '.join(LINES)}. Choose one: linqbot dev --line {LINES[0]}"),
        (["--line", "bot.py"], {}, 2, "bot.py is not a line of this account"),
        (["--line", LINES[0]], {"PATH": "/nowhere"}, 2, "npm install -g @linqapp/cli"),
        (["--line", LINES[0]], {"LINQ_API_V3_API_KEY": "another"}, 1, "401/2004"),
        (["--line", LINES[0]], {"LINQ_API_V3_API_KEY": ""}, 2, "LINQ_API_V3_API_KEY is not set"),
        (["--line", LINES[0], "--public-url", "https://x.test"], {}, 2, "Give one of --line, --public-url"),
    ]:
        assert says in " ".join(shown("dev", *arguments, code=code, **account.environ | environ).split())
        assert account.subscriptions() == []


async def test_events_are_found_among_the_other_lines_of_the_cli() -> None:
    output = asyncio.StreamReader()
    output.feed_data(
        b'Connecting...\n{"a": 1}\n\n{\n  "b": {\n    "c": "}"\n  }\n}\nDisconnected.\n{}\n{\n  "cut": 1\n'
    )
    output.feed_eof()
    assert [said async for said in said_by(output)] == [
        *("Connecting...", '{"a": 1}', '{  "b": {    "c": "}"  }}', "Disconnected.", "{}")
    ]
