"""The ranges of decorations and stickers in a text: one test per rule, named after it. All other rules are rows of `test_rules.py`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rules.asking import ANN, CDN, ID, broke, text

from linqbot.linq.rules import Broken


def dressed(*decorations: Any, value: str = "Hello world") -> Broken | None:
    return text(value, text_decorations=[{"range": [a, b], **rest} for a, b, rest in decorations])


def stuck(*ranges: Any, value: str = "Hello world", **more: Any) -> Broken | None:
    return text(value, inline_stickers=[{"range": list(each), "attachment_id": ID} for each in ranges], **more)


BOLD, ITALIC, SHAKE, NOD = {"style": "bold"}, {"style": "italic"}, {"animation": "shake"}, {"animation": "nod"}
LOOKS = st.sampled_from([BOLD, ITALIC, SHAKE, NOD])
SHORT_TEXT = st.text(alphabet=st.sampled_from("aé🎂👍\u200d\ufe0f中 "), min_size=1, max_size=8)
RANGES = st.tuples(st.integers(-1, 12), st.integers(-1, 12))


def units(value: str) -> list[int]:
    """Return the index of the character of every UTF-16 unit."""
    return [i for i, letter in enumerate(value) for _ in range(1 if ord(letter) < 0x10000 else 2)]


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return bool(set(range(*one)) & set(range(*other)))


def test_R44_counts_utf16_units() -> None:
    assert dressed((0, 2, BOLD), value="🎂") is None
    assert broke(dressed((0, 3, BOLD), value="🎂"), "R44", 1004)


def test_R45_an_animation_overlaps_nothing_while_styles_may_overlap() -> None:
    assert dressed((0, 8, BOLD), (3, 11, ITALIC), (3, 5, BOLD)) is None
    assert dressed((0, 5, SHAKE), (5, 6, BOLD), (6, 11, NOD)) is None
    assert broke(dressed((0, 5, SHAKE), (4, 6, BOLD)), "R45", 1004)
    assert broke(dressed((4, 6, SHAKE), (0, 11, BOLD)), "R45", 1004)
    assert broke(dressed((0, 5, SHAKE), (4, 6, NOD)), "R45", 1004)


def test_R47_at_most_100_stickers_of_10_images() -> None:
    def many(count: int, images: int) -> Broken | None:
        stickers = [{"range": [i, i + 1], "url": f"{CDN}?{i % images}"} for i in range(count)]
        return text("x" * count, inline_stickers=stickers)

    assert many(100, 10) is None
    assert broke(many(101, 10), "R47", 1004)
    assert broke(many(11, 11), "R47", 1004)


def test_R48_stickers_overlap_nothing_split_nothing_and_go_without_mentions() -> None:
    assert stuck((0, 2), (2, 4)) is None
    assert broke(stuck((0, 3), (2, 4)), "R48", 1004)
    assert broke(stuck((0, 3), text_decorations=[{"range": [2, 4], **BOLD}]), "R48", 1004)
    assert broke(stuck((0, 1), value="🎂!"), "R48", 1004)
    assert broke(stuck((1, 3), value="🎂!"), "R48", 1004)
    assert stuck((0, 2), value="🎂!") is None
    assert broke(stuck((0, 2), mention=ANN), "R48", 1004)


@given(SHORT_TEXT, st.lists(st.tuples(RANGES, LOOKS), max_size=4), st.lists(RANGES, max_size=3))
def test_ranges_are_judged_as_by_colouring_every_unit(
    value: str, decorations: list[tuple[tuple[int, int], Mapping[str, str]]], stickers: list[tuple[int, int]]
) -> None:
    owner = units(value)
    inside = all(a >= 0 and a < b <= len(owner) for a, b in [each for each, _ in decorations] + stickers)
    moving = any(
        overlap(one, other) and ("animation" in look or "animation" in other_look)
        for (one, look), (other, other_look) in combinations(decorations, 2)
    )
    splits = inside and any(0 < at < len(owner) and owner[at - 1] == owner[at] for each in stickers for at in each)
    covered = any(overlap(one, other) for one, other in combinations(stickers, 2)) or any(
        overlap(one, other) for one in stickers for other, _ in decorations
    )
    expected = "R44" if not inside else "R45" if moving else "R48" if splits or covered else None

    broken = text(
        value,
        text_decorations=[{"range": list(each), **look} for each, look in decorations],
        inline_stickers=[{"range": list(each), "attachment_id": ID} for each in stickers],
    )

    # Decorations are checked before stickers, so an overlap may be reported before a bad range.
    decorated = all(a >= 0 and a < b <= len(owner) for (a, b), _ in decorations)
    if expected == "R44" and decorated and moving:
        expected = "R45"
    assert (broken.rule if broken else None) == expected
