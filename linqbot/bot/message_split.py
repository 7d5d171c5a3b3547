"""From what an author says to the messages Linq accepts: a link alone, no two texts side by side, at most one effect."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from linqbot.errors import BotError
from linqbot.types.message import (
    AppClipPart,
    AppPart,
    Effect,
    LinkPart,
    MediaPart,
    MessageContent,
    Part,
    ReplyTo,
    TextPart,
)

SaidPart: TypeAlias = TextPart | MediaPart | LinkPart | AppPart | AppClipPart
Content: TypeAlias = str | SaidPart | MessageContent
"""What can be said: text, a part, or a whole message with everything set by hand."""

_ALONE = (LinkPart, AppPart, AppClipPart)
_SAYABLE = (str, TextPart, MediaPart, *_ALONE)


def bubbles(
    content: Iterable[Content], *, effect: Effect | None = None, reply_to: ReplyTo | None = None
) -> list[MessageContent]:
    """Cut content into messages that keep Linq's rules R22 to R25.

    Parts go together as long as they may; the effect goes with the first message, and each message answers
    `reply_to`. A MessageContent goes as it is, except that gaps are filled.
    """
    messages: list[MessageContent] = []
    for group in _grouped(content):
        message = group if isinstance(group, MessageContent) else MessageContent(parts=tuple(group))
        update = {
            "effect": message.effect or (effect if not messages else None),
            "reply_to": message.reply_to or reply_to,
        }
        messages.append(message.model_copy(update=update))
    return messages


def _grouped(content: Iterable[Content]) -> list[Sequence[Part] | MessageContent]:
    groups: list[list[Part] | MessageContent] = []
    for said in content:
        if isinstance(said, MessageContent):
            groups.append(said)
            continue
        if inspect.iscoroutine(said):
            said.close()
            raise BotError(f"{said.__qualname__}(…) cannot be said: it was called without await. Put await before it.")
        if not isinstance(said, _SAYABLE):
            raise BotError(
                f"A {type(said).__name__} cannot be said. Say a str, a part such as MediaPart, or a MessageContent."
            )
        part = TextPart(value=said) if isinstance(said, str) else said
        last = groups[-1] if groups else None
        if isinstance(last, list) and _may_follow(last, part):
            last.append(part)
        else:
            groups.append([part])
    return list(groups)


def _may_follow(parts: Sequence[Part], part: Part) -> bool:
    if isinstance(part, _ALONE) or isinstance(parts[-1], _ALONE):
        return False
    return not (isinstance(part, TextPart) and isinstance(parts[-1], TextPart))


def text_of(message: MessageContent) -> str:
    """The text parts, joined by newlines; empty when there are none."""
    return "\n".join(part.value for part in message.parts or () if isinstance(part, TextPart))


def files_of(parts: Iterable[Part]) -> str:
    """Name the parts that are no text: equal names for equal files, links and cards; empty when there are none."""
    return "\n".join(_name(part) for part in parts if not isinstance(part, TextPart))


def _name(part: Part) -> str:
    if not isinstance(part, MediaPart):
        return part.model_dump_json(exclude={"reactions"})
    # A received file has another address each time.
    return f"{part.filename} {part.mime_type} {part.size_bytes or part.url or part.attachment_id}"
