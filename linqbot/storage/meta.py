"""The SQL of the table `meta`: facts about the storage itself."""

from __future__ import annotations

import json
from typing import Final

from linqbot.errors import ConfigError
from linqbot.storage.dialect import Readable, Writable

COPYING: Final = "copying"
"""The key under which an unfinished copy has its mark; see `contents.CopyMark`."""


UNWIPED: Final = "unwiped"
"""The key that is there while bytes of purged text are left on the disk."""


async def read(db: Readable, key: str) -> str | None:
    """Return a fact; None if there is none."""
    found: str | None = await db.value("SELECT value FROM meta WHERE key = $1", key)
    return found


async def write(tx: Writable, key: str, value: str) -> None:
    """Store a fact, in the place of an older one."""
    sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    await tx.run(sql, key, value)


async def remove(tx: Writable, key: str) -> None:
    """Remove a fact."""
    await tx.run("DELETE FROM meta WHERE key = $1", key)


async def note_activity(tx: Writable, at: float, noted_at: float, *, after_s: float) -> None:
    """Store when a webhook was last accepted, if that is at least `after_s` later than the time that is known to be stored.

    Seldom, because each time costs a page of a file, and processes would wait for each other to write this row.
    """
    if at <= noted_at or at < noted_at + after_s:
        return
    # Another process may have stored a later time.
    sql = """INSERT INTO meta (key, value) VALUES ('active_at', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value
             WHERE CAST(excluded.value AS double precision) > CAST(meta.value AS double precision)"""
    await tx.run(sql, repr(at))
    await tx.run("INSERT INTO meta (key, value) VALUES ('first_active_at', $1) ON CONFLICT (key) DO NOTHING", repr(at))
    tx.changes.noted_at = at


async def refusal(db: Readable) -> str | None:
    """Return the reason why the storage cannot be used, as sentences; None if it holds no unfinished copy."""
    mark = await read(db, COPYING)
    return mark and (
        f"holds an unfinished copy of {json.loads(mark)['source']}. Run linqbot storage copy again to finish it, or delete it "
        "and begin again."
    )


async def refuse_unfinished(db: Readable, name: str) -> None:
    """Check that the storage is complete.

    Args:
        name: Its place, for the message.
    Raises:
        ConfigError: it holds an unfinished copy of another storage.
    """
    if (reason := await refusal(db)) is not None:
        raise ConfigError(f"{name} {reason}")
