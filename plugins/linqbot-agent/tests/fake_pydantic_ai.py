"""A model of pydantic-ai that answers by the script of `frameworks`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from frameworks import Outside, Overloaded, TooLong
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.usage import RequestUsage


def _shown(messages: list[ModelMessage]) -> list[tuple[str, str]]:
    shown = list[tuple[str, str]]()
    for message in messages:
        for part in message.parts:
            role = "user" if isinstance(message, ModelRequest) else "assistant"
            if not isinstance(part, UserPromptPart | TextPart):
                continue
            if shown and shown[-1][0] == role:
                shown[-1] = (role, f"{shown[-1][1]}\n\n{part.content}")
            else:
                shown.append((role, str(part.content)))
    return shown


def model_of(outside: Outside) -> FunctionModel:
    def answered(messages: list[ModelMessage]) -> tuple[list[str], list[tuple[str, str]]]:
        if outside.fails:
            outside.fails -= 1
            raise Overloaded
        run_id = messages[-1].run_id
        parts = [part for each in messages if each.run_id == run_id for part in each.parts]
        results = sum(isinstance(part, ToolReturnPart | RetryPromptPart) for part in parts)
        try:
            return outside.response(_shown(messages), results)
        except TooLong as error:
            raise ModelHTTPError(400, "gpt-5") from error

    def respond(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        paragraphs, calls = answered(messages)
        text = [TextPart("\n\n".join(paragraphs))] if paragraphs else []
        usage = RequestUsage(input_tokens=7, output_tokens=2)
        return ModelResponse([*text, *(ToolCallPart(name, {}, call_id) for name, call_id in calls)], usage=usage)

    async def stream(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        paragraphs, calls = answered(messages)
        if not paragraphs and not calls:
            yield ""  # pydantic-ai refuses a stream of nothing
        for paragraph in paragraphs:
            yield f"{paragraph}\n\n"
            await outside.pause()
        if calls:
            yield {
                index: DeltaToolCall(name=name, json_args="{}", tool_call_id=call_id)
                for index, (name, call_id) in enumerate(calls)
            }

    return FunctionModel(respond, stream_function=stream, model_name="gpt-5")
