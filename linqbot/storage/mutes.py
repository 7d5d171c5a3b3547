"""Mutes: the chats in which the bot is silent, because a person has taken over.

Each mute is one row, and all of them are in memory, by chat: a turn of a chat costs no read. A timer whose lane is muted does not
fire before the mute ends (`timers.py`), so that questions and scheduled sends wait. `features/mute.py` says what a mute means.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from pydantic_core import from_json, to_json

from linqbot.linq.events.lane import chat_of_lane, lane_of_chat
from linqbot.linq.types.proactive import ChatHandoff
from linqbot.storage import journal
from linqbot.storage.dialect import Readable, Writable

FOREVER: Final = 1e13
"""The `until` of a mute without an end. It is later than every time that a bot can give."""

_HANDOFF_KEPT_S: Final = 2 * 86_400.0
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
    """

    chat_id: str
    until: float
    person: str | None = None
    reason: str | None = None
    handoff: ChatHandoff | None = None

    def is_handed_over(self, now: float) -> bool:
        """Return True if a person of yours answers in the chat by way of the bot."""
        return self.handoff is not None and self.handoff.ended is None and self.until > now


_COLUMNS = "lane, until, person, reason, handoff"


async def write(tx: Writable, mute: Mute) -> None:
    """Store a mute. It replaces the one of its chat."""
    await remove(tx, [mute.chat_id])
    handoff = None if mute.handoff is None else to_json(asdict(mute.handoff)).decode()
    row = (lane_of_chat(mute.chat_id), mute.until + tx.ahead_s, mute.person, mute.reason, handoff)
    await tx.insert(f"mute ({_COLUMNS})", [row])
    tx.changes.mutes[mute.chat_id] = mute


async def remove(tx: Writable, chats: Collection[str]) -> int:
    """Delete the mutes of chats, and return their number. The timers that waited for them are due again."""
    gone = await tx.run("DELETE FROM mute WHERE lane = ANY($1)", [lane_of_chat(chat) for chat in chats])
    tx.changes.mutes.update(dict.fromkeys(chats))
    tx.changes.timers = tx.changes.news = True
    return gone


async def change(tx: Writable, chat_id: str, to: Callable[[Mute | None], Mute | None]) -> Mute | None:
    """Store what a function makes of the mute of a chat, and return it. None is no mute."""
    sql = f"SELECT {_COLUMNS} FROM mute WHERE lane = $1 FOR UPDATE"  # noqa: S608 - constant text
    before = next((_mute(tx, row) for row in await tx.fetch(sql, lane_of_chat(chat_id))), None)
    if (after := to(before)) is before:
        return after
    if after is not None:
        await write(tx, after)
    elif before is not None:
        await remove(tx, [chat_id])
    return after


async def by_hand(tx: Writable, mute: Mute, message_id: str) -> bool:
    """Mute a chat because of a message of ours, unless a turn has sent it. A mute that lasts longer stays."""
    if await journal.has_sent(tx, message_id):
        return False
    after = await change(tx, mute.chat_id, lambda old: mute if old is None else longer(old, mute))
    return after is mute


def longer(old: Mute, new: Mute) -> Mute:
    """Return the one of two mutes of a chat that ends later. A handoff that goes on stays, and ends no earlier than both."""
    if old.handoff is not None and old.handoff.ended is None:
        return old if old.until >= new.until else replace(old, until=new.until)
    return old if old.until >= new.until else new


async def stored(db: Readable) -> list[Mute]:
    return [_mute(db, row) for row in await db.fetch(f"SELECT {_COLUMNS} FROM mute ORDER BY lane")]  # noqa: S608 - constant text


async def read(tx: Writable, chats: Collection[str]) -> None:
    """Read the mutes of chats for the memory of this process: another process may have changed them."""
    sql = f"SELECT {_COLUMNS} FROM mute WHERE lane = ANY($1)"  # noqa: S608 - constant text
    found = [_mute(tx, row) for row in await tx.fetch(sql, [lane_of_chat(chat) for chat in chats])]
    tx.changes.read_mutes |= {**dict.fromkeys(chats), **{mute.chat_id: mute for mute in found}}


async def read_all(tx: Writable, known: Collection[str]) -> None:
    """Read all mutes for the memory of this process, in place of those of the chats that it knows."""
    tx.changes.read_mutes = {**dict.fromkeys(known), **{mute.chat_id: mute for mute in await stored(tx)}}


async def purge(tx: Writable) -> None:
    """Delete the mutes that are over."""
    sql = "SELECT lane FROM mute WHERE until < $1 AND (handoff IS NULL OR until < $2)"
    over = await tx.fetch(sql, tx.now, tx.now - _HANDOFF_KEPT_S)
    if chats := [chat for (lane,) in over if (chat := chat_of_lane(lane)) is not None]:
        await remove(tx, chats)


def _mute(db: Readable, row: Any) -> Mute:
    lane, until, person, reason, handoff = row
    until = until if until >= FOREVER else until - db.ahead_s
    return Mute(
        chat_of_lane(lane) or "", until, person, reason, None if handoff is None else ChatHandoff(**from_json(handoff))
    )
