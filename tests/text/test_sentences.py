"""Ends of sentences."""

from __future__ import annotations

import itertools

import pytest

from linqbot.linq.text.sentences import sentence_ends


def sentences(text: str) -> list[str]:
    ends = [0, *sentence_ends(text), len(text)]
    return [text[start:end].strip() for start, end in itertools.pairwise(ends)]


@pytest.mark.parametrize(
    "expected",
    [
        ["Hello.", "Next!", "Really?", "Yes…", "Good."],
        ["She said “yes.”", "He (did not.)", "**Bold.**", "End."],
        ["Great! 🎉", "Next."],
        ["Ask Dr. Who about it, e.g. today.", "J. Bach wrote it."],
        ["Open until 22.30 on 3.5. of May.", "Closed in 2026.", "Then?"],
        ["It is e.g. open. really.", "New"],
        ["Wait... what?", "Oh."],
        ["1. Milk and so on.", "Bread"],
    ],
)
def test_a_text_is_cut_at_the_ends_of_its_sentences(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


def test_chinese_and_japanese_need_no_space_after_a_sentence() -> None:
    assert sentences("你好。「再见。」好") == ["你好。", "「再见。」", "好"]


def test_the_number_of_a_list_item_is_no_sentence() -> None:
    assert sentences("1. Milk\n2. Bread\n3. Tea") == ["1. Milk\n2. Bread\n3. Tea"]


def test_an_end_is_known_only_when_something_follows() -> None:
    assert list(sentence_ends("Hello. ")) == []
    assert list(sentence_ends("Hello. 🎉")) == []
    assert list(sentence_ends("Hello. 🎉 W")) == [8]
    assert list(sentence_ends("Hello. W")) == [6]
