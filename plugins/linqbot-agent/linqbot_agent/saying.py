"""Says the outputs of an agent in the event's chat, each of them once, however often the turn runs.

What a model writes gets no preview cards: a card is fetched without a tap, so its address could carry what a stranger talked
the model into telling.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from linqbot import Context, Event, LinqApiError, LinqUnavailable, RateLimited, markdown, media, poll
from linqbot.client.http.media_fetch import FetchFailed, FetchRefused
from linqbot.linq.types.message import text_of
from linqbot_agent.outputs import Media, Output, Poll, Say, Silence, Tapback

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
        self.said += [text_of(message.parts) for each in sent for message in each.messages]

    async def takes_one(self, *, key: str) -> bool:
        """Return True if the answer may have one more message, which is no text. If not, that is said."""
        if self._left > 0:
            self._left -= 1
            return True
        await self.stream(_whole("…"), key=key)
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
            await speech.stream(_whole(output.text), thread=thread, key=own)
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
    except (LinqUnavailable, RateLimited):
        raise
    except (LinqApiError, FetchRefused, FetchFailed) as error:
        ctx.log.warning("agent.left_out", what=what, why=type(error).__name__)


async def _whole(text: str) -> AsyncIterator[str]:
    yield text
