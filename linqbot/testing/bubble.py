"""What a phone shows: bubbles and tapbacks. Each is a string, so that a test compares it with what it expects."""

from __future__ import annotations

from functools import cached_property
from typing import Self

from linqbot.emulator.model import records, shapes
from linqbot.types.message import LinkPart, MediaPart, Message, Part, TextPart


class Bubble(str):
    """A message on the phone: its text as a str, and what else there is to see.

    The text stays as it was when the bubble was looked at. Everything else is as it is now: look at `tapbacks` again
    after the bot had time to react.

    Attributes:
        id: Linq's message id; empty when the bot has blocked the person, so that the message arrived nowhere.
    """

    id: str

    def __new__(cls, record: records.MessageRecord) -> Self:
        bubble = super().__new__(cls, _text(_message(record).parts))
        bubble._record = record
        bubble.id = record.id
        return bubble

    _record: records.MessageRecord | None = None

    @classmethod
    def unseen(cls, text: str) -> Bubble:
        """What a blocked person wrote: it is nowhere but on their own phone."""
        bubble = str.__new__(cls, text)
        bubble.id = ""
        return bubble

    @property
    def message(self) -> Message:
        """All of it, as Linq's API shows it now."""
        if self._record is None:
            raise LookupError("This message arrived nowhere: the bot has blocked who wrote it.")
        return _message(self._record)

    @cached_property
    def from_bot(self) -> bool:
        return self.message.is_from_me

    @property
    def sender(self) -> str:
        """The handle it is from."""
        handle = self.message.from_handle
        return handle.handle if handle else ""

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.message.parts

    @property
    def media(self) -> list[MediaPart]:
        """The files in it."""
        return [part for part in self.parts if isinstance(part, MediaPart)]

    @property
    def effect(self) -> str | None:
        """The name of its screen or bubble effect."""
        effect = self.message.effect
        return effect.name if effect else None

    @property
    def thread(self) -> str | None:
        """The id of the message it hangs on."""
        answered = self.message.reply_to
        return answered.message_id if answered else None

    @property
    def tapbacks(self) -> list[str]:
        """The tapbacks on it, oldest first: `love` and so on, the emoji of a custom one, `sticker`.

        Who gave them is in `parts`.
        """
        if self._record is None:
            return []
        return [one.custom_emoji or one.type for one in self._record.reactions]

    @property
    def status(self) -> str | None:
        """`pending`, `sent`, `delivered`, `read` or `failed`; what people wrote is `received` or `read`."""
        return self.message.delivery_status

    @property
    def is_edited(self) -> bool:
        return self._record is not None and self._record.edits > 0

    @property
    def is_voice_memo(self) -> bool:
        return self._record is not None and self._record.is_voice_memo

    @property
    def votes(self) -> dict[str, list[str]]:
        """Of a poll: each option's text, with the handles that voted for it."""
        poll = self._record.poll if self._record else None
        return {option.text: list(option.voters) for option in poll.options} if poll else {}

    def option_id(self, text: str) -> str:
        """Of a poll: Linq's id of an option.

        Raises:
            LookupError: there is no such option.
        """
        poll = self._record.poll if self._record else None
        for option in poll.options if poll else ():
            if option.text == text:
                return option.id
        raise LookupError(f"There is no option {text!r}. There are: {', '.join(self.votes) or 'none'}.")


class Tapback(str):
    """A tapback of the bot: `love`, `like` and so on, the emoji of a custom one, or `sticker`.

    Attributes:
        on: The message it was put on.
    """

    on: Bubble

    def __new__(cls, name: str, on: Bubble) -> Self:
        tapback = super().__new__(cls, name)
        tapback.on = on
        return tapback


def _message(record: records.MessageRecord) -> Message:
    return Message.model_validate(shapes.watched_message(record))


def _text(parts: tuple[Part, ...]) -> str:
    return "\n".join(part.value for part in parts if isinstance(part, TextPart | LinkPart))
