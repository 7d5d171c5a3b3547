"""Acts: the log of what operators have done, by whom and why, and the receipts of exports and of `forget`.

The commit of an act stores its row, which has ids and the operator's own words. A person is named by a digest of the
handle: the handle leads to the receipts, and no row of the storage leads from them to the person. `forget` takes ids
and reason from the other rows about the person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from pydantic_core import from_json, to_json

from linqbot.linq.events.lane import chat_of
from linqbot.linq.handles import person_key
from linqbot.storage.dialect import Readable, Writable, where

T = TypeVar("T")

What: TypeAlias = Literal[
    "mute",
    "unmute",
    "retry",
    "replay",
    "answer",
    "cancel",
    "pause",
    "resume",
    "edit",
    "consent",
    "send",
    "post",
    "export",
    "forget",
]


class By(NamedTuple):
    """An operator, by name, and why the operator acts; None if it was not said."""

    who: str
    reason: str | None = None


THE_BOT: Final = By("the bot")
"""The bot's own code, which exports or forgets a person."""


class ActedOn(NamedTuple):
    """The thing that an operator acts on, by its id or name, such as a chat or a value of state; empty for a person.

    `about` is the id of its chat, or the digest of its person; None if it concerns none.
    """

    id: str
    about: str | None = None


@dataclass(frozen=True, slots=True)
class OperatorAct:
    """A row of the log, `at` in Unix seconds. In a receipt, `counts` is the number of rows by table; else None."""

    at: float
    who: str
    what: What
    target: str
    about: str | None
    reason: str | None
    counts: Mapping[str, int] | None


COLUMNS: Final = "at, who, what, target, about, reason, counts"


def digest_of(install: str, handle: str) -> str:
    """Return the digest of a handle, another one in each storage."""
    return f"person:{hashlib.sha256(f'{install}|{person_key(handle)}'.encode()).hexdigest()[:32]}"


def of_lane(target: str, lane: str) -> ActedOn:
    return ActedOn(target, chat_of(lane))


async def note(
    tx: Writable, by: By, what: What, targets: Collection[ActedOn], counts: Mapping[str, int] | None = None
) -> None:
    """Store a row for each target."""
    rows = None if counts is None else to_json(counts).decode()
    facts = [(tx.now, by.who, what, target, about, by.reason, rows) for target, about in targets]
    await tx.insert(f"act ({COLUMNS})", facts)


async def noting(tx: Writable, act: Awaitable[T], by: By | None, what: What, *targets: ActedOn) -> T:
    """Carry out an act, and store its rows in the same transaction, unless it came to nothing or no operator has acted."""
    done = await act
    if by is not None and (done is None or done):
        await note(tx, by, what, targets)
    return done


async def name_send(tx: Writable, key: str, chat_id: str, message_id: str) -> None:
    """Store the message that an operator has sent in place of its key, and its chat, which a send to a person learns only then."""
    sql = "UPDATE act SET target = $3, about = $1 WHERE (about = $1 OR about IS NULL) AND target = $2 AND what = 'send'"
    await tx.run(sql, chat_id, key, message_id)


async def newest(db: Readable, limit: int, *conditions: tuple[str, object]) -> list[OperatorAct]:
    which, values = where(*conditions, first=2)
    sql = f"SELECT {COLUMNS} FROM act {which} ORDER BY n DESC LIMIT $1"
    return [_here(db, row) for row in await db.fetch(sql, limit, *values)]


def _here(db: Readable, row: Any) -> OperatorAct:
    at, who, what, target, about, reason, counts = row
    return OperatorAct(at - db.ahead_s, who, what, target, about, reason, None if counts is None else from_json(counts))
