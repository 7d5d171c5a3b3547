"""`linqbot waiting` as operators use it: next to a running server, as text and as JSON, without people's messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from asking_talk import Talk
from emulator_control import text
from fakes import CHAT, PERSON, delivery, text_body
from simulated_crash import begun
from sqlite_connections import in_storage
from typed_command import data, run, shown

from linqbot import Context, MessageReceived
from linqbot.cli.output import iso_time
from linqbot.client.call import prepare
from linqbot.clock import MovableClock
from linqbot.engine.failure import RetryPolicy, TurnFailure, decide
from linqbot.events import Delivery
from linqbot.features.later import StoredSend
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Lease, Retry
from linqbot.storage.journal import JournalEntry, Receipt
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.timers import Timer

NOON = 1_793_900_000.0
WORDS = "meet me at nine"
BOT = """
from linqbot import Bot, Context, MessageReceived

bot = Bot()

@bot.on_message("fail")
async def fail(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("before")
    raise ValueError("no such order")

@bot.on_message("ask")
async def ask(message: MessageReceived, ctx: Context) -> None:
    await ctx.client.chats.retrieve(ctx.chat_id)

@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You said: {message.text}")
    await ctx.react("love")
    await ctx.mark_read()
    await ctx.send_later("still there?", after_s=60)
"""


@pytest.fixture(autouse=True)
def folder(command_folder: Path) -> Path:
    (command_folder / "bot.py").write_text(BOT)
    return command_folder


Outcome = Ack | DeadLetter | Defer | Retry
T = TypeVar("T")


def at_noon(act: Callable[[SQLiteStorage], Awaitable[T]]) -> T:
    """Do one thing with the storage of the folder."""
    return in_storage("linqbot.db", act, clock=MovableClock(NOON, frozen=True), keep_days=9)


def stored(*deliveries: tuple[Delivery, Outcome | None]) -> None:
    """Store deliveries and end their turns with these outcomes. None leaves a delivery waiting."""

    async def work(storage: SQLiteStorage) -> None:
        for each, outcome in deliveries:
            await storage.put(each)
            if outcome is not None:
                leases = await storage.take(100, lease_s=60)
                await storage.finish(leases[-1], Commit(outcome))

    at_noon(work)


def schedule(*timers: Timer) -> None:
    async def work(storage: SQLiteStorage) -> None:
        for each in timers:
            await storage.schedule(each)

    at_noon(work)


def said(text: str = WORDS, chat: str = CHAT, **changes: Any) -> Delivery:
    return delivery(text_body(text, chat=chat, **changes))


def test_list_shows_waiting_deliveries_and_why_they_wait(folder: Path) -> None:
    waits = said(chat="a")
    stored(
        (waits, Retry(4e9, "ValueError at bot.py:7")),
        (said(chat="b"), Defer(4e9, "Linq is away")),
        (said(chat="c"), None),
    )
    output = shown("waiting", "list", "--deliveries")
    for words in (waits.id, "retrying", "deferred", "ready", "c:a", "ValueError at bot.py:7", "Linq is away", "2096-"):
        assert words in output
    rows = data("waiting", "list", "--deliveries")
    assert [row["state"] for row in rows] == ["retrying", "deferred", "ready"]
    assert rows[0]["received_at"] == iso_time(NOON)
    for chat in ("b", "c:b"):
        assert [row["lane"] for row in data("waiting", "list", "--deliveries", "--chat", chat)] == ["c:b"]
    assert len(data("waiting", "list", "--deliveries", "--type", "message.received", "--limit", "2")) == 2
    assert data("waiting", "list", "--deliveries", "--type", "reaction.added") == []
    assert shown("waiting", "list", "--deliveries", "--type", "reaction.added") == "No delivery waits.\n"


class NoOrder(Exception):
    """An error of a shop."""


def greet(words: str = WORDS) -> Outcome:
    """Return the end of a turn whose handler has failed over the words of a person."""
    try:
        try:
            raise KeyError(words)  # noqa: TRY301
        except KeyError as error:
            raise NoOrder(f"{words}: {words}") from error
    except NoOrder as error:
        failure = TurnFailure(error, "bot:greet")
        return decide(Lease(said(), 1), failure, RetryPolicy(attempts=1), now=NOON)


def test_dead_letters_are_listed_with_the_type_and_the_place_of_their_error_only() -> None:
    stored((said(), greet()), (said(), DeadLetter("The process died 3 times.")))
    output = shown("waiting", "list", "--dead")
    for words in ("NoOrder at test_waiting.py:", "bot:greet", "The process died 3 times."):
        assert words in output
    assert WORDS not in output
    process, failed = (row["error"] for row in data("waiting", "list", "--dead"))
    assert process == "The process died 3 times."
    assert failed.startswith("NoOrder at test_waiting.py:")
    assert data("waiting", "list", "--dead", "--until", "2020-01-01") == []
    assert len(data("waiting", "list", "--dead", "--since", "2020-01-01T10:00:00+02:00")) == 2


def test_why_prints_messages_only_with_body() -> None:
    dead = said()
    stored((dead, greet()))

    async def send(storage: SQLiteStorage) -> None:
        call = prepare("chats.messages.send", path={"chat_id": CHAT}, body={"text": WORDS}).to_json()
        for slot, status in (("0", "accepted"), ("1", "ambiguous")):
            effect = JournalEntry(dead.id, 0, slot, f"k{slot}", "keyed", call, status, NOON, b"{}", f"msg-{slot}")  # type: ignore[arg-type]
            await storage.settle(effect)
        await storage.settle_receipt(Receipt("k0", "msg-0", "read"))

    at_noon(send)
    error = ("test_waiting.py", "in greet", "raised from KeyError", "NoOrder at")
    calls = ("chats.messages.send", "accepted", "read", "ambiguous", "msg-0", "msg-1")
    for as_json in ([], ["--json"]):
        output = shown("why", dead.id, *as_json)
        for words in (dead.id, "given up", *error, "bot:greet", *calls):
            assert words in output
        assert WORDS not in output
        assert WORDS in shown("why", dead.id, "--body", *as_json)


OBEYED = "\x1b]0;owned\x07\x9b2J\x7f\u202e"
"""Characters that a terminal obeys: they rename its window, clear it, and turn the direction of text."""


def test_why_escapes_what_a_terminal_would_obey() -> None:
    dead = said(f"hello{OBEYED}👨\u200d👩 Ünn")
    stored((dead, greet(OBEYED)))
    for as_json in ([], ["--json"]):
        output = shown("why", dead.id, "--body", *as_json)
        assert all(line.replace("\u200d", "").isprintable() for line in output.split("\n"))
        assert "Ünn" in output
    assert json.loads(output)["cases"][0]["error_text"].rstrip().endswith(OBEYED)


def test_a_replay_escapes_what_a_terminal_would_obey_in_a_traceback(folder: Path) -> None:
    (folder / "bot.py").write_text(
        BOT.replace('"no such order"', "message.text").replace('"fail"', "lambda message: len(message.text) > 5")
    )
    stored((said(f"fail{OBEYED}"), Ack()))
    output = shown("replay", "bot.py", "--type", "message.received", "--diff", code=1)
    assert r"ValueError: fail\x1b]0;owned\x07\x9b2J\x7f\u202e" in output
    assert all(line.isprintable() for line in output.split("\n"))


def test_an_ambiguous_call_is_listed_with_the_delivery_to_look_at() -> None:
    dead = said()
    stored((dead, DeadLetter("Unknown.", "bot:greet")))
    call = prepare("chats.messages.send", path={"chat_id": CHAT}, body={}).to_json()
    entry = JournalEntry(dead.id, 0, "0", "k0", "once", call, "ambiguous", NOON, b"{}", None)
    at_noon(lambda storage: storage.settle(entry))
    (row,) = data("waiting", "list", "--ambiguous")
    assert (row["id"], row["call"], row["key"]) == (dead.id, "chats.messages.send", "k0")
    assert data("why", row["id"])["cases"][0]["state"] == "dead"


def test_why_finds_waiting_deliveries_of_any_lane() -> None:
    waits = said(chat="a")
    stored((waits, None), (Delivery("w.raw", "x:1", "", b"\xff raw", NOON), None))
    (found,) = data("why", waits.id)["cases"]
    assert (found["state"], "body" in found) == ("ready", False)
    assert data("why", "w.raw", "--body")["cases"][0]["body"] == "� raw"
    at = datetime.fromtimestamp(NOON, UTC)
    assert data("why", "a", "--at", f"{at:%Y-%m-%dT%H:%M}")["cases"] == [found]
    assert data("why", "a", "--at", f"{at:%H:%M}")["cases"] == []  # of the last 24 hours
    assert data("why", "a", "--at", f"{at:%Y%m%dT%H%M}")["cases"] == [found]
    for wrong in ("soon", "2026", "2026-11"):
        assert "is no time" in shown("why", "a", "--at", wrong, code=2)
    assert "There is no delivery w.unknown" in shown("why", "w.unknown", code=1)


def test_retry_puts_back_dead_letters_by_id_or_by_filter_and_nothing_if_an_id_is_wrong() -> None:
    letters = [said(chat=chat) for chat in "aab"]
    stored(*((each, DeadLetter("Boom")) for each in letters))
    output = shown("waiting", "retry", letters[0].id, "w.wrong", "w.other", code=1)
    assert "w.other is not a dead letter" in output
    assert len(data("waiting", "list", "--dead")) == 3
    assert "Say which" in shown("waiting", "retry", code=2)
    assert "Say which" in shown("waiting", "retry", letters[0].id, "--all", code=2)
    assert shown("waiting", "retry", letters[2].id) == "1 delivery put back.\n"
    assert data("waiting", "retry", "--chat", "a") == {"retried": 2}
    assert [row["id"] for row in data("waiting", "list", "--deliveries")] == [
        letters[2].id,
        letters[0].id,
        letters[1].id,
    ]
    assert shown("waiting", "retry", "--all") == "0 deliveries put back.\n"


def test_a_misspelt_event_type_is_named_with_the_nearest_one() -> None:
    stored((said(), DeadLetter("ValueError")))
    for command in (["list"], ["list", "--dead"], ["retry"]):
        result = run("waiting", *command, "--type", "message.recieved", "--json")
        assert result.exit_code == 0
        assert result.stderr == "linqbot knows no event type message.recieved. Did you mean message.received?\n"
        assert json.loads(result.stdout) in ([], {"deliveries": [], "dead": []}, {"retried": 0})
        assert run("waiting", *command, "--type", "message.received").stderr == ""


def test_without_a_kind_the_list_counts_what_else_waits() -> None:
    stored()
    assert "Nothing waits" in shown("waiting", "list")
    stored((said(chat="a"), DeadLetter("Boom")), (said(chat="a"), DeadLetter("Boom")), (said(chat="a"), None))
    schedule(Timer("t", NOON, "c:b", "send", WORDS.encode()))
    output = shown("waiting", "list")
    assert "2 dead letters: linqbot waiting list --dead" in output
    assert "1 scheduled send: linqbot waiting list --scheduled" in output
    assert WORDS not in output
    found = data("waiting", "list")
    assert list(found) == ["deliveries", "dead", "scheduled", "questions", "broadcasts"]
    assert [len(rows) for rows in found.values()] == [1, 2, 1, 0, 0]
    assert found["dead"] == data("waiting", "list", "--dead")
    of_chat = data("waiting", "list", "--chat", "b")
    assert {name: len(rows) for name, rows in of_chat.items()} == {
        "deliveries": 0, "dead": 0, "scheduled": 1, "questions": 0,
    }  # fmt: skip
    schedule(Timer("hourly", NOON, "s:hourly", "schedule", b"{}"))
    assert "2 timers: linqbot waiting list --scheduled" in shown("waiting", "list")


def test_a_list_that_may_not_be_whole_says_how_to_list_more() -> None:
    stored((said(chat="a"), DeadLetter("Boom")), (said(chat="a"), DeadLetter("Boom")))
    for limit, says in [(1, "At most 1 are listed. To list more: --limit\n"), (3, "")]:
        result = run("waiting", "list", "--dead", "--limit", str(limit), "--json")
        assert len(json.loads(result.stdout)) == min(limit, 2)
        assert result.stderr == says


def test_a_timer_is_listed_with_its_person_or_else_with_its_lane_and_without_its_text() -> None:
    call = prepare("chats.messages.send", path={"chat_id": "x"}, body={"text": WORDS})
    calls = (json.loads(call.to_json()),)
    schedule(
        StoredSend(calls=calls, due=NOON, grace_s=60, origin={"handles": ["+14155550142"]}).timer("said", "c:x"),
        StoredSend(calls=calls, due=NOON + 1, grace_s=60).timer("plain", "c:x"),
        Timer("t", NOON + 2, "c:y", "outage", b'{"chat_id": "y", "origin": null}'),
    )
    head, *rows = (line.split() for line in shown("waiting", "list", "--scheduled").splitlines())
    assert head == ["due", "kind", "for", "calls", "id"]
    assert [row[1:4] for row in rows[:2]] == [
        ["send", "+14155550142", "chats.messages.send"],
        ["send", "c:x", "chats.messages.send"],
    ]
    assert rows[2][1:3] == ["outage", "c:y"]
    said, *_ = data("waiting", "list", "--scheduled")
    assert (said["people"], said["lane"]) == (["+14155550142"], "c:x")
    assert WORDS not in shown("waiting", "list", "--scheduled", "--json")


def test_scheduled_sends_are_shown_without_their_texts_and_cancelled_and_a_timer_of_linqbot_is_not() -> None:
    schedule(*(Timer(kind, 4e9, lane, kind, WORDS.encode()) for kind, lane in (("send", "c:a"), ("schedule", "c:b"))))
    assert "2096-" in shown("waiting", "list", "--scheduled")
    assert WORDS not in shown("waiting", "list", "--scheduled", "--json")
    assert [row["id"] for row in data("waiting", "list", "--scheduled", "--chat", "b")] == ["schedule"]
    assert "2096-" in shown("waiting", "cancel", "send", input="n\n", code=1)
    assert data("waiting", "cancel", "send", "--yes") == {"cancelled": "send"}
    assert "a timer of the kind schedule" in shown("waiting", "cancel", "schedule", "--yes", code=1)
    assert [row["id"] for row in data("waiting", "list", "--scheduled")] == ["schedule"]


def test_purge_deletes_dead_letters_after_confirmation() -> None:
    stored((said(), DeadLetter("Boom")), (said(), DeadLetter("Boom")))
    assert "Aborted" in shown("storage", "purge", "--before", "2090-01-01", input="n\n", code=1)
    assert len(data("waiting", "list", "--dead")) == 2
    assert data("storage", "purge", "--before", "2020-01-01", "--yes") == {"purged": 0, "wiped": True}
    assert "2 deliveries deleted." in shown("storage", "purge", "--before", "2090-01-01", input="y\n")
    assert data("waiting", "list", "--dead") == []


def test_a_replay_of_a_dead_letter_shows_what_the_bot_would_do_now_and_sends_nothing() -> None:
    stored((said("hello"), DeadLetter("Boom")))
    output = shown("replay", "bot.py", "--chat", CHAT, "--diff")
    assert "fixed failure: given up then, no error now" in output
    assert "messages.add_reaction" in output
    assert "chats.messages.send (scheduled)" in output
    assert (
        len(data("waiting", "list", "--dead")),
        data("waiting", "list", "--deliveries"),
        data("waiting", "list", "--scheduled"),
    ) == (1, [], [])


def test_a_live_replay_is_queued_for_the_server_after_confirmation() -> None:
    handled = said()
    stored((handled, Ack()))
    refused = shown("replay", "--live", "--chat", CHAT, input="n\n", code=1)
    assert "Handle 1 delivery again, for real?" in refused
    assert data("waiting", "list", "--deliveries") == []
    assert data("replay", "--live", "--chat", CHAT, "--yes") == {"replayed": 1}
    assert [(row["id"], row["replay"]) for row in data("waiting", "list", "--deliveries")] == [(handled.id, 1)]


def test_replay_names_the_missing_argument() -> None:
    stored((said(), None))
    assert "Say which" in shown("replay", "bot.py", code=2)
    assert "Give the FILE" in shown("replay", "--chat", CHAT, code=2)
    assert "No stored delivery matches" in shown("replay", "--live", "--chat", "other", code=1)
    assert "w.wrong cannot be replayed" in shown("replay", "--live", "--id", "w.wrong", code=1)
    assert "w.wrong cannot be compared" in shown("replay", "bot.py", "--id", "w.wrong", code=2)
    assert "LINQ_API_V3_API_KEY is not set" in shown("replay", "bot.py", "--chat", CHAT, "--reads", code=2)
    assert "is no time" in shown("replay", "bot.py", "--since", "yesterday", code=2)


def test_a_missing_storage_is_an_error_of_one_sentence(folder: Path) -> None:
    for url, says in [
        ("memory://", "ends with its process"),
        ("sqlite:///missing.db", "There is no storage file"),
        ("missing.db", "A storage URL is written sqlite:///linqbot.db"),
    ]:
        for arguments in (["waiting", "list"], ["storage", "backup", "copy.db"]):
            assert says in shown(*arguments, "--storage", url, code=2)
        assert not (folder / "missing.db").exists()


# Questions that wait for something else than words


def talked(folder: Path, talk_to: Callable[[Talk], Awaitable[object]]) -> Any:
    """Let people talk to a bot, whose storage is this folder's."""

    async def work() -> Any:
        async with begun(Talk, folder) as talk:
            return await talk_to(talk)

    return asyncio.run(work())


async def ask(message: MessageReceived, ctx: Context) -> None:
    if message.text == "tea":
        await ctx.pay(500, "Tea")
    await ctx.ask("Your name?")


def test_a_payment_is_listed_and_cancelled_and_takes_no_text(folder: Path) -> None:
    async def order(talk: Talk) -> None:
        talk.deploy(ask)
        await talk.say("tea")

    talked(folder, order)
    stored = ("--storage", "sqlite:///bot.db")
    (row,) = data("waiting", "list", "--questions", *stored)
    assert (row["person"], row["waits_for"], row["question"]) == (PERSON, "payment", "Tea: $5.00")
    assert "waits for payment, which no text can stand for" in shown(
        "waiting", "answer", row["id"], "yes", *stored, code=1
    )
    assert "The answer is empty" in shown("waiting", "answer", row["id"], " ", *stored, code=1)
    shown("waiting", "cancel", row["id"], *stored)


def test_the_questions_of_a_chat_are_cancelled_together(folder: Path) -> None:
    async def begin(talk: Talk) -> None:
        talk.deploy(ask, groups="all")
        await talk.say("tea")
        for person in (PERSON, "+15550001111"):
            await talk.say("hi", sender=person, is_group=True)

    async def go_on(talk: Talk) -> list[str]:
        talk.deploy(ask, groups="all")
        await talk.run()
        return talk.open_questions()

    talked(folder, begin)
    stored = ("--storage", "sqlite:///bot.db")
    rows = data("waiting", "list", "--questions", "--chat", CHAT, *stored)
    asked = [row["id"] for row in rows if row["waits_for"] == "answer"]
    assert (len(rows), len(asked)) == (3, 2)
    assert data("waiting", "cancel", "--chat", CHAT, "--yes", *stored) == {"cancelled": asked}
    assert "no question" in shown("waiting", "cancel", "--chat", "other", "--yes", *stored)
    for wrong in ([], [asked[0], "--chat", CHAT]):
        assert "Give an ID, or --chat" in shown("waiting", "cancel", *wrong, "--yes", *stored, code=2)
    assert talked(folder, go_on) == ["waiting"]


# The storage of `linqbot dev`


@pytest.mark.slow
def test_dev_finds_the_storage_of_the_linqbot_dev_that_runs_in_this_folder(
    folder: Path, command: Callable[..., Any], port: int
) -> None:
    (folder / "bot.py").write_text(BOT.replace('"before"', '"before", effect="confeti"'))
    assert "No linqbot dev runs in this folder" in shown("waiting", "list", "--dead", "--dev", code=2)
    dev = command("dev", "bot.py", "--port", str(port), "--no-reload")
    dev.until(lambda: "Text your bot" in dev.said())
    text(f"http://127.0.0.1:{port}", "fail")
    (row,) = dev.until(lambda: data("waiting", "list", "--dead", "--dev"))
    assert row["type"] == "message.received"
    assert "1 delivery put back." in shown("waiting", "retry", "--dev", row["id"])
    other = " ".join(shown("waiting", "list", "--dead", code=2).split())
    assert "There is no storage file" in other
    assert "linqbot dev, which runs in this folder, has its own storage: add --dev." in other
    (folder / "linqbot.db").touch()
    empty = run("waiting", "list", "--dead")
    assert empty.stdout == "There are no dead letters.\n"
    assert empty.stderr == "linqbot dev, which runs in this folder, has its own storage: add --dev.\n"
    assert dev.stop() == 0
    assert shown("waiting", "list", "--dead") == "There are no dead letters.\n"
