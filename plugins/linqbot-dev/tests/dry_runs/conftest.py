"""Fixtures of the tests of dry deploys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dry_deploys import Day
from simulated_crash import begun


@pytest.fixture
async def day(tmp_path: Path) -> AsyncIterator[Day]:
    async with begun(Day, tmp_path) as opened:
        yield opened
