"""`linqbot trigger`: sends signed events of any type to a bot, and prints the bot's responses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from signed import SECRET
from typed_command import data, run, shown

from linqbot import Bot, Client, Context, MessageReceived, ScheduleDue
from linqbot.events import Delivery
from linqbot.linq.events.parse import EVENT_TYPES, parse
from linqbot.server.app import create_app, running
from linqbot.storage.sqlite.memory import MemoryStorage


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINQ_WEBHOOK_SECRET", f"{SECRET}, whsec_{'A' * 32}")
    return tmp_path


class Bots:
    """A bot's server, in place of the network. It passes every POST to a real app of linqbot, or answers with a fixed status or error."""

    url = "http://127.0.0.1:8000/webhooks/linq"

    def __init__(self) -> None:
        self.fixed: int | httpx.TransportError | None = None
        self.asked: list[str] = []
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def post(self, url: httpx.URL, *, content: bytes, headers: dict[str, str], **_: object) -> httpx.Response:
        self.asked.append(str(url))
        self.seen.append(json.loads(content))
        self.headers.append({name.lower(): value for name, value in headers.items()})
        if isinstance(self.fixed, httpx.TransportError):
            raise self.fixed
        if self.fixed is not None:
            return httpx.Response(self.fixed)
        return asyncio.run(_taken(url, content, headers))


async def _taken(url: httpx.URL, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """Return the answer of linqbot's own server."""
    bot = Bot(read=False, typing=False)

    @bot.on_message
    async def note(message: MessageReceived, ctx: Context) -> None: ...

    @bot.every("weekdays 09:00", timezone="UTC")
    async def report(due: ScheduleDue, ctx: Context) -> None: ...

    app = create_app(bot, client=Client("k"), storage=MemoryStorage(), secrets=[SECRET])
    async with running(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.post(url, content=body, headers=headers)


@pytest.fixture
def bots(monkeypatch: pytest.MonkeyPatch) -> Bots:
    made = Bots()
    monkeypatch.setattr(httpx, "post", made.post)
    return made


def test_an_event_is_accepted_by_a_real_server(bots: Bots) -> None:
    said = shown(
        "trigger", "message.received", "--url", bots.url, "--text", "hi", "--from", "ann@example.com", "--to", "+12025550100",
        "--chat", "c1", "--set", "data.service=SMS", "--set", "data.effect={\"name\": \"slam\"}",
    )  # fmt: skip
    (event,) = bots.seen
    assert f"message.received {event['event_id']}: 200 in " in said
    data = event["data"]
    assert (data["parts"][0]["value"], data["sender_handle"]["handle"]) == ("hi", "ann@example.com")
    assert (data["chat"]["id"], data["service"], data["effect"]) == ("c1", "SMS", {"name": "slam"})


def test_every_type_can_be_sent(bots: Bots, subtests: pytest.Subtests) -> None:
    bots.fixed = 200
    for event_type in EVENT_TYPES:
        with subtests.test(event_type=event_type):
            shown("trigger", event_type, "--url", bots.url)
            assert bots.seen[-1]["event_type"] == event_type
            assert bots.headers[-1]["x-webhook-event"] == event_type


def test_a_schedule_can_be_run_now_and_for_any_other_name_those_of_the_bot_are_named(bots: Bots) -> None:
    said = shown("trigger", "schedule", "report", "--url", bots.url)
    (event,) = bots.seen
    assert f"linqbot.schedule {event['event_id']}: 200 in " in said
    delivery = Delivery.from_webhook(json.dumps(event).encode(), webhook_id="x", received_at=1_800_000_000.0)
    due = parse(delivery)
    assert isinstance(due, ScheduleDue)
    assert (delivery.lane, due.name, due.missed) == ("s:report", "report", 0)
    refused = shown("trigger", "schedule", "reprot", "--url", bots.url, code=1)
    assert "There is no schedule reprot. The bot has: report." in refused


def test_the_answer_is_printed_as_json(bots: Bots) -> None:
    bots.fixed = 200
    answer = data("trigger", "message.read", "--version", "2025-01-01", "--url", bots.url)
    assert bots.seen[0]["webhook_version"] == "2025-01-01"
    assert (answer["event_id"], answer["status"], answer["error"]) == (bots.seen[0]["event_id"], 200, None)


def test_an_event_that_is_not_accepted_ends_with_1_and_advice(bots: Bots) -> None:
    for fixed, said, advice in (
        (401, "401", "The bot has another secret"),
        (404, "404", "/webhooks/linq"),
        (httpx.ConnectError("refused"), "no answer (ConnectError)", "linqbot serve bot.py"),
    ):
        bots.fixed = fixed
        done = run("trigger", "message.received", "--url", bots.url)
        assert (done.exit_code, f": {said} in " in done.output, advice in done.output) == (1, True, True), said


def test_a_wrong_call_ends_with_2_and_names_the_right_one(subtests: pytest.Subtests) -> None:
    rows: list[tuple[list[str], str]] = [
        ([], "Which type? See: linqbot trigger --list"),
        (["message.recieved"], "Did you mean message.received?"),
        (["zzz"], "See: linqbot trigger --list"),
        (["reaction.added", "--text", "hi"], "reaction.added says no text"),
        (["message.received", "--set", "data.service"], "--set takes PATH=VALUE"),
        (["message.received", "--set", "data.x.y=1"], "There is no data.x to set"),
        (["message.received", "--url", "localhost:8000"], "--url must be an http(s) address"),
        (["message.received", "--version", "2024-01-01"], "2025-01-01"),
        (["message.edited", "--version", "2025-01-01"], "no message.edited in payload version"),
        (["schedule"], "linqbot trigger schedule NAME"),
        (["schedule", "report", "--text", "hi"], "only its NAME can be given"),
        (["message.received", "report"], "Only `trigger schedule NAME` takes a name"),
    ]
    for arguments, says in rows:
        with subtests.test(arguments=arguments):
            assert says in " ".join(shown("trigger", *arguments, code=2).split())


def test_without_a_valid_secret_nothing_is_sent() -> None:
    for secret, says in ("", "LINQ_WEBHOOK_SECRET is not set"), ("nonsense!", "not base64"):
        said = shown("trigger", "message.received", code=2, LINQ_WEBHOOK_SECRET=secret)
        assert (says in said, "nonsense" in said) == (True, False), said


def test_every_type_is_listed_with_its_class() -> None:
    said = shown("trigger", "--list")
    assert all(name in said for name in EVENT_TYPES)
    assert {"type": "message.received", "class": "MessageReceived"}.items() <= data("trigger", "--list")[0].items()


def test_without_a_url_the_event_goes_to_the_bot_on_this_machine(bots: Bots) -> None:
    shown("trigger", "message.received", LINQBOT_PORT="8321")
    assert bots.asked == ["http://127.0.0.1:8321/webhooks/linq"]
