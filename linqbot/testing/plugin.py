"""The pytest plugin: the fixture `phone_for`, and async tests that need no other plugin.

pytest imports this module in every run, so it imports nothing heavy. Other modules are imported when a test uses the
fixture.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from linqbot.testing.talk import PhoneFor

FIXTURE = "phone_for"


@pytest.fixture
def phone_for() -> PhoneFor:
    """Run a bot and return a person's phone: `async with phone_for(bot) as phone:`; see `linqbot.testing.talking`.

    An `async def` test that uses this fixture needs neither a marker nor another plugin. The fixture also works with
    anyio's plugin (`@pytest.mark.anyio`, on asyncio) and with pytest-asyncio.
    """
    from linqbot.testing.talk import talking

    return talking


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that uses the fixture, unless another plugin for async tests runs it."""
    test = pyfuncitem.obj
    if FIXTURE not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(test):
        return None
    import asyncio

    wanted = inspect.signature(test).parameters
    asyncio.run(test(**{name: pyfuncitem.funcargs[name] for name in wanted if name in pyfuncitem.funcargs}))
    return True
