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
    """A command that runs in this process sets up its logs for good, some already while tests are collected."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
