"""A model of the OpenAI Agents SDK that answers by the script of `frameworks`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelBehaviorError, ModelResponse, Usage
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from frameworks import Outside, files_in, text_of
from openai.types.responses import ResponseIncompleteEvent


class FakeOpenAI(Model):
    model = "gpt-5"

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def _script(self, items: Any) -> tuple[ScriptedModel, str]:
        """Return a model of the SDK's that gives the response, and the reason for which it is not complete."""
        shown = [(item.get("role", "tool"), text_of(item.get("content", ""))) for item in items]
        results = sum(item.get("type") == "function_call_output" for item in items)
        files = files_in(item["content"] for item in items if "role" in item)
        paragraphs, calls, stop = self._outside.response(shown, results, files)
        output = [function_call(call.name, call.arguments, call_id=call.id) for call in calls]
        if paragraphs or not (calls or stop):
            output.insert(0, assistant_message("\n\n".join(paragraphs)))
        return ScriptedModel([ModelStep(output, Usage(1, input_tokens=7, output_tokens=2))]), stop

    async def get_response(self, system_instructions: str | None, input: Any, *rest: Any, **how: Any) -> ModelResponse:  # noqa: A002
        return await self._script(input)[0].get_response(system_instructions, input, *rest, **how)

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002
        *rest: Any,
        **how: Any,
    ) -> AsyncIterator[Any]:
        script, stop = self._script(input)
        async for event in script.stream_response(system_instructions, input, *rest, **how):
            if event.type == "response.output_text.delta":
                for paragraph in event.delta.split("\n\n"):
                    yield event.model_copy(update={"delta": f"{paragraph}\n\n"})
                    await self._outside.pause()
            elif event.type == "response.completed" and stop:
                yield ResponseIncompleteEvent(type="response.incomplete", response=event.response, sequence_number=0)
                raise ModelBehaviorError("Responses stream ended with terminal event `response.incomplete`.")
            else:
                yield event
