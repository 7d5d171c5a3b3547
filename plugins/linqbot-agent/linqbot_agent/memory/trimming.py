"""The limit of a history's size: the oldest messages are left out first, each with the work of its tools.

A request that the provider refuses is made again with less: without pictures, then with less and less history.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    SystemPromptPart,
    UserPromptPart,
)
from pydantic_core import to_json

Group: TypeAlias = Sequence[ModelMessage]
"""What belongs together: a message, the work of tools for it, and the tapbacks on it."""

BYTES_PER_TOKEN: Final = 4
"""An estimate: tokens of English have about four letters. Other languages have more tokens."""

PICTURE_TOKENS: Final = 1600
"""An estimate of what providers count for a picture."""


LEFT_OUT: Final = {1: "pictures", 2: "half of the history", 3: "three quarters of the history", 4: "the history"}
"""The levels of `lessened` above 0: what each leaves out, in words for the log."""

NOT_SHOWN: Final = "[It cannot be shown.]"
_PICTURES: Final = (BinaryContent, ImageUrl)


def trimmed(groups: Sequence[Group], most_tokens: int | None) -> list[Group]:
    """Return the newest groups of messages that have at most so many tokens, by estimate. None keeps all."""
    if most_tokens is None:
        return list(groups)
    kept: list[Group] = []
    left = most_tokens
    for group in reversed(groups):
        left -= tokens_of(group)
        if left < 0:
            break
        kept.append(group)
    return kept[::-1]


def lessened(messages: Sequence[ModelMessage], run_id: str | None, level: int) -> list[ModelMessage]:
    """Return less of the messages of a request.

    Args:
        run_id: The run of the request. The messages of others are its history.
        level: 0 returns all, 1 leaves out pictures, and the next levels parts of the history as well: see `LEFT_OUT`.
    """
    if level:
        messages = [_without_pictures(message) for message in messages]
    if level <= 1:
        return list(messages)
    past = [message for message in messages if message.run_id != run_id]
    start = len(past) - (len(past) >> (level - 1) if level < max(LEFT_OUT) else 0)
    # A history begins with a message of a person: the result of a tool without its call would be refused.
    while start < len(past) and not _is_said(past[start]):
        start += 1
    kept = [*past[start:], *(message for message in messages if message.run_id == run_id)]
    system = [part for message in past[:start] for part in message.parts if isinstance(part, SystemPromptPart)]
    if system and isinstance(kept[0], ModelRequest):
        kept[0] = replace(kept[0], parts=[*system, *kept[0].parts])
    return kept


def next_level(messages: Sequence[ModelMessage], run_id: str | None, level: int) -> int | None:
    """Return the next level that leaves out more of the messages; None if there is none."""
    present = lessened(messages, run_id, level)
    return next((each for each in LEFT_OUT if each > level and lessened(messages, run_id, each) != present), None)


def pictures_in(messages: Iterable[ModelMessage]) -> Iterator[BinaryContent]:
    """Yield the pictures and other files in what people wrote."""
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart) and not isinstance(part.content, str):
                yield from (item for item in part.content if isinstance(item, BinaryContent))


def _without_pictures(message: ModelMessage) -> ModelMessage:
    if not isinstance(message, ModelRequest):
        return message
    parts = [
        replace(part, content=[NOT_SHOWN if isinstance(each, _PICTURES) else each for each in part.content])
        if isinstance(part, UserPromptPart) and not isinstance(part.content, str)
        else part
        for part in message.parts
    ]
    return replace(message, parts=parts)


def _is_said(message: ModelMessage) -> bool:
    return isinstance(message, ModelRequest) and all(isinstance(part, UserPromptPart) for part in message.parts)


def tokens_of(messages: Group) -> int:
    """Return an estimate of the tokens of messages."""
    tokens = 0
    for message in messages:
        for part in message.parts:
            content = getattr(part, "content", None)
            for item in content if isinstance(content, list | tuple) else [content, getattr(part, "args", None)]:
                if isinstance(item, BinaryContent):
                    tokens += PICTURE_TOKENS
                elif item is not None:
                    text = item.encode() if isinstance(item, str) else to_json(item, fallback=str)
                    tokens += -(-len(text) // BYTES_PER_TOKEN)
    return tokens
