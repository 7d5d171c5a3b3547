"""`ctx.model_step`: records the response of a language model, and says its text while the model writes it.

A crash in the middle of a response leaves messages that no record covers, and a second attempt would word them
differently. So what an attempt has said is recorded as cut off before the next attempt begins. The model is shown that
text and goes on behind it, and the next attempt is a stream of its own. A stream ends only when its response is on
record. A provider that cuts a response has the same effect as a crash, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from linqbot.engine.state import Tally
from linqbot.errors import TurnDeferred
from linqbot.linq.text.pieces import PARAGRAPH
from linqbot.options import DAY_S

if TYPE_CHECKING:
    from linqbot.features.speaking import Speaker

T = TypeVar("T")

_STALL_S: Final = DAY_S
"""The longest silence of a model. A time limit of the source ends it earlier."""


class _Stopped(Exception):
    """The response that was being said has failed."""


@dataclass(slots=True)
class Draft:
    """A response that a model is writing: the argument of the source of `ctx.model_step`.

    Attributes:
        said: The text that the person has read of this response, before it was cut off. The model must go on behind it.
            Empty at the first attempt.
        has_text: True once something was written.
        is_over: True once nothing more is said of the text, such as in a chat that has got as many messages as an answer may
            have. A source that goes on reading then pays for text that is dropped.
    """

    said: str = ""
    has_text: bool = False
    is_over: bool = False
    _chunks: asyncio.Queue[str | _Stopped | None] = field(default_factory=asyncio.Queue, repr=False)

    def write(self, text: str) -> None:
        """Take the next piece of the text. It is said as soon as a sentence or a paragraph is complete."""
        if text:
            self.has_text = True
            self._chunks.put_nowait(text)

    def _end(self, with_error: _Stopped | None = None) -> None:
        self._chunks.put_nowait(with_error)

    async def _pieces(self) -> AsyncIterator[str]:
        while (chunk := await self._chunks.get()) is not None:
            if isinstance(chunk, _Stopped):
                raise chunk
            yield chunk


@dataclass(frozen=True, slots=True)
class ModelStep(Generic[T]):
    """The result of `ctx.model_step`.

    Attributes:
        response: What the source has returned.
        said: The text that the person has read before it, of attempts that were cut off. In what the model is shown
            later, it stands in front of the response. Usually empty.
        is_made: True if the model was asked in this run; False if the response was on record.
    """

    response: T
    said: str = ""
    is_made: bool = False


Source: TypeAlias = Callable[[Draft], Awaitable[object]]


@dataclass(slots=True)
class Saying:
    """One response that is recorded and said; see `Context.model_step`.

    `say` returns the text of a response, or None to say nothing; `stream` says a growing text, as `Context.stream`
    does.
    """

    ctx: Speaker
    name: str
    source: Source
    kind: Any
    say: Callable[[Any], str] | None
    stream: Callable[..., Awaitable[object]]
    tally: Tally[Any] | None
    is_made: bool = False
    has_failed: bool = False  # True if the source has raised an error
    cuts: list[str] = field(default_factory=list)  # the texts of the attempts that were cut off

    async def done(self) -> ModelStep[Any]:
        if self.say is None:
            return ModelStep(await self._recorded(Draft()), is_made=self.is_made)
        while (cut := self.ctx.recall(self._cut, kind=str)) is not None:
            await self.stream(_whole(""), key=self._key)
            self.cuts.append(cut)
        if self.ctx.recall(self.name) is None:
            while (response := await self._attempt()) is None:
                pass
        else:
            response = [await self._recorded(Draft())]
            await self.stream(_whole(self.say(response[0])), key=self._key)
        # The end of a stream has ended the dots.
        self.ctx.show_typing_when_slow()
        return ModelStep(response[0], PARAGRAPH.join(self.cuts), self.is_made)

    @property
    def _key(self) -> str:
        return f"{self.name}/{len(self.cuts)}"

    @property
    def _cut(self) -> str:
        return f"{self.name}/cut{len(self.cuts)}"

    async def _recorded(self, draft: Draft) -> Any:
        async def make(_: str) -> object:
            self.is_made = True
            try:
                return await self.source(draft)
            except Exception:
                self.has_failed = True
                raise

        return await self.ctx.once(self.name, make, kind=self.kind, retry=True, restartable=True, tally=self.tally)

    async def _attempt(self) -> list[Any] | None:
        """Say a response while the model writes it, and return it in a list.

        Return None if an earlier run was cut off at this attempt. What it has said is a cut then.
        """
        draft = Draft(PARAGRAPH.join(self.cuts))
        so_far: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def growing(said: str) -> AsyncIterator[str]:
            if said:
                await self._note(self._cut, said)
            so_far.set_result(said)
            try:
                if not said:
                    async for text in draft._pieces():  # noqa: SLF001 - of this module
                        yield text
            finally:
                draft.is_over = True

        saying = asyncio.ensure_future(self.stream(growing, stall_s=_STALL_S, key=self._key))
        try:
            waited: list[asyncio.Future[Any]] = [saying, so_far]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if so_far.done() and (said := so_far.result()):
                await saying
                self.cuts.append(said)
                return None
            response = await self._recorded(draft)
            if not draft.has_text and self.say is not None:
                draft.write(self.say(response))
            draft._end()  # noqa: SLF001
            await saying
        except Exception as error:
            # What is finished was said. The rest of a response that has failed is dropped.
            draft._end(_Stopped())  # noqa: SLF001
            await asyncio.wait([saying])
            if not saying.cancelled():
                saying.exception()
            is_first = not self.cuts and self.ctx.recall(f"{self.name}/again") is None
            if self.has_failed and draft.has_text and is_first:
                self.ctx.log.warning("model.cut_off", step=self.name, error=type(error).__name__)
                await self._note(f"{self.name}/again", "")
                raise TurnDeferred("The provider has cut a response of the model.", after_s=0.0) from error
            raise
        finally:
            saying.cancel()
        return [response]

    async def _note(self, name: str, value: str) -> None:
        await self.ctx.once(name, lambda _: value, kind=str, retry=True, restartable=True)


async def _whole(text: str) -> AsyncIterator[str]:
    if text:
        yield text
