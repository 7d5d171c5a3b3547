"""Markdown becomes text with styles, as people write in messages."""

from __future__ import annotations

import sys
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linqbot.linq import rules
from linqbot.linq.text.markdown import markdown
from linqbot.linq.types.message import utf16_length, utf16_slice

CHARACTERS = [
    *("a", "Word", " ", "\n", "\n\n", "e\u0301", "\u0301", "👩‍👩‍👧", "🇫🇷", "👍🏽", "é", "ß"),
    *(".", "! ", "1. ", "- ", "> ", "# "),
]
MARKS = [
    *("*", "**", "***", "_", "__", "~~", "`", "```\n", "[", "](https://x.test/a)", "![", "\\", "|", "&amp;"),
    *("<b>", "---\n"),
]


def styled(text: str) -> dict[str, list[str]]:
    """Return the styled texts by the name of the style."""
    part = markdown(text).part()
    found: dict[str, list[str]] = {}
    for each in part.text_decorations or ():
        found.setdefault(str(each.style), []).append(utf16_slice(part.value, *each.range))
    return found


def test_a_style_holds_the_styles_inside_it() -> None:
    assert styled("**all *of ~~this~~* bold**") == {
        "bold": ["all of this bold"],
        "italic": ["of this"],
        "strikethrough": ["this"],
    }


def test_equal_styles_that_touch_are_one() -> None:
    assert styled("# **Menu**") == {"bold": ["Menu"]}


def test_blocks_become_what_people_write_in_messages(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str]] = [
        ("# Menu\nSoup", "Menu\nSoup"),
        ("Eat:\n- soup\n- bread\n  - white\n  - brown\n", "Eat:\n• soup\n• bread\n  • white\n  • brown"),
        ("3. three\n4. four", "3. three\n4. four"),
        ("- a\n\n- b\n\ntext", "• a\n• b\n\ntext"),
        ("- a\n\n1. b", "• a\n\n1. b"),
        ("> to be\n> or not", "“to be\nor not”"),
        ("run `a*b*c`:\n\n```py\nif a:\n    b\n```\nnow", "run a*b*c:\n\nif a:\n    b\n\nnow"),
        ("one\ntwo  \nthree\n\n\nfour", "one\ntwo\nthree\n\nfour"),
        ("| a | b |\n| - | - |\n| 1 | 2 |", "a · b\n1 · 2"),
        ("a\n\n---\n\nb", "a\n\nb"),
        ("2 \\* 3 &amp; <b>", "2 * 3 & <b>"),
        ("snake_case and 5 * 3 and ~5", "snake_case and 5 * 3 and ~5"),
        ("<https://x.test> https://y.test.", "https://x.test https://y.test."),
        ("![A cat](https://x.test/cat.png)", "A cat (https://x.test/cat.png)"),
        ("[mail](mailto:a@x.test) [here](/page)", "mail (a@x.test) here"),
        ("", ""),
    ]
    for source, text in rows:
        with subtests.test(source=source):
            assert markdown(source).text == text


def test_marks_inside_an_address_belong_to_it() -> None:
    rows: list[tuple[str, str]] = [
        ("In https://a.test/x/__init__.py now", "In https://a.test/x/__init__.py now"),
        ("https://a.test/b*c*d *e*", "https://a.test/b*c*d e"),
        ("**https://a.test/b_c** d_", "https://a.test/b_c d_"),
        ("*see https://a.test/b_c_d*", "see https://a.test/b_c_d"),
        ("https://a.test/?q=[b](c) d", "https://a.test/?q=[b](c) d"),
        (r"https://a.test/b\_c\_&amp;d=1\_", "https://a.test/b_c_&d=1_"),
        ("[https://a.test/_b](https://c.test/_d_)", "https://a.test/_b (https://c.test/_d_)"),
        ("http://*a*", "http://a"),
        ("://_a_", "://a"),
    ]
    assert {source: markdown(source).text for source, _ in rows} == dict(rows)


def test_addresses_are_found_outside_of_code() -> None:
    said = markdown(
        "[a](https://a.test) <https://b.test> `https://c.test` (https://d.test/e_(f)), https://g.test/?h=1."
    )
    assert [(link.url, link.is_labelled) for link in said.links] == [
        ("https://a.test", True),
        ("https://b.test", False),
        ("https://d.test/e_(f)", False),
        ("https://g.test/?h=1", False),
    ]


@given(st.lists(st.sampled_from(CHARACTERS + MARKS), max_size=40).map("".join))
def test_ranges_lie_inside_the_text_and_split_no_character(source: str) -> None:
    part = markdown(source).part()
    for each in part.text_decorations or ():
        start, end = each.range
        assert 0 <= start < end <= utf16_length(part.value)
        for edge in each.range:
            assert utf16_length(utf16_slice(part.value, 0, edge)) == edge
    if part.value:
        assert rules.check("chats.messages.send", {"message": {"parts": [part.to_json_object()]}}) is None


MENU = "- **A** *dish* for `2`, see [it](https://a.example/a)\n"
DENSE = [
    *("*a ", "**a** ", "***a*** ", "***a*** aaaaa", "***a***", "*https://a.b* ", "~~a~~ ", "`a` ", "*a_b*"),
    *("[a](b) ", "[a](http://a.b/c) ", "[é](http://é.b/é) ", "[](http://é)", "[", "[\n", "![", "[*", "*["),
    *("![*a*](b)", "![](", "![~~a~~", "![*aaaaa *aaaaa *aaaaa ", "\\*", "&amp; ", "<http://A>", "<http://xn--a>"),
    *("<aa:>", "<a ", "<http://a.b> ", "<a@b.c> ", "a\n", "a\n\n", "- a\n", "- - a\n", "-\n", "+ aa\n", "1. a\n"),
    *("1) aa\n", "1.\n", "> a\n", "> - ", "# a\n", "#\n", "- *a*\n", "- <a@b.c>\n", "| a |\n", "a|b\n-|-\na|b\n\n"),
]
MOST_CALLS = 200_000
"""The calls of functions in about 15 ms. One of the menu takes twice as long as one of a list of letters."""


def calls(text: str) -> int:
    """Return the number of functions that run while a Markdown text is read."""
    count = 0

    def note(frame: FrameType, event: str, value: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        markdown(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.slow
def test_no_text_takes_much_longer_to_read_than_a_list_full_of_styles_and_links() -> None:
    size = 10_000
    ordinary = markdown((MENU * size)[: size // len(MENU) * len(MENU)])
    assert len([style for style in ordinary.styles if style.name == "bold"]) == size // len(MENU)
    taken = {unit: calls((unit * size)[:size]) for unit in DENSE}
    for columns in (20, 200, 2000):  # the parser makes a cell for each column in each of the short rows
        head = f"{'|a' * columns}|\n{'|-' * columns}|\n"
        taken[f"{columns} columns"] = calls((head + "a\n" * size)[:size])
    assert {unit: count for unit, count in taken.items() if count > MOST_CALLS} == {}


def test_a_long_text_of_almost_nothing_but_marks_is_shown_as_it_is() -> None:
    assert markdown("- **Eggs**: 12\n" * 200).styles  # not almost
    for unit in ("![", "**a", "- a\n", "|-|\n", "<a@b>"):
        dense = (unit * 5000).strip()
        assert markdown(dense).text == dense
        assert markdown(f"{unit * 20}\n\n**b**").styles
    deep = f"{'> ' * 30}{'- ' * 30}**a**\n\nb"
    assert markdown(deep).text == deep.strip()
    assert not set("*`[") & set(markdown("- **A** *dish* for `2`, see [it](https://a.example/a)\n" * 1000).text)
