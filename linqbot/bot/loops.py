"""Two bots that answer each other would do so for ever. This notices, and lets the other one have the last word.

What gives a loop away is that it turns round: each message comes within seconds of our reply, and says nothing new: it
quotes what we just said, or repeats what it said before. People write bursts, and programs send floods, but neither
waits for our reply each time only to repeat itself. In memory, per chat: a restart forgets, which costs a few messages.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

ROUNDS = 4
"""Turns of the wheel before it is stopped: with the message that tells, at most nine have gone to and fro."""
SOON_S = 10.0
"""A message this soon after our reply may be a machine's answer to it."""
SKEW_S = 2.0
"""How far Linq's clock may be behind ours."""
CHATS = 2048
"""Remembered, those heard or answered last. A loop comes round within seconds: so many others do not come between."""


@dataclass(slots=True)
class _Chat:
    rounds: int = 0
    heard: str = ""
    said: str = ""
    said_at: float = 0.0


class LoopBreaker:
    """Watches what is heard and said in each chat."""

    def __init__(self) -> None:
        self._chats: OrderedDict[str, _Chat] = OrderedDict()

    def said(self, chat_id: str, text: str, now: float) -> None:
        """We wrote into a chat."""
        chat = self._chat(chat_id)
        chat.said, chat.said_at = text, now

    def heard(self, chat_id: str, text: str, sent_at: float) -> bool:
        """A message came; True when it is one more turn of a loop and should not be answered."""
        chat = self._chat(chat_id)
        soon = -SKEW_S <= sent_at - chat.said_at <= SOON_S
        says_nothing_new = bool(text) and (text == chat.heard or (bool(chat.said) and chat.said in text))
        chat.rounds = chat.rounds + 1 if soon and says_nothing_new else 0
        chat.heard = text
        if chat.rounds < ROUNDS:
            return False
        # The wheel is stopped by our silence; what comes after a pause, or says something else, is answered again.
        chat.said_at = sent_at
        return True

    def _chat(self, chat_id: str) -> _Chat:
        chat = self._chats.get(chat_id)
        if chat is None:
            chat = self._chats[chat_id] = _Chat()
            if len(self._chats) > CHATS:
                self._chats.popitem(last=False)
        else:
            self._chats.move_to_end(chat_id)
        return chat
