"""Fixtures every room shares."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

# Processes that tests start keep their bytecode: to compile everything anew in each takes longer than what they do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command run in this process sets up its logs for good; the next test begins anew."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
