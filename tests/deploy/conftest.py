"""A test that takes `proxy_name` runs once for each proxy, and is skipped before anything was started where it is missing."""

from __future__ import annotations

import pytest
from deploy.proxies import GET, PROXIES
from deploy.tools import tool


@pytest.fixture(params=PROXIES)
def proxy_name(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    tool(name, get=GET[name])
    return name
