"""Consents: the ledger of who agreed to promotional messages, or did not, when, and how. Rows are added and never changed.

The row with the latest time counts. `features/manners/` says what each means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from linqbot.characters import storable
from linqbot.storage import acts
from linqbot.storage.acts import ActedOn, By
from linqbot.storage.dialect import Readable, Writable, where

ConsentKind: TypeAlias = Literal["given", "withdrawn", "stopped", "wrote"]

KINDS: Final = get_args(ConsentKind)


@dataclass(frozen=True, slots=True)
class Consent:
    """A row of the ledger.

    Attributes:
        key: Unique. A second row with the same key is not stored.
        person: A handle in lower case.
        at: Unix seconds: when it was written or said, by the clock of Linq for what a person has written. Two such times are
            compared, so it is stored as it is, and not moved to the clock of the database.
        what: `given` or `withdrawn`: the consent to promotional messages. `stopped`: the person wrote STOP, and gets
            nothing. `wrote`: the person wrote something else after that, and gets replies again.
        how: The word that the person wrote, or words of the bot's author.
    """

    key: str
    person: str
    at: float
    what: ConsentKind
    how: str


class ConsentState(NamedTuple):
    """The state of a person in the ledger: the last row of all, and the last that is no `wrote`; None if none is."""

    last: Consent | None = None
    consent: Consent | None = None

    @property
    def is_stopped(self) -> bool:
        return self.last is not None and self.last.what == "stopped"

    def ends_after(self, at: float) -> bool:
        """Return True if the person has written STOP, or withdrawn the consent, after a time."""
        return self.last is not None and self.last.at > at and self.last.what in ("stopped", "withdrawn")

    def goes_on_after(self, at: float) -> bool:
        """Return True if the person has written START or anything else, or given a consent, after a time."""
        return self.last is not None and self.last.at > at and self.last.what in ("given", "wrote")


COLUMNS = "key, person, at, what, how"


async def note(tx: Writable, consent: Consent) -> bool:
    row = (consent.key, consent.person, consent.at, consent.what, storable(consent.how))
    return await tx.insert(f"consent ({COLUMNS})", [row], "ON CONFLICT (key) DO NOTHING") > 0


async def add(tx: Writable, rows: Sequence[Consent], by: By) -> int:
    """Add rows, and return the number of those whose key was not there. A row in the log has it too."""
    new = sum([await note(tx, row) for row in rows])
    await acts.note(tx, by, "consent", [ActedOn("")], {"consent": new})
    return new


async def of(db: Readable, person: str) -> ConsentState:
    sql = f"""SELECT {COLUMNS} FROM consent WHERE person = $1 AND (what <> 'wrote' OR $2)
              ORDER BY at DESC, n DESC LIMIT 1"""
    found = await db.fetch(sql, person, True)
    if not found:
        return ConsentState()
    last = Consent(*found[0])
    consent = [found[0]] if last.what != "wrote" else await db.fetch(sql, person, False)
    return ConsentState(last, Consent(*consent[0]) if consent else None)


async def in_order(db: Readable, person: str | None, after: int, limit: int) -> list[tuple[int, Consent]]:
    which, values = where(("n > $", after), ("person = $", person), first=2)
    sql = f"SELECT n, {COLUMNS} FROM consent {which} ORDER BY n LIMIT $1"
    return [(n, Consent(*row)) for n, *row in await db.fetch(sql, limit, *values)]
