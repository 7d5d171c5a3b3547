"""Places in the author's code: `file:line` of an error or a stack."""

from __future__ import annotations

import inspect
import linecache
import sys
import threading
from pathlib import Path

import httpx
import pytest

import linqbot
from linqbot.frames import file_name, is_authors, place_of, place_of_thread

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


PACKAGE = str(Path(linqbot.__file__).parent)


def test_a_bot_is_its_authors_wherever_it_lies_and_linqbot_the_standard_library_and_packages_are_not() -> None:
    bots = [f"{sys.prefix}/src/app/bot.py", f"{sys.prefix}-shop/bot.py", f"{PACKAGE}-shop/bot.py", "bot.py"]
    others = [f"{PACKAGE}/bot/bot.py", inspect.__file__, httpx.__file__, "<string>", "loop.pyx"]
    assert [file for file in (*bots, *others) if is_authors(file)] == bots


def test_the_place_of_an_error_is_the_line_that_raised_it(tmp_path: Path) -> None:
    assert place_of(failure(tmp_path)) == "bot.py:6"


def test_the_init_file_of_a_package_is_named_with_its_folder() -> None:
    assert [file_name("/srv/shop/bot.py"), file_name("/srv/shop/__init__.py")] == ["bot.py", "shop/__init__.py"]


def test_finding_places_keeps_no_source_in_memory(tmp_path: Path) -> None:
    error = failure(tmp_path)
    linecache.clearcache()
    place_of(error)
    place_of_thread(threading.get_ident())
    assert [name for name, entry in linecache.cache.items() if len(entry) > 1] == []
