"""Texts with styles: cut, joined, and split below a limit."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from linqbot.characters import Edges, whole
from linqbot.linq.text.markdown import markdown
from linqbot.linq.text.sentences import sentence_ends
from linqbot.linq.text.styled import Style, StyledText, TextLink, addresses, joined, split
from linqbot.linq.types.message import utf16_length, utf16_slice


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
def test_half_characters_are_repaired_before_a_text_is_cut(text: str) -> None:
    pieces = split(StyledText(text), 100)
    assert "".join(piece.text for piece in pieces) == whole(text)
    assert all(utf16_length(piece.text) <= 100 for piece in pieces)


def test_styles_and_links_stay_at_their_words_when_half_characters_are_repaired() -> None:
    broken = "\ud83d \ud83d\ude00 bold \udc00 https://a.example \ud83d\ude00\ud83d\ude00 end"
    at = broken.index("https"), broken.index("https") + len("https://a.example")
    styles = [Style(broken.index(word), broken.index(word) + len(word), "bold") for word in ("bold", "end")]
    text = StyledText(broken, tuple(styles), (TextLink(*at, "https://a.example"),))
    assert text.text == "\ufffd 😀 bold \ufffd https://a.example 😀😀 end"
    assert [text.text[each.start : each.end] for each in text.styles] == ["bold", "end"]
    assert [text.text[each.start : each.end] for each in text.links] == ["https://a.example"]
    part = text.part()
    assert [utf16_slice(part.value, *each.range) for each in part.text_decorations or () if each.range] == [
        "bold",
        "end",
    ]


PEOPLE_SEE_ONE = {
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a flag": "🇫🇷",
    "the flag of England": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a keycap": "1\ufe0f\u20e3",
    "a red heart": "\u2764\ufe0f",
    "a skin tone": "👍🏽",
    "accents": "e\u0301\u0323",
    "Hangul jamo": "\u1100\u1161\u11a8",
    "a Hindi conjunct": "\u0915\u094d\u0937\u093f",
    "a Bengali conjunct": "\u0995\u09cd\u09b7",
    "Thai": "\u0e01\u0e33",
    "Arabic": "\u0645\u064f",
    "CR LF": "\r\n",
}


def test_a_cut_never_falls_inside_of_a_character_that_people_see(subtests: pytest.Subtests) -> None:
    for name, one in PEOPLE_SEE_ONE.items():
        for lead in ("", "x", "x" * 7, "🇩🇪"):
            with subtests.test(name, lead=lead):
                said = f"{lead}{one * 200}x".removeprefix("\r\n")
                pieces = [piece.text for piece in split(StyledText(said), 60)]
                assert "".join("".join(pieces).split()) == "".join(said.split())
                assert all(utf16_length(piece) <= 60 for piece in pieces)
                assert all(piece.startswith((one.strip() or "x", "x")) for piece in pieces[1:])


def test_a_character_with_more_accents_than_a_piece_holds_is_cut_inside() -> None:
    zalgo = "a" + "\u0301" * 5000
    pieces = [piece.text for piece in split(StyledText(f"Hello {zalgo} there 👋🏽"), 100)]
    assert "".join(pieces).replace(" ", "") == f"Hello{zalgo}there👋🏽"
    assert all(utf16_length(piece) <= 100 for piece in pieces)
    assert len(pieces) < 60


def test_an_accent_that_stands_on_a_space_keeps_it() -> None:
    pieces = [piece.text for piece in split(StyledText("word \u0301 " * 100), 50)]
    assert not any(piece.startswith("\u0301") for piece in pieces)
    assert list(sentence_ends("Look! \u0301a. Then。\u3099b")) == [9]


@given(
    st.lists(
        st.sampled_from(
            [*PEOPLE_SEE_ONE.values(), "word", " ", "\n\n", ". ", "。", "漢", "\u0301", "\u200d", "🇫", "é"]
        ),
        max_size=60,
    ),
    st.integers(12, 50),
)
def test_each_piece_begins_at_a_character_of_the_text(ones: list[str], limit: int) -> None:
    said = StyledText("".join(ones))
    edges, at = Edges(said.text), 0
    for piece in split(said, limit):
        assert utf16_length(piece.text) <= limit
        at = said.text.index(piece.text, at)
        # A character that is longer than a piece is cut inside.
        longest = max((utf16_length(each) for each in regex.findall(r"\X", said.text)), default=0)
        assert at in edges or longest > limit
        at += len(piece.text)
