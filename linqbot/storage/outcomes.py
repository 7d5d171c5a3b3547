"""Outcomes: a light row for each delivery that had a turn or was ignored, so that an operator learns later why.

The rows have ids, times and names, and no text of a person. They are kept for `Storage.keep_outcomes_days`, apart from contents,
which are erased with the ack. The commit that ends a turn writes its row. A receipt, or a typing indicator, that no handler
takes has none, unless it says that a message could not be sent: then its `calls` have Linq's code. Of a turn that runs again and again, such as while Linq is away, only the runs with the numbers 1, 2, 4, 8, … have a
row. The calls of a turn are in its journal entries, which are kept as long; a row repeats only those that Linq or a
plugin refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import is_lane_of_receipts, lane_of_chat, lane_of_receipts
from linqbot.storage.dialect import Readable, Writable

KEEP_OUTCOMES_DAYS: Final = 7.0
"""Days for which outcomes are kept, unless a setting says otherwise."""

Result: TypeAlias = Literal["handled", "ignored", "muted", "joined", "duplicate", "retry", "deferred", "dead_letter"]
"""The end of a delivery, or of one of its runs.

`handled`: a handler took it, or linqbot itself. `ignored` and `muted`: no handler took it. `joined`: it became a part of another
delivery. `duplicate`: it was known. After `retry` and `deferred` it runs again. `dead_letter`: it was given up.
"""


MOST_COUNTED: Final = 200_000
"""The newest outcomes, of which a day's are counted."""


class OutcomeRow(NamedTuple):
    """The end of a run of a delivery, or of a delivery that had no run.

    Attributes:
        delivery: The id of the delivery.
        message_id: The message that the event is about; None if it is not known.
        trace_id: Linq's id of the event, for its support; None if it is not known.
        handler: The handler that took it; for `joined` and `duplicate` None.
        why: The reason, for all but `handled`; for `joined` the id of the delivery that it joined.
        turn: The turn that has the journal entries of its calls; None if it is its own. An answer goes on with the turn of the
            delivery that has asked.
        runs: Number of leases of the delivery, this one included.
        attempts: Number of failed runs, this one included.
        ms: Milliseconds of the last run.
        tried: JSON: the handlers that did not take the event, in order, each with its filter that did not fit; None if the first
            one took it.
        calls: JSON: the calls that were refused or failed in the last run, with status, code and trace id; None if there were
            none.
        steps: JSON: the last steps of `ctx.once` and `ctx.model_step` in the run, each with its `name`, `ms`, whether it was
            `remembered`, its `error` and its tokens; None if there were none.
        ended_at: Unix seconds. The storage sets it.
    """

    delivery: str
    lane: str
    type: str
    message_id: str | None
    trace_id: str | None
    received_at: float
    outcome: Result
    handler: str | None = None
    why: str | None = None
    turn: str | None = None
    replay: int = 0
    runs: int = 0
    attempts: int = 0
    ms: float | None = None
    tried: str | None = None
    calls: str | None = None
    steps: str | None = None
    ended_at: float = 0.0


COLUMNS: Final = ", ".join(OutcomeRow._fields)
_INTO: Final = f"outcome ({COLUMNS})"


def rows(now: float, ended: Sequence[OutcomeRow]) -> list[tuple[Any, ...]]:
    """Return the values of the columns of outcomes that are stored now."""
    return [(*each[:-1], now) for each in ended]


async def write(tx: Writable, ended: Sequence[OutcomeRow]) -> None:
    if ended:
        await tx.insert(_INTO, rows(tx.now, ended))


async def write_joined(tx: Writable, lane: str, ids: Collection[str], joined: str) -> None:
    """Store that deliveries, which are still in the inbox, have joined another one."""
    sql = """INSERT INTO outcome (delivery, lane, type, message_id, received_at, ended_at, outcome, why, replay, runs, attempts)
             SELECT id, lane, type, substr(message_key, 3), received_at, $3::float8, 'joined', $4::text, 0, 0, 0
             FROM delivery WHERE lane = $1 AND id = ANY($2) ORDER BY seq"""
    await tx.run(sql, lane, list(ids), tx.now, joined)


def duplicate(delivery: Delivery) -> OutcomeRow | None:
    """Return the outcome of a delivery that was known; None if it needs no row."""
    if is_lane_of_receipts(delivery.lane):
        return None
    facts = (delivery.id, delivery.lane, delivery.type, message_of(delivery), None, delivery.received_at)
    return OutcomeRow(*facts, "duplicate", why="Linq had delivered it before.")


def message_of(delivery: Delivery) -> str | None:
    """Return the id of a received message."""
    return None if delivery.message_key is None else delivery.message_key[2:]


async def of_chats(
    db: Readable, chats: Collection[str], since: float | None, until: float | None, limit: int
) -> list[OutcomeRow]:
    which = "WHERE lane = ANY($1) AND received_at >= $2 AND received_at < $3 ORDER BY n DESC LIMIT $4"
    lanes = [lane for chat in chats for lane in (lane_of_chat(chat), lane_of_receipts(chat))]
    found = await _rows(db, which, lanes, since or 0.0, 1e13 if until is None else until, limit)
    return found[::-1]


async def recent(db: Readable, limit: int) -> list[OutcomeRow]:
    return await _rows(db, "ORDER BY n DESC LIMIT $1", limit)


async def counts(db: Readable, since: float, width_s: float) -> list[tuple[int, str, int, float | None]]:
    sql = """SELECT CAST(round((ended_at - $1::float8) / $2::float8 - 0.5) AS integer), outcome, count(*), avg(ms)
             FROM outcome WHERE n > (SELECT max(n) FROM outcome) - $3 AND ended_at >= $1::float8 GROUP BY 1, 2"""
    rows = await db.fetch(sql, since + db.ahead_s, width_s, MOST_COUNTED)
    return [(int(at), outcome, count, mean) for at, outcome, count, mean in rows]


async def of_ids(db: Readable, ids: Collection[str]) -> list[OutcomeRow]:
    return await _rows(db, "WHERE delivery = ANY($1) OR message_id = ANY($1) ORDER BY n", list(ids))


async def ended_since(db: Readable, outcome: Result, since: float) -> list[OutcomeRow]:
    which = """AS ended
               WHERE outcome = $2 AND type = 'message.received' AND message_id IS NOT NULL AND ended_at >= $1
                   AND NOT EXISTS (SELECT 1 FROM outcome AS later WHERE later.lane = ended.lane AND later.n > ended.n
                                       AND later.delivery = ended.delivery)
                   AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.id = ended.delivery)
               ORDER BY received_at, n"""
    return await _rows(db, which, since + db.ahead_s, outcome)


async def _rows(db: Readable, which: str, *values: object) -> list[OutcomeRow]:
    sql = f"SELECT {COLUMNS} FROM outcome {which}"
    return [OutcomeRow(*row) for row in await db.fetch(sql, *values)]


async def turns_in(db: Readable, lanes: Collection[str]) -> set[str]:
    """Return the ids of the turns of lanes, and of those that went on with their deliveries."""
    found = await db.fetch("SELECT DISTINCT delivery, turn FROM outcome WHERE lane = ANY($1)", list(lanes))
    return {one for row in found for one in row if one is not None}


async def purge(tx: Writable, keep_s: float, limit: int) -> int:
    """Delete old outcomes, at most `limit`, and return their number."""
    sql = "SELECT n, ended_at FROM outcome ORDER BY n LIMIT $1"
    if gone := [n for n, ended_at in await tx.fetch(sql, limit) if ended_at < tx.now - keep_s]:
        await tx.run("DELETE FROM outcome WHERE n = ANY($1)", gone)
    return len(gone)
