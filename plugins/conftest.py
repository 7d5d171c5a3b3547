"""Settings and fixtures for the tests of every plugin."""

from every_test import (  # noqa: F401 - pytest finds them here
    anyio_backend,
    pytest_pycollect_makeitem,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    reset_logs,
    subtests,
)
