"""The result of a send."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from linqbot.client.call import ApiResponse
from linqbot.client.outcome import Refusal, meaning_of
from linqbot.client.resources.chats import read_sent
from linqbot.errors import BotError, LinqApiError
from linqbot.linq.types.message import MessageContent, SentMessage, TextPart

if TYPE_CHECKING:
    from linqbot.client.client import Client

_NOT_THERE: Final = (Refusal.GONE, Refusal.OPTED_OUT)


@dataclass(slots=True, eq=False)  # not frozen: see `JournalEntry`
class UnreadMessage:
    """A message that Linq accepted. Its response is parsed when it is needed: most handlers do not look at it."""

    chat_id: str
    response: ApiResponse

    def read(self) -> SentMessage:
        """Parse the response.

        Raises:
            LinqApiError: the response cannot be parsed; see `client.resources.resource.read`.
        """
        return read_sent(self.response, self.chat_id).message


AcceptedMessage: TypeAlias = tuple[SentMessage | UnreadMessage, MessageContent | None]
"""A message, and what was sent: Linq's answer may lack the parts. None for a poll or a voice memo."""


SentStatus: TypeAlias = Literal["accepted", "opted_out", "refused", "waiting", "muted", "skipped"]


@dataclass(frozen=True, repr=False, eq=False)
class Sent:
    """The result of a reply or a send.

    Attributes:
        messages: The messages that Linq accepted, one per bubble. A message that was deleted before its answer arrived
            is missing.
        status: `accepted`; `opted_out` if Linq refused because the person opted out of messages; `refused` if a plugin
            or the bot's manners refused the send; `waiting` if it is made later, because of `Bot(manners=…)`; `muted` if the
            bot is muted in the chat; `skipped` if the send is new in a part of a conversation that an answer has ended.
        degraded: What the person did not get as it was written, because Linq refused it or their service does not have
            it: `thread`, `effect`, `voice_memo`, `poll`, `sticker`, `app_card`, `contact_card`, `location_request`. The
            answer itself was sent in a plainer form.
    """

    _accepted: tuple[AcceptedMessage, ...]
    status: SentStatus = "accepted"
    degraded: tuple[str, ...] = ()
    _client: Client | None = None

    @cached_property
    def messages(self) -> tuple[SentMessage, ...]:
        return tuple(each if isinstance(each, SentMessage) else each.read() for each, _ in self._accepted)

    def __repr__(self) -> str:
        try:
            messages = repr(self.messages)
        except LinqApiError:
            messages = "<unreadable>"
        return f"Sent(messages={messages}, status={self.status!r}, degraded={self.degraded!r})"

    @property
    def id(self) -> str | None:
        """The id of the first message; None if no message was accepted."""
        return self.messages[0].id if self.messages else None

    async def edit(self, text: str, *, message: int = 0) -> bool:
        """Change the text of a message that was sent, as a person does: at most five times, within 15 minutes.

        Args:
            text: The new text. It replaces the first text of the message, without styles.
            message: The index of the message in `messages`, for a send of several.
        Returns:
            False if nothing was edited: nothing was sent, the message was deleted, or the person has opted out since.
        Raises:
            BotError: there is no such message, it has no text, or it was sent outside of a handler.
            LinqApiError: Linq refused, such as after 15 minutes, or for the sixth edit.

        Example: `sent = await ctx.reply("One moment …")`, later `await sent.edit("Done.")`
        """
        if not self.messages:
            return False
        content = self._accepted[message][1] if message < len(self._accepted) else None
        index = None if content is None else first_text(content)
        if index is None:
            raise BotError(
                f"sent.edit(message={message}): there is no message with a text. {len(self.messages)} were sent."
            )
        message_id = self.messages[message].id
        try:
            await self._client_for(f"edit {message_id}").messages.update(message_id, text=text, part_index=index)
        except LinqApiError as error:
            if meaning_of(error) not in _NOT_THERE:
                raise
            return False
        return True

    async def delete(self) -> None:
        """Delete the messages at Linq. Phones keep them: Linq cannot unsend a message.

        A message that is deleted already is no error, and neither is one to a person who has opted out since.

        Raises:
            BotError: the messages were sent outside of a handler.
            LinqApiError: Linq refused.
        """
        for sent in self.messages:
            try:
                await self._client_for(f"delete {sent.id}").messages.delete(sent.id)
            except LinqApiError as error:
                if meaning_of(error) not in _NOT_THERE:
                    raise

    def _client_for(self, name: str) -> Client:
        """Return a client for a named call: a message that is gone in a later run must not shift the calls after it."""
        if self._client is None:
            raise BotError("These messages were sent outside of a handler. Call client.messages.update or delete.")
        return self._client.named(name)


def first_text(message: MessageContent) -> int | None:
    return next((i for i, part in enumerate(message.parts or ()) if isinstance(part, TextPart)), None)
