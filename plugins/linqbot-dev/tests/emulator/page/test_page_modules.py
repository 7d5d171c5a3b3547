"""The modules of the page that need no browser, tested by node's own test runner. The tests are in `tests/page`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from deploy.tools import ran, tool

ROOT = Path(__file__).parents[5]
TESTS = ROOT / "tests" / "page"


@pytest.mark.slow
@pytest.mark.process
def test_the_pages_modules_pass_their_tests() -> None:
    node = tool("node", get="apt-get install nodejs (Debian), version 18 or later")
    files = [str(path) for path in sorted(TESTS.glob("*.test.js"))]
    assert files
    done = ran([node, "--test", *files], cwd=ROOT, env=os.environ)
    assert done.code == 0, done.out + done.err
