"""Polls: created in a chat, then addressed by the id of their message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from linqbot.client.resources.resource import Resource, many, read
from linqbot.types.poll import PollEnvelope


class Polls(Resource):
    """`client.chats.polls`: create polls."""

    __slots__ = ()

    async def create(self, chat_id: str, *, poll: Mapping[str, Any]) -> PollEnvelope:
        """Create a poll in an existing iMessage chat. Safe to repeat: equal `poll.idempotency_key`s create one poll.

        Args:
            poll: `{"options": [{"text": …}, …]}`, two or more options; a poll has no title. A missing `idempotency_key`
                is generated.
        Returns:
            The poll, from now on identified by its `message_id`. `poll.*` events report its delivery and votes.
        Raises:
            LinqApiError: 400/1005 the chat is on SMS or RCS, 403/2024 the person opted out, 409 your line left the
                chat, 404/2001 no chat with this id.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/polls/methods/create
        """
        response = await self._call("chats.polls.create", path={"chat_id": chat_id}, body={"poll": poll})
        return read(PollEnvelope, response, "chats.polls.create", {"chat_id": chat_id})


class MessagePoll(Resource):
    """`client.messages.poll`: read a poll, add options to it, and vote."""

    __slots__ = ()

    async def retrieve(self, message_id: str) -> PollEnvelope:
        """Get a poll by the id of its message, a UUID: its options and their voters.

        Raises:
            LinqApiError: 404/2002 no message with this id, or the message is not a poll.
        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/retrieve
        """
        response = await self._call("messages.poll.retrieve", path={"message_id": message_id})
        return read(PollEnvelope, response, "messages.poll.retrieve")

    async def add_options(self, message_id: str, *, options: Sequence[Mapping[str, Any]]) -> PollEnvelope:
        """Add options to a poll. Options cannot be removed. Not retried after a lost response.

        Args:
            options: `[{"text": …}, …]`, one or more. On a zero-retention line, list all existing options first, in
                their order: Linq keeps no copy of them.
        Raises:
            LinqApiError: 404/2002 no message with this id, or the message is not a poll.
        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/add_options
        """
        path, body = {"message_id": message_id}, {"options": many(options)}
        response = await self._call("messages.poll.add_options", path=path, body=body)
        return read(PollEnvelope, response, "messages.poll.add_options")

    async def vote(self, message_id: str, *, operation: Literal["add", "remove"], option_id: str) -> PollEnvelope:
        """Vote for an option, or take the vote back.

        Args:
            option_id: The id of the option: `PollOption.option_id`.
        Raises:
            LinqApiError: 404 the poll has no such option, 404/2002 no message with this id, or the message is not a
                poll.
        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/vote
        """
        path, body = {"message_id": message_id}, {"operation": operation, "option_id": option_id}
        response = await self._call("messages.poll.vote", path=path, body=body)
        return read(PollEnvelope, response, "messages.poll.vote")
