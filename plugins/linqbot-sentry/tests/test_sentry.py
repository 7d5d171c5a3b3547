"""Errors of an app that talks to the emulator, as Sentry receives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from app_with_emulator import ANN, run_app
from linqbot_sentry import Sentry
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from linqbot import Bot, Context, MessageReceived
from linqbot.engine.failure import RetryPolicy
from linqbot.errors import ConfigError
from linqbot.events import Delivery
from linqbot.turn_events import End, TurnEnded

SECRET = "meet me at nine"
NOW = RetryPolicy(first_s=0, most_s=0)


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent += envelope.serialize()
        if (event := envelope.get_event()) is not None:
            self.events.append(json.loads(json.dumps(event, default=str)))


@pytest.fixture
def kept() -> Iterator[Kept]:
    """Set up Sentry with its defaults, which send local variables, the messages of errors and breadcrumbs."""
    transport = Kept()
    # Without a release, the SDK starts git.
    sentry_sdk.init("http://key@127.0.0.1:9/1", transport=transport, default_integrations=False, release="1")
    yield transport
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def failing(plugin: Sentry) -> Bot:
    bot = Bot(read=False, typing=False, max_age_s=None, plugins=[plugin])

    @bot.on_message(attempts=2)
    async def answer(message: MessageReceived, ctx: Context) -> None:
        said = message.text
        sentry_sdk.add_breadcrumb(message=said)
        raise KeyError(said)

    return bot


async def test_each_failed_run_is_an_event_without_what_people_wrote(kept: Kept, tmp_path: Path) -> None:
    async with run_app(failing(Sentry()), tmp_path, retry_policy=NOW) as there:
        await there.answers(SECRET)
    first, last = kept.events
    assert (first["level"], last["level"]) == ("warning", "error")
    assert first["tags"]["linqbot.outcome"] == "retry"
    assert last["tags"]["linqbot.outcome"] == "dead_letter"
    for event in kept.events:
        (error,) = event["exception"]["values"]
        assert error["type"] == "KeyError"
        assert error["stacktrace"]["frames"][-1]["function"] == "answer"
        assert event["tags"]["linqbot.delivery"].startswith("w.")
        assert event["tags"]["linqbot.event"] == "MessageReceived"
        assert event["tags"]["linqbot.handler"].endswith("answer")
    assert SECRET.encode() not in kept.sent
    assert ANN.encode() not in kept.sent


async def test_messages_of_errors_are_sent_on_demand(kept: Kept, tmp_path: Path) -> None:
    async with run_app(failing(Sentry(messages=True)), tmp_path, retry_policy=NOW) as there:
        await there.answers(SECRET)
    assert [event["exception"]["values"][0]["value"] for event in kept.events] == [repr(SECRET)] * 2
    assert kept.sent.count(SECRET.encode()) == 2


async def test_an_error_of_linq_has_its_numbers_and_a_turn_that_waits_is_no_error(kept: Kept, tmp_path: Path) -> None:
    bot = Bot(read=False, typing=False, max_age_s=None, plugins=[Sentry()])

    @bot.on_message(attempts=1)
    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.client.chats.retrieve("00000000-0000-4000-8000-00000000dead")

    async with run_app(bot, tmp_path, retry_policy=NOW) as there:
        await there.answers(SECRET)
    (event,) = kept.events
    assert event["tags"]["linq.status"] == 404


async def test_a_delivery_that_was_given_up_without_an_error_is_a_message(kept: Kept) -> None:
    plugin = Sentry()
    outcomes: list[End] = ["ack", "defer", "lost", "dead_letter"]
    for outcome in outcomes:
        delivery = Delivery("w.1", "c:1", "message.received", SECRET.encode(), 0.0)
        plugin.turn_ended(TurnEnded(delivery, 0, 5, 0, outcome, SECRET, None, None, None, None, 0.0))
    (event,) = kept.events
    assert event["tags"] == {"linqbot.delivery": "w.1", "linqbot.outcome": "dead_letter", "linqbot.attempts": 0}
    assert SECRET.encode() not in kept.sent


async def test_the_plugin_sets_sentry_up_from_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Sentry()
    plugin.started()
    assert not sentry_sdk.is_initialized()
    monkeypatch.setenv("SENTRY_DSN", "http://key@127.0.0.1:9/1")
    monkeypatch.setenv("SENTRY_RELEASE", "1")
    plugin.started()
    try:
        assert sentry_sdk.is_initialized()
        assert sentry_sdk.get_client().options["include_local_variables"] is False
        await plugin.stopped()
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)


def test_a_wrong_dsn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_DSN", "nonsense")
    monkeypatch.setenv("SENTRY_RELEASE", "1")
    with pytest.raises(ConfigError, match=r"^SENTRY_DSN does not fit: "):
        Sentry().started()
