"""Fixtures of the tests of questions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from asking_talk import Talk


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with contextlib.AsyncExitStack() as stack:
        opened = Talk(tmp_path, stack)
        await opened.open()
        yield opened
        await opened.crashable.clear()
