"""The memory of an agent: what was said in the chat, as Linq knows it, and what its tools did, as the state keeps it.

The texts come from `ctx.history`, so they are what was really delivered, by people and by all handlers, and nothing of them is stored
here. Linq knows nothing of tools. Their calls and results are state of the person for whom they were called.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel, Field
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

from linqbot import Context, Event, HistoryEntry, MessageReceived

MOST_BYTES: Final = 64 << 10
"""The most that is stored about a person, as JSON. The oldest is dropped first."""
TOOL_WORK: Final = "linqbot_agent.ToolWork"
_QUOTED: Final = 60


class ToolWork(BaseModel):
    """The work of tools for a person.

    Attributes:
        by_message: By the id of the person's message, the calls of tools and their results: messages of pydantic-ai, as
            JSON. The oldest first.
    """

    by_message: dict[str, list[Any]] = Field(default_factory=dict)


async def remembered(ctx: Context, limit: int, *, with_current: bool) -> list[ModelMessage]:
    """Return the history of the event's chat for a model.

    Args:
        limit: The number of messages of the chat; 0 for none.
        with_current: True includes the event's message, which otherwise is the prompt, and what the turn has sent.
    """
    if not limit or ctx.event.chat_id is None:
        return []
    current = ctx.event.message_id
    work = (
        (await ctx.state.person(ToolWork, name=TOOL_WORK)).by_message if isinstance(ctx.event, MessageReceived) else {}
    )
    history = await ctx.history(min(limit + 1, 1000))
    entries = list(history)
    if not with_current:
        # What the turn has sent before, such as a question for approval, would seem older than the prompt.
        entries = list(itertools.takewhile(lambda entry: entry.id != current, entries))
    return list(_messages(entries[-limit:], work, is_group=history.is_group))


async def remember(ctx: Context, event: Event, work: list[Any]) -> None:
    """Keep what the tools of a run did for the message of an event, unless the line keeps nothing (zero retention)."""
    if not work or not isinstance(event, MessageReceived) or event.zero_retention:
        return
    kept = (await ctx.state.person(ToolWork, name=TOOL_WORK)).by_message
    kept[event.id] = [*kept.pop(event.id, []), *work]
    while kept and len(to_json(kept)) > MOST_BYTES:
        del kept[next(iter(kept))]


def work_of(messages: Iterable[ModelMessage]) -> list[Any]:
    """Return the calls of tools and their results in the messages of a run, as JSON: without prompts and narration.

    If they are too large to be kept, nothing is returned.
    """
    kept: list[ModelMessage] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            results = [part for part in message.parts if isinstance(part, ToolReturnPart | RetryPromptPart)]
            kept += [ModelRequest(parts=results)] if results else []
        else:
            calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
            kept += [ModelResponse(parts=calls)] if calls else []
    dumped: list[Any] = ModelMessagesTypeAdapter.dump_python(kept, mode="json")
    return dumped if len(to_json(dumped)) <= MOST_BYTES else []


def _messages(entries: Sequence[HistoryEntry], work: dict[str, list[Any]], *, is_group: bool) -> Iterator[ModelMessage]:
    if entries and entries[0].speaker == "me":
        # Some models accept no conversation that they begin.
        yield ModelRequest(parts=[UserPromptPart("[You wrote first.]")])
    for entry in entries:
        text = _text(entry)
        if entry.speaker == "me":
            yield ModelResponse(parts=[TextPart(text)])
        else:
            yield ModelRequest(parts=[UserPromptPart(f"{entry.speaker}: {text}" if is_group else text)])
        yield from ModelMessagesTypeAdapter.validate_python(work.get(entry.id or "", []))
        for tapback in entry.tapbacks:
            by = "You" if tapback.is_me else tapback.handle.handle if tapback.handle and is_group else "They"
            fact = f"[{by} reacted with {tapback.custom_emoji or tapback.type} to: {text[:_QUOTED]!r}]"
            yield ModelRequest(parts=[UserPromptPart(fact)])


def _text(entry: HistoryEntry) -> str:
    files = [f"[{file.filename or file.mime_type or 'file'}]" for file in entry.media]
    return " ".join(filter(None, [entry.text, *files, "[edited]" if entry.edited else ""])) or "[no text]"
