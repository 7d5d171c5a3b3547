"""Fixtures of the tests of dry deploys."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dry_deploys import Day


@pytest.fixture
async def day(tmp_path: Path) -> AsyncIterator[Day]:
    async with contextlib.AsyncExitStack() as stack:
        opened = Day(tmp_path, stack)
        await opened.open()
        yield opened
        await opened.crashable.clear()
