"""Fixtures for the tests of every plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _reset_logs() -> Iterator[None]:
    """Reset structlog, as `tests/conftest.py` does: commands that ran during collection have configured it."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
