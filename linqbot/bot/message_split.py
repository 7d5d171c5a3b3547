"""Splitting: the content of one reply becomes the messages (bubbles) that Linq accepts.

A link, an app or an app clip is alone in its message, no two texts follow each other in one, and only the first message
has the effect.
"""

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

ContentPart: TypeAlias = TextPart | MediaPart | LinkPart | AppPart | AppClipPart
Content: TypeAlias = str | ContentPart | MessageContent
"""Content of a reply: a text, a part, or a whole MessageContent, whose fields are kept as they are set."""

_ALONE = (LinkPart, AppPart, AppClipPart)
_SENDABLE = (str, TextPart, MediaPart, *_ALONE)


def bubbles(
    content: Iterable[Content], *, effect: Effect | None = None, reply_to: ReplyTo | None = None
) -> list[MessageContent]:
    """Split content into messages that keep Linq's rules R22 to R25.

    Parts share a message as long as the rules allow. The first message gets the effect, and every message gets
    `reply_to`. A MessageContent is kept, except that an effect or `reply_to` that it does not set is filled in.

    Raises:
        BotError: the content is of a type that cannot be sent, such as a coroutine that was not awaited.
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
    for item in content:
        if isinstance(item, MessageContent):
            groups.append(item)
            continue
        if inspect.iscoroutine(item):
            item.close()
            raise BotError(f"{item.__qualname__}(…) cannot be sent: it was called without await. Put await before it.")
        if not isinstance(item, _SENDABLE):
            raise BotError(
                f"A {type(item).__name__} cannot be sent. Give a str, a part such as MediaPart, or a MessageContent."
            )
        part = TextPart(value=item) if isinstance(item, str) else item
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
    """Return the text parts, joined by newlines; empty if there are none."""
    return "\n".join(part.value for part in message.parts or () if isinstance(part, TextPart))


def files_of(parts: Iterable[Part]) -> str:
    """Return names for the parts that are not text; empty if there are none.

    Equal files, links and cards have equal names.
    """
    return "\n".join(_name(part) for part in parts if not isinstance(part, TextPart))


def _name(part: Part) -> str:
    if not isinstance(part, MediaPart):
        return part.model_dump_json(exclude={"reactions"})
    # The URL of a received file differs each time, so it is the last choice.
    return f"{part.filename} {part.mime_type} {part.size_bytes or part.url or part.attachment_id}"
