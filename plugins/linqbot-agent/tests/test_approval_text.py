"""The text of a question for approval shows all that is decided, and no value passes for another argument."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import pytest
from linqbot_agent.approval_text import MOST_BUBBLES, bubbles, question

HEADER: Final = "May I pay? 👍 or yes, 👎 or no\n\n"
CASES: Final[list[tuple[str, Mapping[str, Any], str]]] = [
    ("no argument", {}, "May I pay? 👍 or yes, 👎 or no"),
    ("short", {"to": "Ann", "amount": 900}, "May I pay (to Ann, amount 900)? 👍 or yes, 👎 or no"),
    ("kinds", {"n": 1.5, "now": True, "tip": None}, "May I pay (n 1.5, now true, tip null)? 👍 or yes, 👎 or no"),
    ("handle", {"to": "+14155550199"}, "May I pay (to +14155550199)? 👍 or yes, 👎 or no"),
    ("two words", {"to_whom": "Ann Smith"}, "▸ to whom: Ann Smith"),
    ("a second argument in a value", {"to": "Ann, amount 1", "amount": 900}, "▸ to: Ann, amount 1\n▸ amount: 900"),
    ("an end of the sentence", {"to": "Ann)? 👍 or yes"}, "▸ to: Ann)? 👍 or yes"),
    ("a list of objects", {"payments": [{"to": "Ann", "cents": 5}, {"to": "Eve", "cents": 999999}]},
     "▸ payments (2)\n▸▸ 1\n▸▸▸ to: Ann\n▸▸▸ cents: 5\n▸▸ 2\n▸▸▸ to: Eve\n▸▸▸ cents: 999999"),
    ("a list", {"to": ["Ann", "Eve"]}, "▸ to (2)\n▸▸ 1: Ann\n▸▸ 2: Eve"),
    ("an object", {"guest": {"name": "Ann", "age": 7}}, "▸ guest\n▸▸ name: Ann\n▸▸ age: 7"),
    ("what is empty", {"a": [], "b": {}, "c": ""}, '▸ a: []\n▸ b: {}\n▸ c: ""'),
    ("lines", {"text": "Hi\nAmount: 1 €", "amount": 900}, "▸ text: Hi\n│ Amount: 1 €\n▸ amount: 900"),
    ("a forged argument", {"text": "Hi\n▸ amount: 1", "amount": 900}, "▸ text: Hi\n│ \\u25b8 amount: 1\n▸ amount: 900"),
    ("a forged further line", {"text": "Hi\n│ x"}, "▸ text: Hi\n│ │ x"),
    *((f"a look-alike {mark}", {"text": f"a {mark} b"}, f"▸ text: a \\u{ord(mark):04x} b") for mark in "▶▷▹►▻‣➤⏵"),
    *((f"a line break {ord(each):x}", {"text": f"a{each}amount: 1"}, "▸ text: a\n│ amount: 1")
      for each in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"),
    ("empty lines", {"text": f"a{chr(10) * 500}b"}, "▸ text: a\n│\n│ b"),
    ("empty lines with spaces", {"text": "a" + " \u3000\n\t" * 200 + "b"}, "▸ text: a\n│\n│ b"),
    ("lines around", {"text": "\n\na b\n\n"}, "▸ text: a b"),
    ("spaces", {"text": "a" + " " * 500 + "amount: 1"}, "▸ text: a amount: 1"),
    ("spaces of other widths", {"text": "a\u00a0\u2003\u3000\u202f\tb"}, "▸ text: a b"),
    *((f"unseen {ord(each):x}", {"text": f"a{each}b"}, f"▸ text: a\\u{ord(each):04x}b")
      for each in "\0\x1b\x7f\xad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d"
                  "\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u2800\u3164\ufe0f\ufeff\uffa0\ufff9\ue000"),
    ("letters of a tag", {"text": "a\U000e0041\U000e0042"}, "▸ text: a\\U000e0041\\U000e0042"),
    ("half an emoji", {"text": "a\ud83d"}, "▸ text: a\ufffd"),
    ("stacked marks", {"text": "a" + "\u0301" * 6}, "▸ text: a" + "\u0301" * 4 + "\\u0301\\u0301"),
    ("emoji", {"text": "👨\u200d👩 ☎\ufe0f 1\ufe0f\u20e3 👍🏽"}, "▸ text: 👨\u200d👩 ☎\ufe0f 1\ufe0f\u20e3 👍🏽"),
    ("joined letters", {"text": "क्\u200dष می\u200cخواهم"}, "▸ text: क्\u200dष می\u200cخواهم"),
    ("from right to left", {"to": "עמית", "amount": 900}, "▸ to: עמית\n▸ amount: 900"),
    ("a name as an argument", {"to: Ann\n▸ amount": 1}, '▸ "to: Ann\\n\\u25b8 amount": 1'),
    ("a name with a quotation mark", {'to": "Ann': 1}, '▸ "to\\": \\"Ann": 1'),
    ("a name that is empty", {"": 1}, '▸ "": 1'),
    ("a name that is long", {"a" * 61: 1}, f'▸ "{"a" * 61}": 1'),
    ("names in lists", {"to": [{"Ann (approved)": 1}]}, '▸ to (1)\n▸▸ 1\n▸▸▸ "Ann (approved)": 1'),
    ("bytes", {"file": b"ab"}, "▸ file: YWI="),
]  # fmt: skip


def test_each_case_is_shown_as_it_is(subtests: pytest.Subtests) -> None:
    assert len(CASES) > 80
    for name, arguments, expected in CASES:
        with subtests.test(name):
            assert question("pay", arguments) == (expected if expected.startswith("May I") else f"{HEADER}{expected}")


def test_the_name_of_a_tool_of_a_stranger_forges_nothing() -> None:
    assert question("pay? 👍 is safe\u200b", {}) == 'May I "pay? 👍 is safe\\u200b"? 👍 or yes, 👎 or no'


def test_a_line_of_any_value_is_no_argument(subtests: pytest.Subtests) -> None:
    """The marks at the beginnings of lines are those of the two arguments, with each character in a value."""
    for code in [*range(0x3000), *range(0xFE00, 0x10000), *range(0x1F000, 0x1FB00), *range(0xE0000, 0xE0200)]:
        text = f"a{chr(code)}▸ amount: 1"
        asked = question("pay", {"to": text, "amount": 900})
        assert asked is not None
        begins = [line for line in asked.splitlines()[2:] if not line.startswith("│")]
        assert begins[0].startswith("▸ to: a"), hex(code)
        assert begins[1:] == ["▸ amount: 900"], hex(code)
        assert asked.count("▸") == 2, hex(code)
        unseen = {each for each in asked if unicodedata.category(each) in ("Cc", "Cf", "Co", "Zl", "Zp")} - {"\n"}
        assert not unseen, hex(code)


def test_a_long_question_has_several_bubbles_that_say_all_of_it() -> None:
    words = " ".join(f"word{number}" for number in range(200))
    arguments = {"text": words, "list": [f"item {number}" for number in range(60)]}
    asked = question("send", arguments)
    assert asked is not None
    texts = bubbles(asked)
    assert [text.partition(" ")[0] for text in texts] == [f"({n}/{len(texts)})" for n in range(1, len(texts) + 1)]
    assert 1 < len(texts) <= MOST_BUBBLES
    assert max(map(len, texts)) < 750  # an SMS
    said = "\n".join(text.partition(" ")[2] for text in texts)
    assert said.replace("\n│ ", "").replace(" ", "").replace("\n", "") == asked.replace(" ", "").replace("\n", "")
    further = [line for line in said.splitlines() if line and not line.startswith(("▸", "│", "May I"))]
    assert further == []


def test_a_call_that_is_nested_too_deeply_or_too_long_is_not_shown() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert question("pay", {"a": deep}) is None
    for length in (5000, 100_000):
        assert question("pay", {"a": "x" * length}) is None
        assert question("pay", {"a": ["x"] * length}) is None
        assert question("pay", {}, "x" * length) is None


def test_the_question_of_a_tool_has_no_padding() -> None:
    assert question("send", {}, "Send?\u202e" + "\n" * 300 + "$5\n") == "Send?\n\n$5"
    assert question("send", {}, " \n") == "May I send? 👍 or yes, 👎 or no"
