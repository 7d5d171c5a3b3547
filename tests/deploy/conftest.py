"""The fixture `proxy_name`: a test that uses it runs once for each proxy. Without the proxy it is skipped at once."""

from __future__ import annotations

import pytest
from deploy.proxies import GET, PROXIES
from deploy.tools import tool


@pytest.fixture(params=PROXIES)
def proxy_name(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    tool(name, get=GET[name])
    return name
