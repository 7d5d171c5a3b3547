"""The fixture of the tests that run turns one after the other, over a real file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from asking_talk import Talk
from simulated_crash import begun


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with begun(Talk, tmp_path) as opened:
        yield opened
