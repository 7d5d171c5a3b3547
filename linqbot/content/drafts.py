"""Drafts: content of a reply that is more than a text or a part, such as a file that must be uploaded first.

The file of a draft is uploaded when the draft is sent (`uploads.py`). An `Act` is a call of its own, such as a poll: its
class has its plainer form, its preview and its call. Next step: `sending.py`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, TypeGuard

from pydantic import BaseModel

from linqbot.characters import repaired, whole
from linqbot.client.outcome import shares_location
from linqbot.client.resources.attachments import File, is_seekable
from linqbot.errors import BotError, LinqApiError, RateLimited
from linqbot.linq.types.message import MediaPart, SentMessage

if TYPE_CHECKING:
    from linqbot.client.client import Client
    from linqbot.clock import Clock


@dataclass(frozen=True, slots=True)
class MediaDraft:
    """A file to send as a part of a message; see `media`.

    Attributes:
        file: A path, the content as bytes, a file opened for reading bytes, or an https URL.
        start: The position in an opened file, from which it is read.
    """

    file: File = field(repr=False)
    filename: str | None = None
    content_type: str | None = None
    sticker: bool = False
    start: int = 0

    @property
    def url(self) -> str | None:
        return (
            self.file if isinstance(self.file, str) and self.file.lower().startswith(("http://", "https://")) else None
        )

    @property
    def name(self) -> str:
        """Return the name of the file for a preview, or its address; empty if it has neither."""
        path = self.file if isinstance(self.file, str | os.PathLike) else str(getattr(self.file, "name", ""))
        return whole(self.filename or self.url or Path(path).name)


ActKind: TypeAlias = Literal["voice_memo", "poll", "contact_card", "location_request"]


class CardShared(BaseModel, defer_build=True):
    """The state of a chat: when the contact card was shared, in Unix seconds."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class ActChat:
    """The chat in which an act is made, and what its call may need.

    Attributes:
        service: The service of the chat, if it is known.
        upload: Returns the part of a file, which it uploads at most once in a turn.
        card_state: Returns the state that says when the contact card was shared.
        logger: Returns the logger of the context.
    """

    chat_id: str
    service: str | None
    upload: Callable[[MediaDraft], Awaitable[MediaPart]]
    card_state: Callable[[], Awaitable[CardShared]]
    clock: Clock
    logger: Callable[[], Any]


class Act:
    """Content that is no message at Linq, but a call of its own.

    Attributes:
        KIND: Its name in previews and in `Sent.degraded`.
        WRITTEN: What an author has written for it: the names of the classes are not public.
    """

    __slots__ = ()
    KIND: ClassVar[ActKind]
    WRITTEN: ClassVar[str]

    def shown(self) -> tuple[str, tuple[str, ...]]:
        """Return its text and the names of its files, for a preview."""
        return "", ()

    def plainer(self) -> str | MediaDraft | None:
        """Return the form that is sent after Linq has refused it; None if it is left out then."""
        return None

    async def make(self, chat: ActChat, client: Client) -> SentMessage | None:
        """Make the call with `client`, into the chat. Return its message; None if it has none.

        Raises LinqApiError if Linq refuses it, and Refused if a plugin does.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class VoiceMemoDraft(Act):
    """A voice memo to send; see `voice_memo`."""

    KIND = "voice_memo"
    WRITTEN = "voice_memo(…)"

    audio: MediaDraft
    text: str | None = field(default=None, repr=False)
    force_notify: bool | None = None

    def shown(self) -> tuple[str, tuple[str, ...]]:
        return self.text or "", (self.audio.name,)

    def plainer(self) -> str | MediaDraft:
        return self.text or self.audio

    async def make(self, chat: ActChat, client: Client) -> SentMessage | None:
        part = await chat.upload(self.audio)
        made = await client.chats.send_voicememo(
            chat.chat_id,
            attachment_id=part.attachment_id,
            force_notify=self.force_notify,
            voice_memo_url=part.url,
        )
        said = made.voice_memo
        if not said.id:  # cut off by a crash and not found at Linq: the log has send.ambiguous
            return None
        return SentMessage(id=said.id, created_at=said.created_at, delivery_status=said.status, service=said.service)


@dataclass(frozen=True, slots=True)
class PollDraft(Act):
    """A poll to send; see `poll`."""

    KIND = "poll"
    WRITTEN = "poll(…)"

    options: tuple[str, ...] = field(repr=False)

    def shown(self) -> tuple[str, tuple[str, ...]]:
        return "\n".join(self.options), ()

    def plainer(self) -> str:
        return numbered_list(self.options)

    async def make(self, chat: ActChat, client: Client) -> SentMessage:
        options = [{"text": option} for option in self.options]
        made = await client.chats.polls.create(chat.chat_id, poll={"options": options})
        return SentMessage(id=made.message_id, created_at=made.created_at, service=chat.service)


NO_CARD: Final = 2012
"""Linq's error code for a line without a contact card."""
CARD_EVERY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class ContactCardDraft(Act):
    """The contact card of the bot's line; see `contact_card`."""

    KIND = "contact_card"
    WRITTEN = "contact_card()"

    async def make(self, chat: ActChat, client: Client) -> None:
        state = await chat.card_state()
        if chat.clock.now() < state.at + CARD_EVERY_S:
            return
        try:
            await client.named("contact card").chats.share_contact_card(chat.chat_id)
        except RateLimited:
            pass  # shared in the last five minutes (R65), such as by an earlier run of this turn
        except LinqApiError as error:
            if error.code == NO_CARD:
                to_do = "Create a contact card for the line: client.contact_card.create(…)."
                chat.logger().warning("contact_card.missing", to_do=to_do)
            raise
        state.at = chat.clock.now()


@dataclass(frozen=True, slots=True)
class LocationRequestDraft(Act):
    """A request to share a location; see `location_request`."""

    KIND = "location_request"
    WRITTEN = "location_request()"

    async def make(self, chat: ActChat, client: Client) -> None:
        try:
            await client.chats.location.request(chat.chat_id)
        except LinqApiError as error:
            if not shares_location(error):
                raise


def media(file: File, *, filename: str | None = None, content_type: str | None = None) -> MediaDraft:
    """Return a file to send: a photo, a film, a document.

    A file is uploaded when it is sent. If the handler runs again, its upload is not repeated.

    Args:
        file: A path, the content as bytes, a file opened for reading bytes, or an https URL. At most 100 MB. Linq
            fetches a URL itself; if it cannot, as with more than 10 MB, `ctx.reply` and `ctx.send` fetch and upload it.
        filename: The name that the person sees. Required for bytes; otherwise the file's own name. A URL that Linq
            fetches keeps its own.
        content_type: A type that Linq accepts, such as `image/jpeg`. None derives it from the suffix of the name.
    Raises:
        BotError: bytes were given without a name.

    Example:
        `await ctx.reply("Here it is:", media("menu.jpg"))`
    """
    if isinstance(file, bytes | bytearray | memoryview) and not filename:
        raise BotError('Bytes have no name, and Linq needs one. Give it, as in media(content, filename="photo.jpg").')
    if not isinstance(file, str | os.PathLike | bytes | bytearray | memoryview) and not hasattr(file, "read"):
        raise BotError(
            f"media() takes a path, bytes, a file opened for reading bytes, or an https URL, not {type(file).__name__}. "
            "A part of a received message can be sent as it is."
        )
    if isinstance(file, io.TextIOBase):
        raise BotError('media() reads bytes, and this file was opened for reading text. Open it with open(path, "rb").')
    start = file.tell() if is_seekable(file) else 0
    return MediaDraft(file, repaired(filename), content_type, start=start)


def sticker(file: File, *, filename: str | None = None) -> MediaDraft:
    """Return an image to send as a sticker. SMS and RCS show it as a photo.

    Args:
        file, filename: As for `media`.
    Raises:
        BotError: as for `media`.

    Example:
        `await ctx.reply(sticker("thumbs_up.png"))`
    """
    return replace(media(file, filename=filename), sticker=True)


def voice_memo(
    file: File, *, text: str | None = None, filename: str | None = None, force_notify: bool | None = None
) -> VoiceMemoDraft:
    """Return audio to send as a voice memo.

    SMS and RCS have no voice memos: there the text is sent, or without one the file.

    Args:
        file: As for `media`: audio as MP3, M4A, AAC, CAF, WAV, AIFF or AMR.
        text: What the memo says.
        filename: As for `media`.
        force_notify: True asks iMessage to notify the person; see `client.chats.send_voicememo`.
    Raises:
        BotError: as for `media`.

    Example:
        `await ctx.reply(voice_memo("hello.m4a", text="Hello!"))`
    """
    return VoiceMemoDraft(media(file, filename=filename), repaired(text), force_notify)


def poll(*options: str) -> PollDraft:
    """Return a poll. It has no title, so send a text before it. SMS and RCS get a numbered list.

    The votes are events: `@bot.on(PollVoteAdded)`. To wait for the answer, use `ctx.ask(choices=…)` or `ctx.vote`.

    Args:
        options: 2 or more texts.
    Raises:
        BotError: there are less than two options, or one is empty.

    Example:
        `await ctx.reply("Lunch?", poll("Thai", "Pizza"))`
    """
    if len(options) < 2 or not all(isinstance(option, str) and option.strip() for option in options):
        raise BotError('poll() needs two texts or more: poll("Thai", "Pizza").')
    return PollDraft(repaired(options))


def contact_card() -> ContactCardDraft:
    """Return the contact card of the bot's line: its name and its picture.

    In each chat it is shared at most once in 24 hours; otherwise it is left out. Set the card up in Linq's dashboard, or
    with `client.contact_card`.

    Example:
        `await ctx.reply("Nice to meet you!", contact_card())`
    """
    return ContactCardDraft()


def location_request() -> LocationRequestDraft:
    """Return a request to share a location, for a direct iMessage chat. Elsewhere it is left out.

    The answer is the event `LocationSharingStarted`. To wait for the location, use `ctx.location`.

    Example:
        `await ctx.reply("Where are you?", location_request())`
    """
    return LocationRequestDraft()


def is_received(item: object) -> TypeGuard[MediaPart]:
    """Return True for the part of a file that Linq has stored: one of a received message, or of a sent one."""
    return isinstance(item, MediaPart) and item.id is not None and item.url is not None


def numbered_list(options: Sequence[str]) -> str:
    """Return options as a numbered list, for where there are no polls."""
    return "\n".join(f"{number}. {option}" for number, option in enumerate(options, 1))
