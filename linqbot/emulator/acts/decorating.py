"""Acts of a person with the look of a chat: the name and the icon of a group, and the background."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from linqbot.emulator.acts.act import ByPerson, NotEmpty, active_member
from linqbot.emulator.acts.incoming_parts import Media
from linqbot.emulator.engine import chat_state
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import conflict, invalid
from linqbot.emulator.model.message_content import BackgroundRecord
from linqbot.emulator.model.records import ChatRecord
from linqbot.rules.broken import Broken
from linqbot.rules.requests import background as broken_background


class NameGroup(ByPerson):
    """Name a group, or take its name away."""

    chat_id: str
    name: Annotated[NotEmpty, Field(max_length=200)] | None = Field(None, description="null takes the name away.")

    def perform(self, world: World) -> None:
        """Change the name and emit `chat.group_name_updated`, if that is a change.

        Raises:
            ApiError: 404, there is no such chat, or the person is not in it; 409, the chat is not a group.
        """
        chat = _group(world, self.chat_id)
        by = active_member(chat, self.from_)
        if chat.name != self.name:
            chat_state.rename(world, chat, by, self.name)


class SetGroupIcon(ByPerson):
    """Give a group an icon, or take it away."""

    chat_id: str
    image: Media | None = Field(None, description="null takes the icon away.")

    def perform(self, world: World) -> None:
        """Change the icon and emit `chat.group_icon_updated`, if that is a change.

        Raises:
            ApiError: 404, there is no such chat or attachment, or the person is not in the chat; 409, the chat is not a
                group; 400, the image cannot be read.
        """
        chat = _group(world, self.chat_id)
        by, url = active_member(chat, self.from_), _address(world, self.image)
        if chat.icon != url:
            chat_state.set_icon(world, chat, by, url)


class SetBackground(ByPerson):
    """Give an iMessage chat a background, or take it away. Exactly one of the types has fields of its own.

    `color` has a `variant`, or two `shades`. `dynamic` has a `style` and a `variant`. `photo` has an `image`.
    """

    chat_id: str
    type: Literal["color", "dynamic", "photo"] | None = Field(None, description="null takes the background away.")
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
        """Change the background and emit `chat.background_updated`, if that is a change.

        Raises:
            ApiError: 404, there is no such chat or attachment, or the person is not in the chat; 409, the chat is not
                iMessage; 400, the image cannot be read.
        """
        chat = world.state.chat(self.chat_id)
        by = active_member(chat, self.from_)
        if chat.service != "iMessage":
            raise conflict("Only iMessage shows backgrounds")
        background = self._background(world)
        if chat.background != background:
            chat_state.set_background(world, chat, by, background)

    def _background(self, world: World) -> BackgroundRecord | None:
        if self.type is None:
            return None
        return BackgroundRecord(self.type, self.style, self.variant, self.shades, _address(world, self.image))


def _address(world: World, image: Media | None) -> str | None:
    if image is None:
        return None
    image.check()
    shown = image.shown(world)
    if not shown.mime_type.startswith("image/"):
        raise invalid("This file is not an image")
    return shown.url


def _group(world: World, chat_id: str) -> ChatRecord:
    chat = world.state.chat(chat_id)
    if not chat.is_group:
        raise conflict("Only groups have a name and an icon")
    return chat
