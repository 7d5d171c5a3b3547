"""The memory of the bot's process: how much it takes, and whether it keeps something of each message.

The resident memory says what a machine needs. It grows in steps, whenever more people than ever before are answered at
the same time, and it hardly falls: so it cannot tell a small leak from a busy minute. The live memory can: that is what
is in use after a garbage collection.
"""

from __future__ import annotations

import ctypes
import gc
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from statistics import fmean, median
from typing import Any, Final

MIB: Final = 2**20
WARM_UP_S: Final = 60.0
"""Seconds after a start of the process in which code is imported and caches are filled."""
LEAST_SAMPLES: Final = 8
LEAST_MESSAGES: Final = 100
"""The fewest samples, and messages meanwhile, from which growth is judged."""
GROWTH: Final = 512.0
"""Bytes for each message, above which memory grows."""
CERTAIN: Final = 4.0
"""The growth must be this many times its standard error."""
_BLOCK_BYTES: Final = 80
"""The mean size of the blocks that Python counts: most are objects of 48 to 128 bytes."""


@dataclass(frozen=True, slots=True)
class Resident:
    age_s: float  # seconds since the process was started
    bytes: int


@dataclass(frozen=True, slots=True)
class Live:
    life: int  # the number of the process
    age_s: float  # seconds since it was started
    messages: int  # the messages that people have written so far
    unfinished: int  # The deliveries that the bot has not finished. They take memory too.
    bytes: int


@dataclass(frozen=True, slots=True)
class Growth:
    per_message: float
    error: float  # the standard error of this number

    @property
    def is_certain(self) -> bool:
        """True if memory grows with messages: by more than `GROWTH`, and by more than chance explains."""
        return self.per_message > GROWTH and self.per_message > CERTAIN * self.error


def in_use(looks: Sequence[Resident]) -> tuple[float, float, float] | None:
    """Return the resident memory in MiB: after the first minute, at the end, and the most; None if it is not known.

    In a short rehearsal, or if the process was killed again and again, the first number includes the start.
    """
    if not looks:
        return None
    warm = [one.bytes for one in looks if one.age_s >= WARM_UP_S] or [one.bytes for one in looks]
    part = max(1, len(warm) // 10)
    return median(warm[:part]) / MIB, median(warm[-part:]) / MIB, max(one.bytes for one in looks) / MIB


def growth(looks: Sequence[Live]) -> Growth | None:
    """Return the growth of the live memory with messages; None if there are too few looks or messages to know it.

    It is the slope of a straight line through the looks of each life, without its first minute. What the deliveries
    explain that were not finished at a look is left out, so a backlog is no growth.
    """
    written: list[float] = []
    unfinished: list[float] = []
    used: list[float] = []
    messages = lives = 0
    for _, of_life in groupby((one for one in looks if one.age_s >= WARM_UP_S), key=lambda one: one.life):
        each = list(of_life)
        written += _centered([one.messages for one in each])
        unfinished += _centered([one.unfinished for one in each])
        used += _centered([one.bytes for one in each])
        messages += each[-1].messages - each[0].messages
        lives += 1
    if len(used) - lives < LEAST_SAMPLES or messages < LEAST_MESSAGES:
        return None
    # A regression with two causes: first take the part of the one out of everything, then look at the other.
    alone, rest = _unexplained(written, unfinished), _unexplained(used, unfinished)
    if not (spread := _product(alone, alone)):
        return None
    slope = _product(alone, rest) / spread
    left = _unexplained(rest, alone)
    return Growth(slope, math.sqrt(_product(left, left) / (len(used) - lives - 2) / spread))


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))


def _centered(values: Sequence[float]) -> list[float]:
    middle = fmean(values)
    return [value - middle for value in values]


def _unexplained(values: Sequence[float], cause: Sequence[float]) -> list[float]:
    """Return what is left of values when the part that is proportional to a cause is taken out."""
    spread = _product(cause, cause)
    slope = _product(values, cause) / spread if spread else 0.0
    return [value - slope * x for value, x in zip(values, cause, strict=True)]


def live_bytes() -> int:
    """Collect garbage, and return about how many bytes of this process are in use.

    The page cache of SQLite is left out: it is bounded, and fills for thousands of messages. Objects of more than 512
    bytes are counted with the C library of most Linux systems only (glibc).
    """
    gc.collect()
    return sys.getallocatedblocks() * _BLOCK_BYTES + _malloc_bytes()


class _MallocInfo(ctypes.Structure):
    # The fields of `struct mallinfo2` of glibc.
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _malloc_bytes() -> int:
    if (ask := _mallinfo()) is None:
        return 0
    info = ask()
    used = int(info.uordblks + info.hblkhd)
    return used if (of_sqlite := _sqlite_memory_used()) is None else used - int(of_sqlite())


@cache
def _mallinfo() -> Any:
    with suppress(OSError, AttributeError, TypeError):
        ask = ctypes.CDLL(None).mallinfo2
        ask.restype = _MallocInfo
        return ask
    return None


@cache
def _sqlite_memory_used() -> Any:
    """Return the function of the SQLite that Python uses; None if Python does not show it."""
    with suppress(OSError, AttributeError, TypeError):
        ask = ctypes.CDLL(find_spec("_sqlite3").origin).sqlite3_memory_used  # type: ignore[union-attr]
        ask.restype = ctypes.c_int64
        return ask
    return None
