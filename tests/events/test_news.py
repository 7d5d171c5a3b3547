"""One warning for what an event has and linqbot does not know; none for Linq's documented payloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from linq_events import EXAMPLES, example, understood
from structlog.testing import capture_logs

from linqbot.linq.events.news import warn_of_news

pytestmark = pytest.mark.usefixtures("no_name_met")


def test_no_documented_payload_has_anything_new(subtests: pytest.Subtests) -> None:
    for name in EXAMPLES:
        with subtests.test(name=name), capture_logs() as logs:
            warn_of_news(understood(example(name)))
            assert logs == []


def received(change: Callable[[Any], object]) -> Any:
    payload = example("message.received")
    change(payload["data"])
    return payload


NEW: list[tuple[str, Any, dict[str, str]]] = [
    ("a field", received(lambda data: data.update(mood1="x")), {"field": "MessageReceived.mood1"}),
    ("a field of a part", received(lambda data: data["parts"][0].update(mood2=1)), {"field": "TextPart.mood2"}),
    ("a field of a handle", received(lambda data: data["sender_handle"].update(mood3=[])), {"field": "Handle.mood3"}),
    (
        "a part",
        received(lambda data: data["parts"].append({"type": "mood4"})),
        {"field": "part.type", "value": "mood4"},
    ),
    ("a service", received(lambda data: data.update(service="mood5")), {"field": "service", "value": "mood5"}),
    (
        "an effect",
        received(lambda data: data.update(effect={"name": "mood6", "type": "screen"})),
        {"field": "effect.name", "value": "mood6"},
    ),
    (
        "a type",
        {"event_type": "mood.seven", "event_id": "e", "data": {}},
        {"field": "event_type", "value": "mood.seven"},
    ),
    (
        "a text",
        received(lambda data: data["sender_handle"].update(status="Call me, Ann")),
        {"field": "handle.status"},
    ),
]


def test_what_is_new_is_in_the_log_once_by_its_field_and_without_words_of_people(subtests: pytest.Subtests) -> None:
    for what, payload, expected in NEW:
        with subtests.test(what=what), capture_logs() as logs:
            for _ in range(2):
                warn_of_news(understood(payload))
            (warning,) = logs
            assert (warning["event"], warning["log_level"]) == ("linq.unknown", "warning")
            assert {name: warning[name] for name in ("field", "value") if name in warning} == expected
            assert "Ann" not in str(logs)
