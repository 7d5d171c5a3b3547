"""Polls: asked in a chat, and afterwards found by their message's id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from linqbot.client.resources.resource import Resource, many, read
from linqbot.types.poll import PollEnvelope


class Polls(Resource):
    """`client.chats.polls`."""

    __slots__ = ()

    async def create(self, chat_id: str, *, poll: Mapping[str, Any]) -> PollEnvelope:
        """Ask a poll in an iMessage chat that exists. Safe to repeat: equal `poll.idempotency_key`s are asked once.

        Args:
            poll: `{"options": [{"text": …}, …]}`, two or more; a poll has no title. `idempotency_key` is optional,
                and made when there is none.
        Returns:
            The poll; its `message_id` names it from now on. What becomes of it comes as `poll.*` events.
        Raises:
            LinqApiError: 400/1005 for SMS and RCS, 403/2024 opted out, 409 a chat you left.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/polls/methods/create
        """
        answer = await self._call("chats.polls.create", path={"chat_id": chat_id}, body={"poll": poll})
        return read(PollEnvelope, answer, "chats.polls.create", {"chat_id": chat_id})


class MessagePoll(Resource):
    """`client.messages.poll`. A message that is no poll is `LinqApiError` 404/2002."""

    __slots__ = ()

    async def retrieve(self, message_id: str) -> PollEnvelope:
        """Get a poll by its message's id, a UUID: its options, and who chose them.

        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/retrieve
        """
        answer = await self._call("messages.poll.retrieve", path={"message_id": message_id})
        return read(PollEnvelope, answer, "messages.poll.retrieve")

    async def add_options(self, message_id: str, *, options: Sequence[Mapping[str, Any]]) -> PollEnvelope:
        """Add options to a poll; none can be taken away. Not repeated after a lost answer.

        Args:
            options: `[{"text": …}, …]`, one or more. On a zero-retention line, all there are first, in their order:
                Linq has forgotten them.
        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/add_options
        """
        path, body = {"message_id": message_id}, {"options": many(options)}
        answer = await self._call("messages.poll.add_options", path=path, body=body)
        return read(PollEnvelope, answer, "messages.poll.add_options")

    async def vote(self, message_id: str, *, operation: Literal["add", "remove"], option_id: str) -> PollEnvelope:
        """Vote for one option, or take the vote back.

        Args:
            option_id: As `PollOption.option_id` gives it.
        Raises:
            LinqApiError: 404 when the poll has no such option.
        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/vote
        """
        path, body = {"message_id": message_id}, {"operation": operation, "option_id": option_id}
        answer = await self._call("messages.poll.vote", path=path, body=body)
        return read(PollEnvelope, answer, "messages.poll.vote")
