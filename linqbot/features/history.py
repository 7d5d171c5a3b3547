"""`ctx.history`: the last messages of the event's chat, of both sides, up to the current message.

The messages come from Linq's list, and those of the running turn from its journal. A turn that runs again finds more
messages in the list than its first run did. They are left out, so that each run sees the same conversation. The same
holds for the parts of a handler that has asked: until the handler comes to an answer, its history ends before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from linqbot.client.call import Call, id_in_path
from linqbot.client.client import Client
from linqbot.engine.call_lookup import content_of, ids_in, message_of_call
from linqbot.errors import BotError
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.types.message import MediaPart, Message, Part, Reaction, ReplyTo, text_of
from linqbot.linq.types.proactive import OWNERS_WORDS
from linqbot.speakers import EARLIER, ME, OWNER, shown_tapback, shown_text

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import SentInTurn

THEM: Final = "them"

PAGE_SIZE: Final = 100
MAX_MESSAGES: Final = 1000
"""The greatest `limit`; and messages after which reading ends, whatever the order of Linq's list is."""
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A message of a chat. Its repr shows ids only, because it may be logged.

    Attributes:
        id: The message's id; None if it is not known yet.
        speaker: `me` for the bot, `owner` for a person of yours who has written by way of the bot (`ctx.handoff`), as long as that
            is on record, which is a week; else the handle of the sender.
        text: The texts and links, one on a line. Empty for the bot's own messages of earlier turns on zero-retention
            lines.
        media: The files. Their URLs are short-lived.
        reply_to: The message that it replies to.
        tapbacks: The tapbacks on it, as they are now.
        edited: True if it was edited since. Its text is then the present one.
        at: The time at which it was sent; None for a message that this turn has just sent.
    """

    id: str | None
    speaker: str = field(repr=False)
    text: str = field(repr=False)
    media: tuple[MediaPart, ...] = field(default=(), repr=False)
    reply_to: ReplyTo | None = None
    tapbacks: tuple[Reaction, ...] = field(default=(), repr=False)
    edited: bool = False
    at: datetime | None = None

    def shown(self, *, is_group: bool = False) -> str:
        """Return the message as a language model reads it: see `History.as_messages`."""
        return shown_text(self.speaker, self.text, self.media, edited=self.edited, is_group=is_group)


class History(Sequence[HistoryEntry]):
    """The last messages of a chat, oldest first. It can be used like a tuple of `HistoryEntry`."""

    __slots__ = ("_entries", "is_group")

    def __init__(self, entries: Iterable[HistoryEntry], *, is_group: bool) -> None:
        self._entries = tuple(entries)
        self.is_group = is_group

    def as_text(self, *, me: str = ME, them: str = THEM) -> str:
        """Return the conversation as text for a prompt: a line for each message, such as `me: Hello!`.

        In a direct chat the other side is `them`, and a person of yours who has written by way of the bot is `owner`; in
        groups people are labelled with their handles. A file is shown as its name in brackets.

        Args:
            me, them: Other names for the two sides.
        """
        return "\n".join(f"{self._label(entry, me, them)}: {_shown(entry)}" for entry in self._entries)

    @overload
    def as_messages(self, shape: Literal["openai", "anthropic"]) -> list[dict[str, str]]: ...

    @overload
    def as_messages(self, shape: Literal["pydantic-ai"]) -> list[Any]: ...

    def as_messages(self, shape: Literal["openai", "anthropic", "pydantic-ai"]) -> list[Any]:
        """Return the conversation as messages for a language model: `user` and `assistant` in turn.

        The first and the last are of people: what the bot has sent since the last message of a person is left out. In
        groups each line begins with the handle of its speaker. Marks are in square brackets, such as `[edited]`, names of
        files and tapbacks, and so is what a person of yours has written by way of the bot. People cannot write such lines and
        marks: their square brackets become round ones.

        Args:
            shape: `openai` and `anthropic` return dicts with `role` and `content`, which LangChain takes too.
                `pydantic-ai` returns a `ModelRequest` or `ModelResponse` for each.
        Raises:
            BotError: there is no such shape, or pydantic-ai is not installed.
        """
        if shape not in ("openai", "anthropic", "pydantic-ai"):
            raise BotError(f"as_messages({shape!r}): give 'openai', 'anthropic' or 'pydantic-ai'.")
        said: list[dict[str, str]] = []
        for role, text in self._said():
            if said and said[-1]["role"] == role:
                said[-1]["content"] += f"\n\n{text}"
            else:
                said.append({"role": role, "content": text})
        if said and said[-1]["role"] == "assistant":
            del said[-1]  # a provider would take it for the beginning of an answer
        if said and said[0]["role"] == "assistant":
            said.insert(0, {"role": "user", "content": EARLIER})
        return _of_pydantic_ai(said) if shape == "pydantic-ai" else said

    def _said(self) -> Iterator[tuple[str, str]]:
        for entry in self._entries:
            yield "assistant" if entry.speaker == ME else "user", entry.shown(is_group=self.is_group)
            for tapback in entry.tapbacks:
                yield "user", shown_tapback(tapback, entry.shown(), is_group=self.is_group)

    def _label(self, entry: HistoryEntry, me: str, them: str) -> str:
        if entry.speaker == ME:
            return me
        return entry.speaker if self.is_group or entry.speaker == OWNER else them

    @overload
    def __getitem__(self, index: int) -> HistoryEntry: ...

    @overload
    def __getitem__(self, index: slice) -> History: ...

    def __getitem__(self, index: int | slice) -> HistoryEntry | History:
        if isinstance(index, slice):
            return History(self._entries[index], is_group=self.is_group)
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"History({len(self._entries)} messages)"


class HistoryReader:
    """Reads the history of one turn. Linq is asked once, unless a later call wants more messages."""

    def __init__(
        self,
        chat_id: str,
        client: Client,
        sent: Callable[[], SentInTurn],
        labelled: Callable[[Collection[str], str], Awaitable[frozenset[str]]] | None = None,
    ) -> None:
        self._chat_id = chat_id
        self._client = client
        self._sent = sent
        self._labelled = labelled
        self._owners = frozenset[str]()  # the messages that a person of yours has written by way of the bot
        self._listed: list[Message] = []
        self._limit = 0

    async def read(self, event: Event, limit: int) -> History:
        """Return the last messages up to the current event, after a question the answer; raises as `Context.history`."""
        if not isinstance(limit, int) or not 1 <= limit <= MAX_MESSAGES:
            raise BotError(f"history(limit={limit!r}) must be a number from 1 to {MAX_MESSAGES}.")
        if limit > self._limit:
            # A later part of a conversation needs no more of the list than an earlier one, whose event is older.
            self._listed, self._limit = await self._list(event, limit), limit
            if self._labelled is not None and not event.is_group:  # no group is handed over
                own = [message.id for message in self._listed if message.is_from_me]
                self._owners = await self._labelled(own, OWNERS_WORDS)
        sent = self._sent()
        up_to = {message.id for message in _up_to(event, self._listed)}
        entries = [*self._up_to_current(event, up_to, sent), *self._since(up_to, sent)]
        return History(entries[-limit:], is_group=bool(event.is_group))

    async def _list(self, event: Event, limit: int) -> list[Message]:
        messages: list[Message] = []
        size = min(limit, PAGE_SIZE)
        async for page in self._client.chats.messages.list(self._chat_id, limit=size).pages():
            messages += page.items
            # Linq does not document the order: reading stops early only if the list goes from new to old.
            if is_newest_first(messages) and len(_up_to(event, messages)) >= limit:
                break
            if len(messages) >= MAX_MESSAGES:
                break
        # Messages of the same time stay in the order of the list.
        return sorted(messages if is_newest_first(messages) else reversed(messages), key=written_at, reverse=True)

    def _up_to_current(self, event: Event, up_to: AbstractSet[str], sent: SentInTurn) -> list[HistoryEntry]:
        """Return the messages up to the current one, which is the last of its burst, if it has one.

        The bot's own messages of earlier turns are all before the current one. The bot may have sent them after the current
        message arrived. But it had not read that message yet.
        """
        current = event.message_id if isinstance(event, MessageReceived) else None
        received = _received(event)
        unsettled = {text_of(content_of(call) or ()) for call in sent.unsettled if content_of(call) is not None}

        def is_before(message: Message) -> bool:
            if message.id in sent.ids:
                return message.id in up_to and message.id in sent.earlier
            if message.id in up_to:
                return True
            # What was sent after a past part had ended was not there when it ran.
            return message.is_from_me is True and not sent.is_past and text_of(message.parts) not in unsettled

        kept = [
            message
            for message in reversed(self._listed)
            if message.id != current
            and is_before(message)
            and not (message.is_from_me and message.delivery_status == "failed")
        ]
        listed = {message.id: message for message in self._listed}
        before = [
            _received_entry(received.pop(message.id), message) if message.id in received else self._entry(message)
            for message in kept
        ]
        return [*before, *(_received_entry(message, listed.get(message.id)) for message in received.values())]

    def _entry(self, message: Message) -> HistoryEntry:
        entry = _listed_entry(message)
        return replace(entry, speaker=OWNER) if message.id in self._owners else entry

    def _since(self, up_to: AbstractSet[str], sent: SentInTurn) -> list[HistoryEntry]:
        """Return what the turn has sent since the current message.

        An earlier part of the conversation may have: the operator's answer to a question, for example, is no message.
        """
        by_id = {message.id: message for message in self._listed}
        made = {ids_in(answer)[0] for _, answer in sent.made}
        entries = [
            self._entry(message)
            for message in reversed(self._listed)
            if message.id in sent.earlier and message.id not in up_to and message.id not in made
        ]
        for call, answer in sent.made:
            parts = content_of(call)
            message_id, chat_id = ids_in(answer)
            if call.name == "chats.messages.send":
                chat_id = id_in_path(call)  # the answer may lack it
            if parts is None or chat_id != self._chat_id or (message_id in sent.earlier & up_to):
                continue
            if (listed := by_id.get(message_id or "")) is not None and listed.parts:
                # What was really sent: a plugin, or an earlier run, may have sent another text than this call has.
                entries.append(self._entry(listed))
            else:
                entries.append(HistoryEntry(message_id, ME, text_of(parts), _media(parts), _reply_to(call)))
        return entries


def _of_pydantic_ai(said: Iterable[dict[str, str]]) -> list[Any]:
    try:
        messages: Any = import_module("pydantic_ai.messages")
    except ImportError as error:
        from linqbot.installing import install_command

        to_do = install_command("pydantic-ai-slim")
        raise BotError(f"as_messages('pydantic-ai') needs pydantic-ai. Install it: {to_do}") from error
    return [
        messages.ModelRequest(parts=[messages.UserPromptPart(each["content"])])
        if each["role"] == "user"
        else messages.ModelResponse(parts=[messages.TextPart(each["content"])])
        for each in said
    ]


def _up_to(event: Event, newest_first: Sequence[Message]) -> list[Message]:
    """Return the messages up to the event's message; for an event of another kind, up to its time."""
    if isinstance(event, MessageReceived):
        ids = [message.id for message in newest_first]
        if event.id in ids:
            return list(newest_first[ids.index(event.id) :])
        end = event.sent_at or event.created_at
    else:
        end = event.created_at
    return [message for message in newest_first if end is None or written_at(message) <= end]


def is_newest_first(messages: Sequence[Message]) -> bool:
    return not messages or written_at(messages[0]) >= written_at(messages[-1])


def written_at(message: Message) -> datetime:
    """Return the time at which the author wrote a message: Linq's `sent_at` of the bot's own is when Linq passed it on."""
    if message.is_from_me:
        return message.created_at or message.sent_at or _LONG_AGO
    return message.sent_at or message.created_at or _LONG_AGO


def _received(event: Event) -> dict[str, MessageReceived]:
    if not isinstance(event, MessageReceived):
        return {}
    return {message.id: message for message in event.burst or (event,)}


def _received_entry(message: MessageReceived, listed: Message | None) -> HistoryEntry:
    """Return a message of the event as it was received, without later edits."""
    return HistoryEntry(
        id=message.id,
        speaker=message.sender.handle,
        text=text_of(message.parts),
        media=message.media,
        reply_to=message.reply_to,
        tapbacks=_tapbacks(listed.parts) if listed else (),
        at=message.sent_at or message.created_at,
    )


def _listed_entry(message: Message) -> HistoryEntry:
    sender = message.from_handle.handle if message.from_handle else message.from_
    return HistoryEntry(
        id=message.id,
        speaker=ME if message.is_from_me else sender or "",
        text=text_of(message.parts),
        media=_media(message.parts),
        reply_to=message.reply_to,
        tapbacks=_tapbacks(message.parts),
        edited=None not in (message.updated_at, message.created_at) and message.updated_at != message.created_at,
        at=message.sent_at or message.created_at,
    )


def _media(parts: Iterable[Part]) -> tuple[MediaPart, ...]:
    return tuple(part for part in parts if isinstance(part, MediaPart))


def _tapbacks(parts: Iterable[Part]) -> tuple[Reaction, ...]:
    return tuple(itertools.chain.from_iterable(getattr(part, "reactions", None) or () for part in parts))


def _shown(entry: HistoryEntry) -> str:
    files = [f"[{file.filename or file.mime_type or 'file'}]" for file in entry.media]
    return " ".join([*([entry.text] if entry.text else []), *files]) or "[no text]"


def _reply_to(call: Call) -> ReplyTo | None:
    found = (message_of_call(call) or {}).get("reply_to")
    return ReplyTo.model_validate(found) if found else None
