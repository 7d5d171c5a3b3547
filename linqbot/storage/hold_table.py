"""The table `hold`: its SQL, for both backends. A row is a `Hold`: see `holds.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from linqbot.linq.events.lane import EVERY_CHAT, chat_of_lane, lane_of_chat
from linqbot.storage import people
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.holds import FOREVER, Change, Changed, Hold

COLUMNS: Final = "lane, until, kept_until, since, person, kinds, notes"


async def write(tx: Writable, hold: Hold) -> None:
    await remove(tx, [hold.chat_id])
    lane, notes = lane_of_chat(hold.chat_id), None if hold.notes is None else hold.notes.decode()
    # With commas around each kind, so that SQL finds a kind as a part of the text.
    kinds = None if hold.kinds is None else f",{','.join(sorted(hold.kinds))},"
    times = [at + tx.ahead_s for at in (hold.until, max(hold.kept_until, hold.until), hold.since)]
    await tx.insert(f"hold ({COLUMNS})", [(lane, *times, hold.person, kinds, notes)])
    people.note_in_lane(tx, lane, hold.notes)
    tx.changes.holds[hold.chat_id] = hold


async def remove(tx: Writable, chats: Collection[str]) -> int:
    """Delete the holds of chats, and return their number. The timers that waited for them are due again."""
    gone = await tx.run("DELETE FROM hold WHERE lane = ANY($1)", [lane_of_chat(chat) for chat in chats])
    tx.changes.holds.update(dict.fromkeys(chats))
    tx.changes.timers = tx.changes.wakes_worker = True
    tx.changes.steps |= EVERY_CHAT in chats
    return gone


async def change(tx: Writable, chats: Collection[str], to: Change) -> list[Changed]:
    """Store what a function makes of the holds of chats. One that replaces a hold in force has begun with it."""
    sql = f"SELECT {COLUMNS} FROM hold WHERE lane = ANY($1) FOR UPDATE"
    found = [_hold(tx, row) for row in await tx.fetch(sql, [lane_of_chat(chat) for chat in chats])]
    stored = {hold.chat_id: hold for hold in found}
    changed: list[Changed] = []
    now = tx.now - tx.ahead_s
    for chat_id in chats:
        before = stored.get(chat_id)
        after = to(before, now)
        changed.append((before, after))
        if after is before:
            continue
        if after is None:
            await remove(tx, [chat_id])
        elif before is not None and before.until > now:
            await write(tx, replace(after, since=min(before.since, after.since)))
        else:
            await write(tx, after)
    return changed


async def stored(db: Readable) -> list[Hold]:
    return [_hold(db, row) for row in await db.fetch(f"SELECT {COLUMNS} FROM hold ORDER BY lane")]


async def read(tx: Writable, chats: Collection[str]) -> None:
    """Read the holds of chats, and that of all, for the memory of this process: another process may have changed them."""
    sql = f"SELECT {COLUMNS} FROM hold WHERE lane = ANY($1)"
    note_read(tx, chats, await tx.fetch(sql, [lane_of_chat(chat) for chat in (*chats, EVERY_CHAT)]))


def note_read(tx: Writable, chats: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    """Note for the memory of this process the holds of chats, and that of all, as they were read."""
    tx.changes.read_holds |= dict.fromkeys((*chats, EVERY_CHAT))
    tx.changes.read_holds |= {hold.chat_id: hold for hold in (_hold(tx, row) for row in rows)}


async def read_all(tx: Writable, known: Collection[str]) -> None:
    """Read all holds for the memory of this process, in place of those of the chats that it knows."""
    tx.changes.read_holds = {**dict.fromkeys(known), **{hold.chat_id: hold for hold in await stored(tx)}}


async def purge(tx: Writable) -> None:
    over = await tx.fetch("SELECT lane FROM hold WHERE kept_until < $1", tx.now)
    if chats := [chat for (lane,) in over if (chat := chat_of_lane(lane)) is not None]:
        await remove(tx, chats)


def _hold(db: Readable, row: Any) -> Hold:
    lane, until, kept_until, since, person, kinds, notes = row
    until, kept_until = (at if at >= FOREVER else at - db.ahead_s for at in (until, kept_until))
    return Hold(
        chat_of_lane(lane) or "",
        until,
        since - db.ahead_s,
        kept_until,
        person,
        None if kinds is None else frozenset(kinds.strip(",").split(",")),
        None if notes is None else notes.encode(),
    )
