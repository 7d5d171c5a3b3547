"""`linqbot dev --public-url`: an emulator in another process is the real account, a small proxy is the tunnel."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cli.practice import ALWAYS, Account
from cli.running.broken_proxies import Crooked, proxying
from ports import free_port
from typed_command import shown

REACTS = '\n@bot.on_edit("love")\nasync def loved(edit, ctx): ...\n'


@pytest.fixture
def tunnel(account: Account) -> Iterator[Crooked]:
    with proxying(Crooked(f"http://127.0.0.1:{account.port}")) as proxy:
        yield proxy


def dev(account: Account, command: Callable[..., Any], url: str, *more: str) -> Any:
    return command("dev", "bot.py", "--public-url", url, "--port", str(account.port), *more, **account.settings)


@pytest.mark.slow
def test_the_bot_answers_through_the_tunnel_is_reloaded_and_deletes_its_subscription(
    account: Account, command: Callable[..., Any], tunnel: Crooked
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
    (account.folder / "bot.py").write_text(code + "broken(")
    trying.until(lambda: "did not start. Correct it and save" in trying.said())
    (account.folder / "bot.py").write_text(code.replace("You said", "I heard") + REACTS)
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
    account: Account, command: Callable[..., Any], tunnel: Crooked
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


def test_a_subscription_that_dev_did_not_create_is_not_changed(
    account: Account, command: Callable[..., Any], tunnel: Crooked
) -> None:
    theirs = account.create(f"{tunnel.url}/webhooks/linq", "message.received")
    trying = dev(account, command, tunnel.url)
    assert trying.end() == 2
    assert f"linqbot connect remove {theirs['id']}" in trying.said()
    assert [one["id"] for one in account.subscriptions()] == [theirs["id"]]


def test_a_wrong_address_or_token_ends_dev_with_an_error(account: Account, subtests: pytest.Subtests) -> None:
    for url, environ, code, says in [
        ("https://bot.test", {"LINQ_API_V3_API_KEY": ""}, 2, "LINQ_API_V3_API_KEY is not set"),
        ("http://bot.test", {}, 2, "over https only"),
        ("https://bot.test", {"LINQ_API_V3_API_KEY": "another"}, 1, "401/2004"),
    ]:
        with subtests.test(url=url, environ=environ):
            assert says in shown("dev", "bot.py", "--public-url", url, code=code, **account.environ | environ)
