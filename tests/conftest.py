"""Settings and fixtures of all tests."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from unittest import mock

import certifi
import hypothesis
import postgres_server
import pytest
from every_test import (  # noqa: F401 - pytest finds them here
    anyio_backend,
    pytest_pycollect_makeitem,
    reset_logs,
    subtests,
)

from linqbot.linq.types import names


@pytest.fixture
def no_name_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a process that has met no name of Linq's that linqbot does not know: it warns of each one once."""
    monkeypatch.setattr(names, "warned", {})


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
_AUTHORITY = str(Path(__file__).parent / "data" / "authority.pem")
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


def pytest_collectstart() -> None:
    """Leave what collection makes, half a million objects of which nearly all stay, out of every garbage collection.

    This is called for each file: one that runs a command of linqbot while it is imported ends with the collector enabled.
    """
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Stop the server after the last process that runs tests: pytest-xdist ends them in the same hook."""
    postgres_server.stop_server()


if "EVERY_PART" in os.environ:
    # Nothing may change if each turn runs every part.
    from every_part import every_part

    from linqbot.features.catalog import Features

    mock.patch.object(Features, "concerned", every_part).start()
