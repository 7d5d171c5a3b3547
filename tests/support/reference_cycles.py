"""Counts what only the garbage collector would free."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def counting_cycles() -> Iterator[Counter[str]]:
    """Count, by class, the objects of linqbot that only the garbage collector would free."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("linqbot"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
