"""Chats: opening, listing and changing them, who takes part, and who is typing. What is said in them: `chat_messages.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linqbot.client.call import Run
from linqbot.client.rate_limits import CARD_SHARES, RateLimits
from linqbot.client.resources.chats.background import Background
from linqbot.client.resources.chats.location import Location
from linqbot.client.resources.chats.messages import ChatMessages
from linqbot.client.resources.chats.polls import Polls
from linqbot.client.resources.resource import Listing, Page, Resource, many, read
from linqbot.types.chat import Accepted, Chat, ChatCreatedResponse, ChatPage, ChatUpdate
from linqbot.types.message import MessageContent, VoiceMemoSent


class Chats(Resource):
    """`client.chats`.

    Every method may raise `RuleBroken` (nothing was sent), `RateLimited`, `LinqUnavailable`, and `LinqApiError` for
    what its own text says; an id Linq does not know is 404/2001.
    """

    __slots__ = ("_rate_limits",)

    def __init__(self, run: Run, rate_limits: RateLimits) -> None:
        super().__init__(run)
        self._rate_limits = rate_limits

    @property
    def messages(self) -> ChatMessages:
        """What is said in a chat: `send`, `list`."""
        return ChatMessages(self._run)

    @property
    def participants(self) -> Participants:
        """Who takes part in a group: `add`, `remove`."""
        return Participants(self._run)

    @property
    def typing(self) -> Typing:
        """The typing indicator: `start`, `stop`."""
        return Typing(self._run)

    @property
    def location(self) -> Location:
        """Where the people of a chat are: `retrieve`, `request`, `stop`."""
        return Location(self._run)

    @property
    def polls(self) -> Polls:
        """Asking a poll: `create`. Its votes: `client.messages.poll`."""
        return Polls(self._run)

    @property
    def background(self) -> Background:
        """What is behind the messages: `set`, `remove`."""
        return Background(self._run)

    async def create(
        self,
        *,
        from_: str,
        to: Sequence[str],
        message: MessageContent | Mapping[str, Any],
        override_optout: bool | None = None,
    ) -> ChatCreatedResponse:
        """Open a chat with its first message, or send into the one that has the same line and recipients.

        Args:
            from_: Your line, E.164.
            to: 1 to 31 handles: E.164 or e-mail. One opens a direct chat, more a group.
            message: What to send. In a new chat Linq refuses links, effects and replies (400/1005).
            override_optout: True sends this one message to somebody who opted out.
        Returns:
            The chat, and the message in it, usually still `pending`.
        Raises:
            LinqApiError: 403/2024 opted out, 403/2026 blocked by you, 403/2027 the line cannot send now.
        Source: https://docs.linqapp.com/api/resources/chats/methods/create
        """
        body = {"from": from_, "to": many(to), "message": message, "override_optout": override_optout}
        return read(ChatCreatedResponse, await self._call("chats.create", body=body), "chats.create")

    def list_chats(
        self,
        *,
        cursor: str | None = None,
        from_: str | None = None,
        limit: int | None = None,
        to: str | None = None,
    ) -> Listing[Chat]:
        """List chats, page after page.

        Args:
            cursor: A page's `next_cursor`, to go on from there; None begins at the start.
            from_: Only chats of this line, E.164.
            limit: Chats a page, 1 to 100; None is 20.
            to: Only chats with this handle.
        Returns:
            A listing: `async for chat in …` walks over all, `await …` is the first page.
        Source: https://docs.linqapp.com/api/resources/chats/methods/list_chats
        """

        async def page(at: str | None) -> Page[Chat]:
            query = {"cursor": at, "from": from_, "limit": limit, "to": to}
            got = read(ChatPage, await self._call("chats.list_chats", query=query), "chats.list_chats")
            return Page(got.chats, got.next_cursor or None)

        return Listing(page, cursor)

    async def retrieve(self, chat_id: str) -> Chat:
        """Get a chat by its id, a UUID.

        Source: https://docs.linqapp.com/api/resources/chats/methods/retrieve
        """
        answer = await self._call("chats.retrieve", path={"chat_id": chat_id})
        return read(Chat, answer, "chats.retrieve")

    async def update(
        self, chat_id: str, *, display_name: str | None = None, group_chat_icon: str | None = None
    ) -> ChatUpdate:
        """Change a group's name or icon. The outcome follows as a `chat.group_*` event.

        Args:
            group_chat_icon: Address of an image.
        Raises:
            LinqApiError: 409/1006 for a direct chat.
        Source: https://docs.linqapp.com/api/resources/chats/methods/update
        """
        body = {"display_name": display_name, "group_chat_icon": group_chat_icon}
        answer = await self._call("chats.update", path={"chat_id": chat_id}, body=body)
        return read(ChatUpdate, answer, "chats.update")

    async def mark_as_read(self, chat_id: str) -> None:
        """Mark every message of a chat as read.

        Source: https://docs.linqapp.com/api/resources/chats/methods/mark_as_read
        """
        await self._call("chats.mark_as_read", path={"chat_id": chat_id})

    async def leave_chat(self, chat_id: str) -> Accepted:
        """Take your line out of an iMessage group of four or more. `participant.removed` follows.

        Raises:
            LinqApiError: 409 for direct chats, small groups and groups that were left before.
        Source: https://docs.linqapp.com/api/resources/chats/methods/leave_chat
        """
        answer = await self._call("chats.leave_chat", path={"chat_id": chat_id})
        return read(Accepted, answer, "chats.leave_chat")

    leave = leave_chat

    async def share_contact_card(self, chat_id: str) -> None:
        """Share your line's contact card: at most once per chat in five minutes. Not repeated after a lost answer.

        Raises:
            RateLimited: shared in this chat less than five minutes ago (R65); it was not sent.
            LinqApiError: 404/2012 when the line has no active card.
        Source: https://docs.linqapp.com/api/resources/chats/methods/share_contact_card
        """
        self._rate_limits.check(CARD_SHARES, chat_id, "chats.share_contact_card")
        await self._call("chats.share_contact_card", path={"chat_id": chat_id})
        self._rate_limits.spend(CARD_SHARES, chat_id)

    async def send_voicememo(
        self,
        chat_id: str,
        *,
        attachment_id: str | None = None,
        override_optout: bool | None = None,
        voice_memo_url: str | None = None,
    ) -> VoiceMemoSent:
        """Send an audio file as a voice memo. Linq takes no key for it: not repeated after a lost answer.

        Args:
            attachment_id, voice_memo_url: Exactly one: an uploaded file, or a public https address. Audio as mp3,
                m4a, mp4, aac, caf, wav, aiff or amr.
            override_optout: True sends it to somebody who opted out.
        Source: https://docs.linqapp.com/api/resources/chats/methods/send_voicememo
        """
        body = {"attachment_id": attachment_id, "override_optout": override_optout, "voice_memo_url": voice_memo_url}
        answer = await self._call("chats.send_voicememo", path={"chat_id": chat_id}, body=body)
        return read(VoiceMemoSent, answer, "chats.send_voicememo")


class Participants(Resource):
    """`client.chats.participants`. Both answers mean *queued*; `participant.added` or `.removed` follows."""

    __slots__ = ()

    async def add(self, chat_id: str, *, handle: str) -> Accepted:
        """Add somebody to a group of three or more.

        Args:
            handle: E.164 or e-mail, reachable by the group's service.
        Raises:
            LinqApiError: 409/1006 for direct chats and across services.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/participants/methods/add
        """
        answer = await self._call("chats.participants.add", path={"chat_id": chat_id}, body={"handle": handle})
        return read(Accepted, answer, "chats.participants.add")

    async def remove(self, chat_id: str, *, handle: str) -> Accepted:
        """Remove somebody from a group; three must remain.

        Args:
            handle: E.164 or e-mail of a participant.
        Raises:
            LinqApiError: 409/1006 for direct chats and when fewer than three would remain.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/participants/methods/remove
        """
        answer = await self._call("chats.participants.remove", path={"chat_id": chat_id}, body={"handle": handle})
        return read(Accepted, answer, "chats.participants.remove")


class Typing(Resource):
    """`client.chats.typing`. Shown on iMessage only; elsewhere Linq accepts and drops it."""

    __slots__ = ()

    async def start(self, chat_id: str) -> None:
        """Show that you are typing, for about 85 seconds or until you send. Ask again every 60 s to keep it.

        Raises:
            LinqApiError: 403/2027 when the line cannot send now; older Linq answers 403 for groups.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/typing/methods/start
        """
        await self._call("chats.typing.start", path={"chat_id": chat_id})

    async def stop(self, chat_id: str) -> None:
        """Stop showing that you are typing. Sending does it too.

        Source: https://docs.linqapp.com/api/resources/chats/subresources/typing/methods/stop
        """
        await self._call("chats.typing.stop", path={"chat_id": chat_id})
