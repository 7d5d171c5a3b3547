"""Edits that came before the turn of the message that they change.

An edit waits in the lane of its chat, mostly behind its message. `features/edits.py` adds it to the message before the turn of
that begins. An edit whose own turn comes first is kept as a timer, for a day: its message may still come.

A lane with such edits is named in `Storage.edited`, so that the turn of any other message looks for none. An edit that waited
when the head of its lane was first leased is marked as early. If a run of the head had begun, it would have taken this edit. So
a further run that still finds the edit is the first one, and takes it too.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from linqbot.linq.events.delivery import OWN_DELIVERY, Delivery
from linqbot.options import DAY_S
from linqbot.storage.dialect import Readable, Writable
from linqbot.storage.timers import EDIT, Timer
from linqbot.storage.upkeep import DELIVERY

KEPT_S: Final = DAY_S
"""Seconds for which an edit is kept whose message has not come."""

TYPE: Final = "message.edited"
_KEPT_ID: Final = f"{OWN_DELIVERY}{EDIT}."


def kept(edit: Delivery, now: float) -> Timer:
    """Return the timer that keeps an edit until its message comes."""
    return Timer(edit.id, now + KEPT_S, edit.lane, EDIT, edit.body)


async def in_lane(db: Readable, lane: str, *, only_early: bool) -> list[Delivery]:
    """Return the edits that are kept for messages of a lane, then those that wait in it; see `Storage.edits`."""
    sql = "SELECT id, payload, due FROM timer WHERE lane = $1 AND kind = 'edit' ORDER BY n"
    found = [
        Delivery(f"{_KEPT_ID}{name}", lane, TYPE, body, due - db.ahead_s - KEPT_S)
        for name, body, due in await db.fetch(sql, lane)
    ]
    sql = f"""SELECT {DELIVERY} FROM delivery JOIN body USING (seq)
              WHERE lane = $1 AND type = 'message.edited' AND (early OR NOT $2) ORDER BY seq"""
    return found + [Delivery(*row) for row in await db.fetch(sql, lane, only_early)]


async def has_begun(db: Readable, message_key: str) -> bool:
    """Return True if the turn of a message has begun, or is over; False if it waits for its first run, or is not known."""
    # An operator has put it back: its first run is long over.
    begun = await db.value(f"SELECT coalesce(put_back, true) FROM {db.seen_with_delivery}", message_key)
    return bool(begun)


async def lanes(db: Readable) -> set[str]:
    """Return the lanes with edits."""
    sql = """SELECT lane FROM delivery WHERE type = 'message.edited'
             UNION SELECT lane FROM timer WHERE kind = 'edit'"""
    return {lane for (lane,) in await db.fetch(sql)}


async def lanes_among(db: Readable, lanes: Collection[str]) -> set[str]:
    """Return those of these lanes that have edits."""
    sql = """SELECT lane FROM delivery WHERE type = 'message.edited' AND lane = ANY($1)
             UNION SELECT lane FROM timer WHERE kind = 'edit' AND lane = ANY($1)"""
    return {lane for (lane,) in await db.fetch(sql, list(lanes))}


async def mark_early(tx: Writable, lanes: Collection[str]) -> None:
    """Mark the edits in lanes whose heads are leased for the first time now."""
    sql = "UPDATE delivery SET early = true WHERE type = 'message.edited' AND lane = ANY($1) AND NOT early"
    await tx.run(sql, list(lanes))


async def remove_kept(tx: Writable, ids: Collection[str]) -> None:
    """Delete the timers that keep those of these edits that were kept."""
    if names := [each.removeprefix(_KEPT_ID) for each in ids if each.startswith(_KEPT_ID)]:
        await tx.run("DELETE FROM timer WHERE id = ANY($1)", names)
        tx.changes.timers = True
