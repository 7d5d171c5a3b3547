"""A model of pydantic-ai that answers by the script of `frameworks`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from frameworks import Failed, Outside, Response
from linqbot_agent.requests import GO_ON
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    FinishReason,
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
from scripted_agents import files_of

_STOPS: dict[str, FinishReason] = {"": "stop", "max_tokens": "length", "refusal": "content_filter"}


_NOT_OF_PEOPLE = (GO_ON, "Your previous response failed")
"""How prompts begin that no person wrote. The second is pydantic-ai's, for an answer that is asked for once more."""


def _shown(messages: list[ModelMessage]) -> list[tuple[str, str]]:
    shown = list[tuple[str, str]]()
    for message in messages:
        for part in message.parts:
            role = "user" if isinstance(message, ModelRequest) else "assistant"
            if not isinstance(part, UserPromptPart | TextPart):
                continue
            items = [part.content] if isinstance(part.content, str) else part.content
            for text in (item for item in items if isinstance(item, str)):
                if shown and shown[-1][0] == role:
                    shown[-1] = (role, f"{shown[-1][1]}\n\n{text}")
                else:
                    shown.append((role, text))
    return shown


def _results(messages: list[ModelMessage]) -> int:
    """Return the number of results of tools since the last message of the person."""
    results = 0
    for part in (part for each in messages for part in each.parts):
        if isinstance(part, UserPromptPart) and not str(part.content).startswith(_NOT_OF_PEOPLE):
            results = 0
        results += isinstance(part, ToolReturnPart | RetryPromptPart)
    return results


def model_of(outside: Outside) -> FunctionModel:
    def answered(messages: list[ModelMessage]) -> Response:
        try:
            return outside.response(_shown(messages), _results(messages), files_of(messages))
        except Failed as error:
            raise ModelHTTPError(error.status_code, "gpt-5") from error

    def respond(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        paragraphs, calls, stop = answered(messages)
        text = [TextPart("\n\n".join(paragraphs))] if paragraphs else []
        tools = [ToolCallPart(call.name, call.arguments, call.id) for call in calls]
        usage = RequestUsage(input_tokens=7, output_tokens=2)
        return ModelResponse([*text, *tools], usage=usage, finish_reason=_STOPS[stop])

    async def stream(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        paragraphs, calls, _stop = answered(messages)
        if not paragraphs and not calls:
            yield ""  # pydantic-ai refuses a stream of nothing
        for paragraph in paragraphs:
            yield f"{paragraph}\n\n"
            await outside.pause()
        if calls:
            yield {
                index: DeltaToolCall(name=call.name, json_args=call.arguments, tool_call_id=call.id)
                for index, call in enumerate(calls)
            }

    return FunctionModel(respond, stream_function=stream, model_name="gpt-5")
