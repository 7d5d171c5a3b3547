"""The PostgreSQL server of the tests: the processes of a test run share one, which the first of them stops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S
from postgres_server import execute, server_url

SUPPORT = Path(__file__).parents[1] / "support"


def run(code: str, **variables: str | None) -> str:
    """Run `code` in a process of this test run, with changed environment variables. Return what it prints."""
    environ = {**os.environ, "PYTHONPATH": str(SUPPORT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", f"from postgres_server import *\n{code}"],
        env={name: value for name, value in environ.items() if value is not None},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return done.stdout.strip()


@pytest.mark.process
def test_the_server_outlives_a_process_that_used_it() -> None:
    url = server_url()
    assert run("print(server_url()); stop_server()") == url
    execute(url, "SELECT 1")


@pytest.mark.process
@pytest.mark.slow
def test_the_first_process_of_a_run_leaves_no_server_behind() -> None:
    code = "print(server_url()); print(os.environ['LINQBOT_TESTS_POSTGRES']); stop_server()"
    url, folder = run(code, TEST_POSTGRES_URL=None, LINQBOT_TESTS_POSTGRES=None).split()
    assert not Path(folder).exists()
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        execute(url, "SELECT 1")
