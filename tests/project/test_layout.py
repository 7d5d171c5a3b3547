"""The layout of the packages: a folder can be read at a glance."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("linqbot", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("plugins/*/linqbot_*")))
MOST_FILES = 14


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_of_a_package_has_at_most_fourteen_files(package: str) -> None:
    counts = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    )
    assert counts
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}
