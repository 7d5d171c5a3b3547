"""Bubbles while the model writes: the texts of its responses, as `ctx.model_step` says them.

`OutputChecks` asks the model again if it wants to send nothing, or a file that it was not shown. This module imports
pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.output import OutputContext
from pydantic_core import to_jsonable_python

from linqbot import Draft
from linqbot.speakers import visible
from linqbot_agent.capabilities import shown_by_others
from linqbot_agent.links import strings_in
from linqbot_agent.progress import text_comes
from linqbot_agent.saying import Media
from linqbot_agent.written import GO_ON, Change, Lines, changed

TOO_LONG: Final = "[This was too long, so the person has read only its beginning.]"
_PARAGRAPH: Final = "\n\n"


class WrittenText:
    """Gives what the model writes to the draft of its response, piece by piece.

    pydantic-ai keeps it in reference cycles of a run, so it must not hold a context, which holds the whole turn.
    """

    def __init__(self) -> None:
        self.draft = Draft()
        self.change: Change | None = None  # None says everything as the model writes it

    async def take(self, ctx: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
        lines, part = Lines(self.change, self.draft.write), -1
        async for event in events:
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                text = event.part.content
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                text = event.delta.content_delta
            else:
                continue
            if not (text := visible(text)):
                continue
            if part not in (-1, event.index):
                text = _PARAGRAPH + text
            text_comes()
            part = event.index
            lines.take(text)
        lines.end()


def go_on(said: str) -> list[ModelMessage]:
    """Return the messages that let a model go on behind what it has said before it was cut off."""
    return [ModelResponse(parts=[TextPart(said)]), ModelRequest(parts=[UserPromptPart(GO_ON)])] if said else []


def text_of_response(recorded: Any, change: Change | None) -> str:
    """Return the text of a response on record."""
    texts = (part["content"] for each in segments_of(recorded) for part in each["parts"] if part["part_kind"] == "text")
    text = _PARAGRAPH.join(visible(text) for text in texts if text)
    return changed(text, change)


def segments_of(recorded: Any) -> list[Any]:
    """Return the responses of which one on record consists: of several, if the provider has suspended it."""
    return recorded.get("segments") or [recorded]


class SaidNothing(BaseException):
    """Ends a run at an empty response, which pydantic-ai would send back to the model: silence is an answer in a chat."""

    def __init__(self, before: Sequence[ModelMessage], response: ModelResponse) -> None:
        super().__init__()
        self.messages = [*before, response]  # the messages of the run, the empty response last
        self.response = response


@dataclass
class OutputChecks(AbstractCapability[Any]):
    """Takes an empty response as silence, and refuses files at addresses that the model made up.

    Linq fetches the address of a file. An address that a model makes up can carry what it was asked to keep secret.
    """

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Stop the run at an empty response, with `SaidNothing`."""
        # A response that the provider has cut off, or holds back, is a failure.
        if response.finish_reason not in ("length", "content_filter") and all(map(_is_empty, response.parts)):
            new = [message for message in request_context.messages if message.run_id == ctx.run_id]
            raise SaidNothing(new, response)
        return response

    async def wrap_output_process(
        self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any, handler: Any
    ) -> Any:
        """Return the output, also of a function of the author's, which may send files at addresses of its own."""
        result = await handler(output)
        if not ctx.partial_output and any(_is_made_up(file.url, output, ctx.messages) for file in _files(result)):
            raise ModelRetry("The url of a file must be one that a tool, the person or the instructions gave you.")
        return result


def _is_empty(part: ModelResponsePart) -> bool:
    return isinstance(part, ThinkingPart) or (isinstance(part, TextPart) and not part.content.strip())


def _files(output: object) -> Iterator[Media]:
    if isinstance(output, Media):
        yield output
    elif isinstance(output, list | tuple):
        for each in output:
            yield from _files(each)


def _is_made_up(url: str, given: object, messages: Sequence[ModelMessage]) -> bool:
    """Return True if an address is in what the model has given, and in nothing that it was shown."""
    return any(url in text for text in strings_in(to_jsonable_python(given, fallback=str))) and not any(
        url in text for message in messages for text in shown_by_others(message)
    )
