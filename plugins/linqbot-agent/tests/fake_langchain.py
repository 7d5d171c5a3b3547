"""A chat model of LangChain that answers by the script of `frameworks`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from frameworks import Overloaded, files_in, text_of
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

_ROLES = {"human": "user", "ai": "assistant"}
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

    def _message(self, messages: list[BaseMessage]) -> AIMessage:
        if self.outside.fails:
            self.outside.fails -= 1
            raise Overloaded
        said = [each for each in messages if each.type != "system"]
        shown = [(_ROLES.get(each.type, each.type), text_of(each.content)) for each in said]
        results = sum(each.type == "tool" for each in messages)
        paragraphs, calls = self.outside.response(shown, results, files_in(each.content for each in said))
        tools = [{"name": name, "id": call_id, "args": {}, "type": "tool_call"} for name, call_id in calls]
        return AIMessage("\n\n".join(paragraphs), tool_calls=tools, usage_metadata=_USAGE)

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._message(messages))])

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        message = self._message(messages)
        for paragraph in message.text.split("\n\n") if message.text else ():
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{paragraph}\n\n"))
            await self.outside.pause()
        chunks = [
            {"name": each["name"], "id": each["id"], "args": "{}", "index": index, "type": "tool_call_chunk"}
            for index, each in enumerate(message.tool_calls)
        ]
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=chunks, usage_metadata=_USAGE))
