"""Mutes: the chats in which the bot is silent, because a person has taken over.

Each mute is one row, and all of them are in memory, by chat: a turn of a chat costs no read. The mute of all chats is the row of
the chat `EVERY_CHAT`. A timer whose lane is muted does not fire before the mute ends (`timers.py`), so that questions and scheduled
sends wait. `features/mute.py` says what a mute means. Next step: `mute_table.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.linq.types.proactive import ChatHandoff, HandoffEnd

FOREVER: Final = 1e13
"""The `until` of a mute without an end. It is later than every time that a bot can give."""


@dataclass(frozen=True, slots=True)
class Mute:
    """A chat in which the bot is silent.

    Attributes:
        until: Unix seconds at which the mute ends; FOREVER without an end.
        person: The handle of the person in a direct chat, in lower case; empty in a group; None if it is not known yet.
        reason: The words of the bot's author; None if there are none.
        handoff: The person of yours who answers in the chat by way of the bot; None if the bot is only silent.
        only_proactive: True mutes only what no person has asked for just now: scheduled sends, broadcasts, posts, and sends to
            another chat than the one that is answered.
        since: Unix seconds at which it began.
    """

    chat_id: str
    until: float
    person: str | None = None
    reason: str | None = None
    handoff: ChatHandoff | None = None
    only_proactive: bool = False
    since: float = 0.0

    @property
    def ends_at(self) -> float | None:
        """The `until` of a mute that ends; None for one without an end."""
        return None if self.until >= FOREVER else self.until

    def is_handed_over(self, now: float) -> bool:
        """Return True if a person of yours answers in the chat by way of the bot."""
        return self.handoff is not None and self.handoff.ended is None and self.until > now

    @property
    def stops_handoffs(self) -> bool:
        """True if no handoff passes it: it is the mute of all chats, or it began after the handoff of its chat."""
        has_ended_one = self.handoff is not None and self.handoff.ended is not None
        return (self.chat_id == EVERY_CHAT or has_ended_one) and not self.only_proactive


def mute_of(mutes: Mapping[str, Mute], chat_id: str | None, now: float, *, is_proactive: bool = False) -> Mute | None:
    """Return the mute in force in a chat, or with None in all chats. `is_proactive`: the bot speaks first there."""
    for key in (chat_id, EVERY_CHAT):
        mute = None if key is None else mutes.get(key)
        if mute is not None and mute.until > now and (is_proactive or not mute.only_proactive):
            return mute
    return None


def longer(old: Mute, new: Mute) -> Mute:
    """Return the one of two mutes of a chat that ends later. A handoff that goes on stays, and ends no earlier than both."""
    if old.handoff is not None and old.handoff.ended is None:
        return old if old.until >= new.until else replace(old, until=new.until)
    return old if old.until >= new.until else new


def ended(mute: Mute | None, *, how: HandoffEnd, now: float) -> Mute | None:
    """Return what becomes of a mute that ends. A handoff stays on record until the turn of its timer has said so."""
    if mute is None or mute.handoff is None:
        return None
    if mute.handoff.ended is not None:
        return mute if mute.until <= now else replace(mute, until=now)
    return replace(mute, until=now, handoff=replace(mute.handoff, ended=how))
