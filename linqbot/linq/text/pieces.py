"""A growing text, such as a model's answer, is cut into finished pieces: sentences, list items, headings, code blocks.

The pieces depend only on the text, and not on the chunks in which it arrives. A piece of Markdown is parsed by itself,
so it is finished only when no mark in it can belong to what follows: in doubt, at the end of its paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from linqbot.characters import whole, whole_so_far
from linqbot.linq.text.markdown import parser, read
from linqbot.linq.text.sentences import ends_so_far
from linqbot.linq.text.styled import StyledText, joined

Kind: TypeAlias = Literal["text", "heading", "item", "quote", "fence", "rule", "table", "blank"]
PARAGRAPH: Final = "\n\n"
"""The gap between paragraphs."""

_UNDECIDED: Final = re.compile(r"[-*_+#`~\d.)\s]*")
"""The beginning of a line that may become a list item, a heading, a rule, a code block, or none of these."""
_NUMBER: Final = re.compile(r"\d{1,9}")
_SPACE: Final = re.compile(r"\s*")
_KINDS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("blank", re.compile(r"\s*$")),
    ("fence", re.compile(r"\s*(?:`{3,}|~{3,})")),
    ("heading", re.compile(r" {0,3}#{1,6}(?:\s|$)")),
    ("rule", re.compile(r" {0,3}(?:(?:- *+){3,}+|(?:\* *+){3,}+|(?:_ *+){3,}+)$")),
    ("item", re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])(?:\s|$)")),
    ("quote", re.compile(r" {0,3}>")),
    ("table", re.compile(r" {0,3}\|")),
)
_MARKS: Final = re.compile(r"(?<!\s)\*|\*(?!\s)|~~|`|\]\(|(?<!\w)_|_(?!\w)")
"""Marks that the parser has not used up, and that so may belong to what follows."""
_BRACKETS: Final = re.compile(r"[\[\]]")
_PAIRED: Final = re.compile(r"[*_~`]+|[\[\]()<>]")
"""What may open or close a mark."""
_MOST_PAIRED: Final = 50
"""A paragraph with more of them before its first sentence without an open mark is one piece."""
_SHORT: Final = 500
"""Behind so many characters of a paragraph, it is parsed again when it has grown by a quarter, and not with each sentence."""
SLICE: Final = 1000
"""The characters of a text that arrives at once after which other chats should have their turn."""
_GAPS: Final = ("", " ", "\n", PARAGRAPH)
_CONTINUED_BY: Final[dict[Kind, tuple[Kind, ...]]] = {
    "text": ("text",),
    "item": ("text",),
    "quote": ("quote", "text"),
    "table": ("table",),
}
"""The lines that belong to the piece above them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A finished piece of a text.

    Attributes:
        gap: The text between the piece and the one before it: a space, a line break or an empty line.
        is_heading: True if it introduces the next piece.
        is_item: True for an item of a list.
    """

    text: StyledText
    gap: str
    is_heading: bool = False
    is_item: bool = False


@dataclass(slots=True)
class _Scan:
    """The kind of the piece that begins the raw text, and its end so far."""

    kind: Kind | None = None
    end: int = 0
    line_at: int = 0
    # The rest is what need not be looked at again, so that the time is linear in the text.
    undecided_to: int = 0
    sentences_to: int = 0
    paired_to: int = 0
    paired: int = 0
    parsed_to: int = 0
    is_parsed: bool = True
    open_fence: int = 0


class Cutter:
    """Cuts a growing text, perhaps Markdown, into pieces. `cards` is that of `markdown`."""

    def __init__(self, *, markdown: bool = True, cards: bool = True) -> None:
        self._markdown = markdown
        self._cards = cards
        self._raw = ""
        self._half = ""
        self._gap = ""
        self._last: Piece | None = None
        self._is_inside_line = False
        self._numbers: dict[int, int] = {}
        self._scan = _Scan()

    @property
    def is_after_paragraph(self) -> bool:
        """True if an empty line follows the last piece, so that its paragraph is over."""
        space = self._raw[: len(self._raw) - len(self._raw.lstrip())]
        return self._gap == PARAGRAPH or space.count("\n") > 1

    def feed(self, chunk: str) -> list[Piece]:
        """Add a chunk to the text, and return the pieces that are finished now.

        A chunk has at most `SLICE` characters of a long text: each finished piece copies what is behind it.
        """
        chunk, self._half = whole_so_far(self._half + chunk)
        self._raw = (self._raw + chunk).replace("\r\n", "\n")
        return list(self._finished(is_over=False))

    def close(self) -> list[Piece]:
        self._raw += whole(self._half)
        return list(self._finished(is_over=True))

    def _finished(self, *, is_over: bool) -> Iterator[Piece]:
        while self._skip_space() and (found := self._next(is_over=is_over)) is not None:
            kind, end = found
            source, self._raw = self._raw[:end], self._raw[end:]
            self._is_inside_line = True
            self._scan = _Scan()
            text = self._rendered(kind, source)
            if text.text:
                self._last = Piece(text, self._gap_before(kind), kind == "heading", kind == "item")
                self._gap = ""
                yield self._last
            else:
                self._note_gap(PARAGRAPH if kind == "rule" else "")

    def _gap_before(self, kind: Kind) -> str:
        if self._last is None:
            return ""
        if self._last.is_heading or (self._last.is_item and kind == "item"):
            return "\n"
        return self._gap

    def _note_gap(self, gap: str) -> None:
        self._gap = max(self._gap, gap, key=_GAPS.index)

    def _skip_space(self) -> bool:
        """Drop the space before the next piece, except the indentation of its line. Return False if nothing follows yet."""
        rest = self._raw.lstrip()
        if not rest:
            return False
        space = self._raw[: len(self._raw) - len(rest)]
        breaks = space.count("\n")
        self._note_gap(PARAGRAPH if breaks > 1 else "\n" if breaks else " " if space else "")
        if breaks:
            self._is_inside_line = False
        self._raw = rest if self._is_inside_line else self._raw[space.rfind("\n") + 1 :]
        return True

    def _next(self, *, is_over: bool) -> tuple[Kind, int] | None:
        """Return the kind of the next piece and its end in the raw text; None if it is not finished."""
        scan = self._scan
        is_finished = self._add_lines(is_over=is_over)
        if scan.kind is None:
            return None
        if scan.kind == "fence":
            closed = self._end_of_fence(is_over=is_over)
            return None if closed is None else (scan.kind, closed)
        if scan.kind == "text" and (sentence := self._end_of_sentence()):
            return scan.kind, sentence
        return (scan.kind, scan.end) if is_finished or is_over else None

    def _add_lines(self, *, is_over: bool) -> bool:
        """Add the lines to the piece that belong to it, each once it is complete. Return True if one follows that does not."""
        scan = self._scan
        while scan.kind != "fence":
            kind, end = self._line(scan.line_at, is_over=is_over)
            if scan.kind is None or scan.line_at == 0:
                scan.kind = "text" if self._is_inside_line else kind
            elif kind is not None and kind not in _CONTINUED_BY.get(scan.kind, ()):
                return True
            if kind is None and not (self._is_inside_line and scan.line_at == 0):
                return False
            scan.end = end
            if end == len(self._raw):
                return False
            scan.line_at = scan.undecided_to = end + 1
        return False

    def _line(self, start: int, *, is_over: bool) -> tuple[Kind | None, int]:
        end = self._raw.find("\n", start)
        is_complete = end >= 0 or is_over
        end = end if end >= 0 else len(self._raw)
        if not is_complete:
            undecided = _UNDECIDED if self._markdown else _SPACE
            if undecided.fullmatch(self._raw, max(start, self._scan.undecided_to)):
                self._scan.undecided_to = end
                return None, end
        kinds = _KINDS if self._markdown else _KINDS[:1]
        line = self._raw[start:end]
        return next((kind for kind, pattern in kinds if pattern.match(line)), "text"), end

    def _end_of_fence(self, *, is_over: bool) -> int | None:
        start = len(self._raw) - len(self._raw.lstrip())
        mark = self._raw[start]
        size = len(self._raw) - start - len(self._raw[start:].lstrip(mark))
        at = self._scan.open_fence or self._raw.find("\n")
        while at >= 0:
            # The lines before this one do not close the block, and are not looked at again.
            self._scan.open_fence = at
            end = self._raw.find("\n", at + 1)
            if end < 0 and not is_over:
                return None
            line = self._raw[at + 1 : end if end >= 0 else len(self._raw)].strip()
            if len(line) >= size and not line.strip(mark):
                return end if end >= 0 else len(self._raw)
            at = end
        return len(self._raw) if is_over else None

    def _end_of_sentence(self) -> int | None:
        scan = self._scan
        for mark, end in ends_so_far(self._raw[: scan.end], scan.sentences_to):
            if end is None:
                scan.sentences_to = mark
                return None
            scan.sentences_to = end
            if not self._markdown or not self._has_open_marks(end):
                return end
        scan.sentences_to = scan.end
        return None

    def _has_open_marks(self, end: int) -> bool:
        """Return True if a mark of Markdown before `end` may belong to what follows it, or in doubt."""
        scan = self._scan
        paired = len(_PAIRED.findall(self._raw, scan.paired_to, end))
        scan.paired_to = end
        scan.paired += paired
        scan.is_parsed = scan.is_parsed and not paired
        if scan.is_parsed:
            return scan.paired > 0
        if scan.paired > _MOST_PAIRED or (end > _SHORT and end < 1.25 * scan.parsed_to):
            return True
        scan.parsed_to, scan.is_parsed = end, True
        return _has_open_marks(self._raw[:end])

    def _rendered(self, kind: Kind, source: str) -> StyledText:
        if not self._markdown:
            return StyledText.plain(source.strip(), cards=self._cards)
        if kind == "text":
            return read(source, is_inline=True, cards=self._cards)
        indentation = len(source) - len(source.lstrip())
        lines = (line[indentation:] if not line[:indentation].strip() else line for line in source.split("\n"))
        source = "\n".join(lines)
        # Two to four spaces are one level of a list.
        level = (indentation + 1) // 3 if kind == "item" else 0
        if kind == "item":
            source = self._numbered(source, level)
        text = read(source, cards=self._cards)
        return joined([StyledText("  " * level), text], [""]) if level else text

    def _numbered(self, item: str, level: int) -> str:
        """Return an item with its number in its list. Markdown counts only from the number of the first item."""
        if self._last is None or not self._last.is_item:
            self._numbers = {}
        self._numbers = {outer: number for outer, number in self._numbers.items() if outer <= level}
        written = _NUMBER.match(item)
        if written is None:
            self._numbers.pop(level, None)
            return item
        number = self._numbers.get(level, int(written[0]) - 1) + 1
        self._numbers[level] = number
        return f"{number}{item[written.end() :]}"


def _has_open_marks(source: str) -> bool:
    """Return True if a mark of Markdown is in the text that may belong to what follows it."""
    left, depth = "", 0
    for token in parser().parseInline(source)[0].children or ():
        left += token.content if token.type == "text" else "x"
    for bracket in _BRACKETS.findall(left):
        depth = depth + 1 if bracket == "[" else max(0, depth - 1)
    return depth > 0 or _MARKS.search(left) is not None
