"""The deliveries stored last, kept in memory with their decoded bodies, so that `take` reads nothing from disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from linqbot.events.delivery import Delivery

MAX_DELIVERIES: Final = 4096
"""Most deliveries that are kept."""

MAX_BYTES: Final = 8 << 20
"""Largest total size of their bodies."""


@dataclass(slots=True, eq=False)
class Row:
    """A delivery with the counters of its row on disk."""

    delivery: Delivery
    delivery_count: int = 0
    attempts: int = 0
    crashes: int = 0
    replay: int = 0
    put_back: bool = False


class Recent:
    """Rows by sequence number, bounded in number and in bytes of their bodies; the oldest are dropped first."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._bytes = 0

    def add(self, seq: int, row: Row) -> None:
        self._rows[seq] = row
        self._bytes += len(row.delivery.body)
        while len(self._rows) > MAX_DELIVERIES or self._bytes > MAX_BYTES:
            self.drop(next(iter(self._rows)))

    def get(self, seq: int) -> Row | None:
        return self._rows.get(seq)

    def replace(self, seq: int, delivery: Delivery, *, again: bool) -> None:
        """Replace the delivery of a row, if it is kept. `again` adds 1 to its replay number."""
        if row := self._rows.get(seq):
            self._bytes += len(delivery.body) - len(row.delivery.body)
            row.delivery = delivery
            row.replay += again

    def renumber(self, numbers: Mapping[int, int]) -> None:
        """Change the sequence numbers of rows; `numbers` maps old to new ones."""
        rows = {seq: row for seq in numbers if (row := self._rows.pop(seq, None))}
        for seq, row in rows.items():
            self._rows[numbers[seq]] = row

    def drop(self, seq: int) -> None:
        if row := self._rows.pop(seq, None):
            self._bytes -= len(row.delivery.body)
