"""A chat model of LangChain that answers by the script of `frameworks`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from frameworks import Response, files_in, text_of
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

_ROLES = {"human": "user", "ai": "assistant"}
_STOPS = {"": "stop", "max_tokens": "length", "refusal": "content_filter"}
_USAGE: UsageMetadata = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}


class FakeChatModel(BaseChatModel):
    outside: Any  # an `Outside`
    model_name: str = "gpt-5"

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Any, **_: Any) -> BaseChatModel:
        return self

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    def _response(self, messages: list[BaseMessage]) -> Response:
        said = [each for each in messages if each.type != "system"]
        shown = [(_ROLES.get(each.type, each.type), text_of(each.content)) for each in said]
        results = sum(each.type == "tool" for each in messages)
        found: Response = self.outside.response(shown, results, files_in(each.content for each in said))
        return found

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        response = self._response(messages)
        message = message_chunk_to_message(_chunk(response, "\n\n".join(response.paragraphs)))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        response = self._response(messages)
        for paragraph in response.paragraphs:
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{paragraph}\n\n"))
            await self.outside.pause()
        yield ChatGenerationChunk(message=_chunk(response, ""))


def _chunk(response: Response, text: str) -> AIMessageChunk:
    """Return the last chunk of a response. Arguments that are no JSON make an invalid call of it."""
    calls = [
        {"name": call.name, "id": call.id, "args": call.arguments, "index": index, "type": "tool_call_chunk"}
        for index, call in enumerate(response.calls)
    ]
    facts = {"finish_reason": _STOPS[response.stop]}
    return AIMessageChunk(content=text, tool_call_chunks=calls, usage_metadata=_USAGE, response_metadata=facts)
