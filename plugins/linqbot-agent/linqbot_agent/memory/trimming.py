"""The limit of a history's size: the oldest messages are left out first, each with the work of its tools.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from pydantic_ai.messages import BinaryContent, ModelMessage
from pydantic_core import to_json

Group: TypeAlias = Sequence[ModelMessage]
"""What belongs together: a message, the work of tools for it, and the tapbacks on it."""

BYTES_PER_TOKEN: Final = 4
"""An estimate: tokens of English have about four letters. Other languages have more tokens."""

PICTURE_TOKENS: Final = 1600
"""An estimate of what providers count for a picture."""


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
