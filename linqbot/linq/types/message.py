"""Messages and their parts, effects, decorations and reactions. One class per kind of part, for sending and receiving.

All text ranges are half-open pairs of UTF-16 code units, as Linq counts them: "🎂" has length 2.
"""

# Without `from __future__ import annotations`: see `events/event.py`.

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from linqbot.linq.types.chat import Chat, Handle
from linqbot.linq.types.data import Data, misfit, note_unfitting, validated_leniently
from linqbot.linq.types.files import MAX_BYTES, Fetched, Saved, turn

ScreenEffect: TypeAlias = Literal[
    "confetti", "fireworks", "lasers", "sparkles", "celebration", "hearts", "love", "balloons", "happy_birthday",
    "echo", "spotlight",
]  # fmt: skip
BubbleEffect: TypeAlias = Literal["slam", "loud", "gentle", "invisible"]
EffectName: TypeAlias = ScreenEffect | BubbleEffect
TextStyle: TypeAlias = Literal["bold", "italic", "strikethrough", "underline"]
TextAnimation: TypeAlias = Literal["big", "small", "shake", "nod", "explode", "ripple", "bloom", "jitter"]
TapbackName: TypeAlias = Literal["love", "like", "dislike", "laugh", "emphasize", "question"]
ReactionType: TypeAlias = Literal[TapbackName, "custom", "sticker"]
"""The reactions that are known, as the other names above. Where a call takes such names, it takes any other `str` too."""

SCREEN_EFFECTS: frozenset[str] = frozenset(get_args(ScreenEffect))
BUBBLE_EFFECTS: frozenset[str] = frozenset(get_args(BubbleEffect))

Range: TypeAlias = tuple[int, int]


def utf16_length(text: str) -> int:
    """Return the length of `text` in UTF-16 code units, as Linq counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf16_slice(text: str, start: int, end: int) -> str:
    """Return the text between two of Linq's offsets, which count UTF-16 code units.

    An offset inside a character excludes that character, and an offset beyond the end means the end.
    """
    return next(utf16_slices(text, (start, end)))


def utf16_slices(text: str, edges: Sequence[int]) -> Iterator[str]:
    """Yield the text between the first and the second offset, the third and the fourth, and so on.

    The text is encoded once for all slices, so that many slices of a long text take linear time.
    """
    units = text.encode("utf-16-le", "surrogatepass")
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield units[max(start, 0) * 2 : max(end, 0) * 2].decode("utf-16-le", "ignore")


class Effect(Data):
    """A screen or bubble effect of a message."""

    name: str | None = None
    type: str | None = None

    @classmethod
    def named(cls, name: str) -> "Effect":
        """Return the effect called `name`, with its type, if linqbot knows the name."""
        return cls(name=name, type="bubble" if name in BUBBLE_EFFECTS else "screen" if name in SCREEN_EFFECTS else None)


class ReplyTo(Data):
    """The message, and the part of it, that a message replies to."""

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
    """A style or an animation over a range of a text part. Exactly one of `style` and `animation` is set."""

    range: Range
    style: str | None = None
    animation: str | None = None


class InlineSticker(Data):
    """A small image over a range of a text part."""

    range: Range
    id: str | None = None
    url: str | None = None
    attachment_id: str | None = None
    file_name: str | None = None
    mime_type: str | None = None


class Mention(Data):
    """A mention of a participant in a group's text."""

    handle: str
    is_me: bool = False
    range: Range | None = None


class TextPart(Data):
    """Text, sent verbatim: Linq does not interpret Markdown; use decorations.

    Attributes:
        mention, mention_range: For sending, in groups only: the mentioned handle and its range; None is the whole text.
        mentions: For received parts: all mentions in the text.
    """

    type: Literal["text"] = "text"
    value: str
    text_decorations: tuple[TextDecoration, ...] | None = None
    inline_stickers: tuple[InlineSticker, ...] | None = None
    mention: str | None = None
    mention_range: Range | None = None
    mentions: tuple[Mention, ...] | None = None
    reactions: tuple[Reaction, ...] | None = None


_HEIC: Final = frozenset({"image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"})
_CAF: Final = frozenset({"audio/x-caf", "audio/caf"})
# Phones record CAF, AMR and MPEG-4 audio. Linq delivers CAF as audio/mp4.
_RECORDED: Final = frozenset({*_CAF, "audio/amr", "audio/mp4", "audio/x-m4a", "audio/m4a"})
_OUTSIDE: Final = "A part fetches its file inside a handler only. Elsewhere, write: await client.fetch(part)."


class MediaPart(Data):
    """A file. To send one, set either `url` (public https, at most 10 MB) or `attachment_id`.

    Attributes:
        url: In received parts, the URL is signed and short-lived: fetch soon.
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

    @property
    def is_voice_memo(self) -> bool:
        """Return True for a received voice memo. Linq does not mark them: this is audio of a kind that phones record."""
        return self.mime_type in _RECORDED or (not self.mime_type and self._suffix in {"caf", "amr", "m4a"})

    @property
    def is_heic(self) -> bool:
        """Return True for a HEIC or HEIF image, as iPhones take them. Many programs cannot read these."""
        return self.mime_type in _HEIC or self._suffix in {"heic", "heif"}

    @property
    def is_caf(self) -> bool:
        """Return True for audio in Apple's CAF, as iPhones record voice memos. Many programs cannot read it."""
        return self.mime_type in _CAF or self._suffix == "caf"

    @property
    def _suffix(self) -> str:
        return (self.filename or "").rpartition(".")[2].lower()

    async def fetch(self, *, max_bytes: int = MAX_BYTES, timeout_s: float = 30.0) -> Fetched:
        """Read the file of a received message into memory, in a handler.

        If the address of a file of the handled message has expired, Linq is asked for it again. Addresses and limits
        are those of `Client.fetch`, which raises errors and works outside of handlers.

        Example: `photo = await message.media[0].fetch()`

        Args:
            max_bytes: The largest file to read.
            timeout_s: Seconds for the whole fetch.
        Returns:
            The file. If it could not be fetched, `unavailable` is the reason.
        Raises:
            BotError: no handler is running.
        """
        return (
            await turn(TurnWithMedia, _OUTSIDE).received_media().fetch(self, max_bytes=max_bytes, timeout_s=timeout_s)
        )

    async def save(self, path: Path | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 300.0) -> Saved:
        """Write the file of a received message to `path`, in a handler. It appears there complete or not at all.

        Args:
            path: An existing file is replaced. Do not make it from `filename`, which the sender chose.
            max_bytes, timeout_s: As for `fetch`.
        Returns:
            The size and the type of the file. If it could not be fetched, `unavailable` is the reason.
        Raises:
            OSError: the file could not be written.
            BotError: no handler is running.
        """
        return (
            await turn(TurnWithMedia, _OUTSIDE)
            .received_media()
            .save(self, path, max_bytes=max_bytes, timeout_s=timeout_s)
        )


class MediaReader(ABC):
    """A reader of the files of received messages. The arguments are those of `MediaPart.fetch` and `MediaPart.save`."""

    @abstractmethod
    async def fetch(self, media: MediaPart, *, max_bytes: int, timeout_s: float) -> Fetched: ...

    @abstractmethod
    async def save(self, media: MediaPart, path: Path | str, *, max_bytes: int, timeout_s: float) -> Saved: ...


class TurnWithMedia:
    """A turn in which the files of received messages are read. `Context` is one."""

    def received_media(self) -> MediaReader:
        """Return the reader of received files. Here it raises NotImplementedError."""
        raise NotImplementedError


class LinkPart(Data):
    """A URL shown as a preview card. A link part must be the only part of its message."""

    type: Literal["link"] = "link"
    value: str
    reactions: tuple[Reaction, ...] | None = None


class AppIdentity(Data):
    """The iMessage app that a card belongs to.

    Attributes:
        app_store_id: The app's number in the App Store.
    """

    team_id: str
    bundle_id: str
    name: str
    app_store_id: int | str | None = None


class AppLayout(Data):
    """The content of an app card."""

    caption: str | None = None
    subcaption: str | None = None
    trailing_caption: str | None = None
    trailing_subcaption: str | None = None
    image_url: str | None = None
    image_title: str | None = None
    image_subtitle: str | None = None


class AppPart(Data):
    """A card of an iMessage app. An app part must be the only part of its message."""

    type: Literal["imessage_app"] = "imessage_app"
    app: AppIdentity
    layout: AppLayout
    url: str | None = None
    fallback_text: str | None = None
    interactive: bool | None = None
    reactions: tuple[Reaction, ...] | None = None


class AppClipPart(Data):
    """A card that opens an App Clip. An App Clip part must be the only part of its message."""

    type: Literal["app_clip"] = "app_clip"
    value: str
    caption: str | None = None
    title: str | None = None
    description: str | None = None
    image_url: str | None = None
    reactions: tuple[Reaction, ...] | None = None


class UnknownPart(Data):
    """A part of a kind that Linq added after this release of linqbot, or without what its kind needs.

    Its fields are in `model_extra`.
    """

    type: str = ""


_KINDS: Final[Mapping[str, type[Data]]] = {
    "text": TextPart, "media": MediaPart, "link": LinkPart, "imessage_app": AppPart, "app_clip": AppClipPart,
}  # fmt: skip


def _survivor(value: Any) -> tuple[Data, bool]:
    """Return a received part without the fields that do not fit, and True if there were any.

    A part that lacks what its kind needs is an UnknownPart with all its fields. Any part keeps its place: edits and reactions name a
    part by its index.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    for each in (known, UnknownPart) if known else (UnknownPart,):
        try:
            part, left_out = validated_leniently(each, value)
        except ValidationError as error:
            note_unfitting(each, error)
        else:
            return part, bool(left_out)
    return UnknownPart(), True


def _of_unknown_kind(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Return an UnknownPart for a value of an unknown kind. Raises for any other value that is no part."""
    if isinstance(value, UnknownPart):
        return value
    kind = value.get("type", "") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind in _KINDS:
        raise misfit(_survivor)
    return read(value)


# The known types are selected by their name first, because that runs no Python code on the hot path.
Part: TypeAlias = Annotated[
    Annotated[TextPart | MediaPart | LinkPart | AppPart | AppClipPart, Field(discriminator="type")]
    | Annotated[UnknownPart, WrapValidator(_of_unknown_kind)],
    Field(union_mode="left_to_right"),
]
# Linq sends `parts: null` for tombstones and system messages; it is read as an empty tuple.
Parts: TypeAlias = Annotated[tuple[Part, ...], BeforeValidator(lambda parts: () if parts is None else parts)]


WORDS: Final = (TextPart, LinkPart, AppClipPart)
"""The parts whose `value` is read: texts, and the addresses of link previews and of App Clips. The other cards have no words of their
own: what they show is a picture of an app."""


def text_of(parts: Iterable[Part]) -> str:
    """Return the texts and the addresses of a message in their order, each on lines of its own; empty if there are none."""
    return "\n".join([part.value for part in parts if isinstance(part, WORDS)])


def texts_of(messages: Iterable[Iterable[Part]]) -> list[str]:
    """Return the texts of messages that were sent one after the other, without those that are empty.

    A message that is only the card of an address is left out if a text before it has the address.
    """
    texts: list[str] = []
    for parts in map(tuple, messages):
        text = text_of(parts)
        is_card = len(parts) == 1 and isinstance(parts[0], LinkPart)
        if text and not (is_card and any(text in each for each in texts)):
            texts.append(text)
    return texts


class Experience(Data):
    """An experience to send instead of parts, such as `link/open`."""

    name: str
    action: str
    params: dict[str, Any] = Field(default_factory=dict)


class MessageContent(Data):
    """The content of a message to send: parts or an experience, and options.

    Attributes:
        parts: 1 to 100 parts. Two text parts may not be adjacent; a link part must be alone.
        preferred_service: `iMessage` has no fallback, `RCS` falls back to SMS, None lets Linq choose.
        idempotency_key: Messages with equal keys are sent once. The client generates a missing key.
    """

    parts: tuple[Part, ...] | None = None
    experience: Experience | None = None
    effect: Effect | None = None
    reply_to: ReplyTo | None = None
    preferred_service: str | None = None
    idempotency_key: str | None = None


class SentMessage(Data):
    """A message as the response of a send call contains it: accepted, usually still `pending`."""

    id: str
    created_at: AwareDatetime | None = None
    delivery_status: str | None = None
    is_read: bool | None = None
    parts: Parts = ()
    sent_at: AwareDatetime | None = None
    delivered_at: AwareDatetime | None = None
    effect: Effect | None = None
    from_handle: Handle | None = None
    preferred_service: str | None = None
    reply_to: ReplyTo | None = None
    service: str | None = None


class MessageSentResponse(Data):
    """Response of `chats.messages.send`.

    Attributes:
        chat_id: Empty if Linq's response lacks it and the call does not name the chat.
    """

    chat_id: str = ""
    message: SentMessage


class FromSelection(Data):
    """The reason why Linq chose this line.

    Attributes:
        reason: `reused_active_chat`, `new_best_number` or `failover_flagged`.
    """

    reason: str
    reused_existing_chat: bool | None = None


class MessageCreated(Data):
    """Response of `messages.create`.

    Attributes:
        chat_id: Empty if Linq's response lacks it; the message was sent all the same.
        from_: The line that sends the message, E.164.
        previous_chat_id: Set after a failover: the chat on the flagged line, which the chat `chat_id` continues.
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
        delivery_status: For outbound messages `pending`, `queued`, `sent`, `delivered`, `read` or `failed`; for inbound
            messages `received` or `read`.
        reconciled_at: Set only if Linq found the message late: treat the message as history.
        from_: Deprecated by Linq; use `from_handle`.
    """

    chat_id: str
    from_: str | None = Field(default=None, alias="from")
    is_from_me: bool = False
    updated_at: AwareDatetime | None = None
    is_delivered: bool | None = None
    read_at: AwareDatetime | None = None
    reconciled_at: AwareDatetime | None = None

    @property
    def text(self) -> str:
        """Return the texts and the addresses of links, each on lines of its own: see `MessageReceived.text`."""
        return text_of(self.parts)


class VoiceMemoFile(Data):
    """The audio file of a voice memo."""

    id: str | None = None
    filename: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None
    url: str | None = None
    duration_ms: int | None = None


class VoiceMemoChat(Data):
    """The chat that a voice memo was sent to."""

    id: str
    handles: tuple[Handle, ...] = ()
    is_active: bool | None = None
    is_group: bool | None = None
    service: str | None = None


class VoiceMemo(Data):
    """An accepted voice memo."""

    id: str
    to: tuple[str, ...] = ()
    status: str | None = None
    created_at: AwareDatetime | None = None
    service: str | None = None
    voice_memo: VoiceMemoFile | None = None
    chat: VoiceMemoChat | None = None
    from_: str | None = Field(default=None, alias="from")


class VoiceMemoSent(Data):
    """Response of `chats.send_voicememo`."""

    voice_memo: VoiceMemo


class CreatedChat(Chat):
    """A chat as `chats.create` returns it, with its first message.

    Attributes:
        id: Empty if Linq's response lacks it; the message was sent all the same.
    """

    id: str = ""
    message: SentMessage


class ChatCreatedResponse(Data):
    """Response of `chats.create`."""

    chat: CreatedChat
