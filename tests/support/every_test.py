"""The settings and fixtures of every test, for the conftest of each folder of tests."""

from __future__ import annotations

import inspect
import logging
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import certifi
import httpx
import hypothesis
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
    """Reset the logs: a command that runs in this process configures them permanently, even while tests are collected."""
    _reset_logs()
    yield
    _reset_logs()


def _reset_logs() -> None:
    structlog.reset_defaults()
    logging.getLogger().setLevel(logging.WARNING)  # else an error of asyncio reaches no `caplog` after `linqbot check`


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


# A slow machine is no failure: a limit per example would measure the machine and its other work.
hypothesis.settings.register_profile("linqbot", deadline=None)
hypothesis.settings.load_profile("linqbot")

# A shell starts background programs with SIGINT ignored, and every program that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The processes of a test run and those that tests start keep their bytecode: compiling everything in each process takes
# longer than their work.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Tests need no network, so it is enough to trust one authority that has signed nothing. Reading all authorities of the
# system takes 20 ms for each `httpx.get`, here and in the processes that tests start.
_AUTHORITY = str(Path(__file__).parents[1] / "data" / "authority.pem")
os.environ["SSL_CERT_FILE"] = _AUTHORITY
os.environ.pop("SSL_CERT_DIR", None)
# A client of httpx with `trust_env=False` reads no variable, but the authorities of certifi. A test that changes the
# variable gets those of certifi.
_every_authority = certifi.where


def _authorities() -> str:
    return _AUTHORITY if os.environ.get("SSL_CERT_FILE") == _AUTHORITY else _every_authority()


mock.patch.object(certifi, "where", _authorities).start()

# Each commit waits for the disk: 3 ms on an SSD, and a tenth of that as CPU time. A folder in memory has no disk to wait
# for. What a bot keeps when its process is killed is the same in both: only a power cut differs. A container may have
# little such memory.
_IN_MEMORY = Path("/dev/shm")
if _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


_STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"})
_running: list[pytest.Item] = []


def _refuse_programs(event: str, _: object, starts: frozenset[str] = _STARTS) -> None:
    """Raise RuntimeError if a test without the marker starts a program, so that `-m "not process"` stays quick.

    Python calls this for every file and every import, until it has ended: then `_STARTS` is no name any more.
    """
    if event in starts and _running and not _may_start(_running[-1]):
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped for want of a program but has no marker for it: `.ci/run` would never run it."""
    report = yield
    marked = any(item.get_closest_marker(name) for name in ("tools", "browser", "slow"))
    if report.skipped and "To run this test" in str(report.longrepr) and not marked:
        report.outcome, report.longrepr = "failed", f"{item.nodeid} needs a program. Mark it with @pytest.mark.tools."
    return report
