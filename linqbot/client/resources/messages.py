"""Messages by their id, and sending one where Linq chooses the line. Messages of one chat: `chat_messages.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from linqbot.client.resources.chats.polls import MessagePoll
from linqbot.client.resources.resource import Listing, Page, Resource, many, read
from linqbot.types.chat import Accepted, Placed
from linqbot.types.message import (
    AppIdentity,
    AppLayout,
    Experience,
    Message,
    MessageContent,
    MessageCreated,
    MessagePage,
    MessageSentResponse,
    ReactionType,
)


class Messages(Resource):
    """`client.messages`.

    Every method may raise `RuleBroken` (nothing was sent), `RateLimited`, `LinqUnavailable`, and `LinqApiError` for
    what its own text says; an id Linq does not know is 404/2002.
    """

    __slots__ = ()

    @property
    def poll(self) -> MessagePoll:
        """A poll by its message's id: `retrieve`, `add_options`, `vote`."""
        return MessagePoll(self._run)

    async def create(
        self,
        *,
        to: Sequence[str],
        message: MessageContent | Mapping[str, Any],
        continuation_message: Mapping[str, Any] | None = None,
        exclude_from: Sequence[str] | None = None,
        override_optout: bool | None = None,
        idempotency_key: str | None = None,
    ) -> MessageCreated:
        """Send to people, from the line Linq finds best: that of their chat with you, else a fresh one.

        Unlike in `chats.create`, the first message may hold links.

        Args:
            to: Handles: E.164 or e-mail. More than one is a group.
            continuation_message: `{"text": …}`, sent instead of `message` when the chat's line is flagged and the
                chat continues on another one.
            exclude_from: Lines not to choose, E.164.
            override_optout: True sends this one message to somebody who opted out.
            idempotency_key: Equal keys are sent once. Also written to `message.idempotency_key`; None takes the
                key from there, or makes one.
        Returns:
            The message as accepted, its chat and line, and why that line.
        Raises:
            LinqApiError: 409/2015 no line can send, 403/2024 opted out, 403/2026 blocked by you.
        Source: https://docs.linqapp.com/api/resources/messages/methods/create
        """
        body = {
            "to": many(to),
            "message": message,
            "continuation_message": continuation_message,
            "exclude_from": many(exclude_from),
            "override_optout": override_optout,
        }
        answer = await self._call("messages.create", body=body, key=idempotency_key)
        return read(MessageCreated, answer, "messages.create")

    async def retrieve(self, message_id: str) -> Message:
        """Get a message by its id, a UUID.

        Source: https://docs.linqapp.com/api/resources/messages/methods/retrieve
        """
        answer = await self._call("messages.retrieve", path={"message_id": message_id})
        return read(Message, answer, "messages.retrieve")

    async def update(self, message_id: str, *, text: str, part_index: int | None = None) -> Message:
        """Edit a text you sent: up to five times, within 15 minutes.

        Args:
            part_index: Which part, counted from 0; None is the first.
        Raises:
            LinqApiError: not yours, not a text, too late or too often.
        Source: https://docs.linqapp.com/api/resources/messages/methods/update
        """
        body = {"text": text, "part_index": part_index}
        answer = await self._call("messages.update", path={"message_id": message_id}, body=body)
        return read(Message, answer, "messages.update")

    async def delete(self, message_id: str) -> None:
        """Remove a message from Linq's records. It is not unsent: the recipient keeps it.

        Source: https://docs.linqapp.com/api/resources/messages/methods/delete
        """
        await self._call("messages.delete", path={"message_id": message_id})

    async def add_reaction(
        self,
        message_id: str,
        *,
        operation: Literal["add", "remove"],
        type: ReactionType,  # noqa: A002 - Linq's name for it, and the official client's
        attachment_id: str | None = None,
        custom_emoji: str | None = None,
        emoji: str | None = None,
        part_index: int | None = None,
        placement: Mapping[str, float] | None = None,
        url: str | None = None,
    ) -> Accepted:
        """Add or remove a tapback, or put a sticker on a message.

        Tapbacks are safe to repeat. Stickers stack, cannot be removed, and are not repeated after a lost answer.

        Args:
            type: `custom` needs `custom_emoji`; `sticker` needs one of `emoji`, `url`, `attachment_id`.
            part_index: Which part of the message, counted from 0; None is the first.
            placement: For stickers: `x` and `y` from -1 to 1, `scale` 0.05 to 2.5, `rotation` in degrees clockwise.
            url: For stickers: an image Linq holds, such as an upload's `download_url`.
        Source: https://docs.linqapp.com/api/resources/messages/methods/add_reaction
        """
        body = {
            "operation": operation,
            "type": type,
            "attachment_id": attachment_id,
            "custom_emoji": custom_emoji,
            "emoji": emoji,
            "part_index": part_index,
            "placement": placement,
            "url": url,
        }
        answer = await self._call("messages.add_reaction", path={"message_id": message_id}, body=body)
        return read(Accepted, answer, "messages.add_reaction")

    async def update_sticker_placement(
        self, reaction_id: str, *, message_id: str, placement: Mapping[str, float]
    ) -> Placed:
        """Move a sticker you put on a message.

        Args:
            reaction_id: The sticker's, a UUID: `Reaction.id`.
            message_id: The message it is on.
            placement: `x` and `y` from -1 to 1, `scale` 0.05 to 2.5 (Linq clamps it), `rotation` in degrees clockwise.
        Raises:
            LinqApiError: 400/1005 a tapback, 404 a sticker Linq keeps no reference of.
        Source: https://docs.linqapp.com/api/resources/messages/methods/update_sticker_placement
        """
        path = {"message_id": message_id, "reaction_id": reaction_id}
        answer = await self._call("messages.update_sticker_placement", path=path, body={"placement": placement})
        return read(Placed, answer, "messages.update_sticker_placement")

    def list_messages_thread(
        self,
        message_id: str,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> Listing[Message]:
        """List a thread: the message that began it and every reply. A message in no thread is alone in it.

        Args:
            message_id: Any message of the thread.
            cursor: A page's `next_cursor`, to go on from there; None begins at the start.
            limit: Messages a page, 1 to 100; None is 20.
            order: `asc` is oldest first, as is None.
        Returns:
            A listing: `async for message in …` walks over all, `await …` is the first page.
        Source: https://docs.linqapp.com/api/resources/messages/methods/list_messages_thread
        """

        async def page(at: str | None) -> Page[Message]:
            query = {"cursor": at, "limit": limit, "order": order}
            answer = await self._call("messages.list_messages_thread", path={"message_id": message_id}, query=query)
            got = read(MessagePage, answer, "messages.list_messages_thread")
            return Page(got.messages, got.next_cursor or None)

        return Listing(page, cursor)

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
    ) -> MessageSentResponse:
        """Give an app card you sent a new look: a new message takes its place. Not repeated after a lost answer.

        Args:
            layout: What it shows now: one of the captions or `image_url` at least.
            app: None keeps the card's own.
            experience, url: What it opens: one of them, or neither. The address is https with up to 2048 characters,
                or `data:` with 16384.
            fallback_text: Shown where cards cannot be.
            interactive: None is True; it is not inherited from the card before.
        Returns:
            The new message, with an id of its own.
        Raises:
            LinqApiError: 400 no app card of yours, 409 not sent yet: try again after `message.sent`.
        Source: https://docs.linqapp.com/api/resources/messages/methods/update_app_card
        """
        body = {
            "layout": layout,
            "app": app,
            "experience": experience,
            "fallback_text": fallback_text,
            "interactive": interactive,
            "url": url,
        }
        answer = await self._call("messages.update_app_card", path={"message_id": message_id}, body=body)
        return read(MessageSentResponse, answer, "messages.update_app_card")
