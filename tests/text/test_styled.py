"""Texts with styles: cut, joined, and split below a limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linqbot.linq.text.markdown import markdown
from linqbot.linq.text.styled import Style, StyledText, addresses, joined, split
from linqbot.linq.types.message import utf16_length


def texts(text: str, limit: int) -> list[str]:
    return [piece.text for piece in split(StyledText(text), limit)]


def test_a_short_text_stays_whole() -> None:
    assert texts("Hello. You.", 100) == ["Hello. You."]
    assert texts("", 100) == [""]


def test_a_text_is_split_at_the_end_of_a_paragraph_a_sentence_a_line_a_word_or_a_character() -> None:
    assert texts("One. Two.\n\nThree. Four.", 15) == ["One. Two.", "Three. Four."]
    assert texts("One two. Three four five.", 20) == ["One two.", "Three four five."]
    assert texts("one two\nthree four", 12) == ["one two", "three four"]
    assert texts("one two three", 9) == ["one two", "three"]
    assert texts("abcdefgh", 3) == ["abc", "def", "gh"]


def test_styles_and_links_are_kept_where_a_text_is_split() -> None:
    said = markdown("Plain. **Bold one. Bold two.** Go to https://x.test now.")
    first, second, third = split(said, 25)
    assert (first.text, first.styles) == ("Plain. Bold one.", (Style(7, 16, "bold"),))
    assert (second.text, second.styles) == ("Bold two.", (Style(0, 9, "bold"),))
    assert (third.text, [link.start for link in third.links]) == ("Go to https://x.test now.", [6])


def test_joined_texts_keep_their_styles() -> None:
    both = joined([markdown("**a** b"), markdown("c *d*")], ["\n"])
    assert both.text == "a b\nc d"
    assert both.styles == (Style(0, 1, "bold"), Style(6, 7, "italic"))


def test_an_address_has_a_host_and_ends_where_a_reader_would_end_it(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str | None]] = [
        ("（菜单 https://a.test/菜单）谢谢", "https://a.test/菜单"),
        ("菜单：https://a.test/b。请", "https://a.test/b"),
        ("見てhttps://a.test/b！", "https://a.test/b"),
        ("`https://a.test/b`", "https://a.test/b"),
        ("https://a.test/b… and more", "https://a.test/b"),
        ("https://a.test/b—see", "https://a.test/b"),
        ("https://a.test/b\u200bc", "https://a.test/b"),
        ("(https://a.test/b),c", "https://a.test/b"),
        ("[https://a.test/b](c)", "https://a.test/b"),
        ("https://a.test/1–2 –", "https://a.test/1–2"),
        ("https://a.test/?b=[c](d)", "https://a.test/?b=[c](d)"),
        ("http:///path", None),
        ("https://#b", None),
        ("https://?", None),
        ("xhttps://a.test", None),
    ]
    for text, url in rows:
        with subtests.test(text=text):
            assert [link.url for link in addresses(text)] == ([] if url is None else [url])


@given(
    st.lists(
        st.sampled_from(["word", "e\u0301", "👩‍👩‍👧", "🇫🇷", " ", "\n", "\n\n", ". ", "! ", "**b**", "*i*"]), max_size=80
    ),
    st.integers(12, 60),
)
def test_nothing_is_lost_or_longer_than_the_limit(pieces: list[str], limit: int) -> None:
    said = markdown("".join(pieces))
    cuts = split(said, limit)
    at = 0
    for cut in cuts:
        assert utf16_length(cut.text) <= limit
        assert cut.text == cut.text.strip()
        at = said.text.index(cut.text, at)
        at += len(cut.text)
    assert "".join("".join(cut.text for cut in cuts).split()) == "".join(said.text.split())
    bold = [said.text[each.start : each.end] for each in said.styles]
    kept = [cut.text[each.start : each.end] for cut in cuts for each in cut.styles]
    assert sorted("".join("".join(kept).split())) == sorted("".join("".join(bold).split()))


@pytest.mark.parametrize("text", ["\udce9" * 300, "\ud83d" * 299 + "a", "a\udc00" * 150, "\ud83d\ude00" * 150])
def test_lone_surrogates_are_cut_like_other_characters(text: str) -> None:
    pieces = split(StyledText(text), 100)
    assert "".join(piece.text for piece in pieces) == text
    assert all(utf16_length(piece.text) <= 100 for piece in pieces)
