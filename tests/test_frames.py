"""Places in the author's code: `file:line` of an error or a stack."""

from __future__ import annotations

import inspect
import linecache
from pathlib import Path

import pytest

from linqbot.frames import place_of, place_of_frame

FAILING = """
def outer():
    inner()

def inner():
    raise ValueError("no")
"""


def failure(folder: Path) -> ValueError:
    """Return the error of a function of the author, raised and caught."""
    file = folder / "bot.py"
    file.write_text(FAILING)
    names: dict[str, object] = {}
    exec(compile(FAILING, str(file), "exec"), names)
    outer = names["outer"]
    assert callable(outer)
    with pytest.raises(ValueError, match="no") as caught:
        outer()
    return caught.value


def test_the_place_of_an_error_is_the_line_that_raised_it(tmp_path: Path) -> None:
    assert place_of(failure(tmp_path)) == "bot.py:6"


def test_finding_places_keeps_no_source_in_memory(tmp_path: Path) -> None:
    error = failure(tmp_path)
    linecache.clearcache()
    place_of(error)
    place_of_frame(inspect.currentframe())
    assert [name for name, entry in linecache.cache.items() if len(entry) > 1] == []
