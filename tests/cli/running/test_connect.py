"""`linqbot connect` against an emulator: subscribes to handled events, stores the secret, rotates it under load."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cli.practice import ALWAYS, LINES, Practice, serve

from linqbot import Bot, Context, Event, MessageEdited, MessageReceived, Router, UnknownEvent
from linqbot.errors import ConfigError
from linqbot.events import PollSent
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.ops.subscriptions import PENDING, address, generation, handled_when_served, next_generation, pinned, target
from linqbot.options import OverlapMode
from linqbot.server.secret_file import SecretFile
from linqbot.settings import from_env

NO_PLUGINS = from_env({"LINQBOT_PLUGINS": ""})

# --- which events, and where to ---------------------------------------------------------------------------------------


def test_the_events_of_a_bot_are_those_of_its_handlers_and_routers() -> None:
    bot, router = Bot(), Router()
    bot.on_message(lambda message, ctx: None)
    router.on(MessageEdited)(lambda event, ctx: None)
    router.on(PollSent)(lambda event, ctx: None)
    bot.include(router)
    assert handled_when_served(bot, NO_PLUGINS).types == ("message.received", "message.edited", "poll.sent")
    assert not handled_when_served(bot, NO_PLUGINS).everything


@pytest.mark.parametrize(
    ("gather_s", "overlap", "needed"),
    [
        (0.0, "queue", set()),
        (0.0, "restart", {"message.edited"}),
        (0.0, "steer", {"message.edited"}),
        (2.0, "queue", {"message.edited", "chat.typing_indicator.started", "chat.typing_indicator.stopped"}),
    ],
)
def test_a_bot_is_subscribed_to_the_edits_that_change_a_burst_or_a_running_handler(
    gather_s: float, overlap: OverlapMode, needed: set[str]
) -> None:
    bot = Bot(gather_s=gather_s)

    @bot.on_message(overlap=overlap)
    async def answer(message: MessageReceived, ctx: Context) -> None: ...

    assert set(handled_when_served(bot, NO_PLUGINS).types) == {"message.received"} | needed


def test_a_handler_of_every_event_needs_every_type_that_linq_offers() -> None:
    for base, types in ((Event, tuple(EVENT_TYPES)), (UnknownEvent, ())):
        bot = Bot()
        bot.on(base)(lambda event, ctx: None)
        assert (handled_when_served(bot, NO_PLUGINS).everything, handled_when_served(bot, NO_PLUGINS).types) == (
            True,
            types,
        )


def test_the_target_has_the_webhook_path_and_pins_the_payload_version(subtests: pytest.Subtests) -> None:
    for url, wanted in [
        ("https://bot.test", "https://bot.test/webhooks/linq?version=2026-02-03"),
        ("https://bot.test/", "https://bot.test/webhooks/linq?version=2026-02-03"),
        ("https://bot.test:8443/hook?line=1", "https://bot.test:8443/hook?line=1&version=2026-02-03"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/webhooks/linq?version=2026-02-03"),
        ("http://[::1]:8000", "http://[::1]:8000/webhooks/linq?version=2026-02-03"),
        ("https://bot.test/?version=2026-02-03", "https://bot.test/webhooks/linq?version=2026-02-03"),
    ]:
        with subtests.test(url=url):
            assert target(url) == wanted


def test_an_unusable_address_is_refused_before_linq_is_asked(subtests: pytest.Subtests) -> None:
    for url, says in [
        ("bot.test", "is not an address"),
        ("ftp://bot.test", "is not an address"),
        ("https://", "is not an address"),
        ("https://bot.test:port", "is not an address"),
        ("http://bot.test", "over https only. Give https://bot.test"),
        ("https://me:pw@bot.test", "must not contain a password"),
        ("https://bot.test/#here", "or a fragment"),
        ("https://bot.test/?version=2025-01-01", "not 2025-01-01"),
    ]:
        with subtests.test(url=url):
            with pytest.raises(ConfigError, match=says) as refused:
                target(url)
            assert "pw" not in str(refused.value).replace("password", "")


def test_each_generation_of_a_subscription_is_another_target_of_one_address() -> None:
    first = "https://bot.test/hook?line=1"
    second = next_generation(first)
    targets = (first, second, next_generation(second))
    assert [generation(each) for each in targets] == [1, 2, 3]
    assert {address(each) for each in (*targets, pinned(first))} == {first}


# --- sync -------------------------------------------------------------------------------------------------------------


def test_sync_subscribes_to_the_handled_events_and_stores_the_secret(account: Practice) -> None:
    assert "Would create" in account.connect("sync", "bot.py", "--url", account.url, "--dry-run")
    assert (account.subscriptions(), account.secret_file.exists()) == ([], False)
    said = account.connect("sync", "bot.py", "--url", f"http://127.0.0.1:{account.port}")
    made = account.subscription()
    assert made["target_url"] == account.url + "?version=2026-02-03"
    assert set(made["subscribed_events"]) == {"message.received"} | ALWAYS
    assert made["id"] in said
    assert "kept in .linqbot/webhook-secret" in said
    assert "Next: linqbot check bot.py" in said
    assert list(account.kept()) == [made["id"]]
    assert account.secret_file.stat().st_mode & 0o777 == 0o600
    assert account.secret_file.parent.stat().st_mode & 0o777 == 0o700


def test_a_second_sync_changes_nothing_and_needs_no_address(account: Practice) -> None:
    account.connect("sync", "bot.py", "--url", account.url)
    before, kept = account.subscriptions(), account.secret_file.read_bytes()
    assert "Nothing to change" in account.connect("sync", "bot.py")
    printed = json.loads(account.connect("sync", "bot.py", "--url", account.url, "--json"))
    assert (printed["action"], printed["changes"]) == ("unchanged", {})
    assert account.subscriptions() == before
    assert account.secret_file.read_bytes() == kept


def test_sync_changes_the_existing_subscription_and_prints_the_changes(account: Practice) -> None:
    account.connect("sync", "bot.py", "--url", account.url)
    (one,) = account.subscriptions()
    wrong = {
        "target_url": account.url + "?version=2025-01-01",
        "subscribed_events": ["message.received", "chat.created"],
        "is_active": False,
    }
    account.change(**wrong)
    planned = account.connect("sync", "bot.py", "--dry-run")
    assert "Would change" in planned
    assert account.subscription()["subscribed_events"] == wrong["subscribed_events"]
    said = account.connect("sync", "bot.py")
    assert "-chat.created" in said
    assert "+message.failed" in said
    assert "paused       no longer" in said
    (after,) = account.subscriptions()
    assert (after["id"], after["target_url"], after["is_active"]) == (one["id"], one["target_url"], True)
    assert set(after["subscribed_events"]) == {"message.received"} | ALWAYS


def test_lines_stay_restricted_until_all_lines_is_given(account: Practice) -> None:
    account.connect("sync", "bot.py", "--url", account.url, "--line", LINES[0])
    assert account.subscription()["phone_numbers"] == [LINES[0]]
    assert "Nothing to change" in account.connect("sync", "bot.py")
    account.connect("sync", "bot.py", "--all-lines")
    assert not account.subscription().get("phone_numbers")
    refused = account.connect("sync", "bot.py", "--line", "+12025550199", code=2)
    assert "is not a line of this account" in refused


def test_a_subscription_created_elsewhere_is_changed_and_its_missing_secret_reported(account: Practice) -> None:
    account.create(account.url, "chat.created")
    said = account.connect("sync", "bot.py", "--url", account.url, code=1)
    assert f"linqbot connect rotate --url {account.url}" in said
    assert set(account.subscription()["subscribed_events"]) == {"message.received"} | ALWAYS
    with_one = account.connect("sync", "bot.py", "--url", account.url, LINQ_WEBHOOK_SECRET="QUJD")
    assert "If it is not in LINQ_WEBHOOK_SECRET either" in with_one


def test_of_two_payload_versions_of_one_address_that_of_linqbot_is_changed(account: Practice) -> None:
    account.create(account.url + "?version=2025-01-01", "message.received")
    account.create(pinned(account.url), "message.received")
    said = account.connect("sync", "bot.py", "--url", account.url, code=1)
    older, newer = account.subscriptions()
    assert f"{older['id']} also delivers to this address" in said
    assert (older["subscribed_events"], older["target_url"][-10:]) == (["message.received"], "2025-01-01")
    assert set(newer["subscribed_events"]) == {"message.received"} | ALWAYS


def test_no_subscription_is_created_if_its_secret_cannot_be_stored(account: Practice) -> None:
    environ: Any = {"LINQ_WEBHOOK_SECRET_FILE": "/proc/self/secret"}
    assert "cannot be written" in account.connect("sync", "bot.py", "--url", account.url, code=2, **environ)
    assert account.subscriptions() == []


def test_an_interrupted_sync_is_run_again(account: Practice, subtests: pytest.Subtests) -> None:
    for broken in (
        {"match": "POST /v3/webhook-subscriptions", "drop": "request"},
        {"match": "POST /v3/webhook-subscriptions", "drop": "answer"},
        {"match": "PUT /v3/webhook-subscriptions", "status": 400},  # its secret is stored, and it has no events yet
    ):
        with subtests.test(broken=broken):
            account.fault(on="api", **broken)
            account.connect("sync", "bot.py", "--url", account.url, code=1)
            if "status" in broken:
                assert account.subscription()["subscribed_events"] == list(PENDING)
            account.connect("sync", "bot.py", "--url", account.url)
            assert set(account.subscription()["subscribed_events"]) == {"message.received"} | ALWAYS
            assert list(account.kept()) == [account.subscription()["id"]]
            account.connect("remove", account.subscription()["id"], "--yes")


def test_a_wrong_call_ends_with_2_and_names_the_right_one(account: Practice, subtests: pytest.Subtests) -> None:
    rows: list[tuple[list[str], str]] = [
        (["sync", "bot.py"], "Which address? Give --url"),
        (["sync", "nobot.py", "--url", "https://x.test"], "There is no file nobot.py"),
        (["sync", "bot.py", "--url", "http://x.test"], "over https only"),
        (["sync", "bot.py", "--line", "+1", "--all-lines"], "Give either --line or --all-lines"),
        (["rotate"], "Which address? Give --url"),
        (["rotate", "--url", "https://x.test"], "Nothing is subscribed to"),
    ]
    for arguments, says in rows:
        with subtests.test(arguments=arguments):
            said = account.connect(*arguments, code=2)
            assert says in " ".join(said.split())
            assert "Traceback" not in said


# --- list, event types, remove -----------------------------------------------------------------------------------------


def test_a_subscription_is_listed_and_removed(account: Practice) -> None:
    assert "There are no subscriptions" in account.connect("list")
    account.connect("sync", "bot.py", "--url", account.url, "--line", LINES[1])
    (row,) = json.loads(account.connect("list", "--json"))
    assert (row["lines"], row["secret_kept"]) == ([LINES[1]], True)
    assert row["id"] in account.connect("list")

    account.connect("remove", row["id"], input="n\n", code=1)
    assert len(account.subscriptions()) == 1
    assert "and its secret" in account.connect("remove", row["id"], input="y\n")
    assert account.subscriptions() == []
    assert account.kept() == {}
    account.connect("remove", row["id"], "--yes", code=1)


def test_the_secret_of_a_subscription_that_was_deleted_elsewhere_can_be_removed(account: Practice) -> None:
    account.sync()
    there = account.subscription()["id"]
    account.api("DELETE", f"/webhook-subscriptions/{there}")
    account.connect("remove", there, input="n\n", code=1)
    assert list(account.kept()) == [there]
    assert f"Deleted the secret of {there}" in account.connect("remove", there, input="y\n")
    assert account.kept() == {}


def test_event_types_are_printed_without_a_token(account: Practice) -> None:
    printed = json.loads(account.connect("sync", "bot.py", "--dry-run", "--json", LINQ_API_V3_API_KEY=""))
    assert (printed["action"], printed["everything"]) == (None, False)
    assert set(printed["events"]) == {"message.received"} | ALWAYS


# --- rotate -----------------------------------------------------------------------------------------------------------


def is_accepted(delivery: dict[str, Any]) -> bool:
    return any(attempt["status"] == 200 for attempt in delivery["attempts"])


@pytest.mark.slow
def test_a_rotation_under_load_that_is_interrupted_and_finished_refuses_and_loses_no_delivery(
    account: Practice, command: Callable[..., Any], program: Callable[..., Any]
) -> None:
    account.connect("sync", "bot.py", "--url", account.url)
    old = account.subscription()
    bot = serve(account, command)
    stop, said = threading.Event(), [0]

    def talk() -> None:
        while not stop.is_set():
            account.text(f"message {said[0]}", person=f"+141555501{said[0] % 20:02}")
            said[0] += 1
            time.sleep(0.01)

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        bot.until(lambda: said[0] > 20)
        rotation = program("connect", "rotate", **account.settings)
        rotation.until(lambda: "Both deliver now" in rotation.said())
        # The emulator drops what it has not delivered yet, and what it would deliver again, when a subscription is deleted.
        # Of these, the new one has none.
        of_old = {"subscription_id": old["id"], "event_type": "message.received"}
        before = len(account.deliveries(**of_old))
        bot.until(lambda: all(map(is_accepted, account.deliveries(**of_old)[:before])))
        rotation.stop(signal.SIGINT)
        assert "Traceback" not in rotation.said()
        assert len(account.subscriptions()) == 2
        account.connect("rotate", "--overlap", "0")
        at_end = said[0]
        bot.until(lambda: said[0] > at_end + 20)
    finally:
        stop.set()
        talking.join()
    bot.until(lambda: len(account.replies()) >= said[0])
    httpx.post(f"{account.linq}/emulator/flush").raise_for_status()

    new = account.subscription()
    assert new["id"] != old["id"]
    assert new["subscribed_events"] == old["subscribed_events"]
    assert list(account.kept()) == [new["id"]]
    attempts = [(one["subscription_id"], attempt) for one in account.deliveries() for attempt in one["attempts"]]
    # On a busy machine an answer may come later than the emulator waits for it, which is no refusal: it delivers again.
    answered = [(each, attempt) for each, attempt in attempts if "Timed out" not in attempt.get("reason", "")]
    assert [attempt for _, attempt in answered if attempt["status"] != 200] == []
    assert {subscription for subscription, _ in answered} == {old["id"], new["id"]}
    assert sorted(account.replies()) == sorted(f"You said: message {n}" for n in range(said[0]))
    assert bot.stop() == 0
    assert "whsec_" not in bot.said()


def test_a_secret_of_the_environment_is_rotated_into_the_file(account: Practice, command: Callable[..., Any]) -> None:
    made = account.create(account.url, "message.received")
    account.environ["LINQ_WEBHOOK_SECRET"] = made["signing_secret"]
    bot = serve(account, command)
    # The only test in which the overlap of a rotation ends by itself.
    assert "remove it" in account.connect("rotate", "--url", account.url, "--overlap", "1")
    assert made["id"] != account.subscription()["id"]
    account.text("hello")
    bot.until(lambda: account.replies() == ["You said: hello"])
    assert bot.stop() == 0


def test_a_bot_that_is_down_or_reads_another_file_stops_the_rotation_without_loss(
    account: Practice, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.ops.rotation.LEARN_S", 0.0)
    account.connect("sync", "bot.py", "--url", account.url)
    old = account.subscription()
    assert "The connection failed" in account.connect("rotate", "--overlap", "0", code=1)

    (account.folder / "elsewhere").write_text(account.secret())
    account.environ["LINQ_WEBHOOK_SECRET_FILE"] = str(account.folder / "elsewhere")
    bot = serve(account, command)
    del account.environ["LINQ_WEBHOOK_SECRET_FILE"]
    another = account.connect("rotate", "--overlap", "0", code=1)
    assert "has another secret" in another
    assert f"{old['id']} still delivers as before" in another
    account.text("hello")
    bot.until(lambda: account.replies() == ["You said: hello"])

    (account.folder / "elsewhere").write_bytes(account.secret_file.read_bytes())
    account.connect("rotate", "--overlap", "0")
    new = account.subscription()
    assert new["id"] != old["id"]
    assert bot.stop() == 0


@pytest.mark.slow
def test_a_rotation_interrupted_anywhere_continues_when_run_again_and_the_old_secret_ends(
    account: Practice, command: Callable[..., Any], subtests: pytest.Subtests
) -> None:
    account.connect("sync", "bot.py", "--url", account.url)
    (first_secret,) = account.kept().values()
    bot = serve(account, command)
    for broken in (
        {"match": "POST /v3/webhook-subscriptions", "drop": "answer"},
        {"match": "PUT /v3/webhook-subscriptions", "status": 400},
        {"match": "DELETE /v3/webhook-subscriptions", "status": 400},
        {"match": "DELETE /v3/webhook-subscriptions", "drop": "answer", "times": 5},
    ):
        with subtests.test(broken=broken):
            old = account.subscription()
            said = account.replies()
            account.fault(on="api", **broken)
            first = account.run("connect", "rotate", "--overlap", "0")
            httpx.delete(f"{account.linq}/emulator/faults").raise_for_status()
            account.text("in between")
            bot.until(lambda said=said: account.replies() == [*said, "You said: in between"])
            if first.exit_code:
                account.connect("rotate", "--overlap", "0", "--url", account.url)
            new = account.subscription()
            assert new["id"] != old["id"]
            assert new["subscribed_events"] == old["subscribed_events"]
            assert list(account.kept()) == [new["id"]]
            account.text("after")
            bot.until(lambda said=said: account.replies() == [*said, "You said: in between", "You said: after"])
    assert {a["status"] for one in account.deliveries() for a in one["attempts"]} == {200}
    ended = {"LINQ_WEBHOOK_SECRET": first_secret, "LINQ_WEBHOOK_SECRET_FILE": str(account.folder / "none")}
    bot.until(lambda: ": 401 in" in account.run("trigger", "message.read", "--url", account.url, **ended).output)
    assert bot.stop() == 0


def test_a_rotation_begun_elsewhere_is_not_touched(account: Practice) -> None:
    account.connect("sync", "bot.py", "--url", account.url)
    account.create(next_generation(account.url), "message.received")
    assert "created elsewhere" in account.connect("rotate", "--overlap", "0", code=2)
    assert len(account.subscriptions()) == 2


@pytest.mark.slow
def test_an_unfinished_rotation_of_another_address_does_not_count_as_done(
    account: Practice, command: Callable[..., Any]
) -> None:
    account.connect("sync", "bot.py", "--url", account.url)
    other = account.create("https://other.test/x", "message.read")
    secrets = SecretFile(account.secret_file)
    secrets.keep(other["signing_secret"], other["id"])
    secrets.mark_ending(other["id"])
    (old,) = [each["id"] for each in account.subscriptions() if each["id"] != other["id"]]
    bot = serve(account, command)
    account.connect("rotate", "--overlap", "0", "--url", account.url)
    assert old not in {each["id"] for each in account.subscriptions()}
    assert bot.stop() == 0
