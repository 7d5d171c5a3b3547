"""Redaction of settled journal entries: enough stays to build a typed answer and to recognise a different call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linqbot import Chat, Message
from linqbot.client.call import Call, prepare
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.types.data import Data
from linqbot.linq.types.message import ChatCreatedResponse, MessageCreated, MessageSentResponse, VoiceMemoSent
from linqbot.storage.journal import without_texts

MARKER = "meet me at nine"
PERSON = {"id": "h", "handle": "+14155550142", "joined_at": "2026-10-01T14:02:11Z", "is_me": False, "status": "active"}
SENT: dict[str, Any] = {
    "id": "msg",
    "created_at": "2026-10-01T14:02:11Z",
    "delivery_status": "pending",
    "parts": [{"type": "text", "value": MARKER, "reactions": None}],
    "entry": {"type": "screen", "name": "confetti"},
    "from_handle": PERSON,
    "service": "iMessage",
    "sent_at": "2026-10-01T14:02:11Z",
}
CHAT: dict[str, Any] = {"id": "chat", "display_name": MARKER, "is_group": True, "handles": [PERSON]}


def test_the_name_and_path_of_every_call_are_kept_and_its_body_is_removed(subtests: pytest.Subtests) -> None:
    for name in ENDPOINTS:
        with subtests.test(name=name):
            call = prepare(name, path={}, body={"text": MARKER, "body": '","body":'}).with_key("lbkey")
            redact, _ = without_texts(call.to_json(), None)
            kept = Call.from_json(redact)
            assert (kept.name, kept.method, kept.path, kept.safety) == (call.name, call.method, call.path, call.safety)
            assert (kept.body, kept.key) == (None, None)
            assert MARKER.encode() not in redact


def test_a_typed_answer_can_still_be_built(subtests: pytest.Subtests) -> None:
    rows: list[tuple[type[Data], dict[str, Any]]] = [
        (MessageSentResponse, {"chat_id": "chat", "message": SENT}),
        (Message, SENT | {"chat_id": "chat", "is_from_me": True}),
        (ChatCreatedResponse, {"chat": CHAT | {"message": SENT}}),
        (MessageCreated, {"chat_id": "chat", "message": SENT, "from": "+12", "from_selection": {"reason": "new"}}),
        (VoiceMemoSent, {"voice_memo": {"id": "msg", "to": ["+14"], "voice_memo": {"filename": MARKER}}}),
        (Chat, CHAT),
    ]
    for kind, answer in rows:
        with subtests.test(kind=kind.__name__):
            _, redact = without_texts(b"{}", json.dumps(answer).encode())
            assert redact is not None
            assert MARKER not in redact.decode()
            before, after = kind.model_validate(answer), kind.model_validate_json(redact)
            for name in ("id", "chat_id", "handles", "is_group", "from_", "from_selection"):
                assert getattr(after, name, None) == getattr(before, name, None)
            if isinstance(after, MessageSentResponse) and isinstance(before, MessageSentResponse):
                assert after.message.parts == ()
                assert (after.message.id, after.message.sent_at) == (before.message.id, before.message.sent_at)


@pytest.mark.parametrize("answer", [b'"gone"', b"null", b'{"status":403,"code":2024,"trace_id":"t"}'])
def test_a_call_and_answer_without_text_are_unchanged(answer: bytes) -> None:
    assert without_texts(b"{}", answer) == (b"{}", answer)


def test_a_document_that_is_not_json_is_removed() -> None:
    assert without_texts(b"\xff meet me", b"at nine") == (b"{}", b"null")
    assert without_texts(b'["meet me"]', None) == (b"{}", None)
