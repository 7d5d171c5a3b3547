"""`linqbot storage`: back up, migrate and copy the storage, and delete old dead letters. The work is in `ops/stored_contents.py`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final

import click

from linqbot.cli.deliveries import deliveries
from linqbot.cli.kit import Confirm, Opt, Result, time_option
from linqbot.cli.output import iso_time, progress_bar
from linqbot.errors import StorageUnavailable
from linqbot.ops import stored_contents
from linqbot.settings import Settings
from linqbot.storage.backend import Storage

_PAUSE_S: Final = 0.05
"""Seconds between two transactions, in which a server writes what has arrived."""


async def backup(path: Path, storage: Storage) -> Result:
    """Copy the storage to PATH while it is served. To restore it, serve the copy."""
    started = time.monotonic()
    with progress_bar("Copying") as progress:
        await storage.backup(path, progress=progress)
    seconds = round(time.monotonic() - started, 3)
    return Result({"backup": str(path), "bytes": (await asyncio.to_thread(path.stat)).st_size, "seconds": seconds})


async def purge(
    storage: Storage,
    confirm: Confirm,
    *,
    before: Annotated[
        float | None, time_option("Dead-lettered before this time: 2026-11-05, or 30d for 30 days ago.")
    ] = None,
    compact: Annotated[bool, Opt("Write the file again, without deleted bytes and free space.")] = False,
) -> Result:
    """Delete old dead letters, with --before, and deleted bytes, with --compact. They cannot be restored.

    Dead letters are deleted a few at a time, so a running server goes on. Of a large SQLite file copies may be left in its
    free space until --compact, for which the server cannot store deliveries for some minutes: Linq delivers them later. It
    needs room for a copy of the file where it says. PostgreSQL uses free space again by itself.
    """
    if before is None and not compact:
        raise click.UsageError("Give --before TIME to delete old dead letters, or --compact to write the file again.")
    purged = 0 if before is None else await _purge(storage, confirm, before)
    compacted = await _compact(storage, confirm) if compact else ""
    is_wiped = compact or await storage.wipe()
    shown = [f"{deliveries(purged)} deleted."] if before is not None else []
    shown += [compacted] if compact else [] if is_wiped else [stored_contents.COPIES_ARE_LEFT]
    return Result({"purged": purged, "wiped": is_wiped}, " ".join(shown))


async def _compact(storage: Storage, confirm: Confirm) -> str:
    """Write the file again, and return what was done as a sentence."""
    if (needed := await storage.room_to_compact()) is None:
        confirm("Free the space of deleted rows?")
        await storage.wipe(whole=True)
        return "Other rows may take the space of those that were deleted."
    confirm(f"Write the file again? It needs {needed}. A server cannot store deliveries meanwhile")
    if not await storage.wipe(whole=True):
        raise StorageUnavailable("The file could not be written again: other programs kept it busy. Run this again.")
    return "The file has no deleted bytes and no free space."


async def _purge(storage: Storage, confirm: Confirm, before: float) -> int:
    if not (count := await storage.old_dead_letters(before)):
        return 0
    confirm(f"Delete the dead letters from before {iso_time(before)}?")
    purged = 0
    with progress_bar("Deleting") as progress:
        while gone := await storage.purge(before=before):
            purged += gone
            progress(purged, max(count, purged))
            await asyncio.sleep(_PAUSE_S)
    return purged


async def migrate(settings: Settings) -> Result:
    """Bring the schema of the storage up to date, or create the storage.

    linqbot serve does the same when it starts. A file must not be served meanwhile; PostgreSQL may be.
    """
    before = await stored_contents.migrate(settings.storage, settings.backends_for(settings.storage))
    if before.have == before.newest:
        shown = f"{before.name} has schema {before.have}, the newest. Nothing was changed."
    elif before.have:
        shown = f"{before.name}: brought from schema {before.have} to {before.newest}."
    else:
        shown = f"{before.name}: created with schema {before.newest}."
    return Result({"storage": before.name, "before": before.have, "schema": before.newest}, shown)


async def copy(source: str, target: str, settings: Settings) -> Result:
    """Copy everything from the storage SOURCE to the empty storage TARGET.

    Both are URLs, such as sqlite:///linqbot.db and
    postgresql://bot@db.example.com/linqbot. No process may serve them meanwhile.
    At the end, the rows of both storages are counted and compared. If the command
    is interrupted, nothing is copied.
    """
    with progress_bar("Copying") as progress:
        copied = await stored_contents.copy(source, target, settings.backends_for(source, target), progress)
    about = {"source": copied.source, "target": copied.target}
    work = {"seconds": round(copied.seconds, 3)}
    digest = copied.digest
    rows = ", ".join(f"{count} {table}" for table, count in digest.rows.items() if count)
    shown = about | {"rows": rows, "digest": digest.whole} | work
    shown |= {"now": "Both storages hold the same. Serve only one of them, or both answer what waits."}
    return Result(
        about | {"rows": dict(digest.rows), "digest": digest.whole, "digests": dict(digest.hashes)} | work, shown
    )
