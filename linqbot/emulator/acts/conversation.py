"""Acts of a person with messages: writing, editing, reacting, reading, typing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from linqbot.emulator.acts.act import Body, ByPerson, Emoji, Handle, Index, NotEmpty, Service, active_member
from linqbot.emulator.acts.incoming_parts import Media, Part
from linqbot.emulator.endpoints import messages, reactions
from linqbot.emulator.engine import chat_state, content, delivery_status, send_policy
from linqbot.emulator.engine.sending import line_of_account
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import payloads
from linqbot.emulator.model.answers import conflict, invalid
from linqbot.emulator.model.message_content import MessageEffect, TextPartRecord
from linqbot.emulator.model.records import ChatRecord, Line, iso, seconds
from linqbot.types.message import Effect


def _as_object(key: str) -> Callable[[Any], Any]:
    return lambda value: {key: value} if isinstance(value, str) else value


class Reply(Body):
    """The message that a message answers."""

    message_id: str
    part_index: Index = 0


class VisualEffect(Body):
    """The visual effect of a message."""

    name: str
    type: Literal["screen", "bubble"] | None = Field(None, description="Found by the name if left out.")


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
        """Store the message and emit `message.received`.

        Returns:
            `chat_id` and `message_id`; both None when the person is blocked.
        Raises:
            ApiError: 403, `to` is not a line of the account; 404, the chat, the participant or the message answered
                does not exist; 409, the chat belongs to another line, or our line has left it; 400, the media or a
                time cannot be read.
        """
        for part in self.parts:
            if isinstance(part, Media):
                part.check()
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
        if self.service:
            chat.service = sender.service = self.service
        if self.from_ in chat.typing:
            _set_typing(world, chat, self.from_, is_typing=False)
        message = chat_state.store_inbound(
            world, chat, sender, shown, effect=effect, reply_to=answered, sent_at=sent_at, reconciled_at=reconciled_at
        )
        texts = [part.value for part in shown if isinstance(part, TextPartRecord)]
        send_policy.note_text(world, chat, self.from_, texts[0] if len(shown) == len(texts) == 1 else "")
        world.emit_message("message.received", chat, message)
        world.show_chat(chat)
        world.show_message(message)
        return {"chat_id": chat.id, "message_id": message.id}

    def _effect(self) -> MessageEffect | None:
        if self.effect is None:
            return None
        return MessageEffect(self.effect.type or Effect.named(self.effect.name).type, self.effect.name)

    def _chat(self, world: World, line: Line) -> ChatRecord:
        if self.chat_id is None:
            service = self.service or world.state.service_of(self.from_)
            return _chat_with(world, line, [self.from_, *self.group], service)
        chat = world.state.chat(self.chat_id)
        send_policy.check_present(chat)
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
    """Return an ISO 8601 time as Unix seconds; None for None.

    Raises:
        ApiError: 400, the text is not a time.
    """
    if text is None:
        return None
    try:
        at = seconds(text)
        iso(
            at
        )  # Some times can be read but not written; stored, they would break every later answer with this message.
    except (ValueError, OverflowError, OSError) as error:
        raise invalid("times are ISO 8601") from error
    return at


class Edit(ByPerson):
    """Change the text of a message that the person wrote."""

    message_id: str
    text: NotEmpty
    part_index: Index = 0

    def perform(self, world: World) -> None:
        """Change the text and emit `message.edited`.

        Raises:
            ApiError: 404, there is no such message; 409, another person or the bot wrote the message; 400, there is no
                text part at `part_index`.
        """
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
    type: Literal["love", "like", "dislike", "laugh", "emphasize", "question", "custom", "sticker"]
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
        """Change the reaction and emit `reaction.added` or `reaction.removed`.

        Raises:
            ApiError: 400, a field is missing or superfluous, or there is no such part; 404, there is no such message or
                attachment, or the person is not in the chat.
        """
        if self.type == "custom" and not self.custom_emoji:
            raise invalid("custom needs custom_emoji")
        images = [image for image in (self.emoji, self.url, self.attachment_id, self.data_base64) if image]
        if (self.type == "sticker") != (len(images) == 1):
            raise invalid("a sticker, and nothing else, needs one of emoji, url, attachment_id and data_base64")
        message = world.state.message(self.message_id)
        chat = world.state.chats[message.chat_id]
        asked = self.model_dump(exclude_none=True)
        if self.data_base64:
            file = Media(data_base64=self.data_base64, filename=self.filename or "sticker.png")
            asked["attachment_id"] = file.shown(world).id
        image = reactions.sticker(world, asked) if self.type == "sticker" else None
        reactions.change(world, chat, message, active_member(chat, self.from_), asked, image=image)


class Read(ByPerson):
    """Read the bot's messages in a chat, all of them or up to `message_id`.

    Only direct chats over iMessage or RCS report that a message was read.
    """

    chat_id: str
    message_id: str | None = None

    def perform(self, world: World) -> None:
        """Mark the messages as read and emit `message.read` for each.

        Raises:
            ApiError: 404, there is no such chat or message, or the person is not in the chat.
        """
        chat = world.state.chat(self.chat_id)
        active_member(chat, self.from_)
        last = world.state.message(self.message_id).seq if self.message_id else None
        if chat.is_group:
            return
        for message in chat.messages:
            if message.is_from_me and message.service != "SMS" and (last is None or message.seq <= last):
                delivery_status.reach(world, chat, message, "read", world.now())


class SetTyping(ByPerson):
    """Begin or stop to type. Over SMS typing is not shown."""

    chat_id: str
    state: Literal["started", "stopped"]

    def perform(self, world: World) -> None:
        """Show or hide the typing dots and emit `chat.typing_indicator.started` or `.stopped`, if that is a change.

        Raises:
            ApiError: 404, there is no such chat, or the person is not in the chat.
        """
        _set_typing(world, world.state.chat(self.chat_id), self.from_, is_typing=self.state == "started")


def _set_typing(world: World, chat: ChatRecord, handle: str, *, is_typing: bool) -> None:
    member, until = active_member(chat, handle), world.now() + chat_state.TYPING_S if is_typing else None
    if chat.service == "SMS":
        return
    if chat_state.set_typing(world, chat, handle, until):
        state = "started" if is_typing else "stopped"
        world.emit(f"chat.typing_indicator.{state}", lambda: payloads.typing(chat, member), chat)
