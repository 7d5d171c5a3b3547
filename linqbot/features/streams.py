"""`ctx.stream`: sends a growing text, such as a model's answer, in several messages while the text still grows.

The source is read while messages are sent. The pace decides which finished pieces make the next message, and how long
to wait before it. Each message is journalled under the stream's own key. When a turn runs again, the stream first
repeats the messages of its earlier runs: the journal answers for those that Linq has taken, and the others are sent.
Then the stream goes on behind them.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from pydantic_core import from_json, to_json

from linqbot.client.call import Call
from linqbot.clock import Clock
from linqbot.content.message_split import bubbles
from linqbot.content.sent import Sent
from linqbot.content.typing import TypingIndicator
from linqbot.engine.slots import labelled
from linqbot.errors import BotError, StreamStalled
from linqbot.linq.text.pieces import PARAGRAPH, SLICE, Cutter, Piece
from linqbot.linq.text.styled import joined
from linqbot.linq.types.message import LinkPart, MessageContent, ReplyTo, TextPart
from linqbot.storage.journal import JournalEntry

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal


@dataclass(slots=True, eq=False)
class Stream:
    """One stream of one run of a turn, with the arguments of `Context.stream`.

    `send` sends messages into the chat under the stream's key, the first of them with `reply_to`. Raises BotError if
    `stall_s` is not a number of seconds, or `max_messages` no number of messages.
    """

    send: Callable[[Sequence[MessageContent]], Awaitable[Sent]]
    typing: TypingIndicator
    clock: Clock
    reply_to: ReplyTo | None
    service: str | None
    log: Any
    record: StreamJournal
    pace: Pace
    markdown: bool
    cards: bool
    stall_s: float
    max_messages: int | None = None
    more: str | None = None
    _most: float = field(init=False)
    _cutter: Cutter = field(init=False)
    _waiting: list[Piece] = field(init=False, default_factory=list)
    _sent: list[Sent] = field(init=False, default_factory=list)
    _said_at: float | None = field(init=False, default=None)
    _continuation: Continuation = field(init=False)

    def __post_init__(self) -> None:
        if not self.stall_s > 0:
            raise BotError(f"ctx.stream(stall_s={self.stall_s!r}): give seconds, more than 0.")
        if self.max_messages is not None and self.max_messages < 0:
            raise BotError(f"ctx.stream(max_messages={self.max_messages!r}): give a number of messages, 0 or more.")
        self._most = math.inf if self.max_messages is None else self.max_messages
        self._cutter = Cutter(markdown=self.markdown, cards=self.cards)
        self._continuation = Continuation("")

    async def say(self, source: StreamSource) -> list[Sent]:
        """Say the text of a source, and return the result of each send. The last one may be refused.

        Raises StreamStalled if the source was silent for too long.
        """
        try:
            if await self._repeat() and not self.record.is_complete:
                await self._go_on(source)
            return self._sent
        finally:
            self.typing.stop()

    async def _repeat(self) -> bool:
        """Repeat the messages of earlier runs. Return False if one of them is refused now."""
        for message in self.record.said:
            if not await self._send([message]):
                return False
        return True

    async def _go_on(self, source: StreamSource) -> None:
        if len(self._sent) > self._most:  # an earlier run has said `more`
            self.record.complete()
            return
        so_far = seen(self.record.said)
        if hasattr(source, "__aiter__"):
            self._continuation = Continuation(so_far)
        self.typing.resume()
        async with Reader(source, so_far, self.clock) as reader:
            if await self._speak(reader):
                self.record.complete()

    async def _speak(self, reader: Reader) -> bool:
        """Say what the reader reads. Return False if a message was refused."""
        has_ended = False
        while True:
            await self._read(reader.take())
            if reader.is_over and not has_ended:
                has_ended = True
                self._add(self._cutter.close())
            now = self.clock.now()
            count = self.pace.count(
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
                    await self.clock.wait_until(due)
                    continue
                if len(self._sent) >= self._most:
                    return self.more is None or await self._send(bubbles([self.more]))
                if not await self._say_next(count):
                    return False
                if self._waiting or not has_ended:
                    self.typing.resume()
            elif has_ended:
                return True
            else:
                await self._listen(reader, now)

    async def _listen(self, reader: Reader, now: float) -> None:
        """Wait for the source. Raises StreamStalled if it was silent for too long."""
        silent_at, quiet_at = reader.heard_at + self.stall_s, reader.heard_at + QUIET_S
        if now >= silent_at:
            raise StreamStalled(self.stall_s)
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
            self.log.warning("stream.differs", messages=len(self._sent))

    def _due(self, count: int) -> float:
        """Return the time at which a message of the first pieces may be sent."""
        if self._said_at is None:
            return 0.0
        return self._said_at + self.pace.pause_s(sum(len(piece.text.text) for piece in self._waiting[:count]))

    async def _say_next(self, count: int) -> bool:
        pieces = self._waiting[:count]
        del self._waiting[:count]
        text = joined([piece.text for piece in pieces], [piece.gap for piece in pieces[1:]])
        reply_to = None if self._sent else self.reply_to
        messages = bubbles([text], reply_to=reply_to, service=self.service, cards=self.cards)
        if len(self._sent) + len(messages) > self._most:
            del messages[int(self._most) - len(self._sent) :]
            self._waiting[:0] = pieces[-1:]  # there is more to say
        if len(messages) > 1:
            # A next run goes on behind the text, so it must know of the cards that follow the text.
            await self.record.plan(messages)
        for message in messages:
            if not await self._send([message]):
                return False
        self._said_at = self.clock.now()
        return True

    async def _send(self, messages: Sequence[MessageContent]) -> bool:
        sent = await self.send(messages)
        self._sent.append(sent)
        if sent.status != "accepted":
            return False
        self.record.note(messages)
        return True


StreamSource: TypeAlias = AsyncIterable[str] | Callable[[str], AsyncIterable[str] | Awaitable[AsyncIterable[str]]]
"""An async iterator of texts, or a function that takes the text which the person has already seen and returns one."""


class Reader:
    """Reads a source in a task of its own. `async with` starts and ends the task.

    A source that is a function gets the text that the person has already seen. `heard_at` is the time of the last
    chunk; at first, of the start.
    """

    def __init__(self, source: StreamSource, so_far: str, clock: Clock) -> None:
        self._source = source
        self._so_far = so_far
        self._clock = clock
        self._chunks: list[str] = []
        self._wake = asyncio.Event()
        self._error: BaseException | None = None
        self._has_ended = False
        self.heard_at = clock.now()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        # A source that has ended has nothing to cancel, and its task must not seem to have failed.
        if not self._has_ended:
            self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def is_over(self) -> bool:
        """True if the source has ended without an error, and all of its chunks were taken."""
        return self._has_ended and not self._chunks and self._error is None

    def take(self) -> str:
        """Return the text that has come since the last call. If the source failed, raise its error after all that it gave."""
        if self._error is not None and not self._chunks:
            raise self._error
        text = "".join(self._chunks)
        self._chunks.clear()
        return text

    async def changed(self, until: float) -> None:
        """Wait for the next chunk or the end of the source, but at most until a time in Unix seconds.

        Return at once if the source has ended: the next `take` then raises its error.
        """
        if self._has_ended:
            return
        # The alarm must not count as work of the turn: nothing of the turn waits for the time itself.
        alarm = asyncio.get_running_loop().create_task(self._ring(until), context=Context())
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()
            self._wake.clear()

    async def _ring(self, at: float) -> None:
        await self._clock.wait_until(at)
        self._wake.set()

    async def _read(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                chunks = await self._opened()
                if hasattr(chunks, "aclose"):
                    await stack.enter_async_context(aclosing(chunks))
                async for chunk in chunks:
                    _check(chunk)
                    self._chunks.append(chunk)
                    self.heard_at = self._clock.now()
                    self._wake.set()
        except BaseException as error:  # noqa: BLE001 - the handler gets every error of its source, such as TurnDeferred
            self._error = error
        finally:
            self._has_ended = True
            self._wake.set()

    async def _opened(self) -> Any:
        source: Any = self._source
        if callable(source) and not hasattr(source, "__aiter__"):
            source = source(self._so_far)
            if inspect.isawaitable(source):
                source = await source
        if not hasattr(source, "__aiter__"):
            raise BotError(
                f"ctx.stream takes an async iterator of texts, or a function that returns one, not {type(source).__name__}. "
                "Send a finished text with ctx.reply."
            )
        return source


def _check(chunk: object) -> None:
    if not isinstance(chunk, str):
        raise BotError(f"The source of ctx.stream gave an object of type {type(chunk).__name__}. Give texts.")


PaceName: TypeAlias = Literal["human", "fast"]
QUIET_S: Final = 2.0
"""Seconds after which a source is quiet, such as a model that calls a tool. Finished sentences are then said."""
_CHARACTERS_PER_S: Final = 80
_SHORTEST_PAUSE_S: Final = 0.8
_LONGEST_PAUSE_S: Final = 2.5


@dataclass(frozen=True, slots=True)
class Pace:
    """A pace. The sizes are in characters.

    Attributes:
        least: The size from which a message may end inside a paragraph.
        most: The size at which a message ends, if a piece does.
        paragraph: The size from which a message ends with its paragraph.
        is_early: True if the first message, and one after which the source is quiet, may be shorter than `least`.
        has_pauses: True waits before each message as a person who types would.
    """

    least: int
    most: int
    paragraph: int = 1
    is_early: bool = True
    has_pauses: bool = True

    def count(
        self, waiting: Sequence[Piece], *, is_first: bool, is_over: bool, is_after_paragraph: bool, is_quiet: bool
    ) -> int:
        """Return the number of pieces that make the next message; 0 to wait for more.

        `is_over`: no piece follows those that wait. `is_quiet`: the source has given nothing for `QUIET_S`.
        """
        size = 0
        for i, piece in enumerate(waiting):
            grown = size + len(piece.gap) + len(piece.text.text)
            is_end = i and (grown > self.most or (piece.gap == PARAGRAPH and size >= self.paragraph))
            if is_end and (i > 1 or not waiting[0].is_heading):
                # A heading belongs to what follows it.
                return i - waiting[i - 1].is_heading
            size = grown
        if is_over or not waiting or waiting[-1].is_heading:
            return len(waiting) if is_over else 0
        if is_after_paragraph and not waiting[-1].is_item and size >= self.paragraph:
            return len(waiting)
        if self.is_early and (is_quiet or (is_first and not waiting[-1].is_item)):
            return len(waiting)
        return len(waiting) if size >= self.least and not waiting[-1].is_item else 0

    def pause_s(self, size: int) -> float:
        """Return the seconds between the last message and one of `size` characters."""
        if not self.has_pauses:
            return 0.0
        return min(max(size / _CHARACTERS_PER_S, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)


_PACES: Final = {
    "human": Pace(least=120, most=500),
    "fast": Pace(least=1000, most=1000, has_pauses=False),
}
_SMS: Final = Pace(least=480, most=1200, paragraph=480, is_early=False)


def pace_of(name: str, service: str | None) -> Pace:
    """Return the pace of this name. On SMS messages are fewer and longer. Raises BotError if there is no such pace."""
    if name not in _PACES:
        raise BotError(f"There is no pace {name!r}. Give one of: {', '.join(_PACES)}.")
    pace = _PACES[name]
    return replace(_SMS, has_pauses=pace.has_pauses) if service == "SMS" else pace


_CALL = to_json({"noun": "ctx", "verb": "stream"})

_LOST = MessageContent(parts=(TextPart(value="…"),))
"""Stands for a message whose text is not known any more. It is never sent: the journal has its answer."""


class StreamJournal:
    """The part of a turn's journal that belongs to one stream. Without a key, the stream is numbered within the turn.

    After a crash, the journal entries of the sends still have their texts. After a failure they have none any more, so the
    run that failed has stored the messages in an entry of the stream itself, with the safety class `step`.

    Raises BotError if the turn has ended, or the key was used before in this run.

    Attributes:
        said: The messages of earlier runs, in order. Linq has taken them, or may have; planned ones may be still to send.
        is_complete: True if an earlier run has said everything.
    """

    def __init__(self, journal: TurnJournal, key: str | None) -> None:
        journal.refuse_after_end("stream")
        self._journal = journal
        self.label = journal.slots.label_of_stream(key)
        part = journal.slots.part
        slot = f"{part}stream:{self.label}"
        self._entry = journal.steps.get(slot) or journal.new_entry(slot, "step", _CALL)
        known = {entry.slot: entry for entry in journal.calls_of_earlier_runs()}
        stored: dict[str, Any] = from_json(self._entry.answer) if self._entry.answer else {}
        kept = stored.get("messages", [])
        self.is_complete: bool = journal.is_past or bool(stored.get("is_complete"))
        self.said: list[MessageContent] = []
        while (sent := known.get(labelled(part, self.label, len(self.said)))) is not None:
            if sent.status not in ("accepted", "attempting"):
                break
            at = len(self.said)
            self.said.append(_content(sent, kept[at] if at < len(kept) else None))
        if sent is None:
            # Planned messages whose sends have not begun. After a refused send, none follow.
            self.said += map(_kept_content, kept[len(self.said) :])
        self._messages: list[MessageContent] = []

    async def plan(self, messages: Sequence[MessageContent]) -> None:
        """Record messages that belong together before the first is sent: a run that ends between them leaves none out."""
        self.said = [*self._messages, *messages]
        entry = self._recorded(is_complete=False)
        self._journal.steps[entry.slot] = entry
        await self._journal.store(entry)

    def note(self, messages: Sequence[MessageContent]) -> None:
        """Record messages that were sent in this run."""
        self._messages += messages
        self._recorded(is_complete=self.is_complete)

    def complete(self) -> None:
        """Record that everything was said."""
        self._recorded(is_complete=True)

    def _recorded(self, *, is_complete: bool) -> JournalEntry:
        """Keep the entry of the stream, and return it."""
        # With those of earlier runs that this run has not repeated yet: it may end before it does.
        later = self.said[len(self._messages) :]
        messages = [message.to_json_object() for message in (*self._messages, *later)]
        answer = to_json({"messages": messages, "is_complete": is_complete})
        entry = replace(self._entry, status="accepted", answer=answer)
        self._journal.progress[entry.slot] = entry
        return entry


def _content(sent: JournalEntry, kept: dict[str, Any] | None) -> MessageContent:
    message = (Call.from_json(sent.call).body or {}).get("message") or kept
    return _LOST if message is None else _kept_content(message)


def _kept_content(message: dict[str, Any]) -> MessageContent:
    return MessageContent.model_validate({**message, "idempotency_key": None})


def seen(messages: Iterable[MessageContent]) -> str:
    """Return the text that a person has seen: a paragraph for each text, with the cards of other addresses below it."""
    paragraphs: list[str] = []
    for message in messages:
        for part in message.parts or ():
            if isinstance(part, TextPart):
                paragraphs.append(part.value)
            elif isinstance(part, LinkPart) and not any(part.value in each for each in paragraphs[-4:]):
                paragraphs[-1:] = ["\n".join([*paragraphs[-1:], part.value])]
    return "\n\n".join(paragraphs)


class Continuation:
    """Leaves out of a text that begins again what was already said.

    The comparison ignores spaces and brackets, which differ where an address became a card. If the new text differs
    from what was said, as a model's second answer does, all of it is new.
    """

    def __init__(self, said: str) -> None:
        self._said = _compared(said)
        self._at = 0
        self._skipped: list[Piece] = []
        self.is_different = False

    def new(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Return the pieces that are new, in order."""
        found: list[Piece] = []
        for piece in pieces:
            if self._at >= len(self._said):
                found.append(piece)
                continue
            text = _compared(piece.text.text)
            left = self._said[self._at :]
            if left.startswith(text):
                self._skipped.append(piece)
                self._at += len(text)
            elif text.startswith(left):
                found.append(_behind(piece, len(left)))
                self._at = len(self._said)
            else:
                self.is_different = True
                self._at = len(self._said)
                found += [*self._skipped, piece]
        return found


def _compared(text: str) -> str:
    return "".join(text.split()).replace("(", "").replace(")", "")


def _behind(piece: Piece, count: int) -> Piece:
    """Return the part of a piece behind the first `count` characters that are compared."""
    at = 0
    for character in piece.text.text:
        if not count:
            break
        at += 1
        count -= bool(_compared(character))
    return replace(piece, text=piece.text[at:].stripped())
