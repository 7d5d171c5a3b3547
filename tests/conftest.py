"""Fixtures every room shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command run in this process sets up its logs for good; the next test begins anew."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
