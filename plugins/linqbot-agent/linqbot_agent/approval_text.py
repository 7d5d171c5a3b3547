"""The text of a question for approval: all that a person decides about, and nothing in it that passes for something else.

A model may have been talked into anything, so no value is trusted:

- A short call is one sentence, such as `May I pay (to Ann, amount 900)?`, if each value is a number or one plain word.
- Otherwise each argument has a line of its own that begins with `▸`, also those in lists and objects: one mark for each level.
  No name and no value can have this mark. So none looks like another argument, wherever a phone breaks a long line.
- Each further line of a value begins with `│`.
- Characters that are not seen are written out, such as `\\u202e`. Spaces that stand together are one, and so are empty lines.

A question may have several bubbles. A call that does not fit into `MOST_BUBBLES` is for the model to make smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_jsonable_python

from linqbot.characters import cut, repaired, to_json
from linqbot.language import sentences
from linqbot.speakers import visible

if TYPE_CHECKING:
    import regex

MOST_BUBBLES: Final = 6
"""The most messages of one question. More would not be read."""
_BUBBLE: Final = 700
"""The most characters of a message. On SMS a text may have 1,500 UTF-16 code units, and a character two of them."""
_LEAST_ROOM: Final = 100
"""A long line begins in the next message if this one has less room for it, in characters."""
_SENTENCE: Final = 140
"""The most characters of a question that is one sentence."""
_DEEPEST: Final = 12
"""The most levels of lists and objects."""

_MARK: Final = "▸"
_FURTHER: Final = "│ "


def question(tool: str, arguments: Mapping[str, Any], own: str | None = None) -> str | None:
    """Return the question for approval of a call, with all of its arguments; None if a person could not read all of it.

    Args:
        own: The question in the words of the tool, which may repeat what a model wrote: it stands without padding.
    """
    if own and own.strip():
        text = _patterns().empty_lines.sub("\n\n", visible(own)).strip()
    elif _depth(arguments) <= _DEEPEST:
        text = _question(tool, arguments)
    else:
        return None
    return None if len(text) > MOST_BUBBLES * _BUBBLE or len(bubbles(text)) > MOST_BUBBLES else text


def _question(tool: str, arguments: Mapping[str, Any]) -> str:
    given: Any = to_jsonable_python(repaired(dict(arguments)), serialize_unknown=True, bytes_mode="base64")
    call = _name(tool)
    if all(_is_plain(name, value) for name, value in given.items()):
        said = ", ".join(f"{_name(name)} {_plain(value)}" for name, value in given.items())
        sentence = sentences().may_i.format(call=f"{call} ({said})" if said else call)
        if len(sentence) <= _SENTENCE:
            return sentence
    return "\n".join([sentences().may_i.format(call=call), "", *_lines(given, _MARK)])


def bubbles(text: str) -> list[str]:
    """Return a question as the texts of its messages, each with its number if there are several.

    A line for which a message has no room goes on in the next one, behind the mark of a further line.
    """
    pieces = [""]
    first, _, details = text.partition("\n\n")
    for number, each in enumerate(text.split("\n")):
        line = each
        # Linq takes no address in the first message to an approver who has no chat with the bot yet (R52).
        if number == 1 and _has_address(details) and not _has_address(first):
            pieces.append("")
        while len(line) > (room := _BUBBLE - len(pieces[-1]) - 1):
            if room > _LEAST_ROOM:
                kept = _cut_at_word(line, room)
                pieces[-1] += f"\n{kept}"
                line = f"{_FURTHER}{line[len(kept) :]}"
            pieces.append("")
        pieces[-1] += f"\n{line}"
    texts = [piece.strip() for piece in pieces]
    return texts if len(texts) == 1 else [f"({number}/{len(texts)}) {each}" for number, each in enumerate(texts, 1)]


def _has_address(text: str) -> bool:
    return _patterns().address.search(text) is not None


def _cut_at_word(line: str, most: int) -> str:
    kept = cut(line, most)
    end = kept.rfind(" ") + 1
    return kept[:end] if end > most // 2 else kept


def _depth(value: object) -> int:
    """Return the number of levels of lists and objects, counted no further than is of interest."""
    depth, level = 0, [value]
    while depth <= _DEEPEST:
        level = [item for each in level for item in _items(each)]
        if not level:
            break
        depth += 1
    return depth


def _items(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()


def _lines(value: Any, mark: str) -> Iterator[str]:
    """Yield the lines of the items of a list or an object."""
    items = value.items() if isinstance(value, dict) else enumerate(value, 1)
    for key, item in items:
        name = f"{mark} {_name(str(key))}"
        if isinstance(item, dict | list) and item:
            yield f"{name} ({len(item)})" if isinstance(item, list) else name
            yield from _lines(item, f"{mark}{_MARK}")
        elif isinstance(item, str):
            first, *further = shown(item).split("\n")
            yield f"{name}: {first}" if first else f'{name}: ""' if not further else f"{name}:"
            yield from (f"{_FURTHER}{line}".rstrip() for line in further)
        else:
            yield f"{name}: {to_json(item).decode()}"


def _name(name: str) -> str:
    """Return the name of a tool or of an argument in words; in quotation marks if it has anything but words."""
    words = name.replace("_", " ").strip()
    return words if _patterns().name.fullmatch(words) else f'"{shown(name, is_line=True)}"'


def _is_plain(name: str, value: object) -> bool:
    is_word = not isinstance(value, str) or (_patterns().word.fullmatch(value) and not _has_address(value))
    return bool(is_word) and not isinstance(value, dict | list) and _patterns().name.fullmatch(name) is not None


def _plain(value: object) -> str:
    return value if isinstance(value, str) else to_json(value).decode()


def shown(text: str, *, is_line: bool = False) -> str:
    """Return a text as a person can judge it: what is not seen is written out, and there is no padding.

    Args:
        is_line: True also writes line breaks and quotation marks out.
    """
    patterns = _patterns()
    text = patterns.line_break.sub("\n", text)
    text = patterns.blank.sub(" ", text)
    text = patterns.unseen.sub(_written_out, text)
    text = patterns.stacked.sub(lambda found: f"{found[1]}{_written_out(found[2])}", text)
    if is_line:
        return text.replace('"', '\\"').replace("\n", "\\n")
    return patterns.empty_lines.sub("\n\n", "\n".join(line.strip() for line in text.split("\n")).strip("\n"))


def _written_out(found: regex.Match[str] | str) -> str:
    text = found if isinstance(found, str) else found[0]
    return "".join(f"\\u{ord(each):04x}" if ord(each) < 1 << 16 else f"\\U{ord(each):08x}" for each in text)


class _Patterns:
    """The patterns of characters, by their Unicode properties. Those of a text are linear: none has a choice to go back to."""

    def __init__(self) -> None:
        import regex  # imported late: it takes a tenth of a second

        # Words as they stand in names. What is written from right to left would change places with its neighbours.
        plain = r"(?!\p{bc=R}|\p{bc=AL}|\p{bc=AN}|\p{DI})"
        self.name = regex.compile(rf"(?:{plain}[\p{{L}}\p{{N}} .-]){{1,60}}")
        self.word = regex.compile(rf"(?:{plain}[\p{{L}}\p{{N}}+@.:/#%$€£'’_-]){{1,40}}")
        self.line_break = regex.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
        self.blank = regex.compile(r"[\t\p{Zs}]+")
        # A joiner and a selector of a form are a part of an emoji, and joiners of letters that are written together.
        joins = r"(?<=[\p{Emoji}\p{Emoji_Modifier}\ufe0f])\u200d(?=\p{Extended_Pictographic})"
        forms = r"(?<=\p{Emoji})[\ufe0e\ufe0f]"
        letters = r"(?<=[\p{Arabic}\p{Syriac}\p{Mn}])[\u200c\u200d](?=[\p{Arabic}\p{Syriac}\p{Lo}])"
        self.unseen = regex.compile(rf"(?!{joins}|{forms}|{letters})(?![\n])[\p{{C}}\p{{DI}}\u2800\U0001d159{_ARROWS}]")
        self.stacked = regex.compile(r"(\p{M}{4})(\p{M}+)")
        self.address = regex.compile(r"(?i)://|www\.")
        self.empty_lines = regex.compile(r"\n{3,}")


_ARROWS: Final = "▶▷▸▹►▻‣⊳⊵⏵⏩⯈➤➢➣➧🞂🞃🠞"
"""The mark of an argument, and characters that look like it."""


@cache
def _patterns() -> _Patterns:
    return _Patterns()
