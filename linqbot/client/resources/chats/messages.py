"""The messages of one chat: sending into it and reading it back. Single messages by their id: `messages.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linqbot.client.resources.resource import Listing, Page, Resource, read
from linqbot.types.message import Message, MessageContent, MessagePage, MessageSentResponse


class ChatMessages(Resource):
    """`client.chats.messages`."""

    __slots__ = ()

    async def send(
        self,
        chat_id: str,
        *,
        message: MessageContent | Mapping[str, Any],
        override_optout: bool | None = None,
    ) -> MessageSentResponse:
        """Send a message into a chat. Safe to repeat: equal `message.idempotency_key`s are sent once.

        Args:
            message: 1 to 100 parts, or an experience; see `MessageContent`. Without a key it gets one.
            override_optout: True sends this one message to somebody who opted out.
        Returns:
            The message as accepted, usually `pending`: what becomes of it comes as `message.*` events.
        Raises:
            RuleBroken: the content breaks one of Linq's rules; nothing was sent.
            RateLimited: more than 30 messages in 60 s from this line to this recipient.
            LinqUnavailable: no answer or 5xx; repeat it with the same key.
            LinqApiError: 403/2024 opted out, 403/2026 blocked by you, 403/2027 the line cannot send now, 404/2001
                no such chat, 409 a chat you left.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/messages/methods/send
        """
        body = {"message": message, "override_optout": override_optout}
        answer = await self._call("chats.messages.send", path={"chat_id": chat_id}, body=body)
        return read(MessageSentResponse, answer, "chats.messages.send", {"chat_id": chat_id})

    def list(self, chat_id: str, *, cursor: str | None = None, limit: int | None = None) -> Listing[Message]:
        """List the messages of a chat, page after page. Linq does not promise an order: sort by `created_at`.

        Args:
            cursor: A page's `next_cursor`, to go on from there; None begins at the start.
            limit: Messages a page, 1 to 100; None is 20.
        Returns:
            A listing: `async for message in …` walks over all, `await …` is the first page.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/messages/methods/list
        """

        async def page(at: str | None) -> Page[Message]:
            query = {"cursor": at, "limit": limit}
            answer = await self._call("chats.messages.list", path={"chat_id": chat_id}, query=query)
            got = read(MessagePage, answer, "chats.messages.list")
            return Page(got.messages, got.next_cursor or None)

        return Listing(page, cursor)
