"""The outputs of an agent, as data that a model fills in, and how they are said: each of them once, however often the turn runs.

The docstrings and the descriptions of the fields of output types are part of the schema that the model sees.

What a model writes gets no preview cards: a card is fetched without a tap, so its address could carry what a stranger talked
the model into telling.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic.dataclasses import dataclass

from linqbot import BotError, Context, Event, LinqApiError, markdown, media, poll
from linqbot.client.outcome import Refusal, meaning_of
from linqbot.errors import FetchFailed, FetchRefused
from linqbot.linq.types.message import EffectName, TapbackName
from linqbot.linq.types.message import text_of as text_of_parts
from linqbot.speakers import visible

Text: TypeAlias = Annotated[str, AfterValidator(visible), AfterValidator(str.strip), StringConstraints(min_length=1)]
Address: TypeAlias = Annotated[str, StringConstraints(pattern=r"^https://\S+$", max_length=2048)]

MOST_OPTIONS: Final = 12
_STRICT: Final = ConfigDict(extra="forbid")
"""Tells the types of a list apart, also the one without fields."""


@dataclass(frozen=True, config=_STRICT)
class Say:
    """Say a text, perhaps with an effect that plays when it arrives."""

    text: Text = Field(repr=False, description="The text, in Markdown.")
    effect: EffectName | None = Field(default=None, description="The effect of the screen or of the bubble.")


@dataclass(frozen=True, config=_STRICT)
class Tapback:
    """React to the person's message with a tapback, without words."""

    name: TapbackName


@dataclass(frozen=True, config=_STRICT)
class Poll:
    """Let the people of the chat vote. A poll has no title, so say the question before it."""

    options: tuple[Text, ...] = Field(repr=False, min_length=2, max_length=MOST_OPTIONS)


@dataclass(frozen=True, config=_STRICT)
class Media:
    """Send a photo, a film or another file."""

    url: Address = Field(
        repr=False, description="The https address of the file, as a tool, the person or the instructions gave it."
    )


@dataclass(frozen=True, config=_STRICT)
class Silence:
    """Say nothing, because the message needs no answer."""


@dataclass(frozen=True, config=_STRICT)
class Several:
    """Say and do several things, in this order."""

    outputs: list[Say | Tapback | Poll | Media]


Output: TypeAlias = Say | Tapback | Poll | Media | Silence


def outputs_of(value: object) -> list[Output]:
    """Return the output of an agent as a list of things to say.

    Args:
        value: A text, an output type, None, or a list of these.
    Raises:
        BotError: it is of another type.
    """
    if isinstance(value, Several):
        value = value.outputs
    if isinstance(value, list | tuple):
        return [output for each in value for output in outputs_of(each)]
    if value is None or (isinstance(value, str) and not visible(value).strip()):
        return []
    if isinstance(value, str):
        return [Say(value)]
    if isinstance(value, Output):
        return [value]
    raise BotError(
        f"The agent's output is of type {type(value).__name__}, and run() says texts. Use an agent whose output_type "
        "is str, or one of Say, Tapback, Poll, Media, Silence and Several, or a list of these."
    )


def text_of(outputs: list[Output]) -> str:
    return "\n\n".join(output.text for output in outputs if isinstance(output, Say))


Source: TypeAlias = AsyncIterable[str] | Callable[[str], AsyncIterable[str]]
"""The source of a stream; see `Context.stream`."""


class Speech:
    """Says the texts of one run, in no more messages than an answer may have.

    Each run of a turn says the same texts in the same order, so it is cut at the same place.

    Args:
        max_messages, more: See `LinqAgent`.
    Attributes:
        said: The texts of the messages.
        is_cut: True once a text was left out.
    """

    def __init__(self, ctx: Context, max_messages: int, more: str) -> None:
        self._ctx = ctx
        self._left = max_messages
        self._more = more
        self.said: list[str] = []
        self.is_cut = False

    async def stream(self, source: Source, *, key: str, thread: bool | None = None, stall_s: float = 60.0) -> None:
        """Say a growing text, as `ctx.stream` does. After a cut nothing more is said.

        Raises:
            LinqApiError: Linq refused a message.
        """
        if self.is_cut:
            return
        sent = await self._ctx.stream(
            source, cards=False, thread=thread, stall_s=stall_s, key=key, max_messages=self._left, more=self._more
        )
        self._left -= len(sent)
        self.is_cut = self._left < 0
        self.said += [text_of_parts(message.parts) for each in sent for message in each.messages]

    async def takes_one(self, *, key: str) -> bool:
        """Return True if the answer may have one more message, which is no text. If not, that is said."""
        if self._left > 0:
            self._left -= 1
            return True
        await self.stream(whole("…"), key=key)
        return False


async def say(outputs: Sequence[Output], speech: Speech, ctx: Context, event: Event, *, key: str) -> None:
    """Say outputs, one after the other. A tapback is for the message of `event`.

    Raises:
        LinqApiError: Linq refused a text or a poll. A tapback or a file that it refuses is left out.
    """
    # In a group, the first message is the threaded reply.
    thread: bool | None = None
    for number, output in enumerate(outputs):
        own = f"{key}/{number}" if number else key
        if isinstance(output, Say) and output.effect is None:
            await speech.stream(whole(output.text), thread=thread, key=own)
        elif isinstance(output, Tapback):
            await _tap(output, ctx, event, own)
            continue
        elif isinstance(output, Silence):
            continue
        elif await speech.takes_one(key=own):
            await _send(output, ctx, thread, own)
        thread = False


async def _send(output: Say | Poll | Media, ctx: Context, thread: bool | None, key: str) -> None:
    if isinstance(output, Say):
        await ctx.reply(markdown(output.text), effect=output.effect, cards=False, thread=thread, key=key)
    elif isinstance(output, Poll):
        await ctx.reply(poll(*output.options), thread=thread, key=key)
    else:
        with _leaving_out("media", ctx):
            await ctx.reply(media(output.url), thread=thread, key=key)


async def _tap(tapback: Tapback, ctx: Context, event: Event, key: str) -> None:
    if event.message_id is None:
        ctx.log.warning("agent.left_out", what="tapback", why=f"{event.type} names no message")
        return
    with _leaving_out("tapback", ctx):
        await ctx.react(tapback.name, message_id=event.message_id, key=key)


@contextmanager
def _leaving_out(what: str, ctx: Context) -> Iterator[None]:
    """Leave out what Linq refuses, so that the rest of the answer is said."""
    try:
        yield
    except (LinqApiError, FetchRefused, FetchFailed) as error:
        if isinstance(error, LinqApiError) and meaning_of(error) is Refusal.WAIT:
            raise
        ctx.log.warning("agent.left_out", what=what, why=type(error).__name__)


async def whole(text: str) -> AsyncIterator[str]:
    yield text
