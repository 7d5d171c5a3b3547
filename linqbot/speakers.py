"""Texts of people and of the bot as a language model reads them: without unseen characters, and with speakers that cannot be forged.

A model reads the texts of people, lines that name their speakers, and marks, such as `[note.txt]` and
`[They reacted with love to: 'Hi']`. No text that a person has chosen can look like one of the last two:

- Square brackets are marks. Those of people, and characters that look like them, become round ones.
- In a group, each line of a person's text begins with the handle of this person, not only the first one. In a direct chat
  lines have no speaker; if one of a text could be taken for the line of a speaker, all lines of this text get theirs.
- In a mark, a text of a person is on one line.
- What a person of yours has written by way of the bot, in a handoff, stands in a mark: it is no text of the model.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from linqbot.characters import cut
from linqbot.linq.types.message import MediaPart, Reaction

ME: Final = "me"
"""The speaker of the bot's own messages."""
OWNER: Final = "owner"
"""The speaker of what a person of yours has written by way of the bot: see `Context.handoff`."""
EDITED: Final = "[edited]"
EARLIER: Final = "[You are shown a part of the chat.]"
"""Stands before a part of a chat that the bot begins: some models accept no such conversation."""
OWNER_SENT: Final = "[A person of your team has sent them in your place:]"
_QUOTED: Final = 60
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
_COLONS: Final = str.maketrans("ː∶꞉։", "::::")


class SaidText(str):
    """A text that a person has got already, such as the answer of an agent. If a handler returns it, it is not sent again."""

    __slots__ = ()


def visible(text: str) -> str:
    """Return a text without characters that control a screen, or turn the direction of text, and with plain line breaks."""
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def in_mark(text: str) -> str:
    """Return a text as it may stand in a mark: on one line, without square brackets."""
    return " ".join(visible(text).translate(_ROUND).split())


def shown_text(speaker: str, text: str, files: Iterable[MediaPart], *, edited: bool, is_group: bool) -> str:
    """Return an earlier message as a model reads it. The bot's own is as the bot has sent it."""
    marks = [*map(name_of, files), *([EDITED] if edited else [])]
    if speaker == OWNER:
        wrote = f"[A person of your team has written to them in your place: {in_mark(text)}]" if text else OWNER_SENT
        return " ".join([wrote, *marks])
    if speaker == ME:
        return " ".join(filter(None, [text, *marks])) or "[no text]"
    return said_by(speaker, text, marks if text or marks else ["[no text]"], always=is_group)


def shown_tapback(tapback: Reaction, text: str, *, is_group: bool) -> str:
    """Return a tapback on an earlier message, whose text is given, as a model reads it."""
    by = "You" if tapback.is_me else tapback.handle.handle if tapback.handle and is_group else "They"
    quoted = cut(in_mark(text), _QUOTED)
    return f"[{in_mark(by)} reacted with {in_mark(tapback.custom_emoji or tapback.type)} to: {quoted!r}]"


def said_by(speaker: str, text: str, marks: Sequence[str] = (), *, always: bool) -> str:
    """Return a text of a person, and behind it marks, as a model reads it.

    Without `always`, the speaker is named only if a line could be taken for that of another one.
    """
    lines = " ".join(filter(None, [visible(text).translate(_ROUND), *marks])).split("\n")
    if not always and not any(map(_may_name_speaker, lines)):
        return "\n".join(lines)
    return "\n".join(f"{in_mark(speaker)}: {line}" for line in lines)


def name_of(file: MediaPart) -> str:
    """Return the mark of a file."""
    return f"[{in_mark(file.filename or file.mime_type or 'file')}]"


def _may_name_speaker(line: str) -> bool:
    """Return True if a line begins like one of a speaker, whose handle is a phone number or an e-mail address."""
    beginning, colon, _ = unicodedata.normalize("NFKC", line).translate(_COLONS).partition(":")
    return bool(colon) and ("+" in beginning or "@" in beginning)
