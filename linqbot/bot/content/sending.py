"""Sending content of all kinds in its order: messages (`chat_sender.py`), and calls of their own, such as polls.

What Linq refuses is replaced by something plainer, so that an answer is not lost: a numbered list instead of a poll. The
journal records such a refusal at once, so that a later run of the turn does not send both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from linqbot.bot.content.chat_sender import NOT_FETCHED, ChatSender, is_refusal, stopped_by, with_standing_refusal
from linqbot.bot.content.drafts import (
    Act,
    ContactCardDraft,
    LocationRequestDraft,
    PollDraft,
    VoiceMemoDraft,
    numbered_list,
)
from linqbot.bot.content.forms import Degraded, fitted, grouped, places_of_messages, spoken
from linqbot.bot.content.message_split import Content, bubbles
from linqbot.bot.content.uploads import Uploads
from linqbot.bot.sent import Sent
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, MessageGone, RateLimited, Refused
from linqbot.types.message import Effect, MediaPart, MessageContent, ReplyTo, SentMessage

NO_CARD: Final = 2012
"""Linq's error code for a line without a contact card."""
NO_LOCATION: Final = frozenset({2016, 2017})
"""Linq's error codes for a chat that cannot share a location: a group, or not on iMessage."""
CARD_EVERY_S: Final = 86_400.0


class CardShared(BaseModel):
    """The state of a chat: when the contact card was shared, in Unix seconds."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class ContentSender:
    """Sends content of all kinds into a chat, for one send of a turn.

    Attributes:
        client: The turn's client, with the label of the send.
        card_state: Returns the state of the chat's contact card; None if nothing can be remembered.
    """

    chat: ChatSender
    client: Client
    is_group: bool | None
    uploads: Uploads
    clock: Clock
    card_state: Callable[[], Awaitable[CardShared]] | None

    async def say(
        self, content: Iterable[Content | Act], *, effect: Effect | None, reply_to: ReplyTo | None, cards: bool
    ) -> Sent:
        """Send content in its order; see `Context.reply`."""
        items, degraded = fitted(content, service=self.chat.service, is_group=self.is_group)
        try:
            groups = list(grouped(await self.uploads.resolved(items)))
        except Refused as error:
            stopped_by(error, self.chat.logger())
            return Sent((), "refused")
        places = places_of_messages(groups)
        if groups and not places and effect is not None:
            degraded.append("effect")  # a poll, a voice memo and the like have none
        sent = Sent((), degraded=tuple(degraded))
        for i, group in enumerate(groups):
            if isinstance(group, list):
                shown = effect if i == places[-1] else None
                answered = reply_to if i == places[0] else None
                more = await self._messages(group, effect=shown, reply_to=answered, cards=cards)
            else:
                more = await self._act(group)
            sent = sent.joined(more)
            if sent.status != "accepted":
                break
        if degraded:
            self.chat.logger().info("send.degraded", what=degraded, service=self.chat.service)
        return sent

    async def _messages(
        self, content: Sequence[Content], *, effect: Effect | None = None, reply_to: ReplyTo | None = None, cards: bool
    ) -> Sent:
        sent = Sent(())
        for message in bubbles(content, effect=effect, reply_to=reply_to, service=self.chat.service, cards=cards):
            has_url = any(isinstance(part, MediaPart) and part.url is not None for part in message.parts or ())
            more = await (self._with_url(message) if has_url else self.chat.send([message], self.client))
            sent = sent.joined(more)
            if sent.status != "accepted":
                break
        return sent

    async def _with_url(self, message: MessageContent) -> Sent:
        """Send a message with files at URLs. Files that Linq cannot fetch, such as large ones, are uploaded."""
        try:
            return await self.chat.send([message], with_standing_refusal(self.client))
        except LinqApiError as error:
            if error.code != NOT_FETCHED:
                raise
            self.chat.logger().info("send.uploads", code=error.code, why="Linq could not fetch a file from its URL.")
        try:
            uploaded = await self.uploads.fetched(message)
        except Refused as error:
            stopped_by(error, self.chat.logger())
            return Sent((), "refused")
        return await self.chat.send([uploaded], self.client)

    async def _act(self, act: Act) -> Sent:
        match act:
            case PollDraft():
                return await self._or_else(self._poll(act), "poll", numbered_list(act.options))
            case VoiceMemoDraft():
                return await self._or_else(self._memo(act), "voice_memo", spoken(act))
            case LocationRequestDraft():
                return await self._or_else(self._location(), "location_request", None)
            case ContactCardDraft():
                return await self._contact_card()

    async def _or_else(self, made: Awaitable[Sent], what: Degraded, instead: Content | None) -> Sent:
        try:
            return await self._made(made)
        except LinqApiError as error:
            if not is_refusal(error):
                raise
            self.chat.logger().info("send.degraded", what=[what], status=error.status, code=error.code)
        sent = Sent((), degraded=(what,))
        if instead is None:
            return sent
        return sent.joined(await self._messages(await self.uploads.resolved([instead]), cards=False))

    async def _made(self, made: Awaitable[Sent]) -> Sent:
        try:
            sent = await made
        except MessageGone:
            return Sent(())
        except (Refused, LinqApiError) as error:
            if (status := stopped_by(error, self.chat.logger())) is None:
                raise
            return Sent((), status)
        self.chat.typing.sent()
        return sent

    async def _poll(self, poll: PollDraft) -> Sent:
        options = [{"text": option} for option in poll.options]
        client = with_standing_refusal(self.client)
        made = await client.chats.polls.create(self.chat.chat_id, poll={"options": options})
        message = SentMessage(id=made.message_id, created_at=made.created_at, service=self.chat.service)
        return Sent((message,), _client=self.client, _contents=(None,))

    async def _memo(self, memo: VoiceMemoDraft) -> Sent:
        part = await self.uploads.part(memo.audio)
        client = with_standing_refusal(self.client)
        made = await client.chats.send_voicememo(
            self.chat.chat_id, attachment_id=part.attachment_id, voice_memo_url=part.url
        )
        said = made.voice_memo
        if not said.id:  # cut off by a crash and not found at Linq: the log has send.ambiguous
            return Sent(())
        message = SentMessage(id=said.id, created_at=said.created_at, delivery_status=said.status, service=said.service)
        return Sent((message,), _client=self.client, _contents=(None,))

    async def _location(self) -> Sent:
        try:
            await with_standing_refusal(self.client).chats.location.request(self.chat.chat_id)
        except LinqApiError as error:
            if error.status != 409 or error.code in NO_LOCATION:
                raise
            # The person shares the location already.
        return Sent(())

    async def _contact_card(self) -> Sent:
        state = None if self.card_state is None else await self.card_state()
        if state is not None and self.clock.now() < state.at + CARD_EVERY_S:
            return Sent(())
        try:
            sent = await self._made(self._share())
        except RateLimited:  # shared in the last five minutes (R65), such as by an earlier run of this turn
            if state is not None:
                state.at = self.clock.now()
            return Sent(())
        except LinqApiError as error:
            if not is_refusal(error):
                raise
            why = (
                "The line has no contact card. Create one: client.contact_card.create(…)."
                if error.code == NO_CARD
                else None
            )
            self.chat.logger().warning(
                "send.degraded", what=["contact_card"], status=error.status, code=error.code, why=why
            )
            return Sent((), degraded=("contact_card",))
        if state is not None and sent.status == "accepted":
            state.at = self.clock.now()
        return sent

    async def _share(self) -> Sent:
        await with_standing_refusal(self.client.named("contact card")).chats.share_contact_card(self.chat.chat_id)
        return Sent(())
