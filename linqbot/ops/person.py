"""All that is kept of a person, for operators: shown, exported and erased; and the ledger of consents as rows of a file.

`storage/personal.py` finds what is kept; plugins may keep more.

Next to a running server. A turn about the person that runs meanwhile keeps its rows until it has ended.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import operator
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from pydantic_core import to_jsonable_python

from linqbot.errors import BotError, LinqApiError
from linqbot.hookspecs import PersonalData
from linqbot.linq.handles import person_key
from linqbot.ops.stored_contents import decoded
from linqbot.ops.why import chats_with
from linqbot.options import check_handle
from linqbot.plugins.registry import describe
from linqbot.settings import Settings
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.consents import KINDS, Consent, ConsentKind
from linqbot.storage.mutes import FOREVER
from linqbot.storage.timers import PARKED_S
from linqbot.storage.upkeep import Forgotten

_LOOK_EVERY_S: Final = 0.2
_TIMES: Final = frozenset({"at", "due", "since", "until", "not_before"})
"""Columns with times, next to those whose names end in `_at`."""

_JSON: Final = frozenset({"carrier", "handoff", "tried", "calls"})
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


class Keepers:
    """The installed plugins that keep something of people.

    Attributes:
        problems: Sentences about the plugins whose rows are missing or left.
    Raises:
        ConfigError: a required plugin cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        plugins = settings.load_plugins()
        found = plugins.ask("register_personal_data", _checked)
        self._kept = {impl.plugin.name: kept for impl, kept in found}
        self.problems = [f"{each.name} is disabled: {each.why}" for each in plugins.every if each.status == "disabled"]

    async def ask(self, what: Literal["export", "forget"], handle: str, chats: Collection[str]) -> dict[str, Any]:
        """Return the rows that each plugin keeps of a person, or the numbers of those that it has erased, by table."""
        answers: dict[str, Any] = {}
        for name, kept in self._kept.items():
            try:
                found = await getattr(kept, what)(handle, chats)
                # An answer of another form raises here.
                read = operator.index if what == "forget" else _rows
                answers |= {f"{name}.{table}": read(each) for table, each in found.items()}
            except (Exception, SystemExit) as error:  # noqa: BLE001 - of a plugin
                self.problems.append(f"{name} failed: {describe(what, error)}")
        return answers


def _rows(given: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in given]


def _checked(given: Any) -> PersonalData:
    if not isinstance(given, PersonalData):
        raise TypeError(f"a {type(given).__name__} is not a PersonalData")
    return given


async def export(storage: Storage, keepers: Keepers, handle: str, chats: Collection[str], by: By) -> dict[str, Any]:
    """Return all that is kept of a person, as JSON."""
    found = await storage.export(handle, chats=chats, by=by)
    tables = {table: [_readable(row) for row in rows] for table, rows in found.rows.items()}
    more = await keepers.ask("export", handle, found.chats)
    if counts := +Counter({table: len(rows) for table, rows in more.items()}):
        await storage.note_receipt(handle, "export", counts, by=by)
    return {"person": handle, "chats": list(found.chats), "tables": tables | to_jsonable_python(more, fallback=str)}


async def forget(
    storage: Storage, keepers: Keepers, handle: str, chats: Collection[str], by: By, *, wait_s: float
) -> Forgotten:
    """Erase a person, and wait for handlers that are working on a message of the person."""
    until = time.monotonic() + wait_s
    forgotten = await storage.forget(handle, chats=chats, by=by)
    while forgotten.left and await _ended(storage, forgotten.left, until):
        # The chats are passed on: the turns that have ended may have removed the records that name them.
        before, forgotten = forgotten, forgotten + await storage.forget(handle, chats=forgotten.chats, by=by)
        if forgotten.left == before.left:  # questions that wait for other people
            break
    if counts := +Counter(await keepers.ask("forget", handle, forgotten.chats)):
        await storage.note_receipt(handle, "forget", counts, by=by)
    return replace(forgotten, rows=forgotten.rows + counts)


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
