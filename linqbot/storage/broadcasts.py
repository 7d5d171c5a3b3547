"""Broadcasts: one message to many people, a row for each person. Paced for each line, so that no line sends a burst.

A person's row is `pending` until `Storage.fire` makes it a delivery, in the commit that sets the row to
`under_way`. The commit that ends the turn of that delivery stores the outcome (`Commit.recipients`). So a crash loses
no person and repeats none: the deliveries under way are in the inbox, and all others are still `pending`.

The broadcasts of one line go out one after the other. `_steps` decides what is due, from all broadcasts of a line, so one
process at a time carries out steps. `next_at` is on the clock of the database. The rows are kept for ever, so that a name is
never used twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from pydantic_core import from_json, to_json

from linqbot.linq.events.delivery import BROADCAST_DONE_ID, BROADCAST_DONE_TYPE, Delivery, retention_mark
from linqbot.linq.events.lane import EVERY_CHAT, lane_of_chat
from linqbot.linq.types.proactive import Broadcast, BroadcastStatus, Purpose, Recipient, RecipientOutcome
from linqbot.storage.dialect import Readable, Writable

SEND_ID: Final = "i.broadcast."
"""Prefix of the ids of deliveries that send a broadcast to one person."""

_AGAIN: Final = "~"
"""Stands in the id of a delivery before the time until which its person's row has waited. No name of a broadcast has it."""

_NEVER: Final = 1e12
"""Later than every time at which a step can be due, in Unix seconds."""

AT_ONCE: Final = 5
"""Largest number of people under way for one line. While Linq is away, no more turns pile up, and so no burst follows."""

Order: TypeAlias = Literal["pause", "resume", "cancel"]

ALLOWED: Final[dict[Order, tuple[frozenset[BroadcastStatus], BroadcastStatus]]] = {
    "pause": (frozenset({"running"}), "paused"),
    "resume": (frozenset({"paused"}), "running"),
    "cancel": (frozenset({"running", "paused"}), "cancelled"),
}
"""The statuses in which an order is carried out, and the status that it leads to."""


@dataclass(frozen=True, slots=True)
class NewBroadcast:
    """A broadcast to store.

    Attributes:
        name: Unique for ever.
        per_minute: People in a minute; greater than 0.
        content: The messages, as a JSON list in Linq's form. Deleted when the broadcast has ended.
        created_at: Unix seconds.
        off_the_record: True if the line keeps nothing (zero retention).
        lane: The lane of the turn that begins it. The report joins this lane, so it waits for the end of the turn.
            Empty for a lane of its own. Deleted when the broadcast has ended.
    """

    name: str
    line: str
    per_minute: float
    content: bytes
    created_at: float
    off_the_record: bool = False
    lane: str = ""
    purpose: Purpose = "promotional"

    def delivery(self, n: int, handle: str, now: float, *, waited_until: float | None = None) -> Delivery:
        """Return the delivery that sends the broadcast to one person. Its lane has no other delivery.

        The body holds the handle as a value, so that `Storage.forget` finds it. `waited_until` gives a person's row
        that has waited until this time an id of its own.
        """
        body: dict[str, object] = {"broadcast": self.name, "n": n, "from": self.line, "to": handle}
        body["purpose"] = self.purpose
        body["messages"] = from_json(self.content)
        body |= retention_mark(off_the_record=self.off_the_record)
        place = f"{self.name}.{n}"
        again = "" if waited_until is None else f"{_AGAIN}{waited_until:.0f}"
        return Delivery(f"{SEND_ID}{place}{again}", f"b:{place}", "linqbot.broadcast", to_json(body), now)


def place_of_person(delivery_id: str) -> tuple[str, int]:
    """Return the name of the broadcast of a delivery, and the number of its person."""
    name, _, n = delivery_id.removeprefix(SEND_ID).partition(_AGAIN)[0].rpartition(".")
    return name, int(n)


def turn_of_person(delivery_id: str) -> str:
    """Return the id of the delivery of a person, without the time until which the person's row has waited."""
    return delivery_id.partition(_AGAIN)[0]


class RecipientUpdate(NamedTuple):
    """The outcome of a person, which the commit that ends the person's turn stores. No effect if the row is erased.

    `pending` puts the row back, to be sent from `not_before` (Unix seconds) on, unless the broadcast was cancelled meanwhile.
    """

    broadcast: str
    n: int
    outcome: RecipientOutcome
    reason: str | None = None
    not_before: float = 0.0


class BroadcastStep(NamedTuple):
    """A thing to do with a broadcast, not before `at` (Unix seconds).

    `send` makes the first pending person whose time has come a delivery. `end` notes that each person has an outcome, and makes the
    delivery for `on_broadcast_done`.
    """

    at: float
    broadcast: str
    what: Literal["send", "end"]


def done_delivery(broadcast: Broadcast, lane: str, now: float) -> Delivery:
    """Return the delivery that runs the bot's `on_broadcast_done` handler."""
    counts = {
        name: getattr(broadcast, name) for name in ("people", "sent", "opted_out", "refused", "failed", "cancelled")
    }
    data = {
        "name": broadcast.name,
        "line": broadcast.line,
        "was_cancelled": broadcast.status == "cancelled",
        "began_at": broadcast.created_at,
        **counts,
    }
    body = to_json({"event_type": BROADCAST_DONE_TYPE, "data": data})
    delivery_id = f"{BROADCAST_DONE_ID}{broadcast.name}"
    return Delivery(delivery_id, lane or f"b:{broadcast.name}", BROADCAST_DONE_TYPE, body, now)


_NEW = "name, line, per_minute, content, created_at, off_the_record, lane, purpose"
"""The columns of a `NewBroadcast`, in the order of its fields."""


async def start(tx: Writable, new: NewBroadcast, people: Sequence[str]) -> bool:
    row = ("running", *astuple(new))
    into, on_conflict = f"broadcast (status, {_NEW})", "ON CONFLICT (name) DO NOTHING"
    is_new = await tx.insert(into, [row], on_conflict, off_the_record=[new.off_the_record])
    if not is_new:
        return False
    broadcast = await tx.value("SELECT n FROM broadcast WHERE name = $1", new.name)
    rows = [(broadcast, n, handle, "pending") for n, handle in enumerate(people, 1)]
    await tx.insert("recipient (broadcast, n, handle, outcome)", rows)
    tx.changes.steps = tx.changes.wakes_worker = True
    return True


async def order(tx: Writable, name: str, order: Order) -> bool:
    allowed, status = ALLOWED[order]
    await lock(tx)
    rows = await tx.fetch("SELECT n, status FROM broadcast WHERE name = $1 AND ended_at IS NULL", name)
    if not rows or rows[0][1] not in allowed:
        return False
    n = rows[0][0]
    await tx.run("UPDATE broadcast SET status = $1 WHERE n = $2", status, n)
    if order == "cancel":
        sql = "UPDATE recipient SET outcome = 'cancelled', at = $1 WHERE broadcast = $2 AND outcome = 'pending'"
        await tx.run(sql, tx.now, n)
    tx.changes.steps = tx.changes.wakes_worker = True
    return True


async def update(tx: Writable, updates: Iterable[RecipientUpdate]) -> None:
    # PostgreSQL cannot hold U+0000.
    reasons = [(each, each.reason and each.reason.replace("\0", "\ufffd")) for each in updates]
    rows = [(each.outcome, why, tx.now, each.broadcast, each.n) for each, why in reasons if each.outcome != "pending"]
    waits = [
        (why, each.not_before + tx.ahead_s, each.broadcast, each.n)
        for each, why in reasons
        if each.outcome == "pending"
    ]
    if waits:
        await lock(tx)  # else a cancellation in this moment would leave the row out
        sql = """UPDATE recipient SET reason = $1, at = $2, outcome = (
                     SELECT CASE WHEN status = 'cancelled' THEN 'cancelled' ELSE 'pending' END
                     FROM broadcast WHERE broadcast.n = recipient.broadcast)
                 WHERE broadcast = (SELECT n FROM broadcast WHERE name = $3) AND n = $4"""
        await tx.run_each(sql, waits)
        tx.changes.steps = tx.changes.wakes_worker = True
    if rows:
        sql = """UPDATE recipient SET outcome = $1, reason = $2, at = $3
                 WHERE broadcast = (SELECT n FROM broadcast WHERE name = $4) AND n = $5"""
        await tx.run_each(sql, rows)
        tx.changes.steps = tx.changes.wakes_worker = True


async def advance(tx: Writable, now: float) -> list[Delivery]:
    """Carry out the steps that are due, and return the deliveries to store; see `Storage.fire`."""
    await lock(tx)
    tx.changes.steps = tx.changes.wakes_worker = True
    made: list[Delivery] = []
    for step in await _steps(tx, now + tx.ahead_s):
        if step.at > now + tx.ahead_s:
            continue
        ((n, status, new),) = await _stored(tx, "WHERE name = $1", step.broadcast)
        if step.what == "end":
            made.append(await _end(tx, n, status, new, now))
            tx.changes.leaves_text |= new.off_the_record
        else:
            made.append(await _send(tx, n, new, now))
    return made


async def next_at(db: Readable, now: float) -> float | None:
    """Return when the next step is due; None if there is none. Both times are on the clock of the database."""
    return min((step.at for step in await _steps(db, now)), default=None)


async def find(db: Readable, name: str) -> Broadcast | None:
    found = await _stored(db, "WHERE name = $1", name)
    return await _report(db, *found[0]) if found else None


async def newest(db: Readable, limit: int) -> list[Broadcast]:
    return [await _report(db, *each) for each in await _stored(db, "ORDER BY n DESC LIMIT $1", limit)]


async def recipients(
    db: Readable, name: str, outcome: RecipientOutcome | None, after: int, limit: int
) -> list[Recipient]:
    sql = """SELECT n, handle, outcome, reason, at FROM recipient
             WHERE broadcast = (SELECT n FROM broadcast WHERE name = $1) AND n > $2
                 AND ($3::text IS NULL OR outcome = $3) ORDER BY n LIMIT $4"""
    return [
        Recipient(n, handle, found, reason, None if at is None else datetime.fromtimestamp(at, UTC))
        for n, handle, found, reason, at in await db.fetch(sql, name, after, outcome, limit)
    ]


async def is_to_be_sent(db: Readable, name: str, n: int) -> bool:
    """Return True if a person of a broadcast waits for it, or is sent to now."""
    sql = """SELECT 1 FROM recipient WHERE broadcast = (SELECT n FROM broadcast WHERE name = $1) AND n = $2
                 AND outcome IN ('pending', 'under_way')"""
    return await db.value(sql, name, n) is not None


async def lock(tx: Writable) -> None:
    """Keep the steps of broadcasts waiting until the end of this transaction."""
    await tx.lock(["broadcasts"])


async def _steps(db: Readable, now: float) -> list[BroadcastStep]:
    """Return what to do next, at most one person for each line."""
    # Those that have not ended, and those whose line must still wait because of them. The time of a pending row is the one
    # until which it waits.
    sql = """SELECT name, line, status, next_at, ended_at IS NOT NULL,
                 CASE WHEN EXISTS (SELECT 1 FROM recipient WHERE broadcast = broadcast.n AND outcome = 'pending' AND at IS NULL)
                     THEN 0.0
                     ELSE (SELECT min(at) FROM recipient WHERE broadcast = broadcast.n AND outcome = 'pending') END,
                 (SELECT count(*) FROM recipient WHERE broadcast = broadcast.n AND outcome = 'under_way')
             FROM broadcast
             WHERE ended_at IS NULL OR next_at > $1 ORDER BY n"""
    found = await db.fetch(sql, now)
    # No further person gets a broadcast while all chats are held.
    held = "SELECT until FROM hold WHERE lane = $1 AND until > $2 AND (kinds IS NULL OR kinds LIKE '%,broadcast,%')"
    held_until = (await db.value(held, lane_of_chat(EVERY_CHAT), now) or 0.0) if found else 0.0
    free_at: defaultdict[str, float] = defaultdict(float)
    under_way: Counter[str] = Counter()
    for _, line, _, next_at, _, _, running in found:
        free_at[line] = max(free_at[line], next_at)
        under_way[line] += running
    steps: list[BroadcastStep] = []
    served: set[str] = set()
    for name, line, status, _, has_ended, waits_until, running in found:
        if has_ended:
            continue
        if waits_until is None:
            if not running:
                steps.append(BroadcastStep(0.0, name, "end"))
        elif status == "running" and line not in served and held_until < _NEVER:
            if waits_until <= now:
                served.add(line)  # one that only waits does not keep the next one waiting
            if under_way[line] < AT_ONCE:
                steps.append(BroadcastStep(max(free_at[line], waits_until, held_until), name, "send"))
    return steps


async def _stored(db: Readable, which: str, *values: object) -> list[tuple[int, BroadcastStatus, NewBroadcast]]:
    rows = await db.fetch(f"SELECT n, status, {_NEW} FROM broadcast {which}", *values)
    return [(n, status, NewBroadcast(*new)) for n, status, *new in rows]


async def _report(db: Readable, n: int, status: BroadcastStatus, new: NewBroadcast) -> Broadcast:
    sql = "SELECT outcome, count(*) FROM recipient WHERE broadcast = $1 GROUP BY outcome"
    counts: dict[str, int] = dict(await db.fetch(sql, n))
    people = sum(counts.values())
    counts["pending"] = counts.get("pending", 0) + counts.pop("under_way", 0)
    created_at = datetime.fromtimestamp(new.created_at, UTC)
    return Broadcast(new.name, status, new.line, new.per_minute, created_at, people=people, **counts)


async def _end(tx: Writable, n: int, status: BroadcastStatus, new: NewBroadcast, now: float) -> Delivery:
    status = "cancelled" if status == "cancelled" else "done"
    sql = f"""UPDATE broadcast SET ended_at = $1, content = $2, lane = '', status = $3{tx.no_padding}
              WHERE n = $4"""
    await tx.run(sql, now, b"", status, n)
    return done_delivery(await _report(tx, n, status, new), new.lane, now)


async def _send(tx: Writable, n: int, new: NewBroadcast, now: float) -> Delivery:
    sql = """SELECT n, handle, at FROM recipient
             WHERE broadcast = $1 AND outcome = 'pending' AND coalesce(at, 0) <= $2 ORDER BY n LIMIT 1"""
    person, handle, waited_until = (await tx.fetch(sql, n, now + tx.ahead_s))[0]
    sql = "UPDATE recipient SET outcome = 'under_way', at = $1 WHERE broadcast = $2 AND n = $3"
    await tx.run(sql, now, n, person)
    await tx.run("UPDATE broadcast SET next_at = $1 WHERE n = $2", now + tx.ahead_s + 60.0 / new.per_minute, n)
    return new.delivery(person, handle, now, waited_until=waited_until)
