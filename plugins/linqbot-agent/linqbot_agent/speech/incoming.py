"""Messages that come during a run, in handlers with `overlap="steer"`: the next request to the model has them.

What a request has got is on record, so each run of the turn makes the same requests. What comes during the last request is
not taken, and gets a turn of its own.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.models import ModelRequestContext

from linqbot import Context, LinkPart, MessageReceived
from linqbot_agent.entries import Entries

_STEP: Final = "incoming"


def prompt_of(message: MessageReceived) -> str:
    """Return the text of a message for a model, with its links and the names of its files, in groups with its speaker."""
    files = [f"[{file.filename or file.mime_type or 'file'}]" for file in message.media]
    links = [part.value for part in message.parts if isinstance(part, LinkPart)]
    text = " ".join(filter(None, [message.text_to_me, *links, *files]))
    return f"{message.sender.handle}: {text}" if message.is_group else text


class Incoming(AbstractCapability[Any]):
    """Gives a model the messages that have come since its last request."""

    def __init__(self, ctx: Context, entries: Entries) -> None:
        self._ctx = ctx
        self._entries = entries

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Add the messages that have come to the history of the run."""

        async def take() -> list[str]:
            return [prompt_of(message) async for message in self._ctx.incoming()]

        if self._ctx.takes_incoming:
            step = await self._entries.step(_STEP, take)
            if step.result:
                ctx.enqueue(*step.result)
        return request_context
