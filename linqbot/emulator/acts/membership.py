"""Acts of a person with groups: leaving, removing others, joining, adding others."""

from __future__ import annotations

from pydantic import Field

from linqbot.emulator.acts.act import ByPerson, Handle, active_member
from linqbot.emulator.engine import chat_state
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import conflict, not_found
from linqbot.emulator.model.records import ChatRecord


class Leave(ByPerson):
    """Leave a group, or remove another participant from it."""

    chat_id: str
    handle: Handle | None = Field(None, description="The participant to remove; a line removes the bot.")

    def perform(self, world: World) -> None:
        """Remove the participant and emit `participant.removed`.

        Raises:
            ApiError: 404, there is no such chat or participant; 409, the chat is not a group.
        """
        chat = _group(world, self.chat_id)
        member = active_member(chat, self.from_)
        if self.handle is None or self.handle == self.from_:
            chat_state.depart(world, chat, member, by=self.from_)
            return
        removed = chat.member(self.handle)
        if removed is None or removed.status != "active":
            raise not_found("participant")
        chat_state.depart(world, chat, removed, by=self.from_)


class Join(ByPerson):
    """Join a group, also again after leaving, or add another person to it."""

    chat_id: str
    handle: Handle | None = Field(None, description="The person to add.")

    def perform(self, world: World) -> None:
        """Add the participant and emit `participant.added`.

        Raises:
            ApiError: 404, there is no such chat; 409, the chat is not a group, or the handle is in it already.
        """
        chat = _group(world, self.chat_id)
        newcomer = self.handle or self.from_
        member = chat.member(newcomer)
        if member is not None and member.status == "active":
            raise conflict("This handle is a participant already")
        chat_state.join(world, chat, newcomer, by=self.from_)


def _group(world: World, chat_id: str) -> ChatRecord:
    chat = world.state.chat(chat_id)
    if not chat.is_group:
        raise conflict("Only groups can be joined and left")
    return chat
