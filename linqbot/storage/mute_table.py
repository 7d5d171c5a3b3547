"""The table `mute`: its SQL, for both backends. A row is a `Mute`: see `mutes.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from pydantic_core import from_json

from linqbot.characters import storable, to_json
from linqbot.linq.events.lane import EVERY_CHAT, chat_of_lane, lane_of_chat
from linqbot.linq.types.proactive import ChatHandoff
from linqbot.options import DAY_S
from linqbot.storage import journal, people
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.mutes import FOREVER, Mute, ended, longer

_HANDOFF_KEPT_S: Final = 2 * DAY_S
"""Seconds for which a handoff that is over is kept: for the turn that says so, and for messages that were being passed on, whose
turns Linq may defer for a day."""

COLUMNS: Final = "lane, until, person, reason, handoff, only_proactive, since"


async def write(tx: Writable, mute: Mute) -> None:
    await remove(tx, [mute.chat_id])
    if mute.reason is not None:
        mute = replace(mute, reason=storable(mute.reason))
    handoff = None if mute.handoff is None else to_json(asdict(mute.handoff)).decode()
    until, since, lane = mute.until + tx.ahead_s, mute.since + tx.ahead_s, lane_of_chat(mute.chat_id)
    await tx.insert(f"mute ({COLUMNS})", [(lane, until, mute.person, mute.reason, handoff, mute.only_proactive, since)])
    people.note_in_lane(tx, lane, None if handoff is None else handoff.encode())
    tx.changes.mutes[mute.chat_id] = mute


async def remove(tx: Writable, chats: Collection[str]) -> int:
    """Delete the mutes of chats, and return their number. The timers that waited for them are due again."""
    gone = await tx.run("DELETE FROM mute WHERE lane = ANY($1)", [lane_of_chat(chat) for chat in chats])
    tx.changes.mutes.update(dict.fromkeys(chats))
    tx.changes.timers = tx.changes.wakes_worker = True
    tx.changes.steps |= EVERY_CHAT in chats
    return gone


async def change(tx: Writable, chat_id: str, to: Callable[[Mute | None], Mute | None]) -> Mute | None:
    """Store what a function makes of the mute of a chat, and return it. None is no mute.

    A mute that replaces one that is in force has begun with it.
    """
    before = next(iter(await _locked(tx, [chat_id])), None)
    if (after := to(before)) is before:
        return after
    if after is not None and before is not None and before.until > tx.now - tx.ahead_s:
        await write(tx, replace(after, since=min(before.since, after.since)))
    elif after is not None:
        await write(tx, after)
    elif before is not None:
        await remove(tx, [chat_id])
    return after


async def begin(tx: Writable, mute: Mute) -> None:
    """Store a mute in place of the one of its chat. It ends a handoff of the chat, which says so when the mute is over."""
    now = tx.now - tx.ahead_s
    await change(tx, mute.chat_id, lambda old: mute if old is None else _ending_handoff(old, mute, now))


async def end(tx: Writable, chats: Collection[str]) -> int:
    """End the mutes of chats, and return the number of those that were stored. Handoffs end with them."""
    found = await _locked(tx, chats)
    await remove(tx, chats)
    for mute in found:
        if (left := ended(mute, how="unmuted", now=tx.now - tx.ahead_s)) is not None:
            await write(tx, left)
    return len(found)


async def by_hand(tx: Writable, mute: Mute, message_id: str | None) -> bool:
    """Mute a chat because a person of yours writes there, unless a turn has sent the message. A mute that lasts longer stays."""
    if message_id is not None and await journal.has_sent(tx, message_id):
        return False
    after = await change(tx, mute.chat_id, lambda old: mute if old is None else longer(old, mute))
    return after is mute


def _ending_handoff(old: Mute, new: Mute, now: float) -> Mute:
    if old.handoff is None or new.handoff is not None:
        return new
    over_at = min(old.until, now) if old.handoff.over_at is None else old.handoff.over_at
    return replace(new, handoff=replace(old.handoff, ended=old.handoff.ended or "unmuted", over_at=over_at))


async def _locked(tx: Writable, chats: Collection[str]) -> list[Mute]:
    sql = f"SELECT {COLUMNS} FROM mute WHERE lane = ANY($1) FOR UPDATE"
    return [_mute(tx, row) for row in await tx.fetch(sql, [lane_of_chat(chat) for chat in chats])]


async def stored(db: Readable) -> list[Mute]:
    return [_mute(db, row) for row in await db.fetch(f"SELECT {COLUMNS} FROM mute ORDER BY lane")]


async def read(tx: Writable, chats: Collection[str]) -> None:
    """Read the mutes of chats, and that of all, for the memory of this process: another process may have changed them."""
    sql = f"SELECT {COLUMNS} FROM mute WHERE lane = ANY($1)"
    note_read(tx, chats, await tx.fetch(sql, [lane_of_chat(chat) for chat in (*chats, EVERY_CHAT)]))


def note_read(tx: Writable, chats: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    """Note for the memory of this process the mutes of chats, and that of all, as they were read."""
    tx.changes.read_mutes |= dict.fromkeys((*chats, EVERY_CHAT))
    tx.changes.read_mutes |= {mute.chat_id: mute for mute in (_mute(tx, row) for row in rows)}


async def read_all(tx: Writable, known: Collection[str]) -> None:
    """Read all mutes for the memory of this process, in place of those of the chats that it knows."""
    tx.changes.read_mutes = {**dict.fromkeys(known), **{mute.chat_id: mute for mute in await stored(tx)}}


async def purge(tx: Writable) -> None:
    sql = "SELECT lane FROM mute WHERE until < $1 AND (handoff IS NULL OR until < $2)"
    over = await tx.fetch(sql, tx.now, tx.now - _HANDOFF_KEPT_S)
    if chats := [chat for (lane,) in over if (chat := chat_of_lane(lane)) is not None]:
        await remove(tx, chats)


def _mute(db: Readable, row: Any) -> Mute:
    lane, until, person, reason, handoff, only_proactive, since = row
    until = until if until >= FOREVER else until - db.ahead_s
    handed = None if handoff is None else ChatHandoff(**from_json(handoff))
    return Mute(chat_of_lane(lane) or "", until, person, reason, handed, bool(only_proactive), since - db.ahead_s)
