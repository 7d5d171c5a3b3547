"""A model of the OpenAI Agents SDK that answers by the script of `frameworks`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelResponse, Usage
from frameworks import Outside, files_in, text_of
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ResponseUsage,
)
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails


class FakeOpenAI(Model):
    model = "gpt-5"

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def _output(self, items: Any) -> tuple[list[Any], str]:
        """Return the items of the response, and the reason for which it is not complete."""
        shown = [(item.get("role", "tool"), text_of(item.get("content", ""))) for item in items]
        results = sum(item.get("type") == "function_call_output" for item in items)
        files = files_in(item["content"] for item in items if "role" in item)
        paragraphs, calls, stop = self._outside.response(shown, results, files)
        output: list[Any] = [
            ResponseFunctionToolCall(type="function_call", name=call.name, call_id=call.id, arguments=call.arguments)
            for call in calls
        ]
        if not paragraphs and (calls or stop):
            return output, stop
        text = ResponseOutputText(type="output_text", text="\n\n".join(paragraphs), annotations=[])
        message = ResponseOutputMessage(id="m1", type="message", role="assistant", status="completed", content=[text])
        return [message, *output], stop

    async def get_response(self, system_instructions: str | None, input: Any, *_: Any, **__: Any) -> ModelResponse:  # noqa: A002
        return ModelResponse(self._output(input)[0], Usage(1, input_tokens=7, output_tokens=2), "r1")

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002
        *_: Any,
        **__: Any,
    ) -> AsyncIterator[Any]:
        output, stop = self._output(input)
        for item in output:
            for paragraph in item.content[0].text.split("\n\n") if item.type == "message" else ():
                yield ResponseTextDeltaEvent(
                    type="response.output_text.delta",
                    delta=f"{paragraph}\n\n",
                    item_id="m1",
                    content_index=0,
                    output_index=0,
                    sequence_number=0,
                    logprobs=[],
                )
                await self._outside.pause()
        usage = ResponseUsage(
            input_tokens=7,
            output_tokens=2,
            total_tokens=9,
            input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
            output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        )
        response = Response(
            id="r1",
            created_at=0,
            model="gpt",
            object="response",
            output=output,
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
            usage=usage,
        )
        if stop:
            why = IncompleteDetails(reason="max_output_tokens" if stop == "max_tokens" else "content_filter")
            response.status, response.incomplete_details = "incomplete", why
            yield ResponseIncompleteEvent(type="response.incomplete", response=response, sequence_number=0)
        else:
            yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=0)
