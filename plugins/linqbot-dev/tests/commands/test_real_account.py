"""`linqbot dev` with a real account, which is an emulator in another process.

A small proxy is the tunnel of --public-url, and a small program is Linq's CLI with the relay of --line.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import emulator_control
import httpx
import linq_cli
import pytest
from cli.practice import ALWAYS, KEY, LINES, Practice
from cli.running.broken_proxies import Crooked, proxying
from dev_command import save
from linqbot_dev.dev import real_account
from linqbot_dev.dev.bot_process import BotProcess
from linqbot_dev.dev.processes import Needs
from linqbot_dev.dev.session import Session
from patience import PATIENCE_S, until
from ports import free_port
from typed_command import shown

from linqbot.errors import ConfigError

REACTS = '\n@bot.on_edit("love")\nasync def loved(edit, ctx): ...\n'


# The tunnel


@pytest.fixture
def tunnel(account: Practice) -> Iterator[Crooked]:
    with proxying(Crooked(f"http://127.0.0.1:{account.port}")) as proxy:
        yield proxy


def dev(account: Practice, command: Callable[..., Any], url: str, *more: str) -> Any:
    return command("dev", "bot.py", "--public-url", url, "--port", str(account.port), *more, **account.settings)


@pytest.mark.slow
def test_the_bot_answers_through_the_tunnel_is_reloaded_and_deletes_its_subscription(
    account: Practice, command: Callable[..., Any], tunnel: Crooked
) -> None:
    theirs = account.create("https://live.test/", "chat.created")
    trying = dev(account, command, tunnel.url)
    trying.until(lambda: "Text your bot: +12025550100" in trying.said())
    account.text("one")
    trying.until(lambda: account.replies() == ["You said: one"])
    (own,) = [one for one in account.subscriptions() if one["id"] != theirs["id"]]
    assert own["target_url"] == f"{tunnel.url}/webhooks/linq?version=2026-02-03"
    assert set(own["subscribed_events"]) == {"message.received"} | ALWAYS

    code = (account.folder / "bot.py").read_text()
    save(account.folder / "bot.py", code + "broken(")
    trying.until(lambda: "did not start. Correct it and save" in trying.said())
    save(account.folder / "bot.py", code.replace("You said", "I heard") + REACTS)
    trying.until(lambda: trying.said().count("Text your bot") == 2)
    account.text("two")
    trying.until(lambda: account.replies() == ["You said: one", "I heard: two"])
    (after,) = [one for one in account.subscriptions() if one["id"] != theirs["id"]]
    assert after["id"] == own["id"]
    assert "message.edited" in after["subscribed_events"]

    assert trying.stop(signal.SIGINT) == 0
    assert [one["id"] for one in account.subscriptions()] == [theirs["id"]]
    assert "Traceback" not in trying.said()
    assert "whsec_" not in trying.said()
    assert (account.folder / ".linqbot" / "dev-webhook-secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_subscription_left_by_a_crash_is_taken_over_at_another_address(
    account: Practice, command: Callable[..., Any], tunnel: Crooked
) -> None:
    first = dev(account, command, f"http://127.0.0.1:{free_port()}", "--no-reload")
    first.until(lambda: f"Point your tunnel to http://127.0.0.1:{account.port}" in first.said())
    assert "Nothing arrives through" in first.said()
    (left,) = account.subscriptions()
    account.fault(on="api", match="DELETE /v3/webhook-subscriptions", status=500, times=9)
    assert first.stop() == 0
    assert f"{left['id']} could not be deleted" in first.said()
    httpx.delete(f"{account.linq}/emulator/faults").raise_for_status()

    second = dev(account, command, tunnel.url, "--no-reload")
    second.until(lambda: "Text your bot" in second.said())
    (taken,) = account.subscriptions()
    assert taken["id"] == left["id"]
    assert taken["target_url"].startswith(tunnel.url)
    account.text("hello")
    second.until(lambda: account.replies() == ["You said: hello"])
    assert second.stop() == 0
    assert account.subscriptions() == []


def test_a_subscription_of_which_only_the_last_call_fails_is_deleted(
    account: Practice, command: Callable[..., Any], tunnel: Crooked
) -> None:
    account.fault(on="api", match="PUT /v3/webhook-subscriptions", status=400, times=9)
    trying = dev(account, command, tunnel.url)
    assert trying.end() == 1
    assert account.subscriptions() == []


def test_a_subscription_that_dev_did_not_create_is_not_changed(
    account: Practice, command: Callable[..., Any], tunnel: Crooked
) -> None:
    theirs = account.create(f"{tunnel.url}/webhooks/linq", "message.received")
    trying = dev(account, command, tunnel.url)
    assert trying.end() == 2
    assert f"linqbot connect remove {theirs['id']}" in trying.said()
    assert [one["id"] for one in account.subscriptions()] == [theirs["id"]]


class Started(BotProcess):
    """A bot that starts at once, without a process."""

    async def begin(self) -> Needs:
        return Needs((), everything=False)


class SlowAtFirst(Session):
    """A way for events to reach the bot, for which Linq does not answer before a file of the bot is saved."""

    phone = "+12025550100"
    asked = 0

    async def open(self) -> None: ...

    async def remove(self) -> None: ...

    async def sync(self, _: Needs) -> None:
        self.asked += 1
        while self.asked == 1 and self.watched is not None:
            (self.watched / "bot.py").write_text(f"# {time.monotonic()}")
            await asyncio.sleep(0.05)


async def test_a_save_while_linq_is_asked_starts_the_bot_again_and_only_a_start_that_is_over_says_where_to_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = SlowAtFirst(Started("bot.py", "", 0, tmp_path), tmp_path)
    running = asyncio.create_task(session.run())
    said = ""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while "Text your bot: +12025550100" not in said:
                await asyncio.sleep(0.01)
                said += capsys.readouterr().err
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert session.asked > 1


class Starting(BotProcess):
    """A bot whose start ends when the bot is stopped."""

    async def begin(self) -> None:
        self.is_stopping = False
        while not self.is_stopping:
            await asyncio.sleep(0)

    async def stop(self) -> None:
        await super().stop()
        for _ in range(9):  # until the process has ended, other tasks go on
            await asyncio.sleep(0)


async def test_a_start_that_ends_with_the_source_of_events_is_not_said_to_have_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = Starting("bot.py", "", 0, tmp_path, is_stopping=True)

    class Ended(SlowAtFirst):
        def passing_on(self) -> list[Awaitable[None]]:
            return [self.end()]

        async def end(self) -> None:
            await until(lambda: not bot.is_stopping)
            raise ConfigError("The relay has ended.")

    with pytest.raises(ConfigError, match="The relay has ended"):
        await Ended(bot, None).run()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_without_reload_a_bot_that_does_not_start_ends_dev_with_one_error_and_its_subscription(
    account: Practice, command: Callable[..., Any], tunnel: Crooked
) -> None:
    """It said "Correct it and save", and waited for ever."""
    for code, exit_code, says in (
        ("from linqbot import Bot\nbot = Bot(\n", 1, "'(' was never closed"),
        ("import os\nos._exit(7)\n", 2, "ended with exit code 7 while it started"),
    ):
        (account.folder / "bot.py").write_text(code)
        trying = dev(account, command, tunnel.url, "--no-reload")
        found = (trying.end(), f"\n{trying.said()}".count("\nError: "), says in trying.said())
        assert found == (exit_code, 1, True), trying.said()
        assert account.subscriptions() == []


@pytest.mark.slow
def test_with_json_each_line_about_a_real_account_is_json_too(
    account: Practice, command: Callable[..., Any], tunnel: Crooked
) -> None:
    trying = dev(account, command, tunnel.url, "--json")
    trying.until(lambda: '"reloaded": false' in trying.said())
    (own,) = account.subscriptions()
    save(account.folder / "bot.py", "from linqbot import Bot\nbot = Bot(\n")
    trying.until(lambda: "did not start. Correct it and save" in trying.said())
    assert trying.stop() == 0
    rows = [json.loads(line) for line in trying.said().splitlines()]
    (started,) = [row for row in rows if "bot" in row]
    webhook = f"http://127.0.0.1:{account.port}/webhooks/linq"
    assert started == {"bot": "bot.py", "phone": " or ".join(LINES), "webhook": webhook, "reloaded": False}
    notes = [row["note"] for row in rows if "note" in row]
    assert notes[0].startswith(f"Linq delivers to {tunnel.url}/webhooks/linq: ")
    assert notes[1:] == ["bot.py did not start. Correct it and save.", f"Deleted the subscription {own['id']}."]
    assert [row["error"]["what"] for row in rows if isinstance(row.get("error"), dict)] != []


def test_a_wrong_address_or_token_ends_dev_with_an_error(account: Practice, subtests: pytest.Subtests) -> None:
    for url, environ, code, says in [
        ("https://bot.test", {"LINQ_API_V3_API_KEY": ""}, 2, "LINQ_API_V3_API_KEY is not set"),
        ("http://bot.test", {}, 2, "over https only"),
        ("https://bot.test", {"LINQ_API_V3_API_KEY": "another"}, 1, "401/2004"),
    ]:
        with subtests.test(url=url, environ=environ):
            assert says in shown("dev", "bot.py", "--public-url", url, code=code, **account.environ | environ)


# The relay


@pytest.fixture
def relayed(account: Practice, tmp_path: Path) -> Practice:
    if os.name != "posix":
        pytest.skip("the program that stands for Linq's CLI is a shell script")
    account.environ["PATH"] = linq_cli.install(tmp_path / "bin")
    return account


@pytest.mark.slow
def test_the_bot_answers_on_its_line_once_is_reloaded_and_leaves_no_subscription(
    relayed: Practice, command: Callable[..., Any]
) -> None:
    theirs = relayed.create("https://live.test/hooks", "message.received")
    trying = command("dev", "--line", LINES[0], **relayed.settings)
    trying.until(lambda: f"Text your bot: {LINES[0]}" in trying.said() and "Listening for events" in trying.said())
    assert f"{theirs['id']} delivers {LINES[0]} to https://live.test/hooks too" in trying.said()

    def relays() -> dict[str, Any]:
        (own,) = [one for one in relayed.subscriptions() if one["id"] != theirs["id"]]
        return own

    trying.until(lambda: relays()["phone_numbers"] == [LINES[0]])
    assert set(relays()["subscribed_events"]) == {"message.received"} | ALWAYS
    relayed.text("one")
    trying.until(lambda: relayed.replies() == ["You said: one"])

    bot = relayed.folder / "bot.py"
    code = bot.read_text()
    save(bot, code + "broken(")
    trying.until(lambda: "did not start. Correct it and save" in trying.said())
    relayed.text("two")
    # As between the start of the CLI and the change of its subscription.
    relayed.api("PUT", f"/webhook-subscriptions/{relays()['id']}", {"phone_numbers": []})
    emulator_control.text(relayed.linq, "not for this bot", to=LINES[1])
    save(bot, code.replace("You said", "I heard"))
    trying.until(lambda: "I heard: two" in relayed.replies())
    relayed.text("three")
    trying.until(lambda: "I heard: three" in relayed.replies())
    assert relayed.replies() == ["You said: one", "I heard: two", "I heard: three"]

    assert trying.stop(signal.SIGINT) == 0
    assert [one["id"] for one in relayed.subscriptions()] == [theirs["id"]]
    assert "Traceback" not in trying.said()
    assert KEY not in trying.said()


@pytest.mark.slow
def test_when_the_relay_dies_dev_ends_and_says_so(relayed: Practice, command: Callable[..., Any]) -> None:
    trying = command("dev", "--line", LINES[0], "--no-reload", **relayed.settings)
    trying.until(lambda: "Text your bot" in trying.said() and relayed.subscriptions())
    trying.until(lambda: relayed.subscriptions()[0]["phone_numbers"])
    os.kill(int(relayed.subscriptions()[0]["target_url"].rpartition("/")[2]), signal.SIGKILL)
    assert trying.end() == 2
    assert "linq webhooks listen has ended" in trying.said()
    assert "linq doctor" in trying.said()
    assert relayed.subscriptions() == []
    assert "Traceback" not in trying.said()


def test_a_wrong_line_or_key_or_a_missing_program_ends_dev_with_what_to_do(relayed: Practice) -> None:
    for arguments, environ, code, says in [
        (["--line"], {}, 2, f"This account has 2 lines: {', '.join(LINES)}. Choose one: linqbot dev --line {LINES[0]}"),
        (["--line", "bot.py"], {}, 2, "bot.py is not a line of this account"),
        (["--line", LINES[0]], {"PATH": "/nowhere"}, 2, "npm install -g @linqapp/cli"),
        (["--line", LINES[0]], {"LINQ_API_V3_API_KEY": "another"}, 1, "401/2004"),
        (["--line", LINES[0]], {"LINQ_API_V3_API_KEY": ""}, 2, "LINQ_API_V3_API_KEY is not set"),
        (["--line", LINES[0], "--public-url", "https://x.test"], {}, 2, "Give one of --line, --public-url"),
    ]:
        assert says in " ".join(shown("dev", *arguments, code=code, **relayed.environ | environ).split())
        assert relayed.subscriptions() == []


async def test_events_are_found_among_the_other_lines_of_the_cli() -> None:
    output = asyncio.StreamReader()
    output.feed_data(
        b'Connecting...\n{"a": 1}\n\n{\n  "b": {\n    "c": "}"\n  }\n}\nDisconnected.\n{}\n{\n  "cut": 1\n'
    )
    output.feed_eof()
    assert [said async for said in real_account.said_by(output)] == [
        *("Connecting...", '{"a": 1}', '{  "b": {    "c": "}"  }}', "Disconnected.", "{}")
    ]
