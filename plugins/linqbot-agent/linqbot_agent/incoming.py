"""Messages that come during a run, in handlers with `overlap="steer"`: the next request to the model has them.

What a request has got is on record, so each run of the turn makes the same requests. What comes during the last request is
not taken, and gets a turn of its own.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestContext

from linqbot import Context
from linqbot_agent.entries import Entries
from linqbot_agent.written import prompt_of

_STEP: Final = "incoming"


async def add_incoming(request: ModelRequestContext, run: RunContext[Any], ctx: Context, entries: Entries) -> None:
    """Add the messages that have come since the last request to a request, and to the history of its run.

    `run.enqueue` would add them at the end, behind the part of an answer that was cut off by a crash.
    """
    if not ctx.takes_incoming:
        return

    async def take() -> list[str]:
        return [prompt_of(message) async for message in ctx.incoming()]

    step = await entries.step(_STEP, take)
    for text in step.result:
        message = ModelRequest(parts=[UserPromptPart(text)], run_id=run.run_id)
        request.messages = [*request.messages, message]
        run.messages.append(message)
