"""Mutes as they are stored: a muted chat is a chat that is held, and its hold has the reason and the handoff.

`mute.py` says what a mute means. The functions here are those of commands, pages and features that begin and end one; each stores its
change before it returns. The module loads no code of turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Final

from pydantic_core import from_json

from linqbot.characters import storable, to_json
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.linq.types.proactive import ChatHandoff, HandoffEnd
from linqbot.options import DAY_S
from linqbot.storage.acts import By, What
from linqbot.storage.backend import Storage
from linqbot.storage.holds import Change, Hold

PROACTIVE: Final = frozenset({"send", "repeat", "post", "post_to", "ask_to", "ask_in", "broadcast"})
"""The kinds of deliveries by which the bot speaks first."""

_HANDOFF_KEPT_S: Final = 2 * DAY_S
"""Seconds for which a handoff that is over is kept: for the turn that says so, and for messages that were being passed on, whose
turns Linq may defer for a day."""


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

    @classmethod
    def of(cls, hold: Hold) -> Mute:
        """Return the mute of a hold."""
        reason, handoff = _notes_of(hold.notes)
        return cls(hold.chat_id, hold.until, hold.person, reason, handoff, hold.kinds is not None, hold.since)

    @property
    def hold(self) -> Hold:
        """The hold that is stored for the mute."""
        handoff = None if self.handoff is None else asdict(self.handoff)
        notes: dict[str, Any] = {} if handoff is None else {"handoff": handoff}
        if self.reason is not None:
            notes["reason"] = storable(self.reason)
        return Hold(
            self.chat_id,
            self.until,
            self.since,
            self.until if handoff is None else self.until + _HANDOFF_KEPT_S,
            self.person,
            PROACTIVE if self.only_proactive else None,
            to_json(notes) if notes else None,
        )

    @property
    def ends_at(self) -> float | None:
        """The `until` of a mute that ends; None for one without an end."""
        return self.hold.ends_at

    def is_handed_over(self, now: float) -> bool:
        """Return True if a person of yours answers in the chat by way of the bot."""
        return self.handoff is not None and self.handoff.ended is None and self.until > now

    @property
    def stops_handoffs(self) -> bool:
        """True if no handoff passes it: it is the mute of all chats, or it began after the handoff of its chat."""
        has_ended_one = self.handoff is not None and self.handoff.ended is not None
        return (self.chat_id == EVERY_CHAT or has_ended_one) and not self.only_proactive


@lru_cache(maxsize=1024)
def _notes_of(notes: bytes | None) -> tuple[str | None, ChatHandoff | None]:
    if notes is None:
        return None, None
    found = from_json(notes)
    return found.get("reason"), ChatHandoff(**found["handoff"]) if "handoff" in found else None


def mutes_of(holds: Mapping[str, Hold]) -> list[Mute]:
    """Return the mutes in memory, with those that have ended a short time ago."""
    return [Mute.of(hold) for hold in tuple(holds.values())]


def mute_of(
    holds: Mapping[str, Hold],
    chat_id: str | None,
    now: float,
    *,
    is_proactive: bool = False,
    counts: Callable[[Mute], bool] = lambda _: True,
) -> Mute | None:
    """Return the mute in force in a chat, or with None in all chats.

    Args:
        is_proactive: The bot speaks first there.
        counts: Returns False for a mute that does not count.
    """
    for key in (chat_id, EVERY_CHAT):
        hold = None if key is None else holds.get(key)
        if hold is not None and hold.until > now and (is_proactive or hold.kinds is None):
            mute = Mute.of(hold)
            if counts(mute):
                return mute
    return None


async def stored_mutes(storage: Storage) -> list[Mute]:
    """Return the mutes as they are stored, with those that have ended a short time ago."""
    return [Mute.of(hold) for hold in await storage.stored_holds()]


async def mute_chat(storage: Storage, mute: Mute, *, by: By | None = None) -> None:
    """Mute a chat, in place of its mute. It ends a handoff of the chat, which says so when the mute is over."""
    await storage.change_holds(
        [mute.chat_id], _to(lambda old, now: _ending_handoff(old, mute, now)), act=_act(by, "mute")
    )


async def unmute_chats(
    storage: Storage, *chats: str, catch_up: Sequence[tuple[Delivery, int]] = (), by: By | None = None
) -> bool:
    """End the mutes of chats, with their handoffs. Return True if one was stored.

    Args:
        catch_up: Deliveries to be handled again in the same commit, each with the number of its replay: messages that
            came while the chat was muted.
    """
    to = _to(lambda old, now: ended(old, how="unmuted", now=now))
    changed = await storage.change_holds(chats, to, put_again=catch_up, act=_act(by, "unmute"))
    return any(before is not None for before, _ in changed)


async def mute_by_hand(storage: Storage, mute: Mute, message_id: str | None, *, by: By | None = None) -> bool:
    """Mute a chat because a person of yours writes there. Return True if this mute is stored. One that lasts longer stays.

    Args:
        message_id: What was written, which mutes nothing if a turn has sent it; None before an operator sends it.
        by: The operator, for the log; None for a text that came from elsewhere.
    """
    made = mute.hold

    def to(old: Hold | None, _: float) -> Hold | None:
        if old is None:
            return made
        left = longer(before := Mute.of(old), mute)
        return old if left is before else made if left is mute else left.hold

    changed = await storage.change_holds([mute.chat_id], to, unless_sent=message_id, act=_act(by, "mute"))
    return any(after is made for _, after in changed)


async def change_mute(storage: Storage, chat_id: str, to: Callable[[Mute | None], Mute | None]) -> Mute | None:
    """Store what a function makes of the mute of a chat, and return it. None is no mute. It sees the stored one."""
    (changed,) = await storage.change_holds([chat_id], _to(lambda old, _: to(old)))
    return None if (after := changed[1]) is None else Mute.of(after)


def _act(by: By | None, what: What) -> tuple[By, What] | None:
    return None if by is None else (by, what)


def _to(to: Callable[[Mute | None, float], Mute | None]) -> Change:
    """Return a change of a hold, given the change of its mute."""

    def change(old: Hold | None, now: float) -> Hold | None:
        before = None if old is None else Mute.of(old)
        after = to(before, now)
        return old if after is before else None if after is None else after.hold

    return change


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


def _ending_handoff(old: Mute | None, new: Mute, now: float) -> Mute:
    if old is None or old.handoff is None or new.handoff is not None:
        return new
    over_at = min(old.until, now) if old.handoff.over_at is None else old.handoff.over_at
    return replace(new, handoff=replace(old.handoff, ended=old.handoff.ended or "unmuted", over_at=over_at))
