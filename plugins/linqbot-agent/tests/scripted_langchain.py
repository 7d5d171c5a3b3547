"""The fake chat model of langchain-core, with what its graphs need: it takes tools, and answers by what it is asked.

`GenericFakeChatModel` says its messages one after the other, whatever the request. It has no `bind_tools`, and streams no calls of
tools. Models of providers do, so an author's own fake adds them in the same way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from frameworks import Call, Outside, Response, files_in, text_of
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

_ROLES = {"human": "user", "ai": "assistant"}
_STOPS = {"": "stop", "max_tokens": "length", "refusal": "content_filter"}
_USAGE: UsageMetadata = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}


class ToolModel(GenericFakeChatModel):
    """Says its messages one after the other. An author's test writes this class too."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


class Scripted(ToolModel):
    """Answers each request by a function of its messages, also in tasks that run side by side."""

    messages: Iterator[AIMessage | str] = iter(())
    respond: Callable[[Sequence[BaseMessage]], AIMessage | str]

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        # One for each request: the iterator of one model would mix up requests that are made side by side.
        said = GenericFakeChatModel(messages=iter([self.respond(messages)])).invoke(messages)
        return ChatResult(generations=[ChatGeneration(message=said)])


def calling(*calls: Call) -> AIMessage:
    """Return the response of a model that calls tools. Arguments that are no JSON make an invalid call."""
    message = message_chunk_to_message(_chunk(Response((), calls), ""))
    assert isinstance(message, AIMessage)
    return message


def results(messages: Sequence[BaseMessage]) -> int:
    """Return the number of results of tools in a request."""
    return sum(each.type == "tool" for each in messages)


class _OfOutside(Scripted):
    """Answers by the script of `frameworks`, and streams it with pauses, and with the calls of tools."""

    outside: Any  # an `Outside`
    model_name: str = "gpt-5"

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        response = _response(self.outside, messages)
        for paragraph in response.paragraphs:
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{paragraph}\n\n"))
            await self.outside.pause()
        yield ChatGenerationChunk(message=_chunk(response, ""))


def model_of(outside: Outside) -> ToolModel:
    def respond(messages: Sequence[BaseMessage]) -> AIMessage:
        response = _response(outside, messages)
        message = message_chunk_to_message(_chunk(response, "\n\n".join(response.paragraphs)))
        assert isinstance(message, AIMessage)
        return message

    return _OfOutside(respond=respond, outside=outside)


def _response(outside: Outside, messages: Sequence[BaseMessage]) -> Response:
    said = [each for each in messages if each.type != "system"]
    shown = [(_ROLES.get(each.type, each.type), text_of(each.content)) for each in said]
    return outside.response(shown, results(messages), files_in(each.content for each in said))


def _chunk(response: Response, text: str) -> AIMessageChunk:
    """Return the last chunk of a response."""
    calls = [
        {"name": call.name, "id": call.id, "args": call.arguments, "index": index, "type": "tool_call_chunk"}
        for index, call in enumerate(response.calls)
    ]
    facts = {"finish_reason": _STOPS[response.stop]}
    return AIMessageChunk(content=text, tool_call_chunks=calls, usage_metadata=_USAGE, response_metadata=facts)
