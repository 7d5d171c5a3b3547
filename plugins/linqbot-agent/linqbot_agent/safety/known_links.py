"""Keeps a model from saying addresses and phone numbers that it was not shown.

It is asked again, and then they are cut. From a text that is said while the model writes it, they are cut at once.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    RetryPromptPart,
    SystemPromptPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.output import OutputContext

from linqbot_agent.safety.links import Shown, invented, without_invented
from linqbot_agent.speech.outputs import Poll, Say

ASK_AGAIN = (
    "Your answer has a web address or a phone number that occurs in nothing that you were shown. Do not invent any. Answer "
    "again, with addresses and numbers from the conversation, your instructions and results of tools only, or without."
)


class KnownLinks(AbstractCapability[Any]):
    """Checks the texts of an agent's output.

    Args:
        asks_again: False only cuts: what the model wrote was said already.
    """

    def __init__(self, *, asks_again: bool) -> None:
        self._asks_again = asks_again

    async def after_output_process(self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any) -> Any:
        """Return the output without addresses and phone numbers that the model was not shown.

        Raises:
            ModelRetry: it has some, and the model was not asked again yet.
        """
        texts = [] if ctx.partial_output else list(_texts(output))
        if not texts:
            return output
        shown = shown_to_model(ctx.messages, ctx.run_id)
        if not any(invented(text, shown) for text in texts):
            return output
        if self._asks_again and not _was_asked_again(ctx.messages) and ctx.retry < ctx.max_retries:
            raise ModelRetry(ASK_AGAIN)
        return _changed(output, lambda text: without_invented(text, shown))


def shown_to_model(messages: Iterable[ModelMessage], run_id: str | None) -> Shown:
    """Return the addresses and phone numbers in what others have shown to a model, and in what it said in earlier runs."""
    return Shown.of(_shown(messages, run_id))


def _texts(output: object) -> Iterator[str]:
    """Yield the texts that an output says."""
    match output:
        case str():
            yield output
        case Say():
            yield output.text
        case Poll():
            yield from output.options
        case list() | tuple():
            for each in output:
                yield from _texts(each)


def _changed(output: Any, change: Callable[[str], str]) -> Any:
    """Return an output with other texts."""
    match output:
        case str():
            return change(output)
        case Say():
            return replace(output, text=change(output.text))
        case Poll():
            return replace(output, options=tuple(map(change, output.options)))
        case list() | tuple():
            return type(output)(_changed(each, change) for each in output)
    return output


def _shown(messages: Iterable[ModelMessage], run_id: str | None) -> Iterator[str]:
    # Not what it says in this run: that would make known what it has invented.
    for message in messages:
        if isinstance(message, ModelRequest):
            yield message.instructions or ""
            for part in message.parts:
                if isinstance(part, ToolReturnPart):
                    yield part.model_response_str()
                elif isinstance(part, SystemPromptPart):
                    yield part.content
                elif isinstance(part, UserPromptPart):
                    content = [part.content] if isinstance(part.content, str) else part.content
                    yield from (each for each in content if isinstance(each, str))
        elif message.run_id != run_id:
            yield message.text or ""


def _was_asked_again(messages: Iterable[ModelMessage]) -> bool:
    return any(
        isinstance(part, RetryPromptPart) and part.content == ASK_AGAIN
        for message in messages
        for part in message.parts
    )
