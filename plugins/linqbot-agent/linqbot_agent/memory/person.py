"""`memory="person"`: what one person wrote to the agent and what it answered, in all chats, as state of this person.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_core import to_json

from linqbot import Context, Event, MessageReceived

TALK: Final = "linqbot_agent.Talk"
MOST_BYTES: Final = 128 << 10
"""The most that is stored about a person, as JSON. The oldest is dropped first."""


class Talk(BaseModel):
    """The exchanges of one person with the agent.

    Attributes:
        by_message: By the id of the person's message, the messages of its run: messages of pydantic-ai, as JSON. The
            oldest first.
    """

    by_message: dict[str, list[Any]] = Field(default_factory=dict)


def tool_messages(messages: Iterable[ModelMessage]) -> list[ModelMessage]:
    """Return the calls of tools and their results in messages, without prompts and narration."""
    kept: list[ModelMessage] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            results = [part for part in message.parts if isinstance(part, ToolReturnPart | RetryPromptPart)]
            kept += [ModelRequest(parts=results)] if results else []
        else:
            calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
            kept += [ModelResponse(parts=calls)] if calls else []
    return kept


def drop_oldest(stored: dict[str, list[Any]], most_bytes: int) -> None:
    """Drop the oldest entries until the rest needs no more than `most_bytes` as JSON."""
    while stored and len(to_json(stored)) > most_bytes:
        del stored[next(iter(stored))]


def readable(stored: Mapping[str, list[Any]], ctx: Context) -> dict[str, list[ModelMessage]]:
    """Return stored messages by the same keys, without those that this release of pydantic-ai cannot read.

    Another release may have stored them, and one of them must not keep the agent from answering the person.
    """
    found = {}
    for key, messages in stored.items():
        with suppress(ValidationError):
            found[key] = ModelMessagesTypeAdapter.validate_python(messages)
    if len(found) < len(stored):
        ctx.log.warning(
            "agent.memory_unreadable",
            left_out=len(stored) - len(found),
            why="Another release of pydantic-ai has stored it. It was kept as it is, and is not shown to the model.",
        )
    return found


async def exchanges(ctx: Context, event: Event, limit: int) -> dict[str, list[ModelMessage]]:
    """Return the last exchanges with the person of an event, by the ids of the person's messages, the oldest first."""
    if not isinstance(event, MessageReceived):
        return {}
    stored = (await ctx.state.person(Talk, name=TALK)).by_message
    newest = list(stored)[-limit:]
    return readable({message_id: stored[message_id] for message_id in newest if message_id != event.id}, ctx)


async def keep(ctx: Context, event: Event, said: list[Any], *, limit: int) -> None:
    """Keep an exchange, unless the line keeps nothing (zero retention)."""
    if not said or not isinstance(event, MessageReceived) or event.zero_retention:
        return
    stored = (await ctx.state.person(Talk, name=TALK)).by_message
    stored[event.id] = said
    while len(stored) > limit:
        del stored[next(iter(stored))]
    drop_oldest(stored, MOST_BYTES)


def exchange_of(prompt: str, messages: Sequence[ModelMessage], answer: str) -> list[Any]:
    """Return what is kept of a run, as JSON: what the person wrote, the calls of tools and their results, and the answer.

    Args:
        prompt: The prompt as text.
        messages: The messages of the run, the request with the prompt first.
    """
    kept: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(prompt)])]
    for message in messages[1:]:
        # A prompt behind the first one is a message that came while the agent worked.
        later = [part for part in message.parts if isinstance(part, UserPromptPart)]
        kept += [*tool_messages([message]), *([ModelRequest(parts=later)] if later else [])]
    if answer.strip():
        kept.append(ModelResponse(parts=[TextPart(answer)]))
    dumped: list[Any] = ModelMessagesTypeAdapter.dump_python(kept, mode="json")
    return dumped
