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
from itertools import groupby
from statistics import fmean, median
from typing import Any, Final

MIB: Final = 2**20
WARM_UP_S: Final = 60.0
"""Seconds after a start of the process in which code is imported and caches are filled."""
LEAST_SAMPLES: Final = 8
LEAST_MESSAGES: Final = 100
"""The fewest samples, and messages meanwhile, from which growth is judged."""
GROWTH: Final = 256.0
"""Bytes for each message, above which memory grows."""
CERTAIN: Final = 4.0
"""The growth must be this many times its standard error."""
_BLOCK_BYTES: Final = 80
"""The mean size of the blocks that Python counts: most are objects of 48 to 128 bytes."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A look at the resident memory.

    Attributes:
        age_s: Seconds since the process was started.
    """

    age_s: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Live:
    """A look at the live memory.

    Attributes:
        life: The number of the process.
        age_s: Seconds since it was started.
        messages: The messages that people have written so far.
    """

    life: int
    age_s: float
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Growth:
    """The bytes that the bot keeps of each message.

    Attributes:
        error: The standard error of this number.
    """

    per_message: float
    error: float

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

    It is the slope of a straight line through the looks of each life, without its first minute.
    """
    points: list[tuple[float, float]] = []
    messages = lives = 0
    for _, of_life in groupby((one for one in looks if one.age_s >= WARM_UP_S), key=lambda one: one.life):
        each = list(of_life)
        middle, level = fmean(one.messages for one in each), fmean(one.bytes for one in each)
        points += [(one.messages - middle, one.bytes - level) for one in each]
        messages += each[-1].messages - each[0].messages
        lives += 1
    if len(points) - lives < LEAST_SAMPLES or messages < LEAST_MESSAGES:
        return None
    spread = sum(x * x for x, _ in points)
    slope = sum(x * y for x, y in points) / spread
    rest = sum((y - slope * x) ** 2 for x, y in points) / (len(points) - lives - 1)
    return Growth(slope, math.sqrt(rest / spread))


def live_bytes() -> int:
    """Collect garbage, and return about how many bytes of this process are in use.

    Objects of more than 512 bytes are counted with the C library of most Linux systems only (glibc).
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
    return int(info.uordblks + info.hblkhd)


@cache
def _mallinfo() -> Any:
    with suppress(OSError, AttributeError, TypeError):
        ask = ctypes.CDLL(None).mallinfo2
        ask.restype = _MallocInfo
        return ask
    return None
