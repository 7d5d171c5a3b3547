"""A chat as a test sees it: its id, and the acts of the bot that the test has not taken yet."""

from __future__ import annotations

from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model import records
from linqbot.testing.bubble import Bubble, Tapback
from linqbot.testing.stage.connections import ApiCall


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
