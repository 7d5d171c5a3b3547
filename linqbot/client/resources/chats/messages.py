"""The messages of one chat: send and list them. Messages by their id: `resources/messages.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from linqbot.client.call import ApiResponse
from linqbot.client.resources.resource import Listing, Page, Resource, read
from linqbot.types.message import Message, MessageContent, MessagePage, MessageSentResponse

_SEND = "chats.messages.send"


class ChatMessages(Resource):
    """`client.chats.messages`: send messages into a chat and list them."""

    __slots__ = ()

    async def send(
        self,
        chat_id: str,
        *,
        message: MessageContent | Mapping[str, Any],
        override_optout: bool | None = None,
    ) -> MessageSentResponse:
        """Send a message into a chat. Safe to repeat: messages with equal `message.idempotency_key`s are sent once.

        Args:
            message: 1 to 100 parts, or an experience; see `MessageContent`. A missing idempotency key is generated.
            override_optout: True sends this one message to a person who opted out.
        Returns:
            The accepted message, usually `pending`. `message.*` events report its delivery.
        Raises:
            RuleBroken: The content breaks one of Linq's rules; nothing was sent.
            RateLimited: More than 30 messages in 60 s from this line to this recipient.
            LinqUnavailable: No response, or 5xx; repeat the call with the same key.
            LinqApiError: 403/2024 the person opted out, 403/2026 you blocked the handle, 403/2027 the line cannot send
                now, 404/2001 no chat with this id, 409 your line left the chat.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/messages/methods/send
        """
        body = {"message": message, "override_optout": override_optout}
        return read_sent(await self._call(_SEND, path={"chat_id": chat_id}, body=body), chat_id)

    def list(self, chat_id: str, *, cursor: str | None = None, limit: int | None = None) -> Listing[Message]:
        """List the messages of a chat. Linq does not promise an order: sort by `created_at`.

        Args:
            cursor: The `next_cursor` of a page, to continue after that page; None starts at the first page.
            limit: Messages per page, 1 to 100; None is 20.
        Returns:
            A listing: `async for message in …` iterates over all pages, `await …` returns the first page.
        Raises:
            LinqApiError: 404/2001 no chat with this id.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/messages/methods/list
        """

        async def page(at: str | None) -> Page[Message]:
            query = {"cursor": at, "limit": limit}
            response = await self._call("chats.messages.list", path={"chat_id": chat_id}, query=query)
            got = read(MessagePage, response, "chats.messages.list")
            return Page(got.messages, got.next_cursor or None)

        return Listing(page, cursor)


def send_unread(messages: ChatMessages, chat_id: str, message: MessageContent) -> Awaitable[ApiResponse]:
    """Send a message like `ChatMessages.send`, and return the response as it is. `read_sent` parses it."""
    return messages._call(_SEND, path={"chat_id": chat_id}, body={"message": message})  # noqa: SLF001 - a part of it


def read_sent(response: ApiResponse, chat_id: str) -> MessageSentResponse:
    """Parse the response of `send_unread`; see `read`."""
    return read(MessageSentResponse, response, _SEND, {"chat_id": chat_id})
