"""The settings and fixtures of every test, for the conftest of each folder of tests."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import structlog
from patience import PATIENCE_S

# A request of a test waits for its answer. The limits of a client that is given none, 5 s each, would measure the machine.
_limits: httpx.Timeout = inspect.signature(httpx.Client).parameters["timeout"].default
_limits.connect = _limits.read = _limits.write = _limits.pool = PATIENCE_S


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Mark each test that is a coroutine function, so that anyio runs it. This is called before anyio looks for the mark."""
    if collector.istestfunction(obj, name) and inspect.iscoroutinefunction(obj):
        pytest.mark.anyio(obj)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def reset_logs() -> Iterator[None]:
    """Reset structlog: a command that runs in this process configures it permanently, even while tests are collected."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


class FailingRows:
    """Subtests of which only those that fail are reported: to report one takes a millisecond, and thousands of rows pass.

    What a row has printed or logged is shown with its test, not with the row.
    """

    def __init__(self, reported: pytest.Subtests) -> None:
        self._reported = reported

    @contextmanager
    def test(self, msg: str | None = None, **row: Any) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with self._reported.test(msg, **row):
                raise


@pytest.fixture
def subtests(subtests: pytest.Subtests) -> FailingRows:
    return FailingRows(subtests)
