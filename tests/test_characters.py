"""Characters as people see them: halves are repaired in texts and in JSON, and cuts fall between them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json

from linqbot.characters import cut, joins_before, last_edge, repaired, storable, to_json, whole, whole_indexes
from linqbot.linq.types.message import utf16_length

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)
"""Texts that may have half characters in them."""
SEEN = [
    "👨\u200d👩\u200d👧",
    "🇫🇷",
    "1\ufe0f\u20e3",
    "e\u0301\u0323",
    "각",
    "\u1100\u1161\u11a8",
    "क्षि",
    "\r\n",
    "👍🏽",
    "a",
    " ",
    "漢",
]


class Note(BaseModel):
    text: str = ""
    more: Any = None


@dataclass
class Row:
    text: str


@given(ANY_TEXT)
def test_a_repaired_text_is_as_long_for_linq_and_can_be_stored(text: str) -> None:
    fixed = whole(text)
    assert fixed.encode().decode() == fixed
    assert utf16_length(fixed) == utf16_length(text)
    assert whole(fixed) is fixed
    indexes = whole_indexes(text)
    assert (len(indexes), indexes[0], indexes[-1]) == (len(text) + 1, 0, len(fixed))
    ends = [at for at in range(len(text) + 1) if whole(text[:at]) + whole(text[at:]) == fixed]
    assert all(whole(text[:at]) == fixed[: indexes[at]] for at in ends)


def test_halves_that_belong_together_are_joined_and_others_become_a_mark() -> None:
    assert whole("a\ud83d\ude00b") == "a😀b"
    assert whole("\ud83dx\ude00 \ud83d") == "\ufffdx\ufffd \ufffd"
    assert storable("\0\ud83d") == "\ufffd\ufffd"


def test_json_is_repaired_wherever_a_text_is_in_it(subtests: pytest.Subtests) -> None:
    half = "a\ud83d"
    rows: list[tuple[Any, Any]] = [
        (half, "a\ufffd"),
        ({half: [half, 1, None]}, {"a\ufffd": ["a\ufffd", 1, None]}),
        ((half,), ["a\ufffd"]),
        ({half}, ["a\ufffd"]),
        (Row(half), {"text": "a\ufffd"}),
        (Note(text=half, more={half: Row(half)}), {"text": "a\ufffd", "more": {"a\ufffd": {"text": "a\ufffd"}}}),
        ([Note.model_construct(text="\ud83d\ude00")], [{"text": "😀", "more": None}]),
    ]
    for value, expected in rows:
        with subtests.test(type(value).__name__):
            assert from_json(to_json(value)) == expected
    equal_names = {half: 1, half.replace("\ud83d", "\ud83e"): 2}
    for bad in (object(), [half, object()], equal_names):
        with pytest.raises(PydanticSerializationError):
            to_json(bad)


def test_what_needs_no_repair_stays_the_same_object() -> None:
    value = {"a": ["é😀", ("b",), Note(text="c"), 1.5, None]}
    assert repaired(value) is value


def test_a_cut_falls_between_two_characters_as_people_see_them() -> None:
    for one in SEEN:
        text = one * 9
        for most in range(len(one), len(text)):
            assert cut(text, most) == one * (most // len(one)), (one, most)
    assert cut("short", 9) == "short"
    assert cut("a" + "\u0301" * 50, 20) == "a" + "\u0301" * 19  # a single character that is too long
    assert cut("ab\n" + "\u0301" * 50, 20) == "ab\n"


@given(st.lists(st.sampled_from([*SEEN, "\n", "\u0301", "\u200d", "🇫"]), min_size=1).map("".join), st.data())
def test_the_edges_are_those_of_the_standard(text: str, data: st.DataObject) -> None:
    most = data.draw(st.integers(1, len(text)))
    ends = [found.end() for found in regex.finditer(r"\X", text)]
    assert last_edge(text, most) == max((end for end in ends if end <= most), default=most)


@pytest.mark.slow
def test_the_characters_that_join_the_one_before_them_are_those_of_the_standard() -> None:
    every = (chr(number) for number in range(sys.maxunicode + 1) if not 0xD800 <= number <= 0xDFFF)
    wrong = [one for one in every if joins_before(one) != (len(regex.findall(r"\X", f"a{one}")) == 1)]
    assert wrong == []
