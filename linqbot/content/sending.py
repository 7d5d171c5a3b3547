"""Sending into the chat of a turn: messages, one after the other, and content that is a call of its own, such as a poll.

Linq may refuse content. Then something plainer is sent, so that an answer is not lost: a text without its thread or
effect, or a numbered list instead of a poll. The journal records such a refusal at once, so that a later run of the
turn does not send both. A send that a plugin or the person does not want is no error: it ends with a status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from linqbot.client.client import Client
from linqbot.client.outcome import Refusal, meaning_of, refuses_content
from linqbot.client.resources.chats import send_call
from linqbot.clock import Clock
from linqbot.content.cards import Card
from linqbot.content.drafts import Act, ActChat, CardShared
from linqbot.content.message_split import (
    CARDS,
    Content,
    Degraded,
    Sendable,
    files_of,
    fitted,
    has_only_acts,
    plainer_message,
    steps,
    without_effect,
)
from linqbot.content.sent import AcceptedMessage, Sent, SentStatus, UnreadMessage
from linqbot.content.typing import TypingIndicator
from linqbot.content.uploads import Uploads
from linqbot.errors import CallSkipped, LinqApiError, MessageGone, Refused, Stopped
from linqbot.linq.types.message import Effect, MediaPart, MessageContent, ReplyTo, text_of
from linqbot.turn_events import QuotingEvent


@dataclass(frozen=True, slots=True)
class ContentSent(QuotingEvent):
    """The content of one `ctx.reply` or `ctx.send` was sent, or was not, as `sent` says. `content` is as its author wrote it."""

    content: tuple[Sendable, ...] = field(repr=False)
    effect: Effect | None
    cards: bool
    is_group: bool | None
    sent: Sent


NOT_FETCHED: Final = 5007
"""Linq's error code for a URL that it could not fetch, or whose file has more than 10 MB."""


def with_standing_refusal(client: Client) -> Client:
    """Return a client for a call that is replaced if Linq refuses it; see `Call.refusal_stands`."""
    return client.wrapped(lambda run: lambda call: run(replace(call, refusal_stands=True)))


def stopped_by(error: Refused | LinqApiError, log: Any) -> SentStatus | None:
    """Return the status of a send that was not made on purpose, and log the reason; None for any other error.

    The status is `muted`, `refused`, `waiting`, `skipped` or `opted_out`: see `Sent`.
    """
    if isinstance(error, Stopped):
        log.info(f"send.{error.word}", reason=str(error))
        return error.status
    if isinstance(error, Refused):
        log.info("send.refused", plugin=error.plugin, reason=str(error))
        return "refused"
    if isinstance(error, CallSkipped):
        return "skipped"
    if meaning_of(error) is Refusal.OPTED_OUT:
        log.info("send.opted_out")
        return "opted_out"
    return None


Made: TypeAlias = tuple[AcceptedMessage | None, Sequence[Degraded], Sequence[MessageContent | Act]]
"""The result of a step: its message, None if it has none; what the person does not get; and what is sent instead."""


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class ChatSender:
    """The chat of a turn, for sending messages into it.

    Attributes:
        service: The service of the chat, if it is known.
        typing: The typing dots, which a message ends; None if there are none.
        logger: Returns the logger of the context. Binding it takes half as long as a send, which seldom logs anything.
        note_sent: Called with the chat's id, the text and the files of each message that was sent.
    """

    chat_id: str
    service: str | None
    typing: TypingIndicator | None
    logger: Callable[[], Any]
    note_sent: Callable[[str, str, str], None]

    async def send(
        self,
        content: Iterable[MessageContent | Act],
        client: Client,
        make: Callable[[Any, Client], Awaitable[Made]] | None = None,
    ) -> Sent:
        """Send messages with the turn's client, which has the label of the send, until one is refused.

        Args:
            make: Makes a message or an act, and uploads files; None if there are only messages, without files to upload.
        """
        sent: list[AcceptedMessage] = []
        degraded: list[Degraded] = []
        status: SentStatus = "accepted"
        made: AcceptedMessage | None
        left: deque[Any] = deque(content)
        while left:
            step = left.popleft()
            if self.typing is not None and not isinstance(step, Act):
                self.typing.sending()
            try:
                is_bare = make is None and step.reply_to is None and step.effect is None
                if is_bare and not (step.parts and isinstance(step.parts[0], CARDS)):
                    # Nearly every message takes this way, and a coroutine less is worth the two lines.
                    response = await client.run(send_call(self.chat_id, step))
                    made = UnreadMessage(self.chat_id, response), step
                else:
                    made, lost, instead = await (make or self.send_decorated)(step, client)
                    degraded += lost
                    left.extendleft(reversed(instead))
            except MessageGone:
                continue
            except (Refused, LinqApiError) as error:
                if (stopped := stopped_by(error, self.logger())) is None:
                    raise
                status = stopped
                break
            if self.typing is not None:
                self.typing.sent()
            if made is not None:
                sent.append(made)
                if (message := made[1]) is not None:
                    parts = message.parts or ()
                    self.note_sent(self.chat_id, text_of(parts), files_of(parts))
        return Sent(tuple(sent), status, tuple(dict.fromkeys(degraded)), client)

    async def send_decorated(self, message: MessageContent, client: Client) -> Made:
        """Send a message that Linq may refuse, in a plainer form if it does.

        Without a thread and an effect first. A card is a text then: the chat may have left iMessage since its last event.
        """
        form = without_effect(message, self.service)
        lacks: tuple[Degraded, ...] = () if form is message else ("effect",)
        refused: LinqApiError | None = None
        while True:
            plain = plainer_message(form)
            run = (client if plain is None else with_standing_refusal(client)).run
            try:
                response = await run(send_call(self.chat_id, form))
                break
            except LinqApiError as error:
                if plain is None or not refuses_content(error) or error.code == NOT_FETCHED:
                    raise
                refused = error
            form, lost = plain
            lacks = (*lost, *lacks)
        if refused is not None:
            self.logger().info("send.degraded", what=lacks, status=refused.status, code=refused.code)
        return (UnreadMessage(self.chat_id, response), form), lacks, ()


@dataclass(slots=True)
class DraftSender:
    """Sends content of all kinds into a chat: also files to upload, and calls of their own."""

    chat: ChatSender
    is_group: bool | None
    uploads: Uploads
    clock: Clock
    card_state: Callable[[], Awaitable[CardShared]]

    async def send(
        self,
        content: Iterable[Content | Act],
        client: Client,
        *,
        effect: Effect | None,
        reply_to: ReplyTo | None,
        cards: bool,
    ) -> Sent:
        items, degraded = fitted(content, service=self.chat.service, is_group=self.is_group)
        try:
            made = await self._steps(items, effect=effect, reply_to=reply_to, cards=cards)
        except Refused as error:
            stopped_by(error, self.chat.logger())
            return Sent((), "refused")
        if effect is not None and has_only_acts(made):
            degraded.append("effect")
        sent = await self.chat.send(made, client, self._made)
        if degraded:
            self.chat.logger().info("send.degraded", what=degraded, service=self.chat.service)
        return replace(sent, degraded=tuple(dict.fromkeys((*degraded, *sent.degraded))))

    async def _steps(self, content: Iterable[Content | Act], **options: Any) -> list[MessageContent | Act]:
        return steps(await self.uploads.resolved(content), service=self.chat.service, **options)

    async def _made(self, step: MessageContent | Act, client: Client) -> Made:
        if not isinstance(step, Act):
            return await self._message(step, client)
        chat = self.chat
        there = ActChat(chat.chat_id, chat.service, self.uploads.part, self.card_state, self.clock, chat.logger)
        try:
            message = await step.make(there, with_standing_refusal(client))
        except LinqApiError as error:
            if not refuses_content(error):
                raise
            chat.logger().info("send.degraded", what=[step.KIND], status=error.status, code=error.code)
        else:
            return None if message is None else (message, None), (), ()
        plainer = step.plainer()
        return None, (step.KIND,), () if plainer is None else await self._steps([plainer], cards=False)

    async def _message(self, message: MessageContent, client: Client) -> Made:
        """Send a message. Its files at URLs that Linq cannot fetch, such as large ones, are uploaded."""
        if not any(isinstance(part, MediaPart) and part.url is not None for part in message.parts or ()):
            return await self.chat.send_decorated(message, client)
        try:
            return await self.chat.send_decorated(message, with_standing_refusal(client))
        except LinqApiError as error:
            if error.code != NOT_FETCHED:
                raise
            self.chat.logger().info("send.uploads", code=error.code, why="Linq could not fetch a file from its URL.")
        return await self.chat.send_decorated(await self.uploads.fetched(message), client)


_PAUSES_S: Final = (1.0, 2.0, 4.0)
"""Seconds between attempts to change a card that Linq has not sent yet (R85)."""


async def update_card(card: Card, client: Client, clock: Clock) -> str:
    """Show a card as it is now in place of the message with its id, and return the id of the new message.

    Raises LinqApiError if Linq refused the change, or has not sent the card yet after some seconds.
    """
    assert card.id is not None
    named = client.named(f"card {card.id}")
    new = card.model_dump(include={"layout", "url", "fallback_text", "interactive"})
    for pause_s in _PAUSES_S:
        try:
            # A later run of the turn repeats no attempt that was refused: it might succeed next to the one that did.
            return (await with_standing_refusal(named).messages.update_app_card(card.id, **new)).message.id
        except LinqApiError as error:
            if error.status != 409:
                raise
        await clock.wait_until(clock.now() + pause_s)
    return (await named.messages.update_app_card(card.id, **new)).message.id
