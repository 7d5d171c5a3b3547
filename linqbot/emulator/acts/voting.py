"""Acts of a person with polls: making, extending, voting."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from linqbot.emulator.acts.act import ByPerson, NotEmpty, active_member
from linqbot.emulator.endpoints.chats import polls
from linqbot.emulator.engine import send_policy
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import conflict


class MakePoll(ByPerson):
    """Make a poll in an iMessage chat. The answer has `chat_id` and `message_id`."""

    chat_id: str
    options: Annotated[list[NotEmpty], Field(min_length=2)] = Field(description="The texts of the options.")

    def perform(self, world: World) -> dict[str, str]:
        """Store the poll and emit `poll.received`.

        Returns:
            `chat_id` and `message_id`.
        Raises:
            ApiError: 404, there is no such chat, or the person is not in the chat; 409, the chat is not iMessage.
        """
        chat = world.state.chat(self.chat_id)
        send_policy.check_present(chat)
        if chat.service != "iMessage":
            raise conflict("Polls need an iMessage chat")
        message = polls.receive(world, chat, active_member(chat, self.from_), self.options)
        return {"chat_id": self.chat_id, "message_id": message.id}


class AddOptions(ByPerson):
    """Add options to a poll."""

    message_id: str
    options: Annotated[list[NotEmpty], Field(min_length=1)] = Field(description="The texts of the options.")

    def perform(self, world: World) -> None:
        """Add the options and emit `poll.updated`.

        Raises:
            ApiError: 404, there is no such poll, or the person is not in the chat.
        """
        message, _ = world.state.poll(self.message_id)
        chat = world.state.chats[message.chat_id]
        polls.extend(world, chat, message, active_member(chat, self.from_), self.options)


class Vote(ByPerson):
    """Vote for an option of a poll, or take the vote back."""

    message_id: str
    option_id: str
    operation: Literal["add", "remove"] = "add"

    def perform(self, world: World) -> None:
        """Change the vote and emit `poll.vote.added` or `poll.vote.removed`, if that is a change.

        Raises:
            ApiError: 404, there is no such poll or option, or the person is not in the chat.
        """
        message, _ = world.state.poll(self.message_id)
        chat = world.state.chats[message.chat_id]
        member = active_member(chat, self.from_)
        polls.toggle(world, chat, message, member, self.option_id, is_on=self.operation == "add")
