"""`run`: answers a message with a graph of LangGraph. `durable` makes a model or a tool of the graph record what it does.

A checkpointer would leave out of later runs what the graph has said, so the model and the tools record instead: each run of
a turn goes through the whole graph again, and is answered from the record. `interrupts.py` asks what the graph asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial, wraps
from inspect import iscoroutinefunction
from operator import attrgetter
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, overload

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    InvalidToolCall,
    ToolCall,
    ToolMessage,
    convert_to_messages,
    message_chunk_to_message,
    message_to_dict,
    messages_from_dict,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tools import tool as tool_of
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from linqbot import BotError, Context
from linqbot_agent.entries import digest_of
from linqbot_agent.foreign_data import arguments_in, clean, json_text
from linqbot_agent.interrupts import Tasks, check, is_question, run_to_the_end
from linqbot_agent.loops import Framework, Loop, Message, NoEnd, current_loop, loop_of, reading
from linqbot_agent.outputs import KNOWN, OUTPUTS
from linqbot_agent.progress import PROGRESS
from linqbot_agent.requests import Write
from linqbot_agent.run import MOST_REQUESTS, Prompt, ServerTool, agent_run

if TYPE_CHECKING:
    from linqbot_agent.mcp import McpServer

Graph: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]

_tasks: ContextVar[Tasks] = ContextVar("linqbot_agent_tasks")

_CUT: Final = ("content_filter", "length", "max_tokens", "refusal", "safety")
"""The reasons of providers for the end of a response that is not whole."""
_MOST_STEPS: Final = 2 * MOST_REQUESTS
"""A request and the calls of its tools are two steps."""


async def run(
    graph: Graph | Callable[[list[BaseTool]], Graph],
    ctx: Context,
    prompt: Prompt | None = None,
    *,
    deps: object = None,
    stream: bool = False,
    state: Mapping[str, Any] | None = None,
    config: RunnableConfig | None = None,
    timeout_s: float = 60.0,
    progress: str | None = PROGRESS,
    progress_after_s: float = 5.0,
    sorry: str | EllipsisType | None = ...,
    approver: str = "asker",
    servers: Sequence[McpServer] = (),
) -> str | None:
    """Answer the event's message with a graph, in the event's chat.

    Each response of a `durable` model and each call of a `durable` tool is recorded before the next one begins. If the turn
    runs again, recorded ones are not repeated. A request or a call that was cut off is made again: see `idempotency_key`.
    All else in the graph runs again in each run of the turn.

    An `interrupt` is a question in the chat, and returns what the person writes; `HumanInTheLoopMiddleware` asks for approvals.

    Args:
        graph: The compiled graph, whose state has `messages`. With `servers`, a function that is given their tools, which are
            durable, and returns the graph.
        prompt: The prompt: a text, or texts and `BinaryContent` of pydantic-ai. None is the text of the event's message.
        deps: The context of the graph, `runtime.context`, as for `graph.ainvoke(context=…)`.
        stream: True says texts while the model writes them, and also those that it writes before it calls a tool.
        state: Further values of the state with which the graph begins.
        config: As for `graph.ainvoke`. If it names no `recursion_limit`, that is 100 steps of the graph: a model that calls
            tools again and again would go on for thousands.
        timeout_s: The longest time of one request, in seconds.
        progress: The text to say, once, if nothing was said for a while; None says nothing.
        progress_after_s: The seconds after which it is said.
        sorry: The text to say when the model fails; None says nothing. Without it, that of `LinqAgent`.
        approver: Who approves calls of tools that need approval: `asker` is the person who caused the event, unless
            `LinqAgent` names `approvers`; else the handle of a person, who is asked where they are, next to those.
        servers: MCP servers whose tools the agent gets; see `linqbot_agent.mcp`.
    Returns:
        The text that was said; None if the model failed, or the person has used up the budget.
    Raises:
        BotError: the bot has no plugin LinqAgent, another agent of this turn is running, no durable model was asked, there
            are `servers`, but no function that takes their tools; or the graph has breakpoints, a checkpointer that keeps
            conversations, a `response_format` that cannot be said, or a question that no person can answer.
        AskTimeout, AskCancelled: a question of the graph has ended without an answer.

    Example: `await run(graph, ctx)`
    """
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
        if not isinstance(graph, CompiledStateGraph):
            graph = graph([*map(_of_server, loop.tools)])
        elif servers:
            raise BotError(
                "A graph is compiled with its tools, so run(servers=…) takes a function that builds it. Write: "
                "run(lambda tools: create_agent(durable(model), [durable(book), *tools]), ctx, servers=[…])."
            )
        check(graph)
        given = {**(state or {}), "messages": await loop.conversation(prompt)}
        limited: RunnableConfig = {"recursion_limit": _MOST_STEPS, **(config or {})}
        token = _tasks.set(tasks := Tasks())
        try:
            work = run_to_the_end(graph, given, limited, loop=loop, settings=settings, tasks=tasks, context=deps)
            said = await loop.answer(_output(work))
        finally:
            _tasks.reset(token)
        if not loop.has_asked:
            raise BotError("The graph has asked no durable model. Build it with durable(model) and durable(tool).")
        return said
    return None


async def _output(work: Awaitable[Any]) -> Any:
    """Return that with which a graph ends: an output type, or a text of the model, of a node, or of a tool with `return_direct`."""
    state = await work
    if (output := state.get("structured_response")) is not None:
        return output
    last = (state.get("messages") or [None])[-1]
    is_text = isinstance(last, AIMessage) and not last.tool_calls
    is_result = isinstance(last, ToolMessage) and last.status != "error"
    return str(last.text) if is_text or is_result else None


@overload
def durable(part: BaseChatModel) -> BaseChatModel: ...


@overload
def durable(part: BaseTool | Callable[..., Any]) -> BaseTool: ...


def durable(part: BaseChatModel | BaseTool | Callable[..., Any]) -> BaseChatModel | BaseTool:
    """Return a model, a tool, or a function as a tool, that records what it does inside of `run`.

    Example: `create_agent(durable(model), [durable(book)])`
    """
    if isinstance(part, BaseChatModel):
        named = getattr(part, "model_name", None) or getattr(part, "model", None)
        return _DurableModel(inner=part, named=named if isinstance(named, str) else None)
    inner = part if isinstance(part, BaseTool) else tool_of(_with_clean_result(part))
    return _DurableTool(
        act=inner.ainvoke,
        name=inner.name,
        description=inner.description,
        args_schema=inner.args_schema,
        return_direct=inner.return_direct,
    )


def _with_clean_result(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose result is clean: LangChain makes a text of it, which may fail when the tool has acted."""

    def cleaned(found: Any) -> Any:
        return found if isinstance(found, str | BaseMessage | Command) else clean(found)

    @wraps(function)
    async def act(*given: Any, **named: Any) -> Any:
        return cleaned(await function(*given, **named))

    @wraps(function)
    def act_in_thread(*given: Any, **named: Any) -> Any:
        return cleaned(function(*given, **named))

    return act if iscoroutinefunction(function) else act_in_thread


def _of_server(tool: ServerTool) -> BaseTool:
    async def act(given: Any, *_: object, **__: object) -> ToolMessage | str:
        call = given if _is_call(given) else None
        text, is_error = await tool.call(given if call is None else call["args"])
        if call is None:
            return text
        status = "error" if is_error else "success"
        return ToolMessage(text, tool_call_id=call["id"], name=tool.name, status=status)

    return _DurableTool(act=act, name=tool.name, description=tool.description, args_schema=tool.schema)


class _DurableModel(BaseChatModel):
    inner: Any
    named: str | None
    tools: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()  # the tools by which the model answers

    @property
    def _llm_type(self) -> str:
        return "linqbot"

    def bind_tools(self, tools: Any, **options: Any) -> BaseChatModel:
        tools = list(tools)
        outputs = _outputs(tools, options)
        names = tuple(tool.name for tool in tools if isinstance(tool, _DurableTool))
        inner = self.inner.bind_tools(tools, **options)
        return _DurableModel(inner=inner, named=self.named, tools=names, outputs=outputs)

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise BotError("A durable model works with ainvoke only, as run(graph, ctx) does.")

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        loop = current_loop("A durable model")
        loop.offer(self.tools)
        loop.outputs.update(self.outputs)

        async def ask(given: list[Any], write: Write) -> Any:
            given = [*system, *convert_to_messages(given)]
            if loop.stream:
                message = await _streamed(self.inner.astream(given, stop=stop, **options), write)
            else:
                message = await self.inner.ainvoke(given, stop=stop, **options)
            with reading():
                return self._recorded(message)

        system = [message for message in messages if message.type == "system"]
        said = [message for message in messages if message.type != "system"]
        instructions = "\n".join(message.text for message in system)
        step = await _tasks.get().response(lambda: loop.ask(said, ask, model=self.named, instructions=instructions))
        loop.no_objects.update(step.response.get("no_objects", ()))  # not in a record of an earlier release
        message = _message(step.response)
        if step.said:
            before = f"{step.said}\n\n"
            is_text = isinstance(message.content, str)
            message.content = before + message.text if is_text else [{"type": "text", "text": before}, *message.content]
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _recorded(self, message: Any) -> Any:
        """Return a response as JSON data, with its calls whose arguments are no object as calls that their tools refuse."""
        broken = [each for each in message.invalid_tool_calls if each["name"] in self.tools]
        message.invalid_tool_calls = [each for each in message.invalid_tool_calls if each not in broken]
        message.tool_calls += [
            ToolCall(type="tool_call", name=each["name"], id=each["id"], args={"arguments": each["args"]})
            for each in broken
        ]
        no_objects = [each["id"] for each in broken]
        found = {**message_to_dict(message), "usage": _usage(message), "no_objects": no_objects}
        _message(found)  # LangChain has not checked each field of a provider's answer
        return found


def _outputs(tools: Iterable[Any], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the output types that an agent gives to its model, as tools that nothing can call.

    Raises:
        BotError: there is another type, or the form of a text.
    """
    schemas = [each.name for each in tools if isinstance(each, StructuredTool) and not (each.func or each.coroutine)]
    unknown = [name for name in schemas if name not in {each.__name__ for each in OUTPUTS}]
    if unknown or "response_format" in options:
        raise BotError(
            f"The graph has a response_format{f' {unknown[0]}' if unknown else ''}, and run() says texts. Use "
            f"response_format=ToolStrategy(Say | Tapback | Silence): {KNOWN}. A node that needs data for itself asks "
            "durable(model).with_structured_output(…)."
        )
    return (*schemas,)


class _DurableTool(BaseTool):
    act: Any  # makes a call, and returns the message with its result; for a node, the result itself

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:  # noqa: A002
        """Return the message with the result of a call of the model. A node gives arguments only, and gets the result itself."""
        make = partial(self.act, input, config, **options)
        if not _is_call(input):
            return await self._of_node(input, make)

        async def act() -> Any:
            found = await make()
            if not isinstance(found, ToolMessage):
                raise BotError(
                    f"The durable tool {self.name} returned {type(found).__name__}, which cannot be recorded. Return a text or "
                    "data. A tool that returns a Command runs without durable(…), again in each run of the turn."
                )
            return message_to_dict(found)

        call_id = input["id"]
        written = None if call_id in self._loop().no_objects else self._written(input["args"])
        recorded = await self._result(call_id, written, act)
        if isinstance(recorded, str):  # it was refused
            return ToolMessage(recorded, tool_call_id=call_id, name=self.name, status="error")
        return _message(recorded)

    async def _of_node(self, given: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        written = self._written(given if isinstance(given, Mapping) else {"input": given})
        call_id = f"node-{digest_of(json_text(written).encode())}"

        async def act() -> Any:
            found = clean(await make())
            text = found if isinstance(found, str) else json_text(found)
            return message_to_dict(ToolMessage(text, artifact=found, tool_call_id=call_id, name=self.name))

        recorded = await self._result(call_id, written, act)
        return recorded if isinstance(recorded, str) else _message(recorded).artifact

    async def _result(self, call_id: str, written: object, act: Callable[[], Awaitable[Any]]) -> Any:
        loop = self._loop()
        return await _tasks.get().result(
            self.name, call_id, lambda make: loop.call(self.name, call_id, written, make), act
        )

    def _loop(self) -> Loop:
        return current_loop(f"The tool {self.name}")

    def _written(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        added = _added(self)
        return {name: value for name, value in arguments.items() if name not in added}

    def _run(self, *_: Any, **__: Any) -> Any:
        raise BotError("A durable tool works with ainvoke only, as run(graph, ctx) does.")


def _is_call(given: Any) -> bool:
    """Return True for a call of the model; False for the arguments that a node of a graph gives."""
    return isinstance(given, dict) and given.get("type") == "tool_call"


def _added(tool: BaseTool) -> set[str]:
    """Return the names of arguments that the model does not write: LangGraph adds its state, its store or its runtime."""
    every: Any = tool.args_schema
    written: Any = tool.tool_call_schema
    return set() if isinstance(every, dict) else {*every.model_fields} - {*written.model_fields}


def _block(item: Any) -> Message:
    if isinstance(item, str):
        return {"type": "text", "text": item}
    file = {"base64": item.base64, "mime_type": item.media_type}
    return {"type": "image", **file} if item.is_image else {"type": "file", "filename": item.identifier, **file}


async def _streamed(chunks: Any, write: Write) -> Any:
    """Return the message that a stream writes."""
    message: Any = None
    is_whole = True
    async with aclosing(chunks):
        async for chunk in chunks:
            message = chunk if message is None else message + chunk
            if not write(chunk.text):
                is_whole = False
                break
    if is_whole:
        return _with_broken_calls(message)
    # The model may have gone on to write the arguments of a call.
    return AIMessage(message.text, response_metadata={"finish_reason": "length"}, usage_metadata=message.usage_metadata)


def _with_broken_calls(chunk: Any) -> Any:
    """Return the message of a whole stream. LangChain completes by itself arguments that have no end."""
    message: Any = message_chunk_to_message(chunk)
    broken = [each for each in getattr(chunk, "tool_call_chunks", ()) if arguments_in(each["args"] or "") is None]
    is_empty = not (message.text or message.tool_calls or message.usage_metadata)
    if (broken or is_empty) and not _reason(message.response_metadata):
        raise NoEnd
    if broken:
        ids = {each["id"] for each in broken}
        message.tool_calls = [each for each in message.tool_calls if each["id"] not in ids]
        message.invalid_tool_calls = [
            InvalidToolCall(type="invalid_tool_call", name=each["name"], id=each["id"], args=each["args"], error=None)
            for each in broken
        ]
    return message


def _message(recorded: Any) -> Any:
    return messages_from_dict([recorded])[0]


def _usage(message: Any) -> dict[str, int]:
    found = message.usage_metadata or {}
    cache = found.get("input_token_details") or {}
    tokens = {name: found.get(name, 0) for name in ("input_tokens", "output_tokens")}
    return {
        **tokens,
        "cache_read_tokens": cache.get("cache_read", 0),
        "cache_write_tokens": cache.get("cache_creation", 0),
    }


def _text(recorded: Any) -> str:
    content = recorded["data"]["content"]
    if isinstance(content, str):
        return content
    texts = (each if isinstance(each, str) else each.get("text") for each in content if _is_text(each))
    return "".join(filter(None, texts))


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or block.get("type") == "text"


def _has_failed(recorded: Any) -> bool:
    return bool(recorded["data"]["status"] == "error")


def _called(recorded: Any) -> list[str]:
    return [call["name"] for call in recorded["data"].get("tool_calls", ())]


def _calls_tool(recorded: Any) -> bool:
    return bool(recorded["data"].get("tool_calls") or recorded["data"].get("invalid_tool_calls"))


def _is_cut(recorded: Any) -> bool:
    """Return True if the provider has cut a response off or held it back, or the model has called a tool without JSON."""
    data = recorded["data"]
    kinds = [each.get("type") for each in data["content"] if isinstance(each, dict)]
    is_refusal = "refusal" in kinds or bool(data["additional_kwargs"].get("refusal"))  # as OpenAI's two APIs say it
    return is_refusal or _reason(data["response_metadata"]) in _CUT or bool(data.get("invalid_tool_calls"))


def _reason(facts: Mapping[str, Any]) -> str:
    """Return the reason of the provider for the end of a response; empty if it has given none."""
    return str(facts.get("finish_reason") or facts.get("stop_reason") or "").casefold()


def _shown(message: BaseMessage) -> list[Any]:
    """Return what a message says, without its id, which is another one in each run."""
    calls = message.tool_calls if isinstance(message, AIMessage) else getattr(message, "tool_call_id", None)
    return [message.type, message.content, calls]


_FRAMEWORK: Final = Framework(
    block=_block,
    content=attrgetter("content"),
    shown=_shown,
    text=_text,
    calls_tool=_calls_tool,
    is_cut=_is_cut,
    called=_called,
    result=_text,
    has_failed=_has_failed,
    is_question=is_question,
    failures=(GraphRecursionError,),
)
