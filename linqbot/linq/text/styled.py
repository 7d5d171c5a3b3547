"""A text with styles and web addresses, which can be cut and joined, and becomes a text part of a message.

Its positions are indexes of Python strings. Linq's ranges, which count UTF-16 code units, are computed at the end.
`link` makes a web address that is sent as a preview card.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from linqbot.characters import Edges, last_edge, whole, whole_indexes
from linqbot.linq.text.sentences import sentence_ends
from linqbot.linq.types.message import LinkPart, TextDecoration, TextPart, TextStyle, utf16_length

_BEGINNING: Final = re.compile(r"(?<![a-z0-9])https?://(?=[\w\[])", re.IGNORECASE)
# Letters of all scripts may be part of an address. Quotation marks, characters without a width, and the punctuation of Chinese
# and Japanese, which has no space after it, may not. Brackets may, in pairs.
_WITHOUT_BRACKETS: Final = re.compile(
    r"[^\s<>\"“”«»`|—…\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
    r"\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65()\[\]{}]*+"
)
_SPACE: Final = re.compile(r"\s*")
_AFTER_ADDRESS: Final = ".,;:!?'’*_~–؟،؛।([{\\"
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


class Style(NamedTuple):
    start: int
    end: int
    name: TextStyle


class TextLink(NamedTuple):
    """A web address between two indexes.

    Attributes:
        is_labelled: True if the address stands in brackets after a label, so that the text can be read without it.
            Then the brackets and the space before them are between the indexes too.
    """

    start: int
    end: int
    url: str
    is_labelled: bool = False


@dataclass(frozen=True, slots=True)
class StyledText:
    """A text with styles and web addresses: the result of `markdown`, for `ctx.reply` and all other sends.

    Attributes:
        text: The text as a person reads it on a phone without styles.
        styles: Bold, italic and struck-through parts. On SMS and RCS they are left out.
        links: The web addresses in the text.
        cards: True shows a preview card for an address, where cards exist.
    """

    text: str = field(repr=False)
    styles: tuple[Style, ...] = field(default=(), repr=False)
    links: tuple[TextLink, ...] = field(default=(), repr=False)
    cards: bool = True

    def __post_init__(self) -> None:
        text = whole(self.text)
        if text is self.text:
            return
        at = whole_indexes(self.text)
        styles = tuple(each._replace(start=at[each.start], end=at[each.end]) for each in self.styles)
        links = tuple(each._replace(start=at[each.start], end=at[each.end], url=whole(each.url)) for each in self.links)
        for name, value in (("text", text), ("styles", styles), ("links", links)):
            object.__setattr__(self, name, value)

    @classmethod
    def plain(cls, text: str, *, cards: bool = True) -> StyledText:
        """Return a text without styles, with the web addresses that are in it."""
        text = whole(text)
        return cls(text, links=tuple(addresses(text)), cards=cards)

    def __getitem__(self, where: slice) -> StyledText:
        """Return the text between two indexes, with its styles, and with the links that are wholly inside."""
        start, end, _ = where.indices(len(self.text))
        if (start, end) == (0, len(self.text)):
            return self
        styles = (
            Style(max(each.start, start) - start, min(each.end, end) - start, each.name)
            for each in self.styles
            if each.start < end and each.end > start
        )
        links = (
            each._replace(start=each.start - start, end=each.end - start)
            for each in self.links
            if start <= each.start and each.end <= end
        )
        return StyledText(self.text[start:end], tuple(styles), tuple(links), self.cards)

    def stripped(self) -> StyledText:
        start = len(self.text) - len(self.text.lstrip())
        return self[start : max(start, len(self.text.rstrip()))]

    def without(self, links: Sequence[TextLink]) -> StyledText:
        """Return the text without some of its links, which are in order. Their neighbours are joined as they are."""
        if not links:
            return self
        edges = [0, *(edge for link in links for edge in (link.start, link.end)), len(self.text)]
        kept = list(_sliced(self, list(zip(edges[::2], edges[1::2], strict=True))))
        return joined(kept, [""] * (len(kept) - 1))

    def part(self, *, is_plain: bool = False) -> TextPart:
        """Return the text part of a message, with decorations in UTF-16 code units.

        Args:
            is_plain: True leaves the styles out.
        """
        ranges = [] if is_plain else self._ranges()
        if not ranges:
            return TextPart(value=self.text)
        edges = sorted({edge for start, end, _ in ranges for edge in (start, end)})
        units, last, at = {}, 0, 0
        for edge in edges:
            at += utf16_length(self.text[last:edge])
            units[edge] = at
            last = edge
        decorations = (TextDecoration(range=(units[start], units[end]), style=name) for start, end, name in ranges)
        return TextPart(value=self.text, text_decorations=tuple(decorations))

    def _ranges(self) -> list[tuple[int, int, TextStyle]]:
        last: dict[str, int] = {}
        ranges: list[tuple[int, int, TextStyle]] = []
        for start, end, name in sorted(self.styles):
            before = last.get(name)
            if before is not None and ranges[before][1] >= start:
                ranges[before] = (ranges[before][0], max(ranges[before][1], end), name)
            elif start < end:
                last[name] = len(ranges)
                ranges.append((start, end, name))
        return ranges


def joined(texts: Sequence[StyledText], gaps: Iterable[str]) -> StyledText:
    said, styles, links = "", list[Style](), list[TextLink]()
    for each, gap in zip(texts, ["", *gaps], strict=True):
        said += gap
        at = len(said)
        styles += [Style(style.start + at, style.end + at, style.name) for style in each.styles]
        links += [link._replace(start=link.start + at, end=link.end + at) for link in each.links]
        said += each.text
    return StyledText(said, tuple(styles), tuple(links), all(each.cards for each in texts))


def addresses(text: str) -> list[TextLink]:
    """Return the web addresses in a text, without the punctuation that follows them."""
    found, at = list[TextLink](), 0
    while (match := _BEGINNING.search(text, at)) is not None:
        at = _end_of_address(text, match.end(), len(text))
        if url := _without_punctuation(text[match.start() : at]):
            at = match.start() + len(url)
            found.append(TextLink(match.start(), at, url))
    return found


def address_at(text: str, start: int, end: int) -> str | None:
    """Return the web address that begins at an index, and ends at `end` at the latest; None if there is none."""
    match = _BEGINNING.match(text, start, end)
    return match and _without_punctuation(text[start : _end_of_address(text, match.end(), end)])


def _end_of_address(text: str, at: int, end: int) -> int:
    """Return the index behind an address and its punctuation, but before a bracket that is closed and was not opened."""
    open_brackets: list[str] = []
    while (found := _WITHOUT_BRACKETS.match(text, at, end)) and (at := found.end()) < end:
        if text[at] in _CLOSING:
            open_brackets.append(_CLOSING[text[at]])
        elif not open_brackets or open_brackets.pop() != text[at]:
            break
        at += 1
    return at


def _without_punctuation(url: str) -> str | None:
    """Return an address without the punctuation that follows it; None if nothing is left."""
    url = url.rstrip(_AFTER_ADDRESS)
    return url if url.partition("://")[2] else None


def split(text: StyledText, limit: int) -> list[StyledText]:
    """Cut a text into pieces of at most `limit` UTF-16 code units.

    A cut is at the end of a paragraph in the second half of a piece, or else at the last end of a sentence, a line or
    a word, or else between two characters as people see them. Only a single character that is longer than a piece is cut
    inside. Spaces at a cut are left out, and styles go on behind it.
    """
    rest, bounds, at = text.text.rstrip(), list[tuple[int, int]](), 0
    while at < len(rest):
        at = _after_spaces(rest, at)
        ahead = rest[at : at + limit + 100]
        size = _cut(ahead, limit) if utf16_length(ahead) > limit else len(ahead)
        bounds.append((at, at + len(ahead[:size].rstrip())))
        at += size
    return list(_sliced(text, bounds)) if bounds else [text[:0]]


def _after_spaces(text: str, at: int) -> int:
    """Return the index behind the spaces at an index, but before the last one if an accent stands on it."""
    found = _SPACE.match(text, at)
    end = at if found is None else found.end()
    return end - 1 if end > at and 1 not in Edges(text[end - 1 : end + 1]) else end


def _sliced(text: StyledText, bounds: Sequence[tuple[int, int]]) -> Iterator[StyledText]:
    """Yield the pieces between bounds, which rise. Each style is looked at only for the pieces that it is in."""
    styles, links = deque(sorted(text.styles)), deque(sorted(text.links))
    going_on: list[Style] = []
    for start, end in bounds:
        going_on = [each for each in going_on if each.end > start]
        while styles and styles[0].start < end:
            going_on.append(styles.popleft())
        inside = list[TextLink]()
        while links and links[0].start < end:
            inside.append(links.popleft())
        yield replace(text, styles=tuple(going_on), links=tuple(inside))[start:end]


def _cut(text: str, limit: int) -> int:
    """Return the index at which a text is cut that has more than `limit` code units."""
    fits = len(text[:limit].encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore"))
    paragraph = text.rfind("\n\n", fits // 2, fits)
    if paragraph > 0:
        return paragraph
    last = 0
    for end in sentence_ends(text):
        if end > fits:
            break
        last = end
    if last:
        return last
    line = text.rfind("\n", 1, fits + 1)
    if line > 0:
        return line
    if text[fits].isspace():
        return fits
    word = fits - len(text[: fits + 1].rsplit(maxsplit=1)[-1])
    return word if word > 0 else last_edge(text, fits)


def link(url: str) -> LinkPart:
    """Return a web address as a preview card, which gets a message of its own.

    An address inside a text becomes a card by itself; see `Context.reply`. The first message of a chat cannot be a card
    (R52).

    Args:
        url: An http or https address of at most 2048 characters.

    Example:
        `await ctx.reply(link("https://example.com/menu"))`
    """
    return LinkPart(value=url)
