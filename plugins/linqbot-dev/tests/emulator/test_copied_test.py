"""The source of a copied test. That copied tests run is tested in `test_copied_tests_run.py`."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from linqbot_dev.emulator.acts.chat_acts import Connect, Decline
from linqbot_dev.emulator.copied_test.exchanges import Exchange, Grouping
from linqbot_dev.emulator.copied_test.source import PytestSource, literal
from linqbot_dev.emulator.copied_test.steps import Copier
from linqbot_dev.emulator.engine.webhook import WebhookDelivery
from linqbot_dev.emulator.model import documents
from linqbot_dev.emulator.model.answers import ApiError

from emulator.conftest import PERSON
from emulator.everything import EVERYTHING, World

LINE, ANN, BOB = "+12025550100", "+14155550142", "+14155550143"
FAILED = {"outcome": "retried", "error": {"type": "KeyError"}, "retry_in_s": 0.9}


def event(event_type: str, data: dict[str, Any], *, ms: int = 0, **more: Any) -> Exchange:
    body = json.dumps({"data": data}).encode()
    return Exchange(ms, "c", "e", event_type, None, WebhookDelivery("e", event_type, "s", "c", body, 0.0), **more)


def said(**more: Any) -> Exchange:
    text = {"type": "text", "value": "it's"}
    return event("message.received", {"id": "m1", "sender_handle": {"handle": ANN}, "parts": [text]}, **more)


def sent(message_id: str, **more: Any) -> dict[str, Any]:
    message = {"id": message_id, "parts": [{"type": "text", "value": "hi"}], **more}
    call = {"method": "POST", "path": "/v3/chats/c/messages", "status": 202, "body": None}
    return {**call, "answer": {"message": message}}


def source(*steps: Exchange) -> str:
    return PytestSource(steps, line=LINE, people=[ANN], module="cafe", in_time=True).text()


def test_a_test_sends_what_the_person_sent_and_expects_what_the_bot_answered() -> None:
    call = sent("r1", effect={"name": "slam"}, reply_to={"message_id": "m1"})
    assert source(said(calls=[call])) == (
        '''"""A conversation copied from the emulator. Save this file next to cafe.py, and run: pytest"""

from cafe import bot

from linqbot.testing import PhoneFor


async def test_it_s(phone_for: PhoneFor) -> None:
    async with phone_for(bot) as phone:
        said = await phone.text("it's")
        reply = await phone.next_reply()
        assert reply == "hi"
        assert reply.effect == "slam"
        assert reply.thread == said.id
        assert await phone.replies() == []
'''
    )


def test_what_a_phone_of_a_test_cannot_do_is_named_before_the_step_that_leaves_it_out() -> None:
    files = [{"type": "media", "filename": name} for name in ("a.png", "b.png", "c.png")]
    answer = {"reply_to": {"message_id": "m1"}, "effect": {"name": "slam"}}
    reaction = {"message_id": "m1", "reaction_type": "love", "sender_handle": ANN, "part_index": 2}
    edit = {"id": "m1", "sender_handle": ANN, "part": {"index": 1, "text": "its"}}
    text, link = {"type": "text", "value": "hi"}, {"type": "link", "value": "https://a.example"}
    other_part = {"reply_to": {"message_id": "m1", "part_index": 1}}
    bold = {"text_decorations": [{"range": [0, 2], "style": "bold"}]}

    def of(*parts: Any, **more: Any) -> Exchange:
        return event("message.received", {"id": "m2", "parts": list(parts), **more})

    rows = [
        (of(*files), '"b.png", "c.png"', "media("),
        (of(files[0], **answer), 'reply_to=said, effect="slam"', "media("),
        (of(link, **answer), 'reply_to=said, effect="slam"', "link("),
        (of(text, **other_part), "part_index=1", "text("),
        (of(text | bold), "text_decorations", "text("),
        (event("message.edited", edit), "part_index=1", "edit(said"),
        (event("reaction.added", reaction), "part_index=2", "react(said"),
    ]
    comment = "# Left out, because a phone of a test cannot do it:"
    unnamed = [
        (left_out, act, found)
        for step, left_out, act in rows
        if f"{comment} {left_out}\n        await phone.{act}" not in (found := source(said(), step))
    ]
    assert unnamed == []
    assert "Left out" not in source(said(), of(text, **answer))


def test_a_reply_whose_answer_was_lost_is_expected_once() -> None:
    assert source(said(calls=[sent("r1") | {"lost": "answer"}, sent("r1")])).count("next_reply") == 1


def test_attempts_that_failed_are_expected_and_time_passes_before_the_next() -> None:
    error = """(error,) = await phone.errors()
        assert type(error).__name__ == "KeyError"
        """
    assert error + "await phone.advance(2)" in source(said(turns=[FAILED, {"outcome": "acked"}]))
    given_up = FAILED | {"outcome": "dead_lettered", "retry_in_s": None}
    assert "advance" not in source(said(turns=[given_up]), said())
    assert source(said(turns=[FAILED, given_up])).count("phone.errors") == 1


def test_further_failures_are_expected_of_the_call_that_lets_the_time_pass_because_it_raises_them() -> None:
    given_up = FAILED | {"outcome": "dead_lettered", "retry_in_s": None}
    for last in (given_up, {"outcome": "acked"}):
        found = source(said(turns=[FAILED, FAILED | {"retry_in_s": 1.3}, last]), said())
        assert found.count("phone.errors") == 1
        assert "with pytest.raises(HandlerFailed):\n            await phone.advance(3)" in found
        assert "import pytest\nfrom linqbot.testing import HandlerFailed, PhoneFor\n" in found


def test_a_deferred_turn_is_no_error_and_time_passes_before_the_next() -> None:
    deferred = FAILED | {"outcome": "deferred", "retry_in_s": 30.0}
    found = source(said(turns=[deferred, {"outcome": "acked"}]))
    assert "phone.errors" not in found
    assert "        await phone.advance(40)" in found
    assert "with pytest.raises(HandlerFailed)" in source(said(turns=[deferred, FAILED, {"outcome": "acked"}]))
    assert "HandlerFailed" not in source(said(turns=[FAILED, deferred, {"outcome": "acked"}]))


def test_what_is_scheduled_after_a_failure_is_not_expected_too_early() -> None:
    due = event("linqbot.send", {}, calls=[sent("r1")], ms=3_601_000)
    found = source(said(turns=[FAILED, {"outcome": "acked"}]), said(ms=1000), due)
    assert "phone.advance(3601)" in found


def test_the_time_between_the_steps_of_a_chat_passes_and_brings_scheduled_sends() -> None:
    due = event("linqbot.send", {}, calls=[sent("r1")], ms=3_600_400)
    found = source(said(ms=0), said(ms=5000), due, said(ms=3_601_000), said(ms=3_700_000))
    acts = re.findall(r"await phone\.(text|advance\(\d+|next_reply)", found)
    assert acts == ["text", "text", "advance(3601", "next_reply", "text", "advance(99", "text"]


def test_any_text_is_a_literal_of_python() -> None:
    for text in ("it's", 'a "quote"', "two\nlines", "\\", "🎂", "\ud83c", "\u2028"):
        assert eval(literal(text)) == text
        literal(text).encode()


def test_a_run_that_was_cut_off_takes_no_later_call() -> None:
    def run(event_id: str, second: int, outcome: str) -> dict[str, Any]:
        at = {"started_at": f"2026-11-26T10:00:{second}Z", "attempt": 1, "duration_ms": 10}
        return at | {"event_id": event_id, "event_type": "e", "chat_id": "c", "message_id": None, "outcome": outcome}

    reports = [run("cut", 10, "running"), run("cut", 20, "acked"), run("later", 30, "acked")]
    cut, later = Grouping([], reports, [sent("r1") | {"at": "2026-11-26T10:00:40Z", "chat_id": "c"}]).all
    assert (cut.sent, later.sent) == ([], ["r1"])


LEFT_OUT = frozenset({
    "chat.background_updated", "chat.background_update_failed", "chat.created", "chat.group_icon_updated",
    "chat.group_icon_update_failed", "chat.group_name_update_failed",
    "chat.typing_indicator.started", "chat.typing_indicator.stopped",
    "message.delivered", "message.failed", "message.read", "message.sent",
    "poll.delivered", "poll.failed", "poll.read", "poll.sent",
})  # fmt: skip
"""Events of a chat that a copied test leaves out: most bots do nothing about them, or they follow from what the bot does."""


async def test_each_event_of_a_chat_is_left_out_of_copied_tests_or_written_and_the_page_knows_which_have_no_test(
    world: World,
) -> None:
    for happens in EVERYTHING:
        await happens(world)
    await world.emulator.flush()
    history = world.emulator.world.deliveries.history
    unknown = {one.event_type for one in history if one.chat_id and not one.repeatable} - LEFT_OUT
    assert not unknown, "Name these in _BY_PHONE of emulator/engine/webhook.py, or in LEFT_OUT."
    world.emulator.do(Connect(from_=PERSON))
    charge = await world.call("POST", "/payments", {"handle": PERSON, "amount_cents": 2500, "currency": "usd"})
    world.emulator.do(Decline(id=charge["id"]))
    await world.emulator.flush()
    assert {"payment.declined", "reaction.added"} <= {one.event_type for one in history if one.repeatable}
    assert (history[-1].event_type, documents.shown(history[-1])["repeatable"]) == ("payment.declined", False)
    copier = Copier(world.emulator)
    for one in history:
        if not one.repeatable:
            with pytest.raises(ApiError, match="A phone cannot cause this event"):
                copier.of_event(one.event_id)
        elif not one.by_bot:
            with suppress(ApiError):  # it refers to something that the emulator does not have
                copier.of_event(one.event_id)
