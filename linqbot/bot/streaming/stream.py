"""`ctx.stream`: a growing text is said in messages while it still grows, at the pace of a person, and once.

Each message is journalled under the stream's own key. A turn that runs again repeats the messages of its earlier runs
first: the journal answers for those that Linq has taken, and the others are sent. Then the stream goes on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from linqbot.bot.content.message_split import bubbles
from linqbot.bot.sent import Sent
from linqbot.bot.streaming.pace import QUIET_S, Pace
from linqbot.bot.streaming.record import Continuation, StreamRecord, seen
from linqbot.bot.streaming.source import Reader, StreamSource
from linqbot.bot.typing import TypingIndicator
from linqbot.clock import Clock
from linqbot.errors import BotError, StreamStalled
from linqbot.text.pieces import SLICE, Cutter, Piece
from linqbot.text.styled import joined
from linqbot.types.message import MessageContent, ReplyTo

ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class StreamChat:
    """The chat to speak in.

    Attributes:
        send: Sends messages under the stream's key.
        reply_to: The message that the first message answers; None for no thread.
        service: The service of the chat, if it is known.
        log: The logger of the context.
    """

    send: Callable[[Sequence[MessageContent]], Awaitable[Sent]]
    typing: TypingIndicator
    clock: Clock
    reply_to: ReplyTo | None
    service: str | None
    log: Any


class Stream:
    """One stream of one run of a turn.

    Args:
        stall_s: The longest silence of the source, in seconds.
        max_messages, more: See `Context.stream`.
    Raises:
        BotError: `stall_s` is not a number of seconds, or `max_messages` no number of messages.
    """

    def __init__(
        self,
        chat: StreamChat,
        record: StreamRecord,
        pace: Pace,
        *,
        markdown: bool,
        cards: bool,
        stall_s: float,
        max_messages: int | None = None,
        more: str | None = None,
    ) -> None:
        if not stall_s > 0:
            raise BotError(f"ctx.stream(stall_s={stall_s!r}): give seconds, more than 0.")
        if max_messages is not None and max_messages < 0:
            raise BotError(f"ctx.stream(max_messages={max_messages!r}): give a number of messages, 0 or more.")
        self._chat = chat
        self._record = record
        self._pace = pace
        self._cards = cards
        self._stall_s = stall_s
        self._most = math.inf if max_messages is None else max_messages
        self._more = more
        self._cutter = Cutter(markdown=markdown, cards=cards)
        self._waiting: list[Piece] = []
        self._sent: list[Sent] = []
        self._said_at: float | None = None
        self._continuation = Continuation("")

    async def say(self, source: StreamSource) -> list[Sent]:
        """Say the text of a source.

        Returns:
            The results of the sends, one for each message of the stream. The last one may be refused.
        Raises:
            StreamStalled: the source was silent for too long.
        """
        try:
            if await self._repeat() and not self._record.is_complete:
                await self._go_on(source)
            return self._sent
        finally:
            self._chat.typing.stop()

    async def _repeat(self) -> bool:
        """Repeat the messages of earlier runs. Return False if one of them is refused now."""
        for message in self._record.said:
            if not await self._send([message]):
                return False
        return True

    async def _go_on(self, source: StreamSource) -> None:
        if len(self._sent) > self._most:  # an earlier run has said `more`
            self._record.complete()
            return
        so_far = seen(self._record.said)
        if hasattr(source, "__aiter__"):
            self._continuation = Continuation(so_far)
        self._chat.typing.resume()
        async with Reader(source, so_far, self._chat.clock) as reader:
            if await self._speak(reader):
                self._record.complete()

    async def _speak(self, reader: Reader) -> bool:
        """Say what the reader reads. Return False if a message was refused."""
        has_ended = False
        while True:
            await self._read(reader.take())
            if reader.is_over and not has_ended:
                has_ended = True
                self._add(self._cutter.close())
            now = self._chat.clock.now()
            count = self._pace.count(
                self._waiting,
                is_first=not self._sent,
                is_over=has_ended,
                is_after_paragraph=self._cutter.is_after_paragraph,
                is_quiet=now >= reader.heard_at + QUIET_S,
            )
            if count:
                due = self._due(count)
                if now < due:
                    # More may be finished until then.
                    await self._chat.clock.wait_until(due)
                    continue
                if len(self._sent) >= self._most:
                    return await self._say_more()
                if not await self._say_next(count):
                    return False
                if self._waiting or not has_ended:
                    self._chat.typing.resume()
            elif has_ended:
                return True
            else:
                await self._listen(reader, now)

    async def _listen(self, reader: Reader, now: float) -> None:
        """Wait for the source.

        Raises:
            StreamStalled: it was silent for too long.
        """
        silent_at, quiet_at = reader.heard_at + self._stall_s, reader.heard_at + QUIET_S
        if now >= silent_at:
            raise StreamStalled(self._stall_s)
        await reader.changed(min(silent_at, quiet_at) if self._waiting and now < quiet_at else silent_at)

    async def _read(self, text: str) -> None:
        for at in range(0, len(text), SLICE):
            if at:
                await asyncio.sleep(0)  # a whole answer at once must not make all other chats wait
            self._add(self._cutter.feed(text[at : at + SLICE]))

    def _add(self, pieces: list[Piece]) -> None:
        was_different = self._continuation.is_different
        self._waiting += self._continuation.new(pieces)
        if self._continuation.is_different and not was_different:
            self._chat.log.warning("stream.differs", messages=len(self._sent))

    def _due(self, count: int) -> float:
        """Return the time at which a message of the first pieces may be sent."""
        if self._said_at is None or not self._record.has_pauses:
            return 0.0
        return self._said_at + self._pace.pause_s(sum(len(piece.text.text) for piece in self._waiting[:count]))

    async def _say_next(self, count: int) -> bool:
        pieces = self._waiting[:count]
        del self._waiting[:count]
        text = joined([piece.text for piece in pieces], [piece.gap for piece in pieces[1:]])
        reply_to = None if self._sent else self._chat.reply_to
        messages = bubbles([text], reply_to=reply_to, service=self._chat.service, cards=self._cards)
        if len(self._sent) + len(messages) > self._most:
            del messages[int(self._most) - len(self._sent) :]
            self._waiting[:0] = pieces[-1:]  # there is more to say
        if len(messages) > 1:
            # A next run goes on behind the text, so it must know of the cards that follow the text.
            await self._record.plan(messages)
        for message in messages:
            if not await self._send([message]):
                return False
        self._said_at = self._chat.clock.now()
        return True

    async def _say_more(self) -> bool:
        """Say that the rest of the text is left out. Return False if that was refused."""
        return self._more is None or await self._send(bubbles([self._more]))

    async def _send(self, messages: Sequence[MessageContent]) -> bool:
        sent = await self._chat.send(messages)
        self._sent.append(sent)
        if sent.status != ACCEPTED:
            return False
        self._record.note(messages)
        return True
