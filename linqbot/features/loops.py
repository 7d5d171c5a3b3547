"""The loop breaker: it stops two bots from answering each other for ever, and avoids ignoring people.

In a loop, neither side says anything new. The breaker stops answering if both of these conditions hold for the last
nine messages, counting both directions and every bubble:

1. The other side says nothing new: it repeats one message, alternates between two, or quotes us and adds the same text
   each time.
2. Our replies repeat too: the same message gets the same reply, apart from quotes. Or the exchange runs at a machine's
   pace: each message arrives within a second of our reply, and sooner than a person can write it.

Paging, menus, games, flash cards and counting are therefore unlimited: `next` is repeated, but its answer is not. A
message that was sent before our reply belongs to a burst. It does not answer our reply, so it is not part of a loop.

Sometimes a person looks like a machine: the same text, the same answer, and a person's pace. Then the breaker stops
too. After four equal answers, the fifth is left out; after two or three, if another exchange came before or the answers
have several bubbles. The person has read that answer already. But the handler does not run, so a bot that counts equal
messages must put the count into its reply, or turn the breaker off. Where more could be lost, the bot keeps answering:

- A message that recently got different answers, such as "roll", may get a new one, even if the last four were equal.
- Two alternating short messages may be letters of a word or numbers of a menu. A short message makes a loop only if it
  alone is repeated.
- A file without text counts as new, in both directions. Files with a text are compared by name, type and size.
- The shorter a message is, the sooner a person can send it: "1" takes one tap.
- The bot answers again at the first new message, or after `PAUSE_S` seconds. A machine that only answers sends nothing
  more in that time.

A message after a pause is not compared with what came before it, and most messages come after one. So that they cost
little, the newest message and its reply are kept as they are, and looked at only if another message soon follows.

The state is in memory and has a limited size per chat: the newest message and its reply, and hashes of those before. After
a restart it is empty, so a loop costs a few more messages.

In quotes, case and white space are ignored. The rest of a message without its quotes is its gist, and gists are compared:
two bots that quote each other write longer messages each time, but with the same gist.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, TypeAlias

from linqbot.language.reading import folded, with_single_spaces

CHARS: Final = 4
"""Minimum characters of a quote: "10" does not quote "1"."""
CUT: Final = "\0"
"""Replaces a quote that was cut out."""


def without_quote(words: str, quoted: str) -> str:
    """Return a normalized text without a quote of another one, which is cut out unless it is too short to be one."""
    return words.replace(quoted, CUT, 1) if len(quoted) >= CHARS else words


def gist_of_message(words: str, bubbles: Iterable[str]) -> str | None:
    """Return a normalized message without the bubbles of ours that it quotes; None if it quotes none.

    Numbers and times around a quote are ignored.
    """
    gist = words
    for bubble in sorted(bubbles, key=len, reverse=True):
        gist = without_quote(gist, bubble)
    if gist == words:
        return None
    added = gist.replace(CUT, "")
    # "wow!!" does not quote "wow!", and "hahaha" not "haha": characters attached to a word make it another word.
    return re.sub(r"\d+", "0", gist) if not added or re.search(r"\s", added) else None


def normal(text: str) -> str:
    """Return the text normalized: in lower case, with single spaces."""
    return with_single_spaces(folded(text))


MESSAGES: Final = 9
"""Messages of a loop, in both directions, before it is found."""
WINDOW: Final = 4
"""Exchanges in which a loop is searched. The first of them may be the one that started the loop, and so be new."""
MEMORY: Final = 16
"""Exchanges remembered, to know which messages got different answers."""
BUBBLES: Final = 8
"""Bubbles of our last reply in which quotes are searched."""
ROUNDS: Final = 3
"""Messages that must have answered a reply of ours. Two are enough if replies have three or more bubbles."""
WORD_CHARS: Final = 4
"""Two alternating messages that are shorter may be letters of a word or numbers of a menu, and make no loop."""
SOON_S: Final = 10.0
"""Seconds after our reply within which a message may be a machine's answer to it."""
PAUSE_S: Final = 10.0
"""Seconds after which the bot answers again at the latest."""
PACE_S: Final = 1.0
"""Seconds after our reply within which a message is at a machine's pace."""
REACTION_S: Final = 0.25
"""Seconds that a person needs at least to react."""
CHARS_PER_S: Final = 30.0
"""Characters per second that a person writes at most."""
SKEW_S: Final = 2.0
"""The largest difference in seconds between Linq's clock and ours."""
ROUNDING_S: Final = 0.02
"""Seconds below which two times count as equal. Linq rounds to milliseconds, so an answer may seem older than our
reply."""
TRANSIT_S: Final = 0.05
"""Seconds: a message that is handled sooner than this after our reply was sent before the reply."""
KEPT_CHARS: Final = 4096
"""Longest text that is kept as it is. Of a longer one only a hash is kept, so no quote of it is found."""
CHATS: Final = 2048
"""Chats remembered, those with the most recent messages. A loop has a message every few seconds, so it stays in."""


class Loop(IntEnum):
    """The judgement of a message. Only `NONE`, which is false, lets the message be answered."""

    NONE = 0
    FOUND = 1
    GOES_ON = 2


_Kind: TypeAlias = Literal["start", "answer", "burst"]
"""The relation of a message to our last reply: it came after a pause, followed the reply and may answer it, or was sent before
the reply."""


@dataclass(slots=True, eq=False)
class _Exchange:
    """One message and our reply to it. What they say is compared only if another message soon follows."""

    text: str  # the message
    files: str  # the names of its other parts
    kind: _Kind = "start"
    is_fast: bool = False
    replies: tuple[tuple[str, str], ...] = ()  # the text and the names of files of the last bubbles of our reply
    bubbles: int = 0  # the number of its bubbles since the last pause
    message: object = None  # equal for messages that say the same; None until it is known
    reply: object = None  # equal for replies that say the same; None until the reply is complete
    is_quoted: bool = False  # True if the next message quotes the reply


@dataclass(slots=True, eq=False)
class _Chat:
    """The state of a chat. It is small, because most chats never have a loop."""

    open: _Exchange | None = None  # the newest message, whose reply may still get more bubbles; None after a loop
    window: tuple[_Exchange, ...] = ()  # the exchanges before it since the last pause, the oldest first
    # The messages and the replies of the remembered exchanges. The first exchange after a pause is left out, because bots greet.
    answers: tuple[tuple[object, object], ...] = ()
    bubbles: Sequence[str] = ()  # the last bubbles of our last complete reply, normalized
    rounds: int = 0  # the number of messages since the last pause that answered a reply of ours
    message_id: str | None = None  # the id of the newest message
    replied_at: float = 0.0  # the time of our last bubble, by our clock
    # The time of the message that ended the answers, by Linq's clock; None while messages are answered.
    silent_at: float | None = None


class LoopBreaker:
    """Compares the messages and replies of each chat, and judges if a message belongs to a loop."""

    def __init__(self) -> None:
        self._chats: OrderedDict[str, _Chat] = OrderedDict()

    def note_reply(self, chat_id: str, text: str, now: float, *, files: str = "") -> None:
        """Note a bubble or a reaction (tapback) that the bot sent, and that Linq accepted `now`.

        `files` are the names of its other parts: see `message_split.files_of`. A bubble without text and names counts
        as new.
        """
        chat = self._chat(chat_id)
        if (exchange := chat.open) is not None:
            kept = text if len(text) <= KEPT_CHARS else str(hash(text))
            exchange.replies = (*exchange.replies, (kept, files))[-BUBBLES:]
            # After a pause it is a message that the bot sends by itself, such as an alert.
            exchange.bubbles = exchange.bubbles + 1 if now - chat.replied_at <= SOON_S else 1
        chat.replied_at = now

    def judge(
        self,
        chat_id: str,
        text: str,
        sent_at: float,
        now: float,
        *,
        files: str = "",
        message_id: str | None = None,
    ) -> Loop:
        """Judge a message that is about to be handled.

        Returns `Loop.NONE` if it is to be answered, `Loop.FOUND` if it completes a loop, `Loop.GOES_ON` for those after it.

        Args:
            sent_at: The time of the message by Linq's clock.
            now: The current time by our clock.
            files: Names of the message's other parts, and in a group its author.
            message_id: Distinguishes a second run for the same message from a second message with the same text.
        """
        chat = self._chat(chat_id)
        answered = chat.open
        if message_id is not None and message_id == chat.message_id and answered is not None:
            answered.replies, answered.bubbles = (), 0  # the handler runs again
            return Loop.NONE
        chat.message_id = message_id
        by_linq, by_us = sent_at - chat.replied_at, now - chat.replied_at
        kind = _kind(by_linq, by_us) if answered is not None and answered.bubbles else "start"
        message = _Exchange(text if len(text) <= KEPT_CHARS else str(hash(text)), files, kind)
        if answered is not None and answered.bubbles and (kind != "start" or answered.kind != "start"):
            _close(chat, answered)
        if kind == "start" and chat.silent_at is None:
            chat.open, chat.window, chat.rounds = message, (), 0
            return Loop.NONE
        chat.open = None
        gist = gist_of_message(normal(text), chat.bubbles)
        if answered is not None:
            answered.is_quoted = gist is not None
        message.message = _key(message.text if gist is None else gist, files, is_known=bool(text.strip()))
        if _is_silent(chat, message.message, sent_at):
            return Loop.GOES_ON
        message.is_fast = _is_fast(by_linq, by_us, text)
        if kind != "burst":
            chat.rounds = chat.rounds + 1 if kind == "answer" else 0
        if kind == "answer" and _closes_loop(message, chat):
            chat.silent_at = sent_at
            return Loop.FOUND
        chat.open = message
        return Loop.NONE

    def _chat(self, chat_id: str) -> _Chat:
        chat = self._chats.get(chat_id)
        if chat is None:
            chat = self._chats[chat_id] = _Chat()
            if len(self._chats) > CHATS:
                self._chats.popitem(last=False)
        else:
            self._chats.move_to_end(chat_id)
        return chat


def _key(text: str, files: str, *, is_known: bool) -> object:
    """Return what is equal for equal texts and files; for what is not known, what equals nothing else."""
    return hash((text, files)) if is_known else object()


def _is_silent(chat: _Chat, message: object, sent_at: float) -> bool:
    if chat.silent_at is None:
        return False
    is_new = all(exchange.message != message for exchange in chat.window)
    if is_new or sent_at - chat.silent_at >= PAUSE_S:
        chat.silent_at = None
    return chat.silent_at is not None


def _kind(by_linq: float, by_us: float) -> _Kind:
    """Return the relation of a message to our reply, by the seconds since then on Linq's clock and on ours."""
    has_waited = by_us < TRANSIT_S and not -ROUNDING_S <= by_linq <= by_us + ROUNDING_S
    if has_waited or by_linq < -SKEW_S:
        return "burst"
    return "answer" if min(by_linq, by_us) <= SOON_S else "start"


def _is_fast(by_linq: float, by_us: float, text: str) -> bool:
    """Return True if a person cannot write `text` in this time, by either clock."""
    writing_s = min(PACE_S, REACTION_S + len(text) / CHARS_PER_S)
    return by_us >= TRANSIT_S and max(by_linq, by_us) < writing_s - ROUNDING_S


def _close(chat: _Chat, exchange: _Exchange) -> None:
    """Move an exchange into the window, now that its reply is complete."""
    said = normal(exchange.text)
    chat.bubbles = [normal(text) for text, _ in exchange.replies]
    gists = [without_quote(words, said) for words in chat.bubbles]
    named = [files for _, files in exchange.replies]
    exchange.reply = tuple(
        _key(gist, files, is_known=bool(gist or files)) for gist, files in zip(gists, named, strict=True)
    )
    if exchange.message is None:
        exchange.message = _key(exchange.text, exchange.files, is_known=bool(said))
    exchange.text, exchange.replies = exchange.text[:WORD_CHARS], ()
    chat.window = (*chat.window, exchange)[-WINDOW:]
    if exchange.kind != "start":
        chat.answers = (*chat.answers, (exchange.message, exchange.reply))[-MEMORY:]


def _closes_loop(message: _Exchange, chat: _Chat) -> bool:
    messages = 1
    for count, exchange in enumerate(reversed(chat.window), start=1):
        messages += 1 + exchange.bubbles
        if count > 1 and messages >= MESSAGES and chat.rounds >= min(count, ROUNDS):
            window = _cycle(message, chat.window[-count:])
            if _replies_repeat(window, chat.answers) or _is_at_machine_pace(window, message):
                return True
        if exchange.kind == "start":
            return False
    return False


def _cycle(message: _Exchange, window: Sequence[_Exchange]) -> Sequence[_Exchange]:
    """Return the exchanges at the end of `window` that, with `message`, repeat one message or alternate between two."""
    for start, first in enumerate(window):
        if _is_cycle([*window[start:], message]):
            return window[start:]
        # A loop may be started by a message that is not part of it, and a series of quotes by one without a quote.
        if not first.is_quoted and (start > 0 or len(window) < WINDOW):
            break
    return ()


def _is_cycle(exchanges: Sequence[_Exchange]) -> bool:
    messages = [each.message for each in exchanges]
    if messages[1:] == messages[:-1]:
        return True
    has_words = all(len(each.text) >= WORD_CHARS for each in exchanges)
    return len(messages) >= 4 and messages[2:] == messages[:-2] and has_words


def _replies_repeat(window: Sequence[_Exchange], answers: Sequence[tuple[object, object]]) -> bool:
    """Return True if a reply was repeated in the window, and each of its messages has always had the same reply."""
    pairs = [(exchange.message, exchange.reply) for exchange in window]
    messages = {message for message, _ in pairs}
    known = {pair for pair in answers if pair[0] in messages}
    return len(set(pairs)) < len(pairs) and len(known.union(pairs)) == len(messages)


def _is_at_machine_pace(window: Sequence[_Exchange], message: _Exchange) -> bool:
    return len(window) >= 2 and all(each.is_fast for each in (*window, message) if each.kind == "answer")
