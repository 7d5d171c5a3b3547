"""Says the outputs of an agent in the event's chat, each of them once, however often the turn runs.

What a model writes gets no preview cards: a card is fetched without a tap, so its address could carry what a stranger talked
the model into telling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from linqbot import Context, Event, LinqApiError, LinqUnavailable, RateLimited, markdown, media, poll
from linqbot.client.http.media_fetch import FetchFailed, FetchRefused
from linqbot_agent.speech.outputs import Media, Output, Poll, Say, Tapback


async def say(outputs: Sequence[Output], ctx: Context, event: Event, *, key: str) -> None:
    """Say outputs, one after the other.

    Args:
        event: The event that the agent answers. A tapback is for its message.
        key: Identifies the outputs within their turn.
    Raises:
        LinqApiError: Linq refused a text or a poll. A tapback or a file that it refuses is left out.
    """
    # In a group, the first message is the threaded reply.
    thread: bool | None = None
    for number, output in enumerate(outputs):
        own = f"{key}/{number}" if number else key
        if isinstance(output, Say) and output.effect is None:
            await ctx.stream(_whole(output.text), cards=False, thread=thread, key=own)
        elif isinstance(output, Say):
            await ctx.reply(markdown(output.text), effect=output.effect, cards=False, thread=thread, key=own)
        elif isinstance(output, Poll):
            await ctx.reply(poll(*output.options), thread=thread, key=own)
        elif isinstance(output, Media):
            with _leaving_out("media", ctx):
                await ctx.reply(media(output.url), thread=thread, key=own)
        else:
            if isinstance(output, Tapback):
                await _tap(output, ctx, event, own)
            continue
        thread = False


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
