"""Messages and tapbacks as a phone shows them, each a string that a test can compare with a text, and their chat."""

from __future__ import annotations

from functools import cached_property
from typing import Self

from linqbot.linq.types.message import MediaPart, Message, Part, text_of
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model import records, shapes
from linqbot_dev.testing.stage.connections import ApiCall


class Bubble(str):
    """A message on the phone: a str of its text, with further properties.

    The text stays as it was when the bubble was made. All properties are read when they are used: look at `tapbacks`
    again after the bot had time to react.

    Attributes:
        id: Linq's message id; empty when the bot has blocked the person, so that Linq did not store the message.
    """

    id: str

    def __new__(cls, record: records.MessageRecord) -> Self:
        bubble = super().__new__(cls, text_of(_message(record).parts))
        bubble._record = record
        bubble.id = record.id
        return bubble

    _record: records.MessageRecord | None = None

    @classmethod
    def unseen(cls, text: str) -> Bubble:
        """Return the message of a blocked person, which only their own phone shows."""
        bubble = str.__new__(cls, text)
        bubble.id = ""
        return bubble

    @property
    def message(self) -> Message:
        """The whole message, as Linq's API shows it now.

        Raises:
            LookupError: the bot has blocked the person who wrote the message, so Linq did not store it.
        """
        if self._record is None:
            raise LookupError("Linq did not store this message: the bot has blocked the person who wrote it.")
        return _message(self._record)

    @cached_property
    def from_bot(self) -> bool:
        """True if the bot sent the message."""
        return self.message.is_from_me

    @property
    def sender(self) -> str:
        """The handle of the sender."""
        handle = self.message.from_handle
        return handle.handle if handle else ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the message: texts, links, files."""
        return self.message.parts

    @property
    def media(self) -> list[MediaPart]:
        """The files in the message."""
        return [part for part in self.parts if isinstance(part, MediaPart)]

    @property
    def effect(self) -> str | None:
        """The name of the message's screen or bubble effect; None if it has none."""
        effect = self.message.effect
        return effect.name if effect else None

    @property
    def thread(self) -> str | None:
        """The id of the message that this message answers; None if it answers none."""
        answered = self.message.reply_to
        return answered.message_id if answered else None

    @property
    def tapbacks(self) -> list[str]:
        """The tapbacks on the message, oldest first: names such as `love`, emoji of custom tapbacks, `sticker`.

        `parts` also has the handle of each.
        """
        if self._record is None:
            return []
        return [one.custom_emoji or one.type for one in self._record.reactions]

    @property
    def status(self) -> str | None:
        """`pending`, `sent`, `delivered`, `read` or `failed`; of a person's message `received` or `read`."""
        return self.message.delivery_status

    @property
    def is_edited(self) -> bool:
        """True if the text was changed after sending."""
        return self._record is not None and self._record.edits > 0

    @property
    def is_voice_memo(self) -> bool:
        """True if the message is a voice memo."""
        return self._record is not None and self._record.is_voice_memo

    @property
    def votes(self) -> dict[str, list[str]]:
        """The handles that voted for each option of a poll, by the option's text."""
        poll = self._record.poll if self._record else None
        return {option.text: list(option.voters) for option in poll.options} if poll else {}

    def option_id(self, text: str) -> str:
        """Return Linq's id of an option of a poll.

        Raises:
            LookupError: the poll has no such option, or the message is no poll.
        """
        poll = self._record.poll if self._record else None
        for option in poll.options if poll else ():
            if option.text == text:
                return option.id
        raise LookupError(f"There is no option {text!r}. There are: {', '.join(self.votes) or 'none'}.")


class Tapback(str):
    """A tapback of the bot: a name such as `love`, the emoji of a custom tapback, or `sticker`.

    Attributes:
        on: The message that has the tapback.
    """

    on: Bubble

    def __new__(cls, name: str, on: Bubble) -> Self:
        tapback = super().__new__(cls, name)
        tapback.on = on
        return tapback


def _message(record: records.MessageRecord) -> Message:
    return Message.model_validate(shapes.watched_message(record))


class ChatView:
    """One chat, which may not exist yet, and a record of what the test has taken from it."""

    def __init__(self, emulator: Emulator, line: str, people: tuple[str, ...]) -> None:
        self._state = emulator.state
        self._line = line
        self.people = people
        self._id: str | None = None
        self._taken: set[str] = set()

    @property
    def id(self) -> str | None:
        """The chat's id; None before the first message."""
        self.find()
        return self._id

    def find(self) -> None:
        """Find the chat by its people, and keep its id: the search finds nothing once the bot has changed the people."""
        if self._id is None:
            found = next(self._state.chats_with(self._line, self.people), None)
            self._id = found.id if found else None

    @property
    def record(self) -> records.ChatRecord | None:
        """The emulator's record of the chat; None before the first message."""
        return self._state.chats.get(self.id or "")

    def messages(self) -> list[records.MessageRecord]:
        """Return all messages, oldest first."""
        return self.record.messages if self.record else []

    def take_reply(self) -> Bubble | None:
        """Return the bot's oldest message that was not taken yet; None if there is none."""
        for message in self.messages():
            if message.is_from_me and self._is_new(message.id):
                return Bubble(message)
        return None

    def elsewhere(self) -> str:
        """Return a sentence about the bot's newest message if that is in another chat; else an empty text."""
        theirs = [chat.messages for chat in self._state.chats.values()]
        newest = max(
            (message for messages in theirs for message in messages if message.is_from_me),
            key=lambda message: message.created_at,
            default=None,
        )
        if newest is None or newest.chat_id == self.id:
            return ""
        people = ", ".join(member.handle for member in self._state.chats[newest.chat_id].others)
        return f" The bot's last message is in another chat, with {people}: {str(Bubble(newest))!r}."

    def take_tapback(self, calls: list[ApiCall]) -> Tapback | None:
        """Return the bot's oldest tapback that was not taken yet; None if there is none."""
        # From the calls, not from the messages: a second tapback replaces the first, but the test must see both.
        for number, call in enumerate(calls):
            if call.name == "messages.add_reaction" and call.is_accepted and call.body["operation"] == "add":
                message = self._state.messages.get(call.path.split("/")[3])
                if message and message.chat_id == self.id and self._is_new(f"call {number}"):
                    return Tapback(call.body.get("custom_emoji") or call.body["type"], Bubble(message))
        return None

    def take_typing(self, calls: list[ApiCall]) -> bool | None:
        """Return True if the bot has started to type since the last call; None if not."""
        for number, call in enumerate(calls):
            starts = call.name == "chats.typing.start" and call.is_accepted
            if starts and call.path.split("/")[3] == self.id and self._is_new(f"call {number}"):
                return True
        return None

    def _is_new(self, name: str) -> bool:
        is_new = name not in self._taken
        self._taken.add(name)
        return is_new
