"""Chats: create, list and change them, with their participants, typing indicators and messages.

Messages by their id are in `messages.py`; polls, locations and backgrounds in `chat_features.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from linqbot.client.call import ApiResponse, Call
from linqbot.client.resources.resource import ApiResource, Listing, below, checked_call, read
from linqbot.linq.types.chat import Accepted, Chat, ChatUpdate
from linqbot.linq.types.message import (
    ChatCreatedResponse,
    Message,
    MessageContent,
    MessageSentResponse,
    VoiceMemoSent,
)

if TYPE_CHECKING:
    from linqbot.client.resources.chat_features import Background, LocationResource, Polls


class Chats(ApiResource):
    """`client.chats`: create, list and change chats. Messages, participants, typing, polls and more are below it."""

    messages: ChatMessages = below("chats.ChatMessages", "The messages of a chat: `send`, `list`.")
    participants: Participants = below("chats.Participants", "The participants of a group: `add`, `remove`.")
    typing: Typing = below("chats.Typing", "The typing indicator: `start`, `stop`.")
    location: LocationResource = below(
        "chat_features.LocationResource",
        "The shared locations of a chat's participants: `retrieve`, `request`, `stop`.",
    )
    polls: Polls = below("chat_features.Polls", "Polls in a chat: `create`. Results and votes: `client.messages.poll`.")
    background: Background = below(
        "chat_features.Background", "The background image or color of a chat: `set`, `remove`."
    )

    async def create(
        self,
        *,
        from_: str,
        to: Sequence[str],
        message: MessageContent | Mapping[str, Any],
        override_optout: bool | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> ChatCreatedResponse:
        """Create a chat with its first message, or send into the existing chat with the same line and recipients.

        Args:
            from_: Your line, E.164.
            to: 1 to 31 handles: E.164 phone numbers or e-mail addresses. One handle creates a direct chat, more a
                group.
            message: The message to send. In a new chat Linq refuses links, effects and replies (400/1005).
            override_optout: True sends this one message to a person who opted out.
        Returns:
            The chat with the message, which is usually still `pending`.
        Raises:
            LinqApiError: 403/2024 the person opted out, 403/2026 you blocked the handle, 403/2027 the line cannot send
                now.
        Source: https://docs.linqapp.com/api/resources/chats/methods/create
        """
        return await self._read(ChatCreatedResponse, "chats.create", locals())

    def list_chats(
        self,
        *,
        cursor: str | None = None,
        from_: str | None = None,
        limit: int | None = None,
        to: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> Listing[Chat]:
        """List chats.

        Args:
            cursor: The `next_cursor` of a page, to continue after that page; None starts at the first page.
            from_: Only chats of this line, E.164.
            limit: Chats per page, 1 to 100; None is 20.
            to: Only chats with this handle.
        Returns:
            A listing: `async for chat in …` iterates over all pages, `await …` returns the first page.
        Source: https://docs.linqapp.com/api/resources/chats/methods/list_chats
        """
        return self._list(Chat, "chats.list_chats", "chats", locals())

    async def retrieve(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> Chat:
        """Get a chat by its id, a UUID.

        Source: https://docs.linqapp.com/api/resources/chats/methods/retrieve
        """
        return await self._read(Chat, "chats.retrieve", locals())

    async def update(
        self,
        chat_id: str,
        *,
        display_name: str | None = None,
        group_chat_icon: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> ChatUpdate:
        """Change the name or icon of a group. A `chat.group_*` event reports the outcome.

        Args:
            group_chat_icon: The URL of an image.
        Raises:
            LinqApiError: 409/1006 the chat is a direct chat.
        Source: https://docs.linqapp.com/api/resources/chats/methods/update
        """
        return await self._read(ChatUpdate, "chats.update", locals())

    async def mark_as_read(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> None:
        """Mark every message of a chat as read.

        Source: https://docs.linqapp.com/api/resources/chats/methods/mark_as_read
        """
        await self._call("chats.mark_as_read", locals())

    async def leave_chat(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> Accepted:
        """Remove your line from an iMessage group of four or more. `participant.removed` follows.

        Raises:
            LinqApiError: 409 the chat is a direct chat or a smaller group, or your line already left; 404/2001 no chat
                with this id.
        Source: https://docs.linqapp.com/api/resources/chats/methods/leave_chat
        """
        return await self._read(Accepted, "chats.leave_chat", locals())

    leave = leave_chat

    async def share_contact_card(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> None:
        """Share your line's contact card: at most once per chat in five minutes. Not retried after a lost response.

        Raises:
            RateLimited: The card was shared in this chat less than five minutes ago (R65).
            LinqApiError: 404/2012 the line has no active card.
        Source: https://docs.linqapp.com/api/resources/chats/methods/share_contact_card
        """
        await self._call("chats.share_contact_card", locals())

    async def send_voicememo(
        self,
        chat_id: str,
        *,
        attachment_id: str | None = None,
        force_notify: bool | None = None,
        override_optout: bool | None = None,
        voice_memo_url: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> VoiceMemoSent:
        """Send an audio file as a voice memo. Linq accepts no idempotency key here, so a lost response is not retried.

        Args:
            attachment_id, voice_memo_url: Exactly one of the two: an uploaded file, or a public https URL. Audio as
                mp3, m4a, mp4, aac, caf, wav, aiff or amr.
            force_notify: True asks iMessage to notify the person. Linq's Node client has it since 0.81.0 (5 November 2026);
                what it overrides is not published.
            override_optout: True sends the memo to a person who opted out.
        Source: https://docs.linqapp.com/api/resources/chats/methods/send_voicememo
        """
        return await self._read(VoiceMemoSent, "chats.send_voicememo", locals())


class Participants(ApiResource):
    """`client.chats.participants`: change the members of a group.

    Both calls are only *queued* when they return; `participant.added` or `participant.removed` follows.
    """

    async def add(self, chat_id: str, *, handle: str, extra_body: Mapping[str, Any] | None = None) -> Accepted:
        """Add a person to a group of three or more.

        Args:
            handle: E.164 phone number or e-mail address, reachable over the group's service.
        Raises:
            LinqApiError: 409/1006 the chat is a direct chat, or the handle is on another service; 404/2001 no chat with
                this id.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/participants/methods/add
        """
        return await self._read(Accepted, "chats.participants.add", locals())

    async def remove(self, chat_id: str, *, handle: str, extra_body: Mapping[str, Any] | None = None) -> Accepted:
        """Remove a person from a group. Three participants must remain.

        Args:
            handle: E.164 phone number or e-mail address of a participant.
        Raises:
            LinqApiError: 409/1006 the chat is a direct chat, or fewer than three would remain; 404/2001 no chat with
                this id.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/participants/methods/remove
        """
        return await self._read(Accepted, "chats.participants.remove", locals())


class Typing(ApiResource):
    """`client.chats.typing`: the typing indicator. Only iMessage shows it; other services ignore the calls."""

    async def start(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> None:
        """Show the typing indicator for about 85 s, or until you send a message. To keep it, call again every 60 s.

        Raises:
            LinqApiError: 403/2027 the line cannot send now. Older versions of Linq
                respond with 403 for groups.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/typing/methods/start
        """
        await self._call("chats.typing.start", locals())

    async def stop(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> None:
        """Hide the typing indicator. Sending a message hides it too.

        Source: https://docs.linqapp.com/api/resources/chats/subresources/typing/methods/stop
        """
        await self._call("chats.typing.stop", locals())


_SEND = "chats.messages.send"


class ChatMessages(ApiResource):
    """`client.chats.messages`: send messages into a chat and list them."""

    async def send(
        self,
        chat_id: str,
        *,
        message: MessageContent | Mapping[str, Any],
        override_optout: bool | None = None,
        extra_body: Mapping[str, Any] | None = None,
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
                now, 409 your line left the chat.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/messages/methods/send
        """
        return read_sent(await self._call(_SEND, locals()), chat_id)

    def list(
        self,
        chat_id: str,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> Listing[Message]:
        """List the messages of a chat. Linq does not promise an order: sort by `created_at`.

        Args:
            cursor: The `next_cursor` of a page, to continue after that page; None starts at the first page.
            limit: Messages per page, 1 to 100; None is 20.
        Returns:
            A listing: `async for message in …` iterates over all pages, `await …` returns the first page.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/messages/methods/list
        """
        return self._list(Message, "chats.messages.list", "messages", locals())


def send_call(chat_id: str, message: MessageContent) -> Call:
    """Return the call by which `client.chats.messages.send` sends a message. `read_sent` parses its response.

    Raises:
        RuleBroken: The content breaks one of Linq's rules.
    """
    return checked_call(_SEND, path={"chat_id": chat_id}, body={"message": message})


def read_sent(response: ApiResponse, chat_id: str) -> MessageSentResponse:
    """Parse the response of a `send_call`; see `read`."""
    return read(MessageSentResponse, response, _SEND, {"chat_id": chat_id})
