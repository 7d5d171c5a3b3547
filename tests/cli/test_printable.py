"""Texts of other people, as a terminal may show them."""

from __future__ import annotations

import json

import pytest

from linqbot.cli.output import print_table, printable, printable_json, printable_lines


def test_a_text_is_one_line_without_control_characters(subtests: pytest.Subtests) -> None:
    for text, shown in [
        ("Grüße 😀", "Grüße 😀"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("7:00\u202fPM", "7:00\u202fPM"),  # as CLDR writes times in English
        ("明日\u300019時", "明日\u300019時"),
        ("a\u200d", r"a\u200d"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u200dhi\u200d\u200d!\u200c", r"\u200dhi\u200d\u200d!\u200c"),
        ("\x1b[2J\x9b2J\x07", r"\x1b[2J\x9b2J\x07"),
        ("exe.\u202egpj", r"exe.\u202egpj"),
        ("one\r\ntwo\u2028three\x85", r"one\r\ntwo\u2028three\x85"),
        ("half \ud83d", r"half \ud83d"),
    ]:
        with subtests.test(text=text, shown=shown):
            assert printable(text) == shown


def test_lines_and_their_indentation_are_kept() -> None:
    assert printable_lines("one\n  two\r\n\tthree\x1b\n") == "one\n  two\\r\n        three\\x1b\n"


def test_a_row_of_a_table_is_one_line_that_people_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"question": "Who?\n1. 👨\u200d👩\u200d👧\n2. Ann\x1b[2J"}])
    assert capsys.readouterr().out.splitlines()[1] == "Who? 1. 👨\u200d👩\u200d👧 2. Ann�[2J"


@pytest.mark.parametrize("indent", [None, 1])
def test_json_means_the_same_with_its_escapes(indent: int | None) -> None:
    value = {"a\x9b": ["\x1b\u202e\x7f\n", "Grüße 😀", "\U000e0041", "half \ud83d"], "b": 1}
    text = printable_json(value, indent=indent)
    assert json.loads(text) == value
    assert "Grüße 😀" in text
    assert all(line.isprintable() for line in text.split("\n"))
