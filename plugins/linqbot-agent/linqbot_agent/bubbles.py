"""Bubbles while the model writes: each response of a model is a stream of `ctx.stream`, before it is on record.

A kill in the middle of a response leaves bubbles that no record covers, and a second attempt would word them
differently. So what an attempt has said is recorded as cut off before the next attempt begins. The model is shown it
and goes on behind it, and the next attempt is a stream of its own. A stream ends only when its response is on record.
`OutputChecks` asks the model again if it wants to send nothing, or a file that it was not shown. This module imports
pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.output import OutputContext
from pydantic_core import to_jsonable_python

from linqbot import Context
from linqbot.errors import TurnDeferred
from linqbot_agent.links import shown_by_others
from linqbot_agent.progress import text_comes
from linqbot_agent.saying import Media, Speech
from linqbot_agent.written import visible

GO_ON: Final = (
    "[You were cut off here, and the person has read what you wrote. Go on behind it. Repeat nothing, and do not mention "
    "the interruption.]"
)
TOO_LONG: Final = "[This was too long, so the person has read only its beginning.]"
_PARAGRAPH: Final = "\n\n"
_DAY_S: Final = 86_400.0
"""The time limit of the request ends a silent model earlier."""

Change: TypeAlias = Callable[[str], str]
"""Changes what a model has written before it is said. It is given whole lines."""

Ask: TypeAlias = Callable[[Sequence[ModelMessage]], Awaitable[ModelResponse]]
"""Makes a request to the model with further messages at its end, or answers it from the record."""


class _Stopped(Exception):
    """The response that was being said has failed."""


class WrittenText:
    """The text that the model writes, piece by piece.

    pydantic-ai keeps it in reference cycles of a run, so it must not hold the bubbles, whose context holds the whole turn.
    """

    def __init__(self) -> None:
        # The texts of the response that is being written.
        self.chunks: asyncio.Queue[str | _Stopped | None] = asyncio.Queue()
        self.has_begun = False  # True if it has a text

    async def take(self, ctx: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
        has_text, part = False, -1
        async for event in events:
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                text = event.part.content
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                text = event.delta.content_delta
            else:
                continue
            if not (text := visible(text)):
                continue
            if has_text and event.index != part:
                text = _PARAGRAPH + text
            text_comes()
            has_text = self.has_begun = True
            part = event.index
            self.chunks.put_nowait(text)


class Bubbles:
    def __init__(self, ctx: Context, speech: Speech) -> None:
        self._ctx = ctx
        self._speech = speech
        self.written = WrittenText()
        self.keys: list[list[str]] = [[]]  # for each part of the run, which a question ends, the keys of its streams
        # The name of the first attempt of a response, while the model writes it.
        self._under_way: str | None = None

    def begin_part(self) -> None:
        self.keys.append([])

    async def say(self, place: str, ask: Ask, *, is_recorded: bool, change: Change | None = None) -> ModelResponse:
        """Return a response of the model, and say it: while the model writes it, or from the record.

        Args:
            place: The name of the request, the same whenever the turn runs again.
            is_recorded: True if the response is on record.
            change: None says everything as the model writes it. The response itself stays as it is.
        """
        cuts: list[str] = []
        while (cut := self._ctx.recall(f"{place}/cut{len(cuts)}", kind=str)) is not None:
            await self._say_rest(f"{place}/{len(cuts)}", "")
            cuts.append(cut)
        while True:
            key = f"{place}/{len(cuts)}"
            if is_recorded:
                response = await ask(())
                await self._say_rest(key, _changed(_text(response), change))
                break
            found = await self._attempt(key, f"{place}/cut{len(cuts)}", ask, cuts, change)
            if isinstance(found, ModelResponse):
                response = found
                break
            cuts.append(found)
        # The end of a stream has ended the dots.
        self._ctx.show_typing_when_slow()
        if self._speech.is_cut:
            response = replace(response, parts=[*response.parts, TextPart(TOO_LONG)])
        if not cuts:
            return response
        said = TextPart("".join(cut + _PARAGRAPH for cut in cuts))
        return replace(response, parts=[said, *response.parts])

    async def _attempt(
        self, key: str, cut_name: str, ask: Ask, cuts: Sequence[str], change: Change | None
    ) -> ModelResponse | str:
        """Say a response while the model writes it. If an earlier run was cut off at this, return what it has said."""
        self._note(key)
        chunks = self.written.chunks = asyncio.Queue[str | _Stopped | None]()
        self.written.has_begun = False
        so_far: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def source(said: str) -> AsyncIterator[str]:
            if said:
                await self._ctx.once(cut_name, lambda _: said, kind=str, retry=True, restartable=True)
            so_far.set_result(said)
            if not said:
                async for text in _as_changed(_taken_from(chunks), change):
                    yield text

        saying = asyncio.create_task(self._speech.stream(source, stall_s=_DAY_S, key=key))
        try:
            waited: list[asyncio.Future[Any]] = [saying, so_far]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if so_far.done() and (said := so_far.result()):
                await saying
                return said
            self._under_way = None if cuts else cut_name
            try:
                response = await ask(_go_on(cuts))
            except SaidNothing as silence:
                if not cuts:
                    raise
                response = silence.response  # there was nothing to add
            self._under_way = None
            chunks.put_nowait(None)
            await saying
        except Exception:
            # What is finished was said. The rest of a response that has failed is dropped.
            chunks.put_nowait(_Stopped())
            await asyncio.wait([saying])
            if not saying.cancelled():
                saying.exception()
            raise
        finally:
            saying.cancel()
        return response

    async def go_on(self) -> None:
        """Let the turn run again if the provider has cut a response that was being said, as after a crash. Once for each."""
        if self._under_way is None or not self.written.has_begun:
            return
        name = f"{self._under_way}/again"
        if self._ctx.recall(name) is None:
            await self._ctx.once(name, lambda _: True, retry=True, restartable=True)
            raise TurnDeferred("The provider has cut a response of the model.", after_s=0.0)

    async def _say_rest(self, key: str, text: str) -> None:
        """Say what was not said yet of a text that is on record. Repeat the messages of earlier runs in any case."""
        if any(key in keys for keys in self.keys):
            # The run has begun again after a question.
            return
        self._note(key)
        await say_rest(key, text, self._speech)

    def _note(self, key: str) -> None:
        self.keys[-1].append(key)


async def _taken_from(chunks: asyncio.Queue[str | _Stopped | None]) -> AsyncIterator[str]:
    while (chunk := await chunks.get()) is not None:
        if isinstance(chunk, _Stopped):
            raise chunk
        yield chunk


async def _as_changed(chunks: AsyncIterator[str], change: Change | None) -> AsyncIterator[str]:
    """Yield a text piece by piece; with a change, line by line, as an address may come in several chunks."""
    if change is None:
        async for chunk in chunks:
            yield chunk
        return
    line = ""
    async for chunk in chunks:
        *ended, line = (line + chunk).split("\n")
        for each in ended:
            yield f"{change(each)}\n"
    yield change(line)


def _changed(text: str, change: Change | None) -> str:
    return text if change is None else "\n".join(map(change, text.split("\n")))


async def say_rest(key: str, text: str, speech: Speech) -> None:
    """Say what was not said yet of a text that is on record, under the key of its stream."""

    async def whole() -> AsyncIterator[str]:
        if text:
            yield text

    await speech.stream(whole(), key=key)


def _go_on(cuts: Sequence[str]) -> list[ModelMessage]:
    if not cuts:
        return []
    return [ModelResponse(parts=[TextPart(_PARAGRAPH.join(cuts))]), ModelRequest(parts=[UserPromptPart(GO_ON)])]


def _text(response: ModelResponse) -> str:
    return _PARAGRAPH.join(
        visible(part.content) for part in response.parts if isinstance(part, TextPart) and part.content
    )


class SaidNothing(BaseException):
    """Ends a run at an empty response, which pydantic-ai would send back to the model: silence is an answer in a chat."""

    def __init__(self, before: Sequence[ModelMessage], response: ModelResponse) -> None:
        super().__init__()
        self.messages = [*before, response]  # the messages of the run, the empty response last
        self.response = response


@dataclass
class OutputChecks(AbstractCapability[Any]):
    """Takes an empty response as silence, and refuses files at addresses that the model made up.

    Linq fetches the address of a file. An address that a model makes up can carry what it was asked to keep secret.
    """

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Stop the run at an empty response, with `SaidNothing`."""
        # A response that the provider has cut off, or holds back, is a failure.
        if response.finish_reason not in ("length", "content_filter") and all(map(_is_empty, response.parts)):
            new = [message for message in request_context.messages if message.run_id == ctx.run_id]
            raise SaidNothing(new, response)
        return response

    async def wrap_output_process(
        self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any, handler: Any
    ) -> Any:
        """Return the output, also of a function of the author's, which may send files at addresses of its own."""
        result = await handler(output)
        if not ctx.partial_output and any(_is_made_up(file.url, output, ctx.messages) for file in _files(result)):
            raise ModelRetry("The url of a file must be one that a tool, the person or the instructions gave you.")
        return result


def _is_empty(part: ModelResponsePart) -> bool:
    return isinstance(part, ThinkingPart) or (isinstance(part, TextPart) and not part.content.strip())


def _files(output: object) -> Iterator[Media]:
    if isinstance(output, Media):
        yield output
    elif isinstance(output, list | tuple):
        for each in output:
            yield from _files(each)


def _is_made_up(url: str, given: object, messages: Sequence[ModelMessage]) -> bool:
    """Return True if an address is in what the model has given, and in nothing that it was shown."""
    return any(url in text for text in _strings(to_jsonable_python(given, fallback=str))) and not any(
        url in text for message in messages for text in shown_by_others(message)
    )


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)
