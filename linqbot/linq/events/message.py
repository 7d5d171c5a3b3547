"""Events about a message: received, sent, delivered, read, failed, edited, and reactions to it.

Linq has two payload versions of the first four events. Both result in the same events here. The version is recognised
by the shape of the data and not by its label, because Linq sometimes labels one version as the other. A reaction is a
tapback or a sticker, on a message or on a poll.
"""

# Without `from __future__ import annotations`: see `event.py`.

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, Field

from linqbot.linq.events.event import UNKNOWN_HANDLE, Event, handle_of, place_actor, place_in_chat
from linqbot.linq.events.lane import as_object
from linqbot.linq.types.chat import ChatRef, Handle
from linqbot.linq.types.data import Data
from linqbot.linq.types.message import (
    WORDS,
    Effect,
    LinkPart,
    MediaPart,
    Mention,
    Parts,
    ReplyTo,
    Sticker,
    TextPart,
    text_of,
    utf16_length,
    utf16_slices,
)
from linqbot.linq.types.proactive import Scheduled

__all__ = [
    "MessageDelivered", "MessageEdited", "MessageFailed", "MessageRead", "MessageReceipt", "MessageReceived",
    "MessageSent", "PollReactionAdded", "ReactionAdded", "ReactionRemoved",
]  # fmt: skip


class MessageReceipt(Event):
    """Base of the four events about the delivery of your own message: sent, delivered, read, failed."""


class MessageEvent(Event):
    """Base of the four events about a whole message.

    Attributes:
        id: The message's id.
        chat: The chat of the message, as data; `ctx.chat` has the methods.
        sender: The author of the message. The handle is empty if Linq did not say.
        direction: `inbound` or `outbound`.
        parts: In their order. Empty for your own messages on zero-retention lines.
        preferred_service: The requested service; `service` is the service that was used.
        idempotency_key: The key of your send call.
        sent_at, delivered_at, read_at: None if it has not happened yet, or if Linq did not say. For the time of the bot's
            clock use `ctx.now()`.
        reconciled_at: Set only if Linq found the message late: treat the message as history and do not reply.
        zero_retention: Linq stores no content for this line.
    """

    id: str
    chat_id: str
    chat: ChatRef
    sender: Handle = Field(default=UNKNOWN_HANDLE, alias="sender_handle")
    direction: str = "outbound"
    parts: Parts = ()
    effect: Effect | None = None
    reply_to: ReplyTo | None = None
    preferred_service: str | None = None
    idempotency_key: str | None = None
    sent_at: AwareDatetime | None = None
    delivered_at: AwareDatetime | None = None
    read_at: AwareDatetime | None = None
    reconciled_at: AwareDatetime | None = None
    zero_retention: bool = False

    @property
    def is_own(self) -> bool:
        return self.direction == "outbound" or (self.actor is not None and self.actor == self.line)

    @property
    def written_at(self) -> datetime | None:
        return self.sent_at or self.created_at

    @property
    def text(self) -> str:
        """Return the text parts and the addresses of links, in their order, each on lines of its own; empty if there are none.

        A link is a preview card, as phones make of an address that is sent alone, or an App Clip. Cards of other apps and files
        have no text.
        """
        parts = self.parts
        if len(parts) == 1 and isinstance(part := parts[0], TextPart):  # nearly every message
            return part.value
        return text_of(parts)

    @property
    def media(self) -> tuple[MediaPart, ...]:
        """Return the files."""
        return tuple(part for part in self.parts if isinstance(part, MediaPart))

    @property
    def links(self) -> tuple[LinkPart, ...]:
        """Return the link previews. URLs inside a text part are not included. `text` has the addresses of both."""
        return tuple(part for part in self.parts if isinstance(part, LinkPart))

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """Return all mentions in order. Ranges count UTF-16 code units in `text`, whatever part the mention is in."""
        found: list[Mention] = []
        offset = 0
        for part in self.parts:
            if isinstance(part, TextPart):
                found.extend(_shifted(mention, offset) for mention in self._mentions_of(part))
            if isinstance(part, WORDS):
                offset += utf16_length(part.value) + 1
        return tuple(found)

    def _mentions_of(self, part: TextPart) -> tuple[Mention, ...]:
        if part.mentions or part.mention is None:
            return part.mentions or ()
        return (Mention(handle=part.mention, is_me=part.mention == self.line, range=part.mention_range),)

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = dict(data) if "direction" in data or "chat" in data else _from_2025(data)
        fields["message_id"] = fields.get("id")
        place_in_chat(fields)
        place_actor(fields, fields.get("sender_handle"))
        return fields


class MessageReceived(MessageEvent):
    """A person sent you a message.

    Attributes:
        replies_to_me: True if the message replies to one of yours. Linq does not say who wrote the message that was
            replied to. In groups, the worker looks the author up before any handler sees the event; `parse` leaves the
            field False.
        answers: The scheduled send whose message was replied to; None if there is none, or it is older than a week.
            The worker looks it up; `parse` leaves the field None.
        burst: The messages that are joined in this one, in the order in which they were written; empty if it is a single
            message. This one has the parts of all of them. Its `id` and its times are those of the last one. See
            `Bot(gather_s=…)`.
        edited: True if the text is that of an edit which came before the message was answered.
    """

    echoes = True

    direction: str = "inbound"
    replies_to_me: bool = False
    answers: Scheduled | None = None
    burst: tuple["MessageReceived", ...] = ()
    edited: bool = False

    @classmethod
    def joined(cls, messages: Sequence["MessageReceived"]) -> "MessageReceived":
        """Return one message that stands for several of a person, in the order in which they were written."""
        first, last = messages[0], messages[-1]
        if first is last:
            return first
        return last.model_copy(
            update={
                "event_id": first.event_id,
                "parts": tuple(part for each in messages for part in each.parts),
                "reply_to": next((each.reply_to for each in messages if each.reply_to is not None), None),
                "burst": tuple(messages),
                "edited": any(each.edited for each in messages),
            }
        )

    def with_edit(self, edit: "MessageEdited") -> "MessageReceived":
        """Return this message with the new text of an edited part. Linq does not say where its mentions are now."""
        parts = list(self.parts)
        if edit.index < len(parts) and isinstance(part := parts[edit.index], TextPart):
            mentions = tuple(each.model_copy(update={"range": None}) for each in self._mentions_of(part))
            kept = {"mentions": mentions or None, "reactions": part.reactions}
            parts[edit.index] = TextPart.model_validate({"value": edit.text}).model_copy(update=kept)
        return self.model_copy(update={"parts": tuple(parts), "edited": True})

    @property
    def is_addressed(self) -> bool:
        """Return True if the message is meant for you: a direct chat, a mention of your line, or a reply to you."""
        return not self.is_group or self.replies_to_me or self.mentions_me

    @property
    def mentions_me(self) -> bool:
        """Return True if the message mentions your line."""
        return any(mention.is_me for mention in self.mentions)

    @property
    def text_to_me(self) -> str:
        """Return the text without mentions of your own line: `@Bot, help!` becomes `help!`, wherever the mention is."""
        edges = [0]
        for mention in self.mentions:
            if mention.is_me and mention.range is not None:
                edges += [mention.range[0], max(edges[-1], mention.range[1])]
        text = self.text
        if len(edges) == 1:
            return text
        kept = (piece.strip() for piece in utf16_slices(text, [*edges, utf16_length(text)]))
        return " ".join(piece for piece in kept if piece).lstrip(" ,:")


class MessageSent(MessageEvent, MessageReceipt):
    """The device or carrier accepted your message."""


class MessageDelivered(MessageEvent, MessageReceipt):
    """Your message reached the recipient's device."""


class MessageRead(MessageEvent, MessageReceipt):
    """The recipient read your message. Direct chats only."""


class MessageFailed(MessageReceipt):
    """Your message could not be sent. A late `message.delivered` of the same message may still follow.

    Attributes:
        code: Linq's error code, such as 4001; see `linqbot explain`.
        reason: Linq's explanation.
        detail_code: For Linq's support only; do not use it for decisions.
    """

    code: int | None = None
    reason: str | None = None
    failed_at: AwareDatetime | None = None
    preferred_service: str | None = None
    detail_code: int | None = None

    @property
    def is_own(self) -> bool:
        return True


class EditedPart(Data):
    """The changed text part: its index and its new text."""

    index: int = 0
    text: str = ""


class MessageEdited(Event):
    """A text part of a message was edited, by you or by a person. Payload version 2026-02-03 only.

    Attributes:
        id: The message's id.
        part: The changed part. Its text is empty for your own edits on zero-retention lines.
    """

    echoes = True
    author_key = "sender_handle"

    id: str
    chat_id: str
    chat: ChatRef
    sender: Handle = Field(default=UNKNOWN_HANDLE, alias="sender_handle")
    direction: str | None = None
    edited_at: AwareDatetime | None = None
    part: EditedPart = Field(default_factory=EditedPart)
    zero_retention: bool = False

    @property
    def written_at(self) -> datetime | None:
        return self.edited_at or self.created_at

    @property
    def is_own(self) -> bool:
        return self.direction == "outbound" or super().is_own

    @property
    def index(self) -> int:
        """Return the index of the changed part, from 0."""
        return self.part.index

    @property
    def text(self) -> str:
        """Return the new text of the part."""
        return self.part.text

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**super().fields_of(data), "message_id": data.get("id")}


_CONSUMED_2025 = frozenset({"message", "is_from_me", "from", "from_handle", "recipient_phone", "recipient_handle"})


def _from_2025(data: dict[str, Any]) -> dict[str, Any]:
    """Convert a payload of 2025-01-01 to the layout of 2026-02-03: content at the top level, the chat as an object."""
    message = as_object(data.get("message"))
    from_handle, is_from_me = data.get("from_handle"), data.get("is_from_me")
    if not isinstance(is_from_me, bool):
        is_from_me = as_object(from_handle).get("is_me")
    sender = handle_of(from_handle) or _handle(data.get("from"), is_me=is_from_me) or from_handle
    recipient = handle_of(data.get("recipient_handle")) or _handle(data.get("recipient_phone"), is_me=True)
    fields = {key: value for key, value in data.items() if key not in _CONSUMED_2025}
    for key, value in message.items():
        # The outer delivered_at and read_at are newer than those inside the message.
        if fields.get(key) is None:
            fields[key] = value
    ids = (message.get("id"), data.get("message_id"))
    fields["id"] = next((each for each in ids if each and isinstance(each, str)), None)
    fields["chat"] = {
        "id": data.get("chat_id"),
        "is_group": data.get("is_group"),
        "owner_handle": sender if is_from_me is True else recipient,
    }
    if sender is not None:
        fields["sender_handle"] = sender
    if isinstance(is_from_me, bool):
        fields["direction"] = "outbound" if is_from_me else "inbound"
    return fields


def _handle(handle: Any, *, is_me: Any) -> dict[str, Any] | None:
    return None if handle is None else {"handle": handle, "is_me": is_me}


def _shifted(mention: Mention, offset: int) -> Mention:
    if not offset or mention.range is None:
        return mention
    start, end = mention.range
    return mention.model_copy(update={"range": (start + offset, end + offset)})


class ReactionEvent(Event):
    """Base of the events about reactions.

    Attributes:
        reaction_type: `love`, `like`, `dislike`, `laugh`, `emphasize`, `question`, `custom` or `sticker`.
        message_id: The message that was reacted to.
        part_index: The index of its part, from 0.
        custom_emoji: The emoji if the type is `custom`.
        sticker: The image if the type is `sticker`.
        sender: The author of the reaction. The handle is empty if Linq did not say.
        answers: The scheduled send whose message it concerns; None if there is none, or it is older than a week. The
            worker looks it up; `parse` leaves the field None.
    """

    echoes = True

    reaction_type: str = ""
    part_index: int | None = None
    reaction_id: str | None = None
    custom_emoji: str | None = None
    sticker: Sticker | None = None
    sender: Handle = Field(default=UNKNOWN_HANDLE, alias="from_handle")
    is_from_me: bool = False
    reacted_at: AwareDatetime | None = None
    answers: Scheduled | None = None

    @property
    def written_at(self) -> datetime | None:
        return self.reacted_at or self.created_at

    @property
    def is_own(self) -> bool:
        return self.is_from_me or super().is_own

    @classmethod
    def fields_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        fields = dict(data)
        # Older payloads have `from` instead of `from_handle`.
        sender = fields.pop("from", None)
        if handle_of(fields.get("from_handle")) is None and sender is not None:
            fields["from_handle"] = {"handle": sender, "is_me": data.get("is_from_me")}
        place_actor(fields, fields.get("from_handle"))
        return fields


class ReactionAdded(ReactionEvent):
    """A person or your line reacted to a message."""


class ReactionRemoved(ReactionEvent):
    """A tapback was removed. Stickers cannot be removed."""


class PollReactionAdded(ReactionEvent):
    """A person reacted to a poll; `message_id` is the poll's message. Linq reports no removal."""
