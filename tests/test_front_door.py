from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import linqbot


def test_the_front_door_lists_exactly_what_it_offers() -> None:
    tree = ast.parse(Path(linqbot.__file__).read_text())
    typed = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    } - {"import_module", "TYPE_CHECKING", "Any"}  # fmt: skip
    assert set(linqbot.__all__) == typed == set(linqbot._HOMES)
    assert linqbot.__all__ == sorted(linqbot.__all__)


def test_everything_at_the_front_door_is_there_and_explained() -> None:
    assert [name for name in linqbot.__all__ if not (getattr(linqbot, name).__doc__ or "").strip()] == []


def test_what_is_not_there_is_said_with_what_is() -> None:
    with pytest.raises(AttributeError, match=r"linqbot has no Robot\. It has: Bot"):
        _ = linqbot.Robot


@pytest.mark.process
def test_the_front_door_opens_without_the_house() -> None:
    code = (
        "import linqbot, sys; print(sorted(m for m in sys.modules if m.startswith(('pydantic', 'httpx', 'linqbot.'))))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
