"""Markdown becomes a text as people write it in messages: styles, bullets, quotation marks, and addresses after labels.

Linq sends texts as they are and does not read Markdown. The parser is markdown-it-py (CommonMark, with tables and
`~~strikethrough~~`); it is imported when Markdown is first used. Two forms of CommonMark are left out, because people and
models use them by mistake: a heading that is underlined with `---`, and code that is only indented. Next step:
`styled.py` turns the styles into Linq's decorations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from copy import copy
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from linqbot.characters import whole
from linqbot.linq.text.styled import Style, StyledText, TextLink, address_at, addresses
from linqbot.linq.types.message import TextStyle

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_STYLES: Final[dict[str, TextStyle]] = {"strong": "bold", "em": "italic", "s": "strikethrough", "th": "bold"}
_WEB: Final = ("http://", "https://")
_ADDRESS: Final = 5
"""The further steps of a link whose address, or whose label, the parser writes in another way."""
_LOOKED_THROUGH: Final = 16
"""The characters that are looked through in a step for the end of a link's label."""
_DEEPEST: Final = 17
"""The deepest block, in lists and quotes: a list counts as two. The parser leaves out what is deeper than 19."""
_LEAST_STEPS: Final = 2500
"""A text may take so many steps however short it is: some 9 ms. A line and a mark are one step, two tokens of blocks too."""
_RUN: Final = re.compile(r"([*_~])\1*")
_NORMAL_LINK: Final = re.compile(r"(?:https?://|mailto:[a-z0-9.+-]+@)[a-z0-9.-]+(?:/[A-Za-z0-9/._~&=+-]*)?")
"""The addresses that the parser would return as they are. To find this out, it takes as long as for the rest of a link."""
_SHOWN_WITHOUT: Final = ("mailto:", "tel:")


def markdown(text: str, *, cards: bool = True) -> StyledText:
    """Return Markdown as a text with styles, for `ctx.reply` and all other sends.

    `**bold**`, `*italic*` and `~~gone~~` become styles. Headings are bold, list items have bullets or numbers, quotes
    have quotation marks, and code is shown as it is. A link becomes its label and its address: `site (https://…)`. On SMS
    and RCS the text has no styles.

    Args:
        text: CommonMark, with tables and strikethrough. HTML tags are shown as they are. A long text that consists almost
            wholly of marks is shown as it is, because reading it would make all other chats wait; so is a text with more
            than eight lists in each other.
        cards: False shows no preview cards of addresses; see `Context.reply`.

    Example:
        `await ctx.reply(markdown("**Open** until 22:00"))`
    """
    return read(text, cards=cards)


def read(text: str, *, is_inline: bool = False, cards: bool = True) -> StyledText:
    """Return Markdown as a text with styles. One that `is_inline` is one paragraph, whose lines begin no lists or quotes."""
    text = whole(text)
    writer = _Writer()
    reader: Any = copy(parser())
    # A list in which each item has styles and a link takes a step for three characters.
    reader.left = max(_LEAST_STEPS, 3 * len(text) // 8)
    try:
        writer.blocks(reader.parseInline(text) if is_inline else reader.parse(text))
    except _Dense:
        return StyledText.plain(text.strip(), cards=cards)
    return writer.result(cards=cards)


class _Dense(Exception):
    """A text takes the parser more steps than a text that people read."""


def _spend(reader: Any, steps: int, tokens: int = 0) -> bool:
    """Count steps of the parser. Return False, as a rule that does not fit.

    The tokens of blocks count too: a short line of a wide table has very many. Raises _Dense if all steps are used up.
    """
    reader.left -= steps
    if reader.left < tokens // 2:
        raise _Dense
    return False


def _spend_on_line(state: StateBlock, _start: int, _end: int, _: bool) -> bool:
    if state.level > _DEEPEST:
        raise _Dense
    return _spend(state.md, 1, len(state.tokens))


def _spend_on_blocks(state: StateCore) -> None:
    _spend(state.md, len(state.tokens) // 2)


def _spend_on_mark(state: StateInline, _: bool) -> bool:
    # The parser keeps each character of a run such as `***`.
    run = _RUN.match(state.src, state.pos)
    return _spend(state.md, max(1, len(run[0]) - 1) if run else 1)


def _end_of_label(state: StateInline, start: int, disable_nested: bool = False) -> int:
    from markdown_it.helpers import parseLinkLabel

    end = parseLinkLabel(state, start, disable_nested)
    # For the end of a label, the parser looks through the whole rest; for that of an address, through up to 32 brackets.
    looked_through = end - start + 4 * state.src.count("(", end, end + 128) if end >= 0 else state.posMax - start
    _spend(state.md, 1 + looked_through // _LOOKED_THROUGH)
    return end


@cache
def parser() -> MarkdownIt:
    """Return the parser. It reads any text, however many steps that takes."""
    from markdown_it import MarkdownIt, helpers

    class Parser(MarkdownIt):
        left = math.inf

        def normalizeLink(self, url: str) -> str:  # noqa: N802 - the parser's name
            if _NORMAL_LINK.fullmatch(url):
                return url
            _spend(self, _ADDRESS)
            return super().normalizeLink(url)

        def normalizeLinkText(self, url: str) -> str:  # noqa: N802 - the parser's name
            if _NORMAL_LINK.fullmatch(url) and "xn--" not in url:
                return url
            _spend(self, _ADDRESS)
            return super().normalizeLinkText(url)

    # Without the rule text_join, escaped characters stay tokens of their own: `pieces.py` needs to know them.
    rules = Parser("commonmark", {"html": False}).enable(["table", "strikethrough"])
    rules.inline.ruler.before("escape", "address", _bare_address)
    rules.inline.ruler.before("text", "steps", _spend_on_mark)
    # With these alternatives, the rule is also asked about each line of a paragraph, and about each item and row.
    rules.block.ruler.before("table", "steps", _spend_on_line, {"alt": ["paragraph", "list", "blockquote"]})
    rules.core.ruler.after("block", "steps of blocks", _spend_on_blocks)
    vars(rules)["helpers"] = SimpleNamespace(**{**vars(helpers), "parseLinkLabel": _end_of_label})
    return rules.disable(["lheading", "code", "reference", "text_join", "html_block", "html_inline"])


def _bare_address(state: StateInline, silent: bool) -> bool:
    """Read the rest of a web address, whose scheme was read before: `_` and `*` in it are no styles."""
    if not state.src.startswith("://", state.pos):
        return False
    before = state.src[max(0, state.pos - len("https")) : state.pos].lower()
    start = state.pos - len("https" if before == "https" else "http")
    if not before.endswith(("http", "https")) or (address := address_at(state.src, start, state.posMax)) is None:
        return False
    end = start + len(address)
    if not silent:
        from markdown_it.common.utils import unescapeAll

        # Some models escape `_` here, too.
        state.pending += unescapeAll(state.src[state.pos : end])
    state.pos = end
    return True


class _Writer:
    def __init__(self) -> None:
        self._text: list[str] = []
        self._length = 0
        self._styles: list[Style] = []
        self._links: list[TextLink] = []
        self._verbatim: list[tuple[int, int]] = []
        self._open: list[tuple[str, int, int]] = []
        self._lists: list[int | None] = []
        self._gap = 0
        self._cells = 0
        self._is_after_list = False

    def result(self, *, cards: bool) -> StyledText:
        text = "".join(self._text)
        masked, last = list[str](), 0
        for start, end in sorted([*((link.start, link.end) for link in self._links), *self._verbatim]):
            masked += [text[last:start], " " * (end - max(start, last))]
            last = max(last, end)
        bare = addresses("".join([*masked, text[last:]]))
        links = sorted([*self._links, *bare], key=lambda link: link.start)
        return StyledText(text, tuple(self._styles), tuple(links), cards).stripped()

    def blocks(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            kind = token.type
            if kind == "inline":
                self._inline(token.children or ())
            elif kind == "fence":
                self._write_verbatim(token.content.rstrip("\n"))
                self._gap = 2
            elif kind == "hr":
                self._gap = 2
            elif kind.endswith("_open"):
                self._open_block(kind.removesuffix("_open"), token)
            elif kind.endswith("_close"):
                self._close_block(kind.removesuffix("_close"), token)

    def _open_block(self, kind: str, token: Token) -> None:
        if kind in ("bullet_list", "ordered_list"):
            start = token.attrs.get("start", 1)
            self._lists.append(int(start) if kind == "ordered_list" else None)
            # Two lists in a row have an empty line between them, a list and its introduction have not.
            self._gap = self._gap if self._is_after_list else min(self._gap, 1)
        elif kind == "list_item":
            self._open_item()
        elif kind == "blockquote":
            self._write("“")
        elif kind == "heading":
            self._begin("strong")
        elif kind == "tr":
            self._cells = 0
        elif kind in ("th", "td"):
            self._write(" · " if self._cells else "")
            self._cells += 1
            self._begin(kind)

    def _open_item(self) -> None:
        number = self._lists[-1]
        self._write("  " * (len(self._lists) - 1) + ("• " if number is None else f"{number}. "))
        if number is not None:
            self._lists[-1] = number + 1

    def _close_block(self, kind: str, token: Token) -> None:
        self._is_after_list = kind.endswith("_list")
        if kind == "paragraph":
            self._gap = 1 if token.hidden else 2
        elif kind in ("bullet_list", "ordered_list"):
            self._lists.pop()
            self._gap = 1 if self._lists else 2
        elif kind == "list_item":
            self._gap = 1
        elif kind == "blockquote":
            self._gap = 0
            self._write("”")
            self._gap = 2
        elif kind in ("heading", "th", "td"):
            self._close_style()
            self._gap = 1 if kind == "heading" else 0
        elif kind in ("tr", "table"):
            self._gap = 1 if kind == "tr" else 2

    def _inline(self, tokens: Iterable[Token]) -> None:
        for token in tokens:
            if token.type in ("softbreak", "hardbreak"):
                self._write("\n")
            elif token.type == "code_inline":
                self._write_verbatim(token.content)
            elif token.type == "image":
                self._image(token)
            elif token.type == "link_open":
                self._begin(str(token.attrs.get("href", "")))
            elif token.type == "link_close":
                self._close_link()
            elif token.type.endswith("_open"):
                self._begin(token.type.removesuffix("_open"))
            elif token.type.endswith("_close"):
                self._close_style()
            else:
                self._write(token.content)

    def _image(self, token: Token) -> None:
        self._begin(str(token.attrs.get("src", "")))
        self._inline(token.children or ())
        self._close_link()

    def _begin(self, kind: str) -> None:
        self._write("")
        self._open.append((kind, self._length, len(self._text)))

    def _close_style(self) -> None:
        kind, start, _ = self._open.pop()
        if kind in _STYLES and start < self._length:
            self._styles.append(Style(start, self._length, _STYLES[kind]))

    def _close_link(self) -> None:
        url, start, index = self._open.pop()
        label = "".join(self._text[index:])
        is_web = url.lower().startswith(_WEB)
        shown = url
        for scheme in _SHOWN_WITHOUT:
            shown = shown.removeprefix(scheme)
        if not is_web and shown == url:
            return
        if label in (url, shown) or not label:
            self._write("" if label else shown)
            is_labelled = False
        else:
            start, is_labelled = self._length, True
            self._write(f" ({shown})")
        if is_web:
            self._links.append(TextLink(start, self._length, url, is_labelled))

    def _write_verbatim(self, text: str) -> None:
        self._write("")
        self._verbatim.append((self._length, self._length + len(text)))
        self._write(text)

    def _write(self, text: str) -> None:
        if self._gap and self._length:
            self._text.append("\n" * self._gap)
            self._length += self._gap
        self._gap = 0
        self._text.append(text)
        self._length += len(text)
