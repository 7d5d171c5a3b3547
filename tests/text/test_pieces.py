"""A growing text is cut into finished pieces, which do not depend on the chunks in which it arrives."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linqbot.content.message_split import MAX_SMS_UNITS, bubbles
from linqbot.linq.text.markdown import markdown
from linqbot.linq.text.pieces import Cutter, Piece
from linqbot.linq.text.styled import StyledText, joined
from linqbot.linq.types.message import text_of, utf16_length


def cut(chunks: list[str], *, is_markdown: bool = True) -> list[Piece]:
    cutter = Cutter(markdown=is_markdown)
    return [piece for chunk in chunks for piece in cutter.feed(chunk)] + cutter.close()


def in_chunks(source: str, dice: random.Random, *, most: int) -> list[str]:
    """Return a text in chunks of random sizes."""
    chunks, at = list[str](), 0
    while at < len(source):
        chunks.append(source[at : at + dice.randint(1, most)])
        at += len(chunks[-1])
    return chunks


def texts(source: str, *, is_markdown: bool = True) -> list[tuple[str, str]]:
    return [(piece.gap, piece.text.text) for piece in cut(list(source), is_markdown=is_markdown)]


def whole(pieces: list[Piece]) -> StyledText:
    return joined([piece.text for piece in pieces], [piece.gap for piece in pieces][1:]) if pieces else StyledText("")


def test_pieces_are_finished_sentences_and_blocks(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, list[tuple[str, str]]]] = [
        ("One. Two!\nThree\n\nFour.", [("", "One."), (" ", "Two!"), ("\n", "Three"), ("\n\n", "Four.")]),
        ("你好。再见。", [("", "你好。"), ("", "再见。")]),
        ("**All. Of it.** Rest.", [("", "All. Of it."), (" ", "Rest.")]),
        ("See [a. b](https://x.test). Yes.", [("", "See a. b (https://x.test)."), (" ", "Yes.")]),
        ("# Menu\n\nSoup.\nTea.", [("", "Menu"), ("\n", "Soup."), ("\n", "Tea.")]),
        (
            "Eat:\n- soup. hot\n  very\n- tea\n\n- oil",
            [("", "Eat:"), ("\n", "• soup. hot\nvery"), ("\n", "• tea"), ("\n", "• oil")],
        ),
        ("1. a\n   - b\n2. c", [("", "1. a"), ("\n", "  • b"), ("\n", "2. c")]),
        (
            "1. a\n1. b\n\n1. c\n\nd\n7. e",
            [("", "1. a"), ("\n", "2. b"), ("\n", "3. c"), ("\n\n", "d"), ("\n", "7. e")],
        ),
        ("> a. b\n> c\n\nd", [("", "“a. b\nc”"), ("\n\n", "d")]),
        ("```\na. b\n\nc\n```\nd", [("", "a. b\n\nc"), ("\n", "d")]),
        ("a\n\n---\n\nb", [("", "a"), ("\n\n", "b")]),
        ("|a|b|\n|-|-|\n|1|2|\n\nx", [("", "a · b\n1 · 2"), ("\n\n", "x")]),
        ("snake_case. 2 * 3 is six. `x", [("", "snake_case."), (" ", "2 * 3 is six."), (" ", "`x")]),
        ("", []),
        (" \n\n ", []),
    ]
    for source, expected in rows:
        with subtests.test(source=source):
            assert texts(source) == expected


def test_a_plain_text_keeps_its_marks() -> None:
    assert texts("**One.** # Two.\n- three\n\n*four", is_markdown=False) == [
        ("", "**One.**"),
        (" ", "# Two."),
        ("\n", "- three"),
        ("\n\n", "*four"),
    ]


def test_a_sentence_is_finished_when_the_next_one_begins() -> None:
    cutter = Cutter()
    assert cutter.feed("**Hello** there. ") == []
    assert [piece.text.text for piece in cutter.feed("H")] == ["Hello there."]
    assert cutter.feed("ow are you?\n") == []
    assert not cutter.is_after_paragraph
    assert [piece.text.text for piece in cutter.feed("\n")] == ["How are you?"]
    assert cutter.is_after_paragraph


CHUNKS = [
    *("a", "Word ", ". ", "! ", "\n", "\n\n", "- ", "  - ", "1. ", "# ", "> ", "```\n", "`", "*", "**", "~~", "_"),
    *("[", "](https://x.test)", "|", "---\n", "\r\n", "🎉 ", "👍🏽", "e\u0301", "。", "&amp;", "\\"),
]


@given(st.lists(st.sampled_from(CHUNKS), max_size=40).map("".join), st.randoms(use_true_random=False), st.booleans())
def test_the_pieces_do_not_depend_on_the_chunks(source: str, dice: random.Random, is_markdown: bool) -> None:
    chunks = in_chunks(source, dice, most=6)
    assert cut(chunks, is_markdown=is_markdown) == cut([source], is_markdown=is_markdown)


WORDS = ["soup", "bread", "tea", "caffè", "👍🏽", "👩‍👩‍👧", "e\u0301te\u0301", "🇫🇷"]


def some_markdown(dice: random.Random) -> str:
    """Return Markdown whose visible text is words and ordinary punctuation: every mark in it is a mark of Markdown."""

    def word() -> str:
        said = f"{dice.choice(WORDS)}{dice.randint(0, 999)}"
        styles = [
            *("{}", "{}", "{}", "**{}**", "*{}*", "~~{}~~", "***{}***", "`{}`"),
            *("**a *{}* b**", "**Yes. It is {}**", "[{}](https://x.test/a_b)", "__{}__"),
        ]
        return dice.choice(styles).format(said)

    def sentence() -> str:
        said = " ".join(word() for _ in range(dice.randint(1, 8))) + dice.choice(".!?…")
        return (
            dice.choice(["{}", "{}", "{}", "**{}**", "*Dr. X {}*"]).format(
                said.replace("**", "").replace("*", "").replace("__", "")
            )
            if dice.random() < 0.3
            else said
        )

    def block() -> str:
        kind = dice.randint(0, 6)
        if dice.random() < 0.02:  # longer than a message on SMS
            return " ".join(sentence() for _ in range(80))
        if kind == 0:
            return "#" * dice.randint(1, 3) + " " + word()
        if kind == 1:
            return "\n".join(f"{dice.choice(['-', '*', '1.'])} {sentence()}" for _ in range(dice.randint(1, 5)))
        if kind == 2:
            return f"```py\n{dice.choice(WORDS)} 1\n\n{dice.choice(WORDS)}\n```"
        if kind == 3:
            return "> " + "\n> ".join(sentence() for _ in range(dice.randint(1, 3)))
        return dice.choice([" ", "\n"]).join(sentence() for _ in range(dice.randint(1, 6)))

    return dice.choice(["\n\n", "\n\n\n"]).join(block() for _ in range(dice.randint(1, 6)))


@pytest.mark.slow
def test_no_piece_has_half_a_mark_or_is_lost() -> None:
    dice = random.Random(0)
    for _ in range(1000):
        source = some_markdown(dice)
        pieces = cut(in_chunks(source, dice, most=12))
        for piece in pieces:
            assert not set("*~`[]") & set(piece.text.text), source
            assert "__" not in piece.text.text
            for bubble in bubbles([piece.text], service="SMS", cards=False):
                assert utf16_length(text_of(bubble.parts or ())) <= MAX_SMS_UNITS
        said, at_once = whole(pieces).text, markdown(source).text
        assert "".join(said.split()) == "".join(at_once.split()), source
        at = 0
        for piece in pieces:
            at = said.index(piece.text.text, at) + len(piece.text.text)


def test_an_emoji_that_comes_in_two_halves_is_one() -> None:
    cutter = Cutter()
    pieces = [piece for chunk in ("Fine. Yes \ud83d", "\ude00 and", " \ud83d", " so.") for piece in cutter.feed(chunk)]
    assert " ".join(piece.text.text for piece in [*pieces, *cutter.close()]) == "Fine. Yes \U0001f600 and \ufffd so."
