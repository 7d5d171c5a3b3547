"""Decisions: a row for each send that the bot's manners have looked at, with its reason; see `features/manners/gate.py`.

Only a bot that asks for manners has rows. They are kept for 30 days. The row of a person's last sign of life is kept until the
person is forgotten.

A message that waits has room on the day until which it waits. Its row says so, as long as the message is there: as a timer, as the
delivery that the timer has become, or as a person of a broadcast. So a message that is cancelled gives its room back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from linqbot.linq.types.proactive import Purpose
from linqbot.options import DAY_S
from linqbot.storage.broadcasts import SEND_ID, is_to_be_sent, place_of_person
from linqbot.storage.dialect import Readable, Writable

Verdict: TypeAlias = Literal["sent", "waits", "refused", "wrote"]
"""`wrote` is no decision: it notes the last sign of life of a person."""

_KEPT_S: Final = 30 * DAY_S


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about one call of a turn.

    Attributes:
        key: The idempotency key of the call. A later decision about the same call replaces this one.
        at: Unix seconds.
        person: The handle of the person that the call is for, in lower case; None for a group, or if it is not known.
        turn: The id of the turn that makes the call.
        line: Our line, E.164; None if the call does not name it.
        reason: A sentence, without a text or a handle.
        until: For `waits`, the Unix time at which the call is to be made; otherwise None.
    """

    key: str
    at: float
    verdict: Verdict
    purpose: Purpose
    reason: str
    turn: str
    person: str | None = None
    line: str | None = None
    until: float | None = None


COLUMNS = "key, at, verdict, purpose, reason, turn, person, line, until"


async def write(tx: Writable, made: Decision) -> None:
    at = made.at + tx.ahead_s
    # `until` is a time of day, often the first moment of one. The difference of two clocks would move it to the day before.
    row = (made.key, at, made.verdict, made.purpose, made.reason, made.turn, made.person, made.line, made.until)
    await tx.run("DELETE FROM decision WHERE key = $1", made.key)
    await tx.insert(f"decision ({COLUMNS})", [row])


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A call about which the manners are asked.

    Attributes:
        key, turn, person, line: As in a `Decision`; `person` is empty for a group.
        now: Unix seconds.
        since: The Unix time from which messages to the person are of interest.
        line_limit: The number of messages within 24 hours that fill the line; None for no limit.
    """

    key: str
    turn: str
    person: str
    now: float
    since: float
    line: str | None = None
    line_limit: int | None = None


class Standing(NamedTuple):
    """The recent decisions about a person and a line. Only promotional messages count.

    Attributes:
        call_sent_at: When the call that is asked about was let through before, in Unix seconds; None if it was not.
        is_turn_sent: True if another call of its turn to the person was.
        reaches_at: For each other turn, when it has sent the person something since a time, or will, in Unix seconds.
        unanswered: The number of other turns that have sent the person something since the last sign of life.
        has_written: True if the person has ever given a sign of life.
        first_at: The time of the first one to the person that is on record, in Unix seconds; None if there is none.
        line_since: The time of the oldest message of the line that fills its limit, in Unix seconds; None if it is not full.
    """

    call_sent_at: float | None
    is_turn_sent: bool
    reaches_at: tuple[float, ...]
    unanswered: int
    has_written: bool
    first_at: float | None
    line_since: float | None


_PROMOTED: Final = "verdict = 'sent' AND purpose = 'promotional'"
_STANDING: Final = f"""
    SELECT EXISTS (SELECT 1 FROM decision WHERE person = $2 AND turn = $3 AND {_PROMOTED}),
        (SELECT count(DISTINCT turn) FROM decision WHERE person = $2 AND turn <> $3 AND {_PROMOTED}
             AND at > coalesce((SELECT at FROM decision WHERE key = $4), 0)),
        EXISTS (SELECT 1 FROM decision WHERE key = $4),
        (SELECT at FROM decision WHERE key = $1 AND verdict = 'sent'),
        (SELECT min(at) FROM decision WHERE person = $2 AND {_PROMOTED}),
        (SELECT at FROM decision WHERE line = $5 AND at > $6 AND {_PROMOTED} ORDER BY at DESC LIMIT 1 OFFSET $7)
"""
_REACHED: Final = f"""
    SELECT turn, min(at) FROM decision WHERE person = $1 AND at >= $2 AND turn <> $3 AND {_PROMOTED} GROUP BY turn
"""
_WAITING: Final = """
    SELECT key, turn, until FROM decision WHERE person = $1 AND until >= $2 AND turn <> $3 AND verdict = 'waits' ORDER BY n DESC
"""


async def standing(db: Readable, asked: AskedCall) -> Standing:
    line, limit = (None, 1) if asked.line_limit is None else (asked.line, asked.line_limit)
    full_since = asked.now - DAY_S + db.ahead_s
    values = (asked.key, asked.person, asked.turn, _wrote_key(asked.person), line, full_since, limit - 1)
    ((is_turn_sent, unanswered, has_written, *times),) = await db.fetch(_STANDING, *values)
    call_sent_at, first_at, line_since = (None if at is None else at - db.ahead_s for at in times)
    reaches_at = await _reaches_at(db, asked)
    return Standing(call_sent_at, bool(is_turn_sent), reaches_at, unanswered, bool(has_written), first_at, line_since)


async def _reaches_at(db: Readable, asked: AskedCall) -> tuple[float, ...]:
    reached = await db.fetch(_REACHED, asked.person, asked.since + db.ahead_s, asked.turn)
    times = {turn: at - db.ahead_s for turn, at in reached}
    for key, turn, until in await db.fetch(_WAITING, asked.person, asked.since, asked.turn):
        # The newest decision of a turn counts, which may have waited several times.
        if turn not in times and await _is_there(db, key, turn):
            times[turn] = until
    return tuple(times.values())


async def _is_there(db: Readable, key: str, turn: str) -> bool:
    """Return True if a message that waits is still to be sent, and was not cancelled."""
    if turn.startswith(SEND_ID):
        return await is_to_be_sent(db, *place_of_person(turn))
    timer = "SELECT 1 FROM timer WHERE id = $1 UNION ALL SELECT 1 FROM delivery WHERE id = $2 LIMIT 1"
    return await db.value(timer, key, f"i.send.{key}") is not None


async def lock(tx: Writable, asked: AskedCall) -> None:
    """Let no other process decide about the person and the line of a call before the end of this transaction."""
    await tx.lock([f"decisions of {name}" for name in (asked.person, asked.line) if name])


async def is_news(db: Readable, person: str, at: float) -> bool:
    """Return True if a sign of life at a time changes something: the first one, and one after a promotional message."""
    last = await db.value("SELECT at FROM decision WHERE key = $1", _wrote_key(person))
    between = f"SELECT 1 FROM decision WHERE person = $1 AND at > $2 AND at <= $3 AND {_PROMOTED} LIMIT 1"
    return last is None or await db.value(between, person, last, at + db.ahead_s) is not None


async def note_wrote(tx: Writable, person: str, at: float) -> None:
    """Note a sign of life of a person, in a row that replaces the last one."""
    await write(tx, Decision(_wrote_key(person), at, "wrote", "reply", "The person wrote.", "", person))


def _wrote_key(person: str) -> str:
    return f"wrote:{person}"


async def newest(db: Readable, limit: int) -> list[Decision]:
    sql = f"SELECT {COLUMNS} FROM decision WHERE verdict <> 'wrote' ORDER BY n DESC LIMIT $1"
    return [_here(db, row) for row in await db.fetch(sql, limit)]


async def purge(tx: Writable) -> None:
    await tx.run("DELETE FROM decision WHERE at < $1 AND verdict <> 'wrote'", tx.now - _KEPT_S)


def _here(db: Readable, row: Any) -> Decision:
    key, at, *rest = row
    return Decision(key, at - db.ahead_s, *rest)
