"""The ledger of consents as rows of a file: exported, and imported from JSON or CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

from linqbot.errors import BotError
from linqbot.options import check_handle
from linqbot.storage.backend import Storage
from linqbot.storage.consents import KINDS, Consent, ConsentKind

FIELDS = ("person", "what", "at", "how")
_PAGE = 500


async def exported(storage: Storage, person: str | None) -> AsyncIterator[dict[str, str]]:
    """Yield the rows of the ledger, in the order in which they were stored.

    Args:
        person: Only those of this handle.
    """
    after = 0
    while page := await storage.consents(person=person and person.casefold(), after=after, limit=_PAGE):
        after = page[-1][0]
        for _, row in page:
            at = datetime.fromtimestamp(row.at, UTC).isoformat(timespec="seconds")
            yield {"person": row.person, "what": row.what, "at": at, "how": row.how}


def read(content: str, now: float) -> list[Consent]:
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
        check_handle(person, "It")
        when = datetime.fromisoformat(at)
    except (KeyError, TypeError, ValueError, BotError) as error:
        raise ValueError(
            f"Row {n} needs {', '.join(FIELDS)}: a handle, given or withdrawn, an ISO time, and words. {error}"
        ) from None
    if what not in KINDS:
        raise ValueError(f"Row {n}: what is one of {', '.join(KINDS)}, not {what!r}.")
    if when.tzinfo is None or when.timestamp() > now:
        raise ValueError(f"Row {n}: at must have a time zone and be past, such as 2026-11-20T18:30:00+00:00.")
    key = hashlib.sha256(f"{person.casefold()}|{what}|{when.timestamp():.0f}".encode()).hexdigest()
    return Consent(f"import:{key[:32]}", person.casefold(), when.timestamp(), cast("ConsentKind", what), how)
