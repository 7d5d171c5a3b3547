"""A message, its parts, and what decorates them. One class per part, for what we send and for what comes back.

All text ranges are half-open pairs of UTF-16 code units, as Linq counts them: "🎂" is two units long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag

from linqbot.types.data import Data
from linqbot.types.handle import Handle

ScreenEffect: TypeAlias = Literal[
    "confetti", "fireworks", "lasers", "sparkles", "celebration", "hearts", "love", "balloons", "happy_birthday",
    "echo", "spotlight",
]  # fmt: skip
BubbleEffect: TypeAlias = Literal["slam", "loud", "gentle", "invisible"]
EffectName: TypeAlias = ScreenEffect | BubbleEffect
TextStyle: TypeAlias = Literal["bold", "italic", "strikethrough", "underline"]
TextAnimation: TypeAlias = Literal["big", "small", "shake", "nod", "explode", "ripple", "bloom", "jitter"]
ReactionType: TypeAlias = Literal["love", "like", "dislike", "laugh", "emphasize", "question", "custom", "sticker"]

SCREEN_EFFECTS: frozenset[str] = frozenset(get_args(ScreenEffect))
BUBBLE_EFFECTS: frozenset[str] = frozenset(get_args(BubbleEffect))

Range: TypeAlias = tuple[int, int]


def utf16_length(text: str) -> int:
    """The length of `text` as Linq counts it: in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf16_slice(text: str, start: int, end: int) -> str:
    """Return what stands between two of Linq's offsets, which count UTF-16 code units.

    An offset inside a character takes no half of it, and one past the end is the end.
    """
    return next(utf16_slices(text, (start, end)))


def utf16_slices(text: str, edges: Sequence[int]) -> Iterator[str]:
    """Return what stands between the first and the second offset, the third and the fourth, and so on.

    The text is encoded once for all of them, so that many slices of a long text take linear time.
    """
    units = text.encode("utf-16-le", "surrogatepass")
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield units[max(start, 0) * 2 : max(end, 0) * 2].decode("utf-16-le", "ignore")


class Effect(Data):
    """A screen or bubble effect of a message."""

    name: str | None = None
    type: str | None = None

    @classmethod
    def named(cls, name: str) -> Effect:
        """The effect called `name`, with the type Linq wants beside it."""
        return cls(name=name, type="bubble" if name in BUBBLE_EFFECTS else "screen")


class ReplyTo(Data):
    """The message, and the part of it, that a message answers."""

    message_id: str
    part_index: int | None = None


class Sticker(Data):
    """The image of a sticker reaction."""

    url: str | None = None
    file_name: str | None = None
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None


class Reaction(Data):
    """A tapback on a part of a message, as Linq's API returns it."""

    type: str
    is_me: bool = False
    handle: Handle | None = None
    id: str | None = None
    custom_emoji: str | None = None
    sticker: Sticker | None = None


class TextDecoration(Data):
    """A style or an animation over a range of a text part. Exactly one of `style` and `animation`."""

    range: Range
    style: str | None = None
    animation: str | None = None


class InlineSticker(Data):
    """A small image laid over a range of a text part."""

    range: Range
    id: str | None = None
    url: str | None = None
    attachment_id: str | None = None
    file_name: str | None = None
    mime_type: str | None = None


class Mention(Data):
    """Somebody named in a group's text."""

    handle: str
    is_me: bool = False
    range: Range | None = None


class TextPart(Data):
    """Text, sent as it is: Linq does not read Markdown; use decorations.

    Attributes:
        mention, mention_range: Group chats only: who is named, and where; None is the whole text.
        mentions: What comes back: everybody named.
    """

    type: Literal["text"] = "text"
    value: str
    text_decorations: tuple[TextDecoration, ...] | None = None
    inline_stickers: tuple[InlineSticker, ...] | None = None
    mention: str | None = None
    mention_range: Range | None = None
    mentions: tuple[Mention, ...] | None = None
    reactions: tuple[Reaction, ...] | None = None


class MediaPart(Data):
    """A file. To send one, give `url` (public https, at most 10 MB) or `attachment_id`, not both.

    Attributes:
        url: What comes back is signed and short-lived: fetch it soon.
    """

    type: Literal["media"] = "media"
    url: str | None = None
    attachment_id: str | None = None
    sticker: bool | None = None
    id: str | None = None
    filename: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None
    reactions: tuple[Reaction, ...] | None = None


class LinkPart(Data):
    """A URL shown as a preview card. It must be the only part of its message."""

    type: Literal["link"] = "link"
    value: str
    reactions: tuple[Reaction, ...] | None = None


class AppIdentity(Data):
    """Which iMessage app a card belongs to.

    Attributes:
        app_store_id: Its number in the App Store.
    """

    team_id: str
    bundle_id: str
    name: str
    app_store_id: int | str | None = None


class AppLayout(Data):
    """What an app card shows."""

    caption: str | None = None
    subcaption: str | None = None
    trailing_caption: str | None = None
    trailing_subcaption: str | None = None
    image_url: str | None = None
    image_title: str | None = None
    image_subtitle: str | None = None


class AppPart(Data):
    """A card of an iMessage app. It must be the only part of its message."""

    type: Literal["imessage_app"] = "imessage_app"
    app: AppIdentity
    layout: AppLayout
    url: str | None = None
    fallback_text: str | None = None
    interactive: bool | None = None
    reactions: tuple[Reaction, ...] | None = None


class AppClipPart(Data):
    """A card that opens an App Clip. It must be the only part of its message."""

    type: Literal["app_clip"] = "app_clip"
    value: str
    caption: str | None = None
    title: str | None = None
    description: str | None = None
    image_url: str | None = None
    reactions: tuple[Reaction, ...] | None = None


class UnknownPart(Data):
    """A part of a kind Linq added after this release. Its fields are in `model_extra`."""

    type: str = ""


_PART_TYPES = frozenset({"text", "media", "link", "imessage_app", "app_clip"})


def _part_type(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return kind if isinstance(kind, str) and kind in _PART_TYPES else "unknown"


Part: TypeAlias = Annotated[
    Annotated[TextPart, Tag("text")]
    | Annotated[MediaPart, Tag("media")]
    | Annotated[LinkPart, Tag("link")]
    | Annotated[AppPart, Tag("imessage_app")]
    | Annotated[AppClipPart, Tag("app_clip")]
    | Annotated[UnknownPart, Tag("unknown")],
    Discriminator(_part_type),
]
# What comes back is judged more gently than what is sent: a part whose fields do not fit its type is kept as an
# UnknownPart. Trying the known types by their name first needs no Python code, which the hot path feels.
_ReceivedPart: TypeAlias = Annotated[
    Annotated[TextPart | MediaPart | LinkPart | AppPart | AppClipPart, Field(discriminator="type")] | UnknownPart,
    Field(union_mode="left_to_right"),
]
# `parts: null` is what Linq sends for tombstones and system messages; for whoever reads it, it is no parts.
Parts: TypeAlias = Annotated[tuple[_ReceivedPart, ...], BeforeValidator(lambda parts: () if parts is None else parts)]


class Experience(Data):
    """An experience to send instead of parts, such as `link/open`."""

    name: str
    action: str
    params: dict[str, Any] = Field(default_factory=dict)


class MessageContent(Data):
    """What to send: parts, or an experience, and how.

    Attributes:
        parts: 1 to 100 parts; two texts may not be adjacent; a link stands alone.
        preferred_service: `iMessage` never falls back, `RCS` falls back to SMS, None lets Linq choose.
        idempotency_key: Equal keys are sent once. The client makes one when there is none.
    """

    parts: tuple[Part, ...] | None = None
    experience: Experience | None = None
    effect: Effect | None = None
    reply_to: ReplyTo | None = None
    preferred_service: str | None = None
    idempotency_key: str | None = None


class SentMessage(Data):
    """A message as the answer of a send shows it: accepted, usually still `pending`."""

    id: str
    created_at: datetime | None = None
    delivery_status: str | None = None
    is_read: bool | None = None
    parts: Parts = ()
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    effect: Effect | None = None
    from_handle: Handle | None = None
    preferred_service: str | None = None
    reply_to: ReplyTo | None = None
    service: str | None = None


class MessageSentResponse(Data):
    """Answer of `chats.messages.send`.

    Attributes:
        chat_id: Empty if Linq's answer lacks it and the call does not name the chat.
    """

    chat_id: str = ""
    message: SentMessage


class FromSelection(Data):
    """Why Linq took this line.

    Attributes:
        reason: `reused_active_chat`, `new_best_number` or `failover_flagged`.
    """

    reason: str
    reused_existing_chat: bool | None = None


class MessageCreated(Data):
    """Answer of `messages.create`.

    Attributes:
        chat_id: Empty if Linq's answer lacks it; the message was sent all the same.
        from_: The line the message goes out from, E.164.
        previous_chat_id: Set after a failover: the chat on the flagged line, which `chat_id` now continues.
    """

    chat_id: str = ""
    message: SentMessage
    from_: str | None = Field(default=None, alias="from")
    from_selection: FromSelection | None = None
    created_new_chat: bool | None = None
    previous_chat_id: str | None = None
    handles: tuple[Handle, ...] = ()
    is_group: bool | None = None
    service: str | None = None


class Message(SentMessage):
    """A message as Linq's API returns it.

    Attributes:
        delivery_status: Outbound `pending`, `queued`, `sent`, `delivered`, `read` or `failed`; inbound `received`
            or `read`.
        reconciled_at: Set only when Linq found the message late: treat it as history.
        from_: Deprecated by Linq; use `from_handle`.
    """

    chat_id: str
    from_: str | None = Field(default=None, alias="from")
    is_from_me: bool = False
    updated_at: datetime | None = None
    is_delivered: bool | None = None
    read_at: datetime | None = None
    reconciled_at: datetime | None = None

    @property
    def text(self) -> str:
        """The text parts, joined by newlines."""
        return "\n".join(part.value for part in self.parts if isinstance(part, TextPart))


class VoiceMemoFile(Data):
    """The audio of a voice memo."""

    id: str | None = None
    filename: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None
    url: str | None = None
    duration_ms: int | None = None


class VoiceMemoChat(Data):
    """The chat a voice memo went to."""

    id: str
    handles: tuple[Handle, ...] = ()
    is_active: bool | None = None
    is_group: bool | None = None
    service: str | None = None


class VoiceMemo(Data):
    """A voice memo on its way."""

    id: str
    to: tuple[str, ...] = ()
    status: str | None = None
    created_at: datetime | None = None
    service: str | None = None
    voice_memo: VoiceMemoFile | None = None
    chat: VoiceMemoChat | None = None
    from_: str | None = Field(default=None, alias="from")


class VoiceMemoSent(Data):
    """Answer of `chats.send_voicememo`."""

    voice_memo: VoiceMemo


class MessagePage(Data):
    """One page of `chats.messages.list`, or of a thread."""

    messages: tuple[Message, ...] = ()
    next_cursor: str | None = None
