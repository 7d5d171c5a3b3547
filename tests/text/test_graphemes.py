"""Borders between characters as people see them."""

from __future__ import annotations

import pytest

from linqbot.linq.text.graphemes import border_after, border_before, is_border

FAMILY = "👩‍👩‍👧"
WHOLE = {
    "a letter with an accent": "e\u0301",
    "a letter with several marks": "a\u0300\u0320\u0331",
    "a line break of Windows": "\r\n",
    "a family": FAMILY,
    "a skin tone": "👍🏽",
    "a heart in colour": "❤️",
    "a flag": "🇫🇷",
    "the flag of Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "a key": "1️⃣",
    "a Korean syllable in letters": "\u1112\u1161\u11ab",
    "an Indic conjunct": "क्षि",
    "a Thai vowel": "กำ",
}


def test_a_character_of_several_code_points_has_no_border_inside(subtests: pytest.Subtests) -> None:
    for character in WHOLE.values():
        with subtests.test(character=character):
            text = f"a{character}b"
            assert [at for at in range(len(text) + 1) if is_border(text, at)] == [0, 1, len(text) - 1, len(text)]
            for at in range(2, len(text) - 1):
                assert (border_before(text, at), border_after(text, at)) == (1, len(text) - 1)


def test_flags_in_a_row_are_cut_between_flags() -> None:
    text = "🇫🇷🇩🇪🇮🇹"
    assert [at for at in range(len(text) + 1) if is_border(text, at)] == [0, 2, 4, 6]


def test_letters_and_syllables_have_borders_between_them() -> None:
    for text in ("abc", "каша", "가각", "你好", "a b", "🎂🎂"):
        assert all(is_border(text, at) for at in range(len(text) + 1))
