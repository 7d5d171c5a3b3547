"""Texts that people and models have written: without unseen characters, and as a model reads them.

A model reads the texts of people, lines that name their speakers, and the plugin's own marks, such as `[note.txt]` and
`[They reacted with love to: 'Hi']`. No text that a person has chosen can look like one of the last two:

- Square brackets are marks of the plugin. Those of people, and characters that look like them, become round ones.
- In a group, each line of a person's text begins with the handle of this person, not only the first one. In a direct chat
  lines have no speaker; if one of a text could be taken for the line of a speaker, all lines of this text get theirs.
- In a mark, a text of a person is on one line.

Nothing here knows pydantic-ai.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from linqbot import HistoryEntry, LinkPart, MediaPart, MessageEdited, MessageReceived

GO_ON: Final = (
    "[You were cut off here, and the person has read what you wrote. Go on behind it. Repeat nothing, and do not mention "
    "the interruption.]"
)
_LINE_BREAKS: Final = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_UNSEEN: Final = (
    *(letter for letter in map(chr, (*range(0x20), *range(0x7F, 0xA0))) if letter not in f"\t\n{_LINE_BREAKS}"),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",  # turn the direction of text
    *"\xad\u200b\u2060\ufeff",  # have no width, and join no neighbours as those of emoji do
)
_VISIBLE: Final = str.maketrans({**dict.fromkeys(_UNSEEN, ""), **dict.fromkeys(_LINE_BREAKS, "\n")})

_OPENING: Final = "[［【〔〖〘〚⁅❲⟦⟬⦋⦍⦏⦗﹇﹝︹︻︗⎡⎢⎣"
_CLOSING: Final = "]］】〕〗〙〛⁆❳⟧⟭⦌⦎⦐⦘﹈﹞︺︼︘⎤⎥⎦"
_ROUND: Final = str.maketrans(_OPENING + _CLOSING, "(" * len(_OPENING) + ")" * len(_CLOSING))
_EDITED: Final = "[edited]"
_COLONS: Final = str.maketrans("ː∶꞉։", "::::")


def visible(text: str) -> str:
    """Return a text without characters that control a screen, or turn the direction of text, and with plain line breaks."""
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def in_mark(text: str) -> str:
    """Return a text as it may stand in a mark of the plugin: on one line, without square brackets."""
    return " ".join(visible(text).translate(_ROUND).split())


def prompt_of(message: MessageReceived) -> str:
    """Return the text of a message for a model, with its links and the names of its files, in groups with its speaker."""
    links = (part.value for part in message.parts if isinstance(part, LinkPart))
    text = " ".join(filter(None, [message.text_to_me, *links]))
    marks = [*_named(message.media), *([_EDITED] if message.edited else [])]
    return said_by(message.sender.handle, text, marks, always=bool(message.is_group))


def prompt_of_edit(edit: MessageEdited) -> str:
    """Return the new text of an edited message for a model."""
    by = edit.sender.handle if edit.is_group else "The person"
    return f"[{in_mark(by)} has edited a message. It says now: {in_mark(edit.text)}]"


def shown_text(entry: HistoryEntry, *, is_group: bool) -> str:
    """Return an earlier message as a model reads it. Your own is as you have sent it."""
    marks = [*_named(entry.media), *([_EDITED] if entry.edited else [])]
    if entry.speaker == "me":
        return " ".join(filter(None, [entry.text, *marks])) or "[no text]"
    has_content = entry.text or marks
    return said_by(entry.speaker, entry.text, marks if has_content else ["[no text]"], always=is_group)


def said_by(speaker: str, text: str, marks: Sequence[str] = (), *, always: bool) -> str:
    """Return a text of a person, and behind it the plugin's marks, as a model reads it.

    Without `always`, the speaker is named only if a line could be taken for that of another one.
    """
    lines = " ".join(filter(None, [visible(text).translate(_ROUND), *marks])).split("\n")
    if not always and not any(map(_may_name_speaker, lines)):
        return "\n".join(lines)
    return "\n".join(f"{in_mark(speaker)}: {line}" for line in lines)


def _named(files: Iterable[MediaPart]) -> list[str]:
    return [f"[{in_mark(file.filename or file.mime_type or 'file')}]" for file in files]


def _may_name_speaker(line: str) -> bool:
    """Return True if a line begins like one of a speaker, whose handle is a phone number or an e-mail address."""
    beginning, colon, _ = unicodedata.normalize("NFKC", line).translate(_COLONS).partition(":")
    return bool(colon) and ("+" in beginning or "@" in beginning)
