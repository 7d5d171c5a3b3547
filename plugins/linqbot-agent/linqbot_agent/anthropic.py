"""`run`: answers a message with a model of Anthropic and tools, in a loop on the `anthropic` SDK."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anthropic import AsyncAnthropic, beta_async_tool, beta_tool
from anthropic.lib.tools import BetaAsyncFunctionTool, BetaFunctionTool, ToolError
from pydantic import ValidationError

from linqbot import BotError, Context
from linqbot_agent.foreign_data import NO_OBJECT, arguments_in, json_text
from linqbot_agent.loops import Framework, Loop, Message, NoEnd, loop_of, reading
from linqbot_agent.outputs import OutputTools, OutputType
from linqbot_agent.progress import PROGRESS
from linqbot_agent.requests import Write, go_on
from linqbot_agent.run import MOST_REQUESTS, Prompt, ServerTool, agent_run

if TYPE_CHECKING:
    from linqbot_agent.mcp import McpServer

Tool: TypeAlias = Callable[..., Any] | BetaAsyncFunctionTool[Any] | BetaFunctionTool[Any]
"""A function whose docstring describes it, or what `beta_tool` and `beta_async_tool` of the SDK make of one."""


class TooManyRequests(Exception):
    """The model has called tools again and again, and given no answer."""


async def run(
    client: AsyncAnthropic,
    ctx: Context,
    prompt: Prompt | None = None,
    *,
    model: str,
    tools: Iterable[Tool] = (),
    output_type: OutputType | Sequence[OutputType] = str,
    stream: bool = False,
    max_tokens: int = 4096,
    max_requests: int = MOST_REQUESTS,
    timeout_s: float = 60.0,
    progress: str | None = PROGRESS,
    progress_after_s: float = 5.0,
    sorry: str | EllipsisType | None = ...,
    approver: str = "asker",
    servers: Sequence[McpServer] = (),
    **options: Any,
) -> str | None:
    """Answer the event's message with a model of Anthropic, in the event's chat.

    Each response of the model and each call of a tool is recorded before the next one begins. If the turn runs again,
    recorded ones are not repeated. A request or a call that was cut off is made again: see `idempotency_key`.

    Args:
        client: The client of the SDK, or one for another platform, such as `AsyncAnthropicBedrock`.
        prompt: The prompt: a text, or texts and `BinaryContent` of pydantic-ai. None is the text of the event's message.
        model, max_tokens: As for `client.messages.create`.
        tools: The tools. They run one after the other. One that raises `ToolError` of the SDK lets the model try again.
        output_type: The types of the answer, as for an agent of pydantic-ai: `str`, the output types of this package, or lists
            of these. The model gets the types as tools, and the run ends when it calls one.
        stream: True says texts while the model writes them, and also those that it writes before it calls a tool.
        max_requests: The most requests to the model. After that the person hears `sorry`.
        timeout_s: The longest time of one request, in seconds.
        progress: The text to say, once, if nothing was said for a while; None says nothing.
        progress_after_s: The seconds after which it is said.
        sorry: The text to say when the model fails; None says nothing. Without it, that of `LinqAgent`.
        approver: Who approves calls of tools that need approval: `asker` is the person who caused the event, unless
            `LinqAgent` names `approvers`; else the handle of a person, who is asked where they are, next to those.
        servers: MCP servers whose tools the agent gets; see `linqbot_agent.mcp`.
        options: Further arguments of `client.messages.create`, such as `system`.
    Returns:
        The text that was said; None if the model failed, or the person has used up the budget.
    Raises:
        BotError: the bot has no plugin LinqAgent, another agent of this turn is running, a tool is none, or there is another
            output type.

    Example: `await run(client, ctx, model="claude-sonnet-4-6", system="You take bookings.", tools=[book])`
    """
    if "deps" in options:
        raise BotError("A tool of Anthropic's SDK is a function, and reads no deps. Define the tool in the handler.")
    given, outputs = [*map(_as_tool, tools)], OutputTools(output_type)
    request = {"model": model, "max_tokens": max_tokens, **options}
    async with (
        agent_run(
            ctx,
            stream=stream,
            timeout_s=timeout_s,
            progress=progress,
            progress_after_s=progress_after_s,
            sorry=sorry,
            approver=approver,
            servers=servers,
        ) as settings,
        loop_of(settings, _FRAMEWORK) as loop,
    ):
        known = {tool.name: tool for tool in [*given, *map(_of_server, loop.tools), *_of_outputs(outputs)]}
        loop.offer(known)
        loop.outputs.update(outputs.schemas)
        if known:
            request["tools"] = [tool.to_dict() for tool in known.values()]
        messages = await loop.conversation(prompt)

        async def work() -> Any:
            for _ in range(max_requests):
                response = await _response(client, loop, request, messages)
                calls = _calls(response)
                answer = outputs.answer((name, arguments) for name, _, arguments in calls)
                made = calls if answer is None else [call for call in calls if call[0] not in outputs.schemas]
                results = [await _result(loop, known, *call) for call in made]
                if answer:
                    return answer
                if results:
                    messages.append({"role": "user", "content": results})
                elif response["stop_reason"] != "pause_turn":
                    return None
            raise TooManyRequests(f"{max_requests} requests, and no answer")

        return await loop.answer(work())
    return None


async def _response(client: AsyncAnthropic, loop: Loop, request: Mapping[str, Any], messages: list[Message]) -> Any:
    """Return the next response as JSON, and add it to the messages."""

    async def ask(given: list[Message], write: Write) -> Any:
        whole: Any = {**request, "messages": given}
        if not loop.stream:
            message = await client.messages.create(**whole)
            with reading():
                message = _as_json(message)
            return _recorded(message)
        async with await client.messages.create(**whole, stream=True) as events:
            return await _streamed(events, write)

    step = await loop.ask(messages, ask, model=request["model"], instructions=_system(request))
    messages += loop.formed(go_on(step.said))
    if step.response["content"]:
        messages.append({"role": "assistant", "content": step.response["content"]})
    return step.response


def _block(item: Any) -> Message:
    if isinstance(item, str):
        return {"type": "text", "text": item}
    source = {"type": "base64", "media_type": item.media_type, "data": item.base64}
    return {"type": "image" if item.is_image else "document", "source": source}


async def _streamed(events: AsyncIterator[Any], write: Write) -> Any:
    """Return the response that a stream writes, as JSON data.

    The SDK's own stream completes arguments that have no end, and fails at half of a character in them.
    """
    message, blocks = dict[str, Any](), dict[int, dict[str, Any]]()
    async for event in events:
        with reading():
            match event.type:
                case "message_start":
                    message = _as_json(event.message)
                case "content_block_start":
                    blocks[event.index] = _as_json(event.content_block)
                case "content_block_delta":
                    _add(blocks[event.index], _as_json(event.delta))
                    if event.delta.type == "text_delta" and not write(event.delta.text):
                        return _without_end({**message, "content": [*blocks.values()]})
                case "message_delta":
                    message |= _as_json(event.delta) | {"usage": {**message["usage"], **_as_json(event.usage)}}
    if message.get("stop_reason") is None:
        raise NoEnd
    return _recorded({**message, "content": [*blocks.values()]})


def _as_json(part: Any) -> dict[str, Any]:
    found: dict[str, Any] = part.model_dump(mode="json", exclude_none=True, warnings=False)
    return found


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add to a block what comes next of it: the rest of a text, of a thought or of arguments (`partial_json`), or a citation."""
    del delta["type"]
    for name, piece in delta.items():
        if isinstance(piece, str):
            block[name] = f"{block.get(name, '')}{piece}"
        else:
            block[f"{name}s"] = [*block.get(f"{name}s", ()), piece]


def _without_end(message: dict[str, Any]) -> Any:
    """Return a response that was not read to its end. The model may have gone on to write the arguments of a call."""
    texts = [block for block in message["content"] if block["type"] == "text"]
    return _recorded({**message, "content": texts, "stop_reason": "max_tokens"})


_TEXTS: Final = {"text": ("text",), "tool_use": ("id", "name")}
"""The fields of blocks that must be texts."""


def _recorded(message: Mapping[str, Any]) -> Any:
    """Return what is recorded of a response."""
    no_objects = list[str]()
    with reading():
        for block in message["content"]:
            if not all(isinstance(block[name], str) for name in _TEXTS.get(block["type"], ())):
                raise TypeError(block["type"])
            if "input" in block or block["type"] == "tool_use":
                given = arguments_in(block.pop("partial_json", "") or block.get("input"))
                block["input"] = given or {}  # the provider takes nothing else back
                if given is None:
                    no_objects.append(block["id"])
        usage = message["usage"]
        read, written = usage.get("cache_read_input_tokens", 0), usage.get("cache_creation_input_tokens", 0)
        tokens = {"input_tokens": usage["input_tokens"] + read + written, "output_tokens": usage["output_tokens"]}
    return {
        "content": message["content"],
        "stop_reason": message.get("stop_reason"),
        "no_objects": no_objects,
        "usage": {**tokens, "cache_read_tokens": read, "cache_write_tokens": written},
    }


def _system(request: Mapping[str, Any]) -> str:
    system = request.get("system") or ""
    return system if isinstance(system, str) else "\n".join(block["text"] for block in system)


def _calls(response: Any) -> list[tuple[str, str, Any]]:
    """Return the names and ids of the calls in a response, and their arguments; None in place of those that are no object."""
    calls = [block for block in response["content"] if block["type"] == "tool_use"]
    no_objects = response.get("no_objects", ())  # not in a record of an earlier release
    return [(each["name"], each["id"], None if each["id"] in no_objects else each["input"]) for each in calls]


def _calls_tool(response: Any) -> bool:
    return bool(_calls(response))


def _is_cut(response: Any) -> bool:
    return response["stop_reason"] in ("max_tokens", "model_context_window_exceeded", "refusal")


def _text(response: Any) -> str:
    return "".join(block["text"] for block in response["content"] if block["type"] == "text")


_FRAMEWORK: Final = Framework(
    block=_block,
    text=_text,
    calls_tool=_calls_tool,
    is_cut=_is_cut,
    called=lambda response: [name for name, *_ in _calls(response)],
    result=itemgetter("content"),
    has_failed=lambda result: result.get("is_error", False),
    failures=(TooManyRequests,),
)


async def _result(loop: Loop, tools: Mapping[str, Any], name: str, call_id: str, arguments: Any) -> Message:
    async def make() -> Any:
        if (tool := tools.get(name)) is None:
            return {"content": f"There is no tool {name}.", "is_error": True}
        try:
            found = tool.call(arguments)
            result = await found if inspect.isawaitable(found) else found
        except ToolError as error:
            return {"content": str(error), "is_error": True}
        except ValueError as error:
            if not isinstance(error.__cause__, ValidationError):  # of arguments that the model has made up
                raise
            return {"content": str(error), "is_error": True}
        return {"content": result if isinstance(result, str) else json_text(result)}

    result = await loop.call(name, call_id, arguments, make)
    content = result
    if isinstance(result, str):
        content = {"content": result, "is_error": True} if result == NO_OBJECT else {"content": result}
    return {"type": "tool_result", "tool_use_id": call_id, **content}


def _of_outputs(outputs: OutputTools) -> Iterator[BetaAsyncFunctionTool[Any]]:
    """Yield the tools by which the model answers. Only a wrong call is made: it lets the model try again."""

    def refusing(name: str) -> Callable[..., Any]:
        async def call(**arguments: Any) -> str:
            raise ToolError(outputs.refusal(name, arguments))

        return call

    for name, (description, schema) in outputs.schemas.items():
        yield BetaAsyncFunctionTool(refusing(name), name=name, description=description, input_schema=schema)


def _of_server(tool: ServerTool) -> BetaAsyncFunctionTool[Any]:
    async def call(**arguments: Any) -> str:
        text, is_error = await tool.call(arguments)
        if is_error:
            raise ToolError(text)
        return text

    schema: Any = tool.schema
    return BetaAsyncFunctionTool(call, name=tool.name, description=tool.description, input_schema=schema)


def _as_tool(tool: Tool) -> BetaAsyncFunctionTool[Any] | BetaFunctionTool[Any]:
    if isinstance(tool, BetaAsyncFunctionTool | BetaFunctionTool):
        return tool
    if not inspect.isroutine(tool):
        raise BotError(f"run(tools=…) takes functions, not {type(tool).__name__}.")
    return beta_async_tool(tool) if inspect.iscoroutinefunction(tool) else beta_tool(tool)
