"""Sending messages into the chat of a turn, one after the other.

A send that a plugin or the person does not want is not an error: it ends with a status. A thread or an effect that Linq
refuses is left out, so that an answer is not lost. Content that is a call of its own at Linq: `sending.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from linqbot.bot.content.forms import Degraded, without_effect
from linqbot.bot.content.message_split import files_of
from linqbot.bot.sent import OPTED_OUT, Sent, UnreadMessage
from linqbot.bot.typing import TypingIndicator
from linqbot.client.client import Client
from linqbot.client.resources.chats.messages import send_unread
from linqbot.errors import CallSkipped, LinqApiError, MessageGone, Refused
from linqbot.types.message import MessageContent, text_of

NOT_FETCHED: Final = 5007
"""Linq's error code for a URL that it could not fetch, or whose file has more than 10 MB."""
_REFUSED: Final = frozenset({400, 404, 409})


def is_refusal(error: LinqApiError) -> bool:
    """Return True if Linq refused the content of a call, in distinction from the person, the line or the pace."""
    return error.status in _REFUSED and not isinstance(error, MessageGone)


def with_standing_refusal(client: Client) -> Client:
    """Return a client for a call that is replaced if Linq refuses it; see `Call.refusal_stands`."""
    return client.wrapped(lambda run: lambda call: run(replace(call, refusal_stands=True)))


def stopped_by(error: Refused | LinqApiError, log: Any) -> str | None:
    """Return the status of a send that was not made on purpose, and log the reason; None for any other error.

    The status is `refused`, `skipped` or `opted_out`: see `Sent`.
    """
    if isinstance(error, Refused):
        log.info("send.refused", plugin=error.plugin, reason=str(error))
        return "refused"
    if isinstance(error, CallSkipped):
        return "skipped"
    if error.code == OPTED_OUT:
        log.info("send.opted_out")
        return "opted_out"
    return None


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class ChatSender:
    """The chat of a turn, for sending messages into it.

    Attributes:
        service: The service of the chat, if it is known.
        typing: The typing dots, which a message ends.
        logger: Returns the logger of the context. Binding it takes half as long as a send, which seldom logs anything.
        note_sent: Called with the chat's id, the text and the files of each message that was sent.
    """

    chat_id: str
    service: str | None
    typing: TypingIndicator
    logger: Callable[[], Any]
    note_sent: Callable[[str, str, str], None]

    async def send(self, messages: Iterable[MessageContent], client: Client) -> Sent:
        """Send messages, until one is refused.

        Args:
            client: The turn's client, with the label of the send.
        Raises:
            LinqApiError: Linq refused a message.
        """
        sent: list[UnreadMessage] = []
        contents: list[MessageContent] = []
        degraded: list[str] = []
        for message in messages:
            self.typing.sending()
            try:
                if message.reply_to is None and message.effect is None:
                    # Not `_send_one`: nearly every message takes this way, and a coroutine less is worth the two lines.
                    answer = await send_unread(client.chats.messages, self.chat_id, message)
                    accepted = UnreadMessage(self.chat_id, answer)
                else:
                    accepted, lost = await self._send_decorated(message, client)
                    degraded += lost
            except MessageGone:
                continue
            except (Refused, LinqApiError) as error:
                if (status := stopped_by(error, self.logger())) is None:
                    raise
                return Sent(tuple(sent), status, tuple(degraded), client, tuple(contents))
            self.typing.sent()
            parts = message.parts or ()
            self.note_sent(self.chat_id, text_of(parts), files_of(parts))
            sent.append(accepted)
            contents.append(message)
        return Sent(tuple(sent), "accepted", tuple(degraded), client, tuple(contents))

    async def _send_one(self, message: MessageContent, client: Client) -> UnreadMessage:
        return UnreadMessage(self.chat_id, await send_unread(client.chats.messages, self.chat_id, message))

    async def _send_decorated(
        self, message: MessageContent, client: Client
    ) -> tuple[UnreadMessage, tuple[Degraded, ...]]:
        """Send a message with a thread or an effect; if Linq refuses it, send it without both.

        Returns:
            The message, and what it lacks.
        """
        shown = without_effect(message, self.service)
        lacks: tuple[Degraded, ...] = () if shown is message else ("effect",)
        if shown.reply_to is None and shown.effect is None:
            return await self._send_one(shown, client), lacks
        try:
            made = await self._send_one(shown, with_standing_refusal(client))
        except LinqApiError as error:
            if not is_refusal(error) or error.code == NOT_FETCHED:
                raise
            refused = error
        else:
            return made, lacks
        plain = shown.model_copy(update={"reply_to": None, "effect": None})
        sent = await self._send_one(plain, client)
        if shown.reply_to is not None:
            lacks = ("thread", *lacks)
        if shown.effect is not None:
            lacks = (*lacks, "effect")
        self.logger().info("send.degraded", what=lacks, status=refused.status, code=refused.code)
        return sent, lacks
