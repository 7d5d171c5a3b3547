"""A breaker for loops: two bots that answer each other would never stop, so our bot falls silent. It spares people.

In a loop neither side says anything new. The breaker acts when both of these hold for the last nine messages, where both
directions and each bubble count:

1. The other side says nothing new. It repeats one message, or two in turn, or quotes us and adds the same each time.
2. Our replies repeat too: the same message gets the same reply, apart from quotes. Or the exchange runs at a machine's
   pace: each message comes within a second of our reply, and sooner than a person can write it.

So paging, menus, games, flash cards and counting go on without limit: `next` is repeated, but its answer is not. A
message that was sent before our reply belongs to a burst. It answers no reply, so it makes no loop.

Sometimes nothing tells a person from a machine: the same text, the same answer, a person's pace. Then the breaker acts.
After four equal answers the fifth is left out; after two or three, if something else came before or the answers have
several bubbles. The person has read that answer already. The handler does not run, though: a bot that counts equal
messages must say the count in its reply, or turn the breaker off. Where a silence could lose more, people are answered:

- A message that got different answers lately, such as "roll", may get a new one, even if the last four were equal.
- Two short messages in turn are letters of a word or numbers of a menu. A short one makes a loop only by itself.
- A file without text is new, in both directions. With a text, files are compared by name, type and size.
- The shorter a message is, the sooner a person can send it: "1" is one tap.
- The silence ends at the first new message, or after `PAUSE_S`. A machine that only answers sends nothing more by then.

The state is in memory, per chat, and of fixed size. It holds hashes, and of what may be quoted the first characters.
A restart forgets it, which costs a few messages.
"""

from __future__ import annotations

import itertools
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import Final

from linqbot.bot.loops.quotes import Quotable, gist_of_message, gist_of_reply, normal

MESSAGES: Final = 9
"""A loop is found at its ninth message at the earliest."""
WINDOW: Final = 4
"""Exchanges looked at. The first of so many may be the one that set the loop off, and be new."""
MEMORY: Final = 16
"""Exchanges remembered, to know which messages get a changing answer."""
BUBBLES: Final = 8
"""Bubbles of our reply that a message may quote."""
ROUNDS: Final = 3
"""Messages that must have answered a reply of ours. Two are enough where replies have three bubbles or more."""
WORD_CHARS: Final = 4
"""Two shorter messages in turn are no loop, but letters of a word that is spelled, or numbers of a menu."""
SOON_S: Final = 10.0
"""A message this soon after our reply may be a machine's answer to it."""
PAUSE_S: Final = 10.0
"""The longest silence."""
PACE_S: Final = 1.0
"""A machine's pace: within so many seconds after our reply."""
REACTION_S: Final = 0.25
"""No person reacts sooner."""
CHARS_PER_S: Final = 30.0
"""No person writes faster."""
SKEW_S: Final = 2.0
"""The largest difference between Linq's clock and ours."""
ROUNDING_S: Final = 0.02
"""Times closer than this are equal. Linq rounds to milliseconds, so an answer may seem older than our reply."""
TRANSIT_S: Final = 0.05
"""A message that is handled this soon after our reply was on its way before it."""
CHATS: Final = 2048
"""Chats remembered: those with the latest messages. A loop turns within seconds, so it is not pushed out."""


class Loop(IntEnum):
    """The verdict on a message. Only `NONE` is false, and is to be answered."""

    NONE = 0
    FOUND = 1
    GOES_ON = 2


class _Kind(Enum):
    """The place of a message in the conversation: after a pause, after our reply, or sent before our reply."""

    START = auto()
    ANSWER = auto()
    BURST = auto()


@dataclass(slots=True, eq=False)
class _Exchange:
    """One message and our whole reply to it, all its bubbles together, as hashes."""

    heard: int
    kind: _Kind
    is_short: bool
    is_fast: bool
    said: int = 0
    bubbles: int = 0
    is_quoted: bool = False


@dataclass(slots=True)
class _Chat:
    """A chat's state, kept small: most chats never see a loop.

    Attributes:
        window: The newest exchanges, the oldest first.
        answers: The message and the reply of each exchange in memory, in turn; not of the first one after a pause,
            because bots greet.
        bubbles: Bubbles of our last reply.
        rounds: Messages since the last pause that answered a reply of ours.
        open: The exchange whose reply may still grow.
        told: Its message.
    """

    window: tuple[_Exchange, ...] = ()
    answers: array[int] = field(default_factory=lambda: array("q"))
    bubbles: tuple[Quotable | None, ...] = ()
    rounds: int = 0
    open: _Exchange | None = None
    message_id: str | None = None
    told: Quotable | None = None
    said_at: float = 0.0
    silent_at: float | None = None


class LoopBreaker:
    """Watches the messages and replies of each chat."""

    def __init__(self) -> None:
        self._chats: OrderedDict[str, _Chat] = OrderedDict()
        self._unlike_any = itertools.count()

    def said(self, chat_id: str, text: str, now: float, *, files: str = "") -> None:
        """Note a bubble or a tapback of ours.

        Args:
            now: Our time, when Linq has accepted the bubble.
            files: Names everything else in the bubble, see `drafts.files_of`. A bubble with neither text nor a name is new.
        """
        chat = self._chat(chat_id)
        chat.said_at = now
        reply = chat.open
        before = chat.bubbles if reply is not None and reply.bubbles else ()
        words = normal(text)
        chat.bubbles = (*before, Quotable.of_words(words))[-BUBBLES:]
        if reply is not None:
            gist = gist_of_reply(words, chat.told)
            reply.said = hash((reply.said, self._hash(gist, files, is_known=bool(gist or files))))
            reply.bubbles += 1

    def heard(
        self,
        chat_id: str,
        text: str,
        sent_at: float,
        now: float | None = None,
        *,
        files: str = "",
        message_id: str | None = None,
    ) -> Loop:
        """Judge a message that is about to be handled.

        Args:
            sent_at: The time of the message by Linq's clock.
            now: The time by ours; None where both are the same and the message took no time.
            files: Names everything else in the message.
            message_id: Tells another run of the same message from an equal message.
        """
        chat = self._chat(chat_id)
        if message_id is not None and message_id == chat.message_id and chat.open is not None:
            chat.open.said = chat.open.bubbles = 0
            return Loop.NONE
        chat.message_id = message_id
        words = normal(text)
        gist = gist_of_message(words, chat.bubbles)
        is_answered = _close(chat, is_quoted=gist is not None)
        heard = self._hash(text if gist is None else gist, files, is_known=bool(text.strip()))
        if _is_silent(chat, heard, sent_at):
            return Loop.GOES_ON
        by_linq, by_us = sent_at - chat.said_at, (sent_at if now is None else now) - chat.said_at
        kind = _kind(by_linq, by_us) if is_answered else _Kind.START
        message = _Exchange(heard, kind, is_short=len(text) < WORD_CHARS, is_fast=_is_fast(by_linq, by_us, text))
        if kind is not _Kind.BURST:
            chat.rounds = chat.rounds + 1 if kind is _Kind.ANSWER else 0
        if kind is _Kind.ANSWER and _closes_loop(message, chat):
            chat.silent_at = sent_at
            return Loop.FOUND
        chat.open = message
        chat.told = Quotable.of_words(words)
        return Loop.NONE

    def _hash(self, gist: str, files: str, *, is_known: bool) -> int:
        return hash((gist, files)) if is_known else hash((self, next(self._unlike_any)))

    def _chat(self, chat_id: str) -> _Chat:
        chat = self._chats.get(chat_id)
        if chat is None:
            chat = self._chats[chat_id] = _Chat()
            if len(self._chats) > CHATS:
                self._chats.popitem(last=False)
        else:
            self._chats.move_to_end(chat_id)
        return chat


def _is_silent(chat: _Chat, heard: int, sent_at: float) -> bool:
    if chat.silent_at is None:
        return False
    is_new = all(exchange.heard != heard for exchange in chat.window)
    if is_new or sent_at - chat.silent_at >= PAUSE_S:
        chat.silent_at = None
    return chat.silent_at is not None


def _kind(by_linq: float, by_us: float) -> _Kind:
    """The place of a message that came so many seconds after our reply, by Linq's clock and by ours."""
    has_waited = by_us < TRANSIT_S and not -ROUNDING_S <= by_linq <= by_us + ROUNDING_S
    if has_waited or by_linq < -SKEW_S:
        return _Kind.BURST
    return _Kind.ANSWER if min(by_linq, by_us) <= SOON_S else _Kind.START


def _is_fast(by_linq: float, by_us: float, text: str) -> bool:
    """Return True if no person writes `text` in so few seconds, whichever clock is right."""
    writing_s = min(PACE_S, REACTION_S + len(text) / CHARS_PER_S)
    return by_us >= TRANSIT_S and max(by_linq, by_us) < writing_s - ROUNDING_S


def _close(chat: _Chat, *, is_quoted: bool) -> bool:
    """Move the open exchange into memory. Return False if we said nothing in it, so nothing can answer it."""
    exchange, chat.open = chat.open, None
    if exchange is None or not exchange.bubbles:
        return False
    exchange.is_quoted = is_quoted
    chat.window = (*chat.window, exchange)[-WINDOW:]
    if exchange.kind is not _Kind.START:
        chat.answers.extend((exchange.heard, exchange.said))
        del chat.answers[: -2 * MEMORY]
    return True


def _closes_loop(message: _Exchange, chat: _Chat) -> bool:
    messages = 1
    for count, exchange in enumerate(reversed(chat.window), start=1):
        messages += 1 + exchange.bubbles
        if count > 1 and messages >= MESSAGES and chat.rounds >= min(count, ROUNDS):
            window = _cycle(message, chat.window[-count:])
            if _replies_repeat(window, chat.answers) or _is_at_machine_pace(window, message):
                return True
        if exchange.kind is _Kind.START:
            return False
    return False


def _cycle(message: _Exchange, window: Sequence[_Exchange]) -> Sequence[_Exchange]:
    """The exchanges of `window` whose messages, up to `message`, are one message repeated or two in turn."""
    for start, first in enumerate(window):
        if _is_cycle([*window[start:], message]):
            return window[start:]
        # A loop may be set off by a message that is not part of it. Quotes begin with a message that is no quote.
        if not first.is_quoted and (start > 0 or len(window) < WINDOW):
            break
    return ()


def _is_cycle(messages: Sequence[_Exchange]) -> bool:
    heard = [each.heard for each in messages]
    if heard[1:] == heard[:-1]:
        return True
    return len(heard) >= 4 and heard[2:] == heard[:-2] and not any(each.is_short for each in messages)


def _replies_repeat(window: Sequence[_Exchange], answers: Sequence[int]) -> bool:
    """Return True if a reply was given twice in the window, and each message of it has had one reply only."""
    pairs = [(exchange.heard, exchange.said) for exchange in window]
    texts = {heard for heard, _ in pairs}
    known = {pair for pair in zip(answers[::2], answers[1::2], strict=True) if pair[0] in texts}
    return len(set(pairs)) < len(pairs) and len(known.union(pairs)) == len(texts)


def _is_at_machine_pace(window: Sequence[_Exchange], message: _Exchange) -> bool:
    return len(window) >= 2 and all(each.is_fast for each in (*window, message) if each.kind is _Kind.ANSWER)
