"""Checks of what a model wants to say, which need what it was shown. The model is asked again about what it made up.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ModelResponsePart, TextPart, ThinkingPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.output import OutputContext
from pydantic_core import to_json

from linqbot_agent.speech.outputs import Media


class SaidNothing(BaseException):
    """Ends a run at an empty response, which pydantic-ai would send back to the model: silence is an answer in a chat.

    Attributes:
        messages: The messages of the run, the empty response last.
    """

    def __init__(self, before: Sequence[ModelMessage], response: ModelResponse) -> None:
        super().__init__()
        self.messages = [*before, response]
        self.response = response


@dataclass
class OutputChecks(AbstractCapability[Any]):
    """Takes an empty response as silence, and refuses files at addresses that the model made up.

    Linq fetches the address of a file. An address that a model makes up can carry what it was asked to keep secret.
    """

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Return the response.

        Raises:
            SaidNothing: it is empty.
        """
        # A response that the provider has cut off, or holds back, is a failure.
        if response.finish_reason not in ("length", "content_filter") and all(map(_is_empty, response.parts)):
            new = [message for message in request_context.messages if message.run_id == ctx.run_id]
            raise SaidNothing(new, response)
        return response

    async def after_output_validate(self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any) -> Any:
        """Return the output.

        Raises:
            ModelRetry: the model was not shown the address of a file.
        """
        if not ctx.partial_output and any(not _was_shown(file.url, ctx.messages) for file in _files(output)):
            raise ModelRetry("The url of a file must be one that a tool, the person or the instructions gave you.")
        return output


def _is_empty(part: ModelResponsePart) -> bool:
    return isinstance(part, ThinkingPart) or (isinstance(part, TextPart) and not part.content.strip())


def _files(output: object) -> Iterator[Media]:
    if isinstance(output, Media):
        yield output
    elif isinstance(output, list | tuple):
        for each in output:
            yield from _files(each)


def _was_shown(url: str, messages: Iterable[ModelMessage]) -> bool:
    requests = (message for message in messages if isinstance(message, ModelRequest))
    return any(
        url in (message.instructions or "")
        or any(
            url in to_json(part.content, bytes_mode="base64", fallback=str).decode()
            for part in message.parts
            # The report of an error repeats what the model has made up.
            if part.part_kind in ("user-prompt", "system-prompt", "tool-return")
            and getattr(part, "outcome", "success") == "success"
        )
        for message in requests
    )
