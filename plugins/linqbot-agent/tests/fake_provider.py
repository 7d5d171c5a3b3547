"""A provider of models on loopback, for the real client of each framework.

It has the APIs that the clients ask: Anthropic's messages, OpenAI's responses, and OpenAI's chat completions. A function answers
each request with a `Reply`, which is written as the API writes it, streamed if the client wants that, or with `Raw` bytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

from frameworks import Call


@dataclass(frozen=True)
class Reply:
    """A response of a model.

    Attributes:
        pieces: The pieces of the text, which a stream writes one by one. It may have no end.
        stop: `max_tokens` or `refusal` if the response ended for that reason, or a word that the API does not know.
        spoiled: Changes the JSON texts of the response: its body, or each event of its stream.
    """

    pieces: Sequence[str] | Callable[[], Iterator[str]] = ()
    calls: Sequence[Call] = ()
    stop: str = ""
    spoiled: Callable[[str], Iterable[str]] = lambda text: [text]


@dataclass(frozen=True)
class Raw:
    """An HTTP answer that is none of the API. `is_whole` is False for one whose connection breaks before its end."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    is_whole: bool = True
    headers: Sequence[str] = ()


class Asked(NamedTuple):
    """A request. `said` has its messages, each with its role, which is `tool` for a result of a tool."""

    said: list[tuple[str, str]]
    is_stream: bool
    body: Any

    @property
    def texts(self) -> str:
        """Return the texts of the request, one behind the other."""
        return "\n\n".join(text for _, text in self.said)

    @property
    def results(self) -> list[str]:
        """Return the results of tools behind the last message of a person."""
        last = max((place for place, (role, _) in enumerate(self.said) if role == "user"), default=0)
        return [text for role, text in self.said[last:] if role == "tool"]


Answer: TypeAlias = Callable[[Asked], Reply | Raw]


@dataclass
class Provider:
    """A running provider.

    Attributes:
        url: Its address, without a path.
        requests: What it was asked.
        pieces: The number of pieces of streams that it has written.
        http: The HTTP client for the clients of frameworks.
    """

    answer: Answer
    http: Any
    url: str = ""
    requests: list[Asked] = field(default_factory=list)
    pieces: int = 0
    _writing: set[asyncio.Task[Any]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ", 2)[1].partition(b"?")[0].decode()
            length = next(int(each[15:]) for each in head.split(b"\r\n") if each.lower().startswith(b"content-length"))
            body = json.loads(await reader.readexactly(length))
            await self._answered(_APIS[path], body, writer)

    async def _answered(self, api: Api, body: Any, writer: asyncio.StreamWriter) -> None:
        asked = Asked([*api.said(body)], bool(body.get("stream")), body)
        self.requests.append(asked)
        found = self.answer(asked)
        if isinstance(found, Reply) and asked.is_stream:
            writer.write(head_of(200, "text/event-stream", "transfer-encoding: chunked"))
            if (task := asyncio.current_task()) is not None:
                self._writing.add(task)
                task.add_done_callback(self._writing.discard)
            for kind, event in ((kind, each) for kind, written in api.events(found) for each in found.spoiled(written)):
                named = f"event: {kind}\n" if kind else ""
                data = f"{named}data: {event}\n\n".encode()
                writer.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.pieces += 1
                await writer.drain()
                if self.pieces % 16 == 0:
                    await asyncio.sleep(0)  # an answer without an end leaves room for the one who reads it
            writer.write(b"0\r\n\r\n")
            self._writing.clear()
        else:
            raw = found
            if isinstance(found, Reply):
                raw = Raw("".join(found.spoiled(_json(api.body(found)))).encode())
            assert isinstance(raw, Raw)
            length = len(raw.body) + (not raw.is_whole)
            writer.write(head_of(raw.status, raw.kind, f"content-length: {length}", *raw.headers) + raw.body)
            if not raw.is_whole:
                writer.close()
        await writer.drain()

    async def is_left(self) -> None:
        """Wait until the client has closed the connections on which something was being written."""
        if self._writing:
            await asyncio.wait(self._writing)


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
) -> AsyncIterator[str]:
    """Serve connections on loopback for the duration of a block, and give it the address."""
    tasks = set[asyncio.Task[None]]()

    async def of_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of its own: asyncio complains of one that is cancelled.
        task = asyncio.create_task(of_connection(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 24)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in (open_tasks := [*tasks]):
            task.cancel()
        if open_tasks:
            await asyncio.wait(open_tasks)


@asynccontextmanager
async def providing(answer: Answer) -> AsyncIterator[Provider]:
    """Run a provider on loopback for the duration of a block."""
    import httpx2  # comes with the frameworks

    async with httpx2.AsyncClient(verify=False, trust_env=False) as http:
        provider = Provider(answer, http)
        async with serving(provider.serve) as provider.url:
            yield provider


def head_of(status: int, kind: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", f"content-type: {kind}", *headers, "", ""]).encode()


class Written(NamedTuple):
    """Arguments of a call, which are written into a JSON text as they are, whatever JSON they hold."""

    json: str


def _json(value: Any) -> str:
    """Return JSON in ASCII, with half characters and other values as the script has them."""
    written = list[str]()

    def mark(each: Written) -> str:
        written.append(each.json)
        return f"\0{len(written) - 1}\0"

    def marked(each: Any) -> Any:
        match each:
            case Written():
                return mark(each)
            case dict():
                return {name: marked(one) for name, one in each.items()}
            case list():
                return [*map(marked, each)]
        return each

    text = json.dumps(marked(value))
    for place, each in enumerate(written):
        text = text.replace(f'"\\u0000{place}\\u0000"', each)
    return text


class Api(NamedTuple):
    """The form of an API: what a request says, and how a response and the events of its stream are written."""

    said: Callable[[Any], Iterator[tuple[str, str]]]
    body: Callable[[Reply], Any]
    events: Callable[[Reply], Iterator[tuple[str, str]]]


def _pieces(reply: Reply) -> Iterator[str]:
    return reply.pieces() if callable(reply.pieces) else iter(reply.pieces)


def _text(reply: Reply) -> str:
    assert not callable(reply.pieces), "an answer without an end is for streams"
    return "".join(reply.pieces)


def _texts(content: Any) -> str:
    return content if isinstance(content, str) else "\n\n".join(str(each.get("text", "")) for each in content or ())


def _ids() -> Callable[[], str]:
    numbers = count()
    return lambda: f"r{next(numbers)}"


_next_id: Final = _ids()


# Anthropic's messages

_USAGE: Final = {"input_tokens": 7, "output_tokens": 2}


def _said_to_anthropic(body: Any) -> Iterator[tuple[str, str]]:
    for message in body["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "tool_result":
                yield "tool", _texts(block.get("content"))
            elif block["type"] == "tool_use":
                yield "call", f"{block['name']} {json.dumps(block['input'])}"
            else:
                yield message["role"], block.get("text", "")


def _of_anthropic(reply: Reply, *, is_begun: bool = False) -> Any:
    text = [] if is_begun or not reply.pieces else [{"type": "text", "text": _text(reply)}]
    calls = [
        {"type": "tool_use", "id": each.id, "name": each.name, "input": Written(each.arguments)} for each in reply.calls
    ]
    stop = reply.stop or ("tool_use" if calls else "end_turn")
    facts = {
        "id": _next_id(),
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "stop_sequence": None,
    }
    content, stop_reason = ([], None) if is_begun else ([*text, *calls], stop)
    return {**facts, "content": content, "stop_reason": stop_reason, "usage": _USAGE}


def _events_of_anthropic(reply: Reply) -> Iterator[tuple[str, str]]:
    def event(kind: str, **data: Any) -> tuple[str, str]:
        return kind, _json({"type": kind, **data})

    yield event("message_start", message=_of_anthropic(reply, is_begun=True))
    index = 0
    if reply.pieces:
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for piece in _pieces(reply):
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        yield event("content_block_stop", index=0)
        index = 1
    for place, call in enumerate(reply.calls, index):
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield event("content_block_start", index=place, content_block=block)
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        yield event("content_block_delta", index=place, delta=delta)
        yield event("content_block_stop", index=place)
    stop = reply.stop or ("tool_use" if reply.calls else "end_turn")
    yield event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 2})
    yield event("message_stop")


# OpenAI's responses

_DETAILS: Final = {
    "input_tokens": 7,
    "output_tokens": 2,
    "total_tokens": 9,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
_INCOMPLETE: Final = {"max_tokens": "max_output_tokens", "refusal": "content_filter"}


def _said_to_responses(body: Any) -> Iterator[tuple[str, str]]:
    given = body["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        match item.get("type", "message"):
            case "function_call_output":
                yield "tool", _texts(item["output"])
            case "function_call":
                yield "call", f"{item['name']} {item['arguments']}"
            case _:
                yield item.get("role", "other"), _texts(item.get("content"))


def _of_responses(reply: Reply) -> Any:
    return _response([*_message(_text(reply) if reply.pieces else None), *_function_calls(reply)], reply.stop)


def _response(output: list[Any], stop: str) -> Any:
    reason = _INCOMPLETE.get(stop, stop)
    return {
        "id": _next_id(),
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "status": "incomplete" if stop else "completed",
        "incomplete_details": {"reason": reason} if stop else None,
        "error": None,
        "instructions": None,
        "metadata": {},
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1,
        "usage": _DETAILS,
    }


def _message(text: str | None) -> list[Any]:
    if text is None:
        return []
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return [{"id": _next_id(), "type": "message", "role": "assistant", "status": "completed", "content": content}]


def _function_calls(reply: Reply) -> list[Any]:
    return [
        {"id": _next_id(), "type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        for call in reply.calls
    ]


def _events_of_responses(reply: Reply) -> Iterator[tuple[str, str]]:
    numbers = count()

    def event(kind: str, **data: Any) -> tuple[str, str]:
        return kind, _json({"type": kind, "sequence_number": next(numbers), **data})

    yield event("response.created", response={**_response([], ""), "status": "in_progress"})
    output = list[Any]()
    if reply.pieces:
        at = {"output_index": 0, "content_index": 0, "item_id": "m"}
        (message,) = _message("")
        yield event("response.output_item.added", output_index=0, item={**message, "content": []})
        yield event("response.content_part.added", **at, part=message["content"][0])
        said = list[str]()
        for piece in _pieces(reply):
            said.append(piece)
            yield event("response.output_text.delta", **at, delta=piece, logprobs=[])
        yield event("response.output_text.done", **at, text="".join(said), logprobs=[])
        (message,) = _message("".join(said))
        yield event("response.output_item.done", output_index=0, item=message)
        output.append(message)
    for item in _function_calls(reply):
        at = {"output_index": len(output), "item_id": item["id"]}
        yield event("response.output_item.added", output_index=len(output), item={**item, "arguments": ""})
        yield event("response.function_call_arguments.delta", **at, delta=item["arguments"])
        yield event("response.function_call_arguments.done", **at, arguments=item["arguments"], name=item["name"])
        yield event("response.output_item.done", output_index=len(output), item=item)
        output.append(item)
    end = "response.incomplete" if reply.stop else "response.completed"
    yield event(end, response=_response(output, reply.stop))


# OpenAI's chat completions

_FINISHED: Final = {"max_tokens": "length", "refusal": "content_filter"}
_CHAT_USAGE: Final = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def _said_to_chat(body: Any) -> Iterator[tuple[str, str]]:
    for message in body["messages"]:
        if message["role"] not in ("system", "developer") and message.get("content") is not None:
            yield message["role"], _texts(message["content"])
        for call in message.get("tool_calls") or ():
            yield "call", f"{call['function']['name']} {call['function']['arguments']}"


def _completion(choice: Any, kind: str = "chat.completion") -> Any:
    facts = {"id": _next_id(), "object": kind, "created": 1, "model": "gpt-5"}
    return {**facts, "choices": [{"index": 0, "logprobs": None, **choice}], "usage": _CHAT_USAGE}


def _chat_calls(reply: Reply) -> list[Any]:
    return [
        {
            "index": index,
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(reply.calls)
    ]


def _finish(reply: Reply) -> str:
    return _FINISHED.get(reply.stop, reply.stop) or ("tool_calls" if reply.calls else "stop")


def _of_chat(reply: Reply) -> Any:
    text = _text(reply) if reply.pieces else None
    message = {"role": "assistant", "content": text, "tool_calls": _chat_calls(reply) or None, "refusal": None}
    return _completion({"message": message, "finish_reason": _finish(reply)})


def _events_of_chat(reply: Reply) -> Iterator[tuple[str, str]]:
    def chunk(finish: str | None = None, **delta: Any) -> tuple[str, str]:
        found = _completion({"delta": delta, "finish_reason": finish}, "chat.completion.chunk")
        return "", _json(found if finish else {**found, "usage": None})

    yield chunk(role="assistant", content="")
    for piece in _pieces(reply):
        yield chunk(content=piece)
    if reply.calls:
        yield chunk(tool_calls=_chat_calls(reply))
    yield chunk(_finish(reply))
    yield "", "[DONE]"


_APIS: Final = {
    "/v1/messages": Api(_said_to_anthropic, _of_anthropic, _events_of_anthropic),
    "/v1/responses": Api(_said_to_responses, _of_responses, _events_of_responses),
    "/v1/chat/completions": Api(_said_to_chat, _of_chat, _events_of_chat),
}
