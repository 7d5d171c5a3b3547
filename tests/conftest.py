"""Fixtures every room shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

# Processes that tests start keep their bytecode: to compile everything anew in each takes longer than what they do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Nothing leaves this machine, so one authority that signs nothing is enough to trust. Reading all that a system trusts
# takes 20 ms for each `httpx.get`, here and in the processes that tests start.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "data" / "authority.pem")
os.environ.pop("SSL_CERT_DIR", None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command run in this process sets up its logs for good; the next test begins anew."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
