"""A value of an event in a form that Linq does not document costs that value alone, and is logged once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linq_events import EXAMPLES, delivered, example, received, understood
from odd_values import NEW, ODD, Path, lost, paths, with_new_members, with_value, without
from structlog.testing import capture_logs

from linqbot.linq.events.parse import EventNotUnderstood, parse
from linqbot.linq.types.data import Data, validated_leniently

PLACES = [(name, path) for name in EXAMPLES for path in paths(example(name)) if path != ("data",)]
ADDRESS = "https://example.com/menu"
PARTS: list[dict[str, Any]] = [
    {"type": "text", "value": "Hello, @Bot"},
    {"type": "media", "id": "m", "url": "https://cdn.example/a.jpg", "filename": "a.jpg", "mime_type": "image/jpeg"},
    {"type": "link", "value": ADDRESS},
    {
        "type": "imessage_app",
        "app": {"team_id": "ABCDE12345", "bundle_id": "com.example.app", "name": "App"},
        "layout": {"caption": "Look"},
    },
    {"type": "app_clip", "value": "https://appclip.example.com/order"},
]


def lost_in_event(name: str, path: Path, odd: Any) -> list[Path] | str:
    payload = example(name)
    try:
        before = [parse(delivered(payload)), parse(delivered(without(payload, path)))]
    except EventNotUnderstood:
        return []  # a required field
    try:
        return lost(parse(delivered(with_value(payload, path, odd))), before, path, odd)
    except EventNotUnderstood:
        return "everything"


def losses(places: Iterable[tuple[str, Path]]) -> list[Any]:
    found = ((name, path, odd, lost_in_event(name, path, odd)) for name, path in places for odd in ODD)
    return [each for each in found if each[-1]]


@settings(max_examples=150)
@given(place=st.sampled_from(PLACES), odd=st.sampled_from(ODD))
def test_an_odd_value_of_an_event_costs_nothing_else(place: tuple[str, Path], odd: Any) -> None:
    assert lost_in_event(*place, odd) == []


@pytest.mark.slow
def test_an_odd_value_anywhere_in_any_event_costs_nothing_else() -> None:
    assert losses(PLACES) == []


def test_a_member_of_tomorrow_in_each_object_of_an_event_costs_nothing(subtests: pytest.Subtests) -> None:
    for name in EXAMPLES:
        with subtests.test(name=name):
            payload = example(name)
            assert lost(understood(with_new_members(payload, {NEW: 1})), [understood(payload)], (), None) == []


def test_a_part_with_an_odd_optional_field_keeps_its_text_file_or_address(subtests: pytest.Subtests) -> None:
    """Also where the field holds a list of objects, of which one or one value in one is odd."""
    payload = example("message.received")
    payload["data"]["parts"] = PARTS
    whole = received(payload)
    for i, part in enumerate(whole.parts):
        for field in type(part).model_fields.keys() - PARTS[i].keys():
            for odd in (
                *ODD,
                [{"type": "love", "range": [0, "?"], "handle": {}}],
                [{"range": {"start": 0}, "handle": 1}],
            ):
                with subtests.test(part=PARTS[i]["type"], field=field, odd=odd):
                    got = received(
                        with_value(payload, ("data", "parts"), [*PARTS[:i], {**PARTS[i], field: odd}, *PARTS[i + 1 :]])
                    )
                    assert lost(got, [whole], ("data", "parts", i, field), odd) == []


def test_of_a_list_of_objects_only_what_is_odd_is_lost() -> None:
    payload = example("message.received")
    payload["data"]["parts"] = [
        {
            "type": "text",
            "value": "Hello, @Bot and @Ann",
            "mention": {"handle": "+1"},
            "mentions": [
                {"handle": "+12052535597", "is_me": {}, "range": [7, 11]},
                {"handle": {"handle": "+1"}, "range": [0, 1]},
                {"handle": "+14155550142", "range": [16, "?"]},
            ],
            "text_decorations": [
                {"range": [0, 5], "style": ["bold"], "animation": "big"},
                {"range": [0], "style": "bold"},
            ],
        }
    ]
    event = received(payload)
    part: Any = event.parts[0]
    assert [(each.handle, each.is_me, each.range) for each in event.mentions] == [
        ("+12052535597", False, (7, 11)),
        ("+14155550142", False, None),
    ]
    assert [(each.range, each.style, each.animation) for each in part.text_decorations] == [((0, 5), None, "big")]
    assert (event.text, event.dropped_fields) == ("Hello, @Bot and @Ann", ("parts",))


def test_a_part_that_is_none_keeps_its_place_for_the_others() -> None:
    """Edits and reactions name a part by its index."""
    payload = example("message.received")
    text, photo = payload["data"]["parts"]
    for odd in (None, 7, "?", [text], {"type": None}, {"type": ["text"], "value": "x"}, {**text, "value": 7}):
        payload["data"]["parts"] = [odd, photo, odd, text]
        parts = received(payload).parts
        assert [type(each).__name__ for each in parts] == ["UnknownPart", "MediaPart", "UnknownPart", "TextPart"]
    assert (parts[0].type, (parts[0].model_extra or {})["value"]) == ("text", 7)


def test_many_values_in_a_new_form_cost_no_message() -> None:
    payload = example("message.received")
    payload["data"]["parts"][0]["reactions"] = [{"type": "love", "is_me": {}, "sticker": 7, "handle": 1}] * 1000
    event = received(payload)
    assert event.text == "Thanks! Here is the receipt"
    assert len(event.parts[0].reactions or ()) == 1000  # type: ignore[union-attr]


def test_a_field_in_a_new_form_is_logged_once_by_its_class_and_without_its_value() -> None:
    class Leaf(Data):
        name: str | None = None

    class Tree(Data):
        leaves: tuple[Leaf, ...] = ()
        metadata: Mapping[str, str] = MappingProxyType({})

    odd = {
        "leaves": [{"name": "a"}, {"name": ["secret"]}, {"name": {}}],
        "metadata": {"secret key": 7, "a": "b"},
        "gone": None,
    }
    with capture_logs() as logs:
        for _ in range(2):
            tree, names = validated_leniently(Tree, odd)
            assert names == ("leaves", "metadata")
    assert [each.name for each in tree.leaves] == ["a", None, None]
    assert tree.metadata == {"a": "b"}
    assert sorted((line["event"], line["field"]) for line in logs) == [
        ("linq.field_left_out", "Leaf.name"),
        ("linq.field_left_out", "Tree.metadata"),
    ]
    assert "secret" not in str(logs)


def test_a_time_without_a_zone_is_left_out_because_it_cannot_be_compared() -> None:
    payload = example("message.received")
    payload["data"]["sent_at"] = "2026-11-05T17:29:59.310"
    event = received(payload)
    assert (event.sent_at, event.dropped_fields) == (None, ("sent_at",))
    assert event.text


def test_null_is_an_absent_field_and_not_logged() -> None:
    class Nullable(Data):
        name: str = "none"

    with capture_logs() as logs:
        found, names = validated_leniently(Nullable, {"name": None})
    assert (found.name, names, logs) == ("none", (), [])
