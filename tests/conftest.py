"""Settings and fixtures of all tests."""

from __future__ import annotations

import gc
import os
from unittest import mock

import postgres_server
import pytest
from every_test import (  # noqa: F401 - pytest finds them here
    anyio_backend,
    pytest_pycollect_makeitem,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    reset_logs,
    subtests,
)

from linqbot.linq.types import names


@pytest.fixture
def no_name_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a process that has met no name of Linq's that linqbot does not know: it warns of each one once."""
    monkeypatch.setattr(names, "warned", {})


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

    from linqbot.engine.feature import Catalogue

    mock.patch.object(Catalogue, "concerned", every_part).start()
