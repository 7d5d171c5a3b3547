"""Decisions: a row for each send that the bot's manners have looked at, with its reason; see `features/manners.py`.

Only a bot that asks for manners has rows. They are kept for 30 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from linqbot.linq.types.proactive import Purpose
from linqbot.storage.dialect import Readable, Writable, where

Verdict: TypeAlias = Literal["sent", "waits", "refused"]

_KEPT_S: Final = 30 * 86_400.0


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


_COLUMNS = "key, at, verdict, purpose, reason, turn, person, line"


async def write(tx: Writable, made: Decision) -> None:
    row = (made.key, made.at + tx.ahead_s, made.verdict, made.purpose, made.reason, made.turn, made.person, made.line)
    await tx.run("DELETE FROM decision WHERE key = $1", made.key)
    await tx.insert(f"decision ({_COLUMNS})", [row])


class Standing(NamedTuple):
    """The recent decisions about a person.

    Attributes:
        is_sent: True if the call that is asked about, or another promotional one of its turn to the person, was let through.
        turns: The number of other turns that have sent the person a promotional message.
    """

    is_sent: bool
    turns: int


async def standing(db: Readable, key: str, turn: str, person: str | None, since: float) -> Standing:
    sql = """SELECT EXISTS (SELECT 1 FROM decision WHERE key = $1 AND verdict = 'sent')
                 OR EXISTS (SELECT 1 FROM decision
                            WHERE person = $2 AND turn = $4 AND verdict = 'sent' AND purpose = 'promotional'),
                 (SELECT count(DISTINCT turn) FROM decision
                  WHERE person = $2 AND at > $3 AND verdict = 'sent' AND purpose = 'promotional' AND turn <> $4)"""
    ((is_sent, turns),) = await db.fetch(sql, key, person, since + db.ahead_s, turn)
    return Standing(bool(is_sent), turns)


async def newest(db: Readable, person: str | None, verdict: Verdict | None, limit: int) -> list[Decision]:
    which, values = where(("person = $", person), ("verdict = $", verdict), first=2)
    sql = f"SELECT {_COLUMNS} FROM decision {which} ORDER BY n DESC LIMIT $1"  # noqa: S608 - constant text
    return [_here(db, row) for row in await db.fetch(sql, limit, *values)]


async def has(db: Readable, person: str) -> bool:
    return await db.value("SELECT 1 FROM decision WHERE person = $1 LIMIT 1", person) is not None


async def forget(tx: Writable, person: str) -> None:
    await tx.run("DELETE FROM decision WHERE person = $1", person)


async def purge(tx: Writable) -> None:
    """Delete the decisions that are too old."""
    await tx.run("DELETE FROM decision WHERE at < $1", tx.now - _KEPT_S)


def _here(db: Readable, row: Any) -> Decision:
    key, at, *rest = row
    return Decision(key, at - db.ahead_s, *rest)
