"""Acts of a person with messages and with the look of a chat, and the base of all acts.

An act is a pydantic model with a method `perform(world)`. The control API reads the model from a request body, tests
build it in Python, and `Emulator.do` performs it. The docstring and the fields of each act are also its entry in
docs/reference/control.md. All other acts are in `chat_acts.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from linqbot.linq.rules.check import background as broken_background
from linqbot.linq.rules.values import Broken
from linqbot.linq.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS, Effect, ReactionType
from linqbot.linq.types.names import misspelt
from linqbot_dev.emulator.endpoints import attachments, messages, reactions
from linqbot_dev.emulator.engine import chat_state, content, sending
from linqbot_dev.emulator.engine.sending import best_service, line_of_account
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import payloads
from linqbot_dev.emulator.model.answers import conflict, invalid, not_found
from linqbot_dev.emulator.model.documents import iso, seconds
from linqbot_dev.emulator.model.message_content import (
    BackgroundRecord,
    LinkPartRecord,
    MediaPartRecord,
    OtherPartRecord,
    TextPartRecord,
    mime_type_of,
)
from linqbot_dev.emulator.model.records import ChatRecord, Line, Member, Service, can_text, normal

Result_co = TypeVar("Result_co", covariant=True)


class Act(Protocol[Result_co]):
    """An act of a person, of Linq or of the team."""

    def perform(self, world: World) -> Result_co:
        """Change the world, and return what the caller cannot know, such as the ids of a new message.

        Raises:
            ApiError: the act is not possible now.
        """


def _checked_handle(text: str) -> str:
    if not can_text(plain := normal(text)):
        raise ValueError(
            "must be an E.164 number, an e-mail address, or a short code, or the name of a sender in capitals"
        )
    return plain


Handle: TypeAlias = Annotated[
    str, AfterValidator(_checked_handle), WithJsonSchema({"type": "string", "format": "handle"})
]
Index: TypeAlias = Annotated[int, Field(ge=0)]
Emoji: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]
NotEmpty: TypeAlias = Annotated[str, Field(min_length=1)]


def known_name(field: str, known: Collection[str]) -> AfterValidator:
    """Return a check of a name of Linq's: as in calls of the API, only a misspelt one is refused."""

    def checked(given: str) -> str:
        if near := misspelt(field, given, known):
            raise ValueError(f"Did you mean {near}?")
        return given

    return AfterValidator(checked)


class Body(BaseModel):
    """A JSON object of the control API. Unknown keys are refused, so that a misspelled key does not look like success."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class ByPerson(Body):
    """An act of one person. In JSON the key of `from_` is `from`."""

    from_: Handle = Field(alias="from", description="The person who acts.")


def active_member(chat: ChatRecord, handle: str) -> Member:
    member = chat.member(handle)
    if member is None or member.is_me or member.status != "active":
        raise not_found("participant")
    return member


class InChat(ByPerson):
    """An act of a person who is in the chat."""

    chat_id: str

    def place(self, world: World) -> tuple[ChatRecord, Member]:
        """Return the chat, and the member who acts."""
        chat = world.state.chat(self.chat_id)
        return chat, active_member(chat, self.from_)

    def group(self, world: World) -> tuple[ChatRecord, Member]:
        """Return the chat, which must be a group, and the member who acts."""
        chat, member = self.place(world)
        check_group(chat)
        return chat, member


def check_group(chat: ChatRecord) -> None:
    if not chat.is_group:
        raise conflict("Only groups can be joined and left, and have a name and an icon")


Range: TypeAlias = Annotated[list[Index], Field(min_length=2, max_length=2)]


class Mentioned(Body):
    """One mention in a text."""

    handle: Handle
    range: Range | None = Field(None, description="Start and end in UTF-16 units; the whole text if left out.")


class Text(Body):
    """A text part."""

    type: Literal["text"] = "text"
    value: NotEmpty
    text_decorations: list[dict[str, Any]] | None = None
    mention: Handle | None = Field(None, description="The handle that the text mentions; a line mentions the bot.")
    mention_range: Range | None = Field(None, description="Start and end in UTF-16 units; the whole text if left out.")
    mentions: list[Mentioned] | None = Field(None, description="Further mentions.")

    def shown(self, world: World) -> TextPartRecord:
        asked = [Mentioned(handle=self.mention, range=self.mention_range)] if self.mention else []
        asked += self.mentions or ()
        mentions = tuple(content.mention_of(world, one.handle, one.range, self.value) for one in asked)
        return TextPartRecord(self.value, text_decorations=self.text_decorations or None, mentions=mentions)


class Link(Body):
    """A link, which phones show as a preview card."""

    type: Literal["link"] = "link"
    value: NotEmpty

    def shown(self, world: World) -> LinkPartRecord:
        return LinkPartRecord(self.value)


class Media(Body):
    """A file, given by one of `data_base64`, `url` and `attachment_id`."""

    type: Literal["media"] = "media"
    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    mime_type: str | None = Field(None, description="Guessed from `filename` if left out.")
    data_base64: str | None = Field(None, description="The content.")
    url: str | None = Field(None, description="An address; the emulator does not fetch foreign ones.")
    attachment_id: str | None = Field(None, description="An attachment that the emulator has.")

    @model_validator(mode="after")
    def _check(self) -> Media:
        if not (self.data_base64 is not None or self.url or self.attachment_id):
            raise ValueError("media needs data_base64, url or attachment_id")
        return self

    def shown(self, world: World) -> MediaPartRecord:
        if self.data_base64 is None:
            return content.media_part(world, {"attachment_id": self.attachment_id, "url": self.url})
        try:
            data = base64.b64decode(self.data_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid("data_base64 is not base64") from error
        filename = self.filename or "file"
        kind = self.mime_type or mime_type_of(filename)
        return content.of_attachment(world, attachments.add(world, filename, kind, data))


class Other(Body):
    """A part of a type that Linq has added since: its fields are passed on as they are."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    type: Annotated[
        str, Field(min_length=1), known_name("part.type", ("text", "link", "media", "imessage_app", "app_clip"))
    ]

    def shown(self, world: World) -> OtherPartRecord:
        return OtherPartRecord(self.type, dict(self.model_extra or {}))


def _kind_of_part(part: Any) -> str:
    kind = part.get("type", "") if isinstance(part, Mapping) else getattr(part, "type", "")
    return kind if kind in {"text", "link", "media"} else "other"


Part: TypeAlias = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Link, Tag("link")]
    | Annotated[Media, Tag("media")]
    | Annotated[Other, Tag("other")],
    Discriminator(_kind_of_part),
]


def _as_object(key: str) -> Callable[[Any], Any]:
    return lambda value: {key: value} if isinstance(value, str) else value


class Reply(Body):
    """The message that a message answers."""

    message_id: str
    part_index: Index = 0


class VisualEffect(Body):
    """The visual effect of a message."""

    name: Annotated[str, known_name("effect.name", SCREEN_EFFECTS | BUBBLE_EFFECTS)]
    type: Annotated[str, known_name("effect.type", ("screen", "bubble"))] | None = Field(
        None, description="Found by the name if left out."
    )


class Write(ByPerson):
    """Write a message to our line `to`.

    The message goes to the chat `chat_id`, or to the chat that the line has with exactly these people; if there is no
    such chat, it begins. The answer has `chat_id` and `message_id`. Both are null when the line's account has blocked
    the person: Linq then stores nothing.
    """

    to: Handle = Field(description="A line of the account.")
    parts: Annotated[list[Part], Field(min_length=1, max_length=100)]
    chat_id: str | None = None
    group: list[Handle] = Field([], description="The other people of a group.")
    reply_to: Annotated[Reply, BeforeValidator(_as_object("message_id"))] | None = Field(
        None, description="The message that is answered. A string is short for its `message_id`."
    )
    effect: Annotated[VisualEffect, BeforeValidator(_as_object("name"))] | None = Field(
        None, description="A string is short for its `name`."
    )
    service: Service | None = Field(None, description="The service of the person's phone from now on.")
    sent_at: str | None = Field(None, description="ISO 8601. The time of writing, for a message that Linq found late.")
    reconciled_at: str | None = Field(None, description="ISO 8601. The time at which Linq found the message.")

    def perform(self, world: World) -> dict[str, str | None]:
        effect, sent_at, reconciled_at = self._effect(), parsed_time(self.sent_at), parsed_time(self.reconciled_at)
        line = line_of_account(world, self.to)
        if self.from_ in world.state.blocked:
            return {"chat_id": None, "message_id": None}
        shown = [part.shown(world) for part in self.parts]
        if self.service:
            world.state.services[self.from_] = self.service
        chat = self._chat(world, line)
        sender = active_member(chat, self.from_)
        answered = content.reply_to(world, chat, self.reply_to.model_dump() if self.reply_to else None)
        sender.service = world.state.service_of(self.from_)
        chat.service = best_service(world, line, chat.people)
        if self.from_ in chat.typing:
            _set_typing(world, chat, sender, is_typing=False)
        sent_at = world.now() if sent_at is None else sent_at
        message = chat_state.store(
            world, chat, sender, shown, effect=effect, reply_to=answered, sent_at=sent_at, reconciled_at=reconciled_at
        )
        texts = [part.value for part in shown if isinstance(part, TextPartRecord)]
        sending.note_text(world, chat, self.from_, texts[0] if len(shown) == len(texts) == 1 else "")
        world.emit_message("message.received", chat, message)
        world.show_chat(chat)
        world.show_message(message)
        return {"chat_id": chat.id, "message_id": message.id}

    def _effect(self) -> Effect | None:
        if self.effect is None:
            return None
        return Effect(name=self.effect.name, type=self.effect.type or Effect.named(self.effect.name).type)

    def _chat(self, world: World, line: Line) -> ChatRecord:
        if self.chat_id is None:
            people = [self.from_, *self.group]
            return _chat_with(world, line, people, best_service(world, line, people))
        chat = world.state.chat(self.chat_id)
        sending.check_present(chat)
        if chat.line != line.phone_number:
            raise conflict("This chat belongs to another line")
        return chat


def _chat_with(world: World, line: Line, people: Sequence[str], service: str) -> ChatRecord:
    people = list(dict.fromkeys(people))
    if line.phone_number in people:
        raise invalid("A line cannot write to itself")
    found = next(world.state.chats_with(line.phone_number, people), None)
    return found or chat_state.open_chat(world, line, people, service)


def parsed_time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        at = seconds(text)
        # Some times can be read and not written. Stored, they would break every later answer with this message.
        iso(at)
    except (ValueError, OverflowError, OSError) as error:
        raise invalid("times are ISO 8601") from error
    return at


class Edit(ByPerson):
    """Change the text of a message that the person wrote."""

    message_id: str
    text: NotEmpty
    part_index: Index = 0

    def perform(self, world: World) -> None:
        message = world.state.message(self.message_id)
        if message.sender.handle != self.from_ or message.is_from_me:
            raise conflict("Only the sender can edit a message")
        messages.edit(world, world.state.chats[message.chat_id], message, self.part_index, self.text)


class Placement(Body):
    """The place of a sticker on a bubble."""

    x: Annotated[float, Field(ge=-1, le=1)] = Field(0.0, description="-1 is the left edge of the bubble, 1 the right.")
    y: Annotated[float, Field(ge=-1, le=1)] = Field(0.0, description="-1 is the top of the bubble, 1 the bottom.")
    scale: float | None = Field(None, description="Clamped to 0.05 to 2.5; 0.5 for an emoji and 1 for an image.")
    rotation: float = Field(0.0, description="Degrees, clockwise.")


class React(ByPerson):
    """Add a tapback or a sticker to a message, or remove the person's tapback.

    A sticker shows exactly one of `emoji`, `url`, `attachment_id` and `data_base64`.
    """

    message_id: str
    type: Annotated[str, Field(min_length=1), known_name("reaction.type", get_args(ReactionType))]
    operation: Literal["add", "remove"] = "add"
    custom_emoji: Emoji | None = Field(None, description="The emoji of a tapback of type `custom`.")
    part_index: Index = 0
    emoji: Emoji | None = Field(None, description="The sticker's image, drawn from an emoji.")
    url: str | None = Field(None, description="The sticker's image, by its address.")
    attachment_id: str | None = Field(None, description="The sticker's image, by an attachment that the emulator has.")
    data_base64: str | None = Field(None, description="The sticker's image, by its content.")
    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="The name of a `data_base64`; its type is guessed from it."
    )
    placement: Placement | None = Field(None, description="The place of a sticker.")

    def perform(self, world: World) -> None:
        if self.type == "custom" and not self.custom_emoji:
            raise invalid("custom needs custom_emoji")
        images = [image for image in (self.emoji, self.url, self.attachment_id, self.data_base64) if image]
        if self.type in get_args(ReactionType) and (self.type == "sticker") != (len(images) == 1):
            raise invalid("a sticker, and nothing else, needs one of emoji, url, attachment_id and data_base64")
        message = world.state.message(self.message_id)
        chat = world.state.chats[message.chat_id]
        asked = self.model_dump(exclude_none=True)
        if self.data_base64:
            file = Media(data_base64=self.data_base64, filename=self.filename or "sticker.png")
            asked["attachment_id"] = file.shown(world).id
        reactions.change(world, chat, message, active_member(chat, self.from_), asked)


class Read(InChat):
    """Read the bot's messages in a chat, all of them or up to `message_id`.

    Only direct chats over iMessage or RCS report that a message was read.
    """

    message_id: str | None = None

    def perform(self, world: World) -> None:
        chat, _ = self.place(world)
        last = world.state.message(self.message_id).seq if self.message_id else None
        if chat.is_group:
            return
        for message in chat.messages:
            if message.is_from_me and message.service != "SMS" and (last is None or message.seq <= last):
                sending.reach(world, chat, message, "read", world.now())


class SetTyping(InChat):
    """Begin or stop to type. Over SMS typing is not shown."""

    state: Literal["started", "stopped"]

    def perform(self, world: World) -> None:
        _set_typing(world, *self.place(world), is_typing=self.state == "started")


def _set_typing(world: World, chat: ChatRecord, member: Member, *, is_typing: bool) -> None:
    if chat.service == "SMS":
        return
    until = world.now() + chat_state.TYPING_S if is_typing else None
    if chat_state.set_typing(world, chat, member.handle, until):
        state = "started" if is_typing else "stopped"
        world.emit(f"chat.typing_indicator.{state}", payloads.typing(chat, member), chat)


class NameGroup(InChat):
    """Name a group, or take its name away."""

    name: Annotated[NotEmpty, Field(max_length=200)] | None = Field(None, description="null takes the name away.")

    def perform(self, world: World) -> None:
        chat, by = self.group(world)
        chat_state.set_look(world, chat, by, "name", self.name)


class SetGroupIcon(InChat):
    """Give a group an icon, or take it away."""

    image: Media | None = Field(None, description="null takes the icon away.")

    def perform(self, world: World) -> None:
        chat, by = self.group(world)
        chat_state.set_look(world, chat, by, "icon", _address(world, self.image))


class SetBackground(InChat):
    """Give an iMessage chat a background, or take it away. Exactly one of the types has fields of its own.

    `color` has a `variant`, or two `shades`. `dynamic` has a `style` and a `variant`. `photo` has an `image`.
    """

    type: Annotated[str, known_name("background.type", ("color", "dynamic", "photo"))] | None = Field(
        None, description="null takes the background away."
    )
    variant: str | None = None
    style: str | None = None
    shades: list[str] | None = Field(None, description="Two colors such as `#1A2B3C`.")
    image: Media | None = None

    @model_validator(mode="after")
    def _check(self) -> SetBackground:
        if self.type == "photo" and self.image is None:
            raise ValueError("a photo needs an image")
        if self.type in {"color", "dynamic"}:
            broken: Broken | None = broken_background(self.model_dump())
            if broken is not None:
                raise ValueError(broken.message)
        return self

    def perform(self, world: World) -> None:
        chat, by = self.place(world)
        if chat.service != "iMessage":
            raise conflict("Only iMessage shows backgrounds")
        background = None
        if self.type is not None:
            image = _address(world, self.image)
            background = BackgroundRecord(self.type, self.style, self.variant, self.shades, image)
        chat_state.set_look(world, chat, by, "background", background)


def _address(world: World, image: Media | None) -> str | None:
    if image is None:
        return None
    shown = image.shown(world)
    if not shown.mime_type.startswith("image/"):
        raise invalid("This file is not an image")
    return shown.url
