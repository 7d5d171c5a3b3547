"""Decisions: a row for each send that the bot's manners have looked at, with its reason; see `features/manners/gate.py`.

Only a bot that asks for manners has rows. They are kept for 30 days. The row that says when a person has written last is kept until
the person is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from linqbot.linq.types.proactive import Purpose
from linqbot.options import DAY_S
from linqbot.storage.dialect import Readable, Writable

Verdict: TypeAlias = Literal["sent", "waits", "refused", "wrote"]
"""`wrote` is no decision: it notes when a person has written."""

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
    """

    key: str
    at: float
    verdict: Verdict
    purpose: Purpose
    reason: str
    turn: str
    person: str | None = None
    line: str | None = None


COLUMNS = "key, at, verdict, purpose, reason, turn, person, line"


async def write(tx: Writable, made: Decision) -> None:
    row = (made.key, made.at + tx.ahead_s, made.verdict, made.purpose, made.reason, made.turn, made.person, made.line)
    await tx.run("DELETE FROM decision WHERE key = $1", made.key)
    await tx.insert(f"decision ({COLUMNS})", [row])


class Standing(NamedTuple):
    """The recent decisions about a person and a line. Only promotional messages count.

    Attributes:
        is_call_sent: True if the call that is asked about was let through before.
        is_turn_sent: True if another call of its turn to the person was.
        turns: The number of other turns that have sent the person something since a time.
        unanswered: The number of other turns that have since the person has written last.
        has_written: True if the person has ever written.
        first_at: The time of the first one to the person that is on record, in Unix seconds; None if there is none.
        line_since: The time of the oldest message of the line that fills its limit, in Unix seconds; None if it is not full.
    """

    is_call_sent: bool
    is_turn_sent: bool
    turns: int
    unanswered: int
    has_written: bool
    first_at: float | None
    line_since: float | None


_PROMOTED: Final = "verdict = 'sent' AND purpose = 'promotional'"
_STANDING: Final = f"""
    SELECT EXISTS (SELECT 1 FROM decision WHERE key = $1 AND verdict = 'sent'),
        EXISTS (SELECT 1 FROM decision WHERE person = $2 AND turn = $4 AND {_PROMOTED}),
        (SELECT count(DISTINCT turn) FROM decision WHERE person = $2 AND at > $3 AND turn <> $4 AND {_PROMOTED}),
        (SELECT count(DISTINCT turn) FROM decision WHERE person = $2 AND turn <> $4 AND {_PROMOTED}
             AND at > coalesce((SELECT at FROM decision WHERE key = $5), 0)),
        EXISTS (SELECT 1 FROM decision WHERE key = $5),
        (SELECT min(at) FROM decision WHERE person = $2 AND {_PROMOTED}),
        (SELECT at FROM decision WHERE line = $6 AND at > $3 AND {_PROMOTED} ORDER BY at DESC LIMIT 1 OFFSET $7)
"""


async def standing(
    db: Readable, key: str, turn: str, person: str, *, since: float, line: str | None, line_limit: int | None
) -> Standing:
    if line_limit is None:
        line, line_limit = None, 1
    values = (key, person, since + db.ahead_s, turn, _wrote_key(person), line, line_limit - 1)
    ((is_call_sent, is_turn_sent, turns, unanswered, has_written, *times),) = await db.fetch(_STANDING, *values)
    first_at, line_since = (None if at is None else at - db.ahead_s for at in times)
    return Standing(bool(is_call_sent), bool(is_turn_sent), turns, unanswered, bool(has_written), first_at, line_since)


async def is_news(db: Readable, person: str) -> bool:
    """Return True if it changes something that a person writes now: the first time, and after a promotional message."""
    last = await db.value("SELECT at FROM decision WHERE key = $1", _wrote_key(person))
    since = f"SELECT 1 FROM decision WHERE person = $1 AND at > $2 AND {_PROMOTED} LIMIT 1"
    return last is None or await db.value(since, person, last) is not None


async def note_wrote(tx: Writable, person: str, at: float) -> None:
    """Note that a person has written, in a row that replaces the last one."""
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
