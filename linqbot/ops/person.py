"""All that is kept of a person, for operators: shown, exported and erased; and the ledger of consents as rows of a file.

`storage/personal.py` finds what is kept. Next to a running server, a turn about the person that runs meanwhile keeps its rows
until it has ended.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from linqbot.errors import BotError, LinqApiError
from linqbot.linq.handles import person_key
from linqbot.ops.stored_contents import decoded
from linqbot.ops.why import chats_with
from linqbot.options import check_handle
from linqbot.settings import Settings
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.consents import KINDS, Consent, ConsentKind
from linqbot.storage.holds import FOREVER
from linqbot.storage.timers import PARKED_S
from linqbot.storage.upkeep import Forgotten

_LOOK_EVERY_S: Final = 0.2
_TIMES: Final = frozenset({"at", "due", "since", "until", "kept_until", "not_before"})
"""Columns with times, next to those whose names end in `_at`."""

_JSON: Final = frozenset({"carrier", "notes", "tried", "calls", "error"})
"""Columns with JSON as text. All bytes are JSON."""


async def chats_of(settings: Settings, handle: str) -> set[str]:
    """Ask Linq for the direct chats of a person. The storage knows only those of the last days.

    Without a key none is returned.
    """
    async with settings.linq() as client:
        try:
            chats = [] if client is None else await chats_with(client, handle)
        except LinqApiError as error:
            way_out = "to go on without Linq, set LINQ_API_V3_API_KEY to nothing, and name older chats with --chat"
            error.message = f"{error.message.removesuffix('.')}; {way_out}"
            raise
        return {chat.id for chat in chats if not chat.is_group}


async def export(storage: Storage, handle: str, chats: Collection[str], by: By) -> dict[str, Any]:
    """Return all that is kept of a person, as JSON."""
    found = await storage.export(handle, chats=chats, by=by)
    tables = {table: [_readable(row) for row in rows] for table, rows in found.rows.items()}
    return {"person": handle, "chats": list(found.chats), "tables": tables}


async def forget(storage: Storage, handle: str, chats: Collection[str], by: By, *, wait_s: float) -> Forgotten:
    """Erase a person, and wait for handlers that are working on a message of the person."""
    until = time.monotonic() + wait_s
    forgotten = await storage.forget(handle, chats=chats, by=by)
    while forgotten.left and await _ended(storage, forgotten.left, until):
        # The chats are passed on: the turns that have ended may have removed the records that name them.
        before, forgotten = forgotten, forgotten + await storage.forget(handle, chats=forgotten.chats, by=by)
        if forgotten.left == before.left:  # questions that wait for other people
            break
    return forgotten


async def _ended(storage: Storage, ids: Collection[str], until: float) -> bool:
    while [each for one in ids for each in await storage.waiting(delivery_id=one) if each.state == "leased"]:
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, float) and (name in _TIMES or name.endswith("_at")):
        if not 0 < value < FOREVER:
            return None
        # A recurring timer that has fired is parked until its turn ends, which may wait: for the end of a mute or of an outage.
        return datetime.fromtimestamp(value % PARKED_S, UTC).isoformat(timespec="seconds")
    if isinstance(value, bytes) or (value and name in _JSON):
        return decoded(value if isinstance(value, bytes) else value.encode()) if value else None
    return value


# The ledger of consents

FIELDS = ("person", "what", "at", "how")
_PAGE = 500


async def exported_consents(storage: Storage, person: str | None) -> AsyncIterator[dict[str, str]]:
    """Yield the rows of the ledger, in the order in which they were stored.

    Args:
        person: Only those of this handle.
    """
    after = 0
    while page := await storage.consents(person=person and person_key(person), after=after, limit=_PAGE):
        after = page[-1][0]
        for _, row in page:
            # Rounded before the seconds are cut off: with a clock of its own, a database returns 10:00:00 as 9:59:59.9999.
            at = datetime.fromtimestamp(round(row.at, 2), UTC).isoformat(timespec="seconds")
            yield {"person": row.person, "what": row.what, "at": at, "how": row.how}


def read_consents(content: str, now: float) -> list[Consent]:
    """Return the rows of a file: a JSON list of objects, or CSV with a first line of names. Both have the fields of `FIELDS`.

    Raises:
        ValueError: a row cannot be used; the error names its number.
    """
    if content.lstrip().startswith("["):
        rows: list[Any] = json.loads(content)
    else:
        rows = list(csv.DictReader(io.StringIO(content)))
    return [_consent(n, row, now) for n, row in enumerate(rows, 1)]


def _consent(n: int, row: Any, now: float) -> Consent:
    try:
        person, what, at, how = (str(row[name]).strip() for name in FIELDS)
        person = check_handle(person, "It")
        when = datetime.fromisoformat(at)
    except (KeyError, TypeError, ValueError, BotError) as error:
        raise ValueError(
            f"Row {n} needs {', '.join(FIELDS)}: a handle, given or withdrawn, an ISO time, and words. {error}"
        ) from None
    if what not in KINDS:
        raise ValueError(f"Row {n}: what is one of {', '.join(KINDS)}, not {what!r}.")
    if when.tzinfo is None or when.timestamp() > now:
        raise ValueError(f"Row {n}: at must have a time zone and be past, such as 2026-11-20T18:30:00+00:00.")
    key = hashlib.sha256(f"{person}|{what}|{when.timestamp():.0f}".encode()).hexdigest()
    return Consent(f"import:{key[:32]}", person, when.timestamp(), cast("ConsentKind", what), how)
