"""Messages by their id, and sending from a line that Linq chooses. Messages of one chat: `chats.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from linqbot.client.resources.resource import ApiResource, Listing, below
from linqbot.linq.types.chat import Accepted, Placed
from linqbot.linq.types.message import (
    AppIdentity,
    AppLayout,
    Experience,
    Message,
    MessageContent,
    MessageCreated,
    MessageSentResponse,
    ReactionType,
)

if TYPE_CHECKING:
    from linqbot.client.resources.chat_features import MessagePoll


class Messages(ApiResource):
    """`client.messages`: read, edit, delete and react to messages by their id; send from a line that Linq chooses."""

    poll: MessagePoll = below(
        "chat_features.MessagePoll", "Polls by the id of their message: `retrieve`, `add_options`, `vote`."
    )

    async def create(
        self,
        *,
        to: Sequence[str],
        message: MessageContent | Mapping[str, Any],
        continuation_message: Mapping[str, Any] | None = None,
        exclude_from: Sequence[str] | None = None,
        override_optout: bool | None = None,
        idempotency_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> MessageCreated:
        """Send a message from a line that Linq chooses: that of your existing chat with these people, else another one.

        Unlike `chats.create`, this endpoint allows links in the first message.

        Args:
            to: Handles: E.164 phone numbers or e-mail addresses. More than one handle addresses a group.
            message: The message to send: 1 to 100 parts, or an experience; see `MessageContent`.
            continuation_message: `{"text": …}`, sent instead of `message` when the line of the existing chat is flagged
                and the chat continues on another line.
            exclude_from: Lines that Linq must not choose, E.164.
            override_optout: True sends this one message to a person who opted out.
            idempotency_key: Requests with equal keys are executed once. The key is also written to
                `message.idempotency_key`. None takes the key from there, or generates one.
        Returns:
            The accepted message, its chat, the chosen line, and the reason for the choice.
        Raises:
            LinqApiError: 409/2015 no line can send, 403/2024 the person opted out, 403/2026 you blocked the handle.
        Source: https://docs.linqapp.com/api/resources/messages/methods/create
        """
        return await self._read(MessageCreated, "messages.create", locals())

    async def retrieve(self, message_id: str, *, extra_body: Mapping[str, Any] | None = None) -> Message:
        """Get a message by its id, a UUID.

        Source: https://docs.linqapp.com/api/resources/messages/methods/retrieve
        """
        return await self._read(Message, "messages.retrieve", locals())

    async def update(
        self, message_id: str, *, text: str, part_index: int | None = None, extra_body: Mapping[str, Any] | None = None
    ) -> Message:
        """Edit a text part of a message you sent: up to five times, within 15 minutes of sending.

        Args:
            part_index: Index of the part, from 0; None is the first part.
        Raises:
            LinqApiError: The message is not yours, the part is not text, or the message can no longer be edited.
        Source: https://docs.linqapp.com/api/resources/messages/methods/update
        """
        return await self._read(Message, "messages.update", locals())

    async def delete(self, message_id: str, *, extra_body: Mapping[str, Any] | None = None) -> None:
        """Delete a message from Linq's records. This does not unsend the message: the recipient keeps it.

        Source: https://docs.linqapp.com/api/resources/messages/methods/delete
        """
        await self._call("messages.delete", locals())

    async def add_reaction(
        self,
        message_id: str,
        *,
        operation: Literal["add", "remove"] | str,
        type: ReactionType | str,  # noqa: A002 - Linq's name for it, and the official client's
        attachment_id: str | None = None,
        custom_emoji: str | None = None,
        emoji: str | None = None,
        part_index: int | None = None,
        placement: Mapping[str, float] | None = None,
        url: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> Accepted:
        """Add or remove a tapback, or put a sticker on a message.

        Tapbacks are safe to repeat. Stickers stack and cannot be removed, so they are not retried after a lost
        response.

        Args:
            type: `custom` requires `custom_emoji`; `sticker` requires one of `emoji`, `url` and `attachment_id`.
            part_index: Index of the part of the message, from 0; None is the first part.
            placement: For stickers: `x` and `y` from -1 to 1, `scale` 0.05 to 2.5, `rotation` in degrees clockwise.
            url: For stickers: an image stored at Linq, such as the `download_url` of an upload.
        Source: https://docs.linqapp.com/api/resources/messages/methods/add_reaction
        """
        return await self._read(Accepted, "messages.add_reaction", locals())

    async def update_sticker_placement(
        self,
        reaction_id: str,
        *,
        message_id: str,
        placement: Mapping[str, float],
        extra_body: Mapping[str, Any] | None = None,
    ) -> Placed:
        """Move a sticker that you put on a message.

        Args:
            reaction_id: The id of the sticker, a UUID: `Reaction.id`.
            message_id: The message that the sticker is on.
            placement: `x` and `y` from -1 to 1, `scale` 0.05 to 2.5 (Linq clamps it), `rotation` in degrees clockwise.
        Raises:
            LinqApiError: 400/1005 the reaction is a tapback, 404 Linq keeps no reference to this sticker.
        Source: https://docs.linqapp.com/api/resources/messages/methods/update_sticker_placement
        """
        return await self._read(Placed, "messages.update_sticker_placement", locals())

    def list_messages_thread(
        self,
        message_id: str,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> Listing[Message]:
        """List a thread: its first message and every reply. A message that belongs to no thread is listed alone.

        Args:
            message_id: Any message of the thread.
            cursor: The `next_cursor` of a page, to continue after that page; None starts at the first page.
            limit: Messages per page, 1 to 100; None is 20.
            order: `asc` (oldest first) or `desc`; None is `asc`.
        Returns:
            A listing: `async for message in …` iterates over all pages, `await …` returns the first page.
        Source: https://docs.linqapp.com/api/resources/messages/methods/list_messages_thread
        """
        return self._list(Message, "messages.list_messages_thread", "messages", locals())

    async def update_app_card(
        self,
        message_id: str,
        *,
        layout: AppLayout | Mapping[str, Any],
        app: AppIdentity | Mapping[str, Any] | None = None,
        experience: Experience | Mapping[str, Any] | None = None,
        fallback_text: str | None = None,
        interactive: bool | None = None,
        url: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> MessageSentResponse:
        """Update an app card that you sent: a new message replaces it. Not retried after a lost response.

        Args:
            layout: The new content of the card: at least one of the captions or `image_url`.
            app: Linq keeps the app of the card, whatever is given here.
            experience, url: The target that the card opens: one of the two, or neither. `url` is https with up to 2048
                characters, or `data:` with up to 16384.
            fallback_text: Text shown where the card cannot be displayed; None is the caption. The text of the previous
                card is not inherited.
            interactive: None is True; the value of the previous card is not inherited.
        Returns:
            The new message, with a new id.
        Raises:
            LinqApiError: 400 the message is not an app card of yours, 409 the card is not sent yet: try again after
                `message.sent`.
        Source: https://docs.linqapp.com/api/resources/messages/methods/update_app_card
        """
        return await self._read(MessageSentResponse, "messages.update_app_card", locals())
