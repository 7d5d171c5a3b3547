"""One transaction of the writer: its connection, its time, and what it changes for the index."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from linqbot.storage.sqlite.disk import wipe
from linqbot.storage.sqlite.index import Index, IndexChanges


@dataclass(slots=True, eq=False)
class Transaction:
    """An open transaction.

    Attributes:
        index: The index as it was before the transaction, except for what leasing, releasing and numbering change at once.
        changes: The changes that the index applies once the transaction is on disk.
        now: The time of the storage's clock, in Unix seconds.
        monotonic: The same time for the ends of leases; see `Clock.monotonic`.
        keep_s: Seconds of history; 0 keeps none.
        first_seq: The sequence number of the first delivery that this transaction stores.
    """

    db: sqlite3.Connection
    index: Index
    changes: IndexChanges
    now: float
    monotonic: float
    keep_s: float
    first_seq: int

    def begin_off_the_record(self) -> None:
        """Overwrite the pages that are freed from now on: the file gets its first text off the record."""
        wipe.overwrite_freed(self.db)
        wipe.note_off_the_record(self.db)
        self.changes.off_the_record = True
