"""Fixtures every room shares."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog

# Processes that tests start keep their bytecode: to compile everything anew in each takes longer than what they do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Nothing leaves this machine, so one authority that signs nothing is enough to trust. Reading all that a system trusts
# takes 20 ms for each `httpx.get`, here and in the processes that tests start.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "data" / "authority.pem")
os.environ.pop("SSL_CERT_DIR", None)


_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
_running: list[pytest.Item] = []


def _refuse_programs(event: str, _: object) -> None:
    """Keep `-m "not process"` quick: a test that starts a program must have a marker that says so."""
    if event in _STARTS and _running and not _may_start(_running[-1]):
        raise RuntimeError(f"{_running[-1].nodeid} starts a program. Mark it with @pytest.mark.process.")


def _may_start(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("process", "browser"))


sys.addaudithook(_refuse_programs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command that runs in this process sets up its logs for good, some already while tests are collected."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
