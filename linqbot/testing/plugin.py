"""The pytest plugin: the fixture `phone_for`, and async tests that need no other plugin.

pytest imports this module in every run, so it imports nothing heavy; the rest comes when a test asks for it.
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
    """Run a bot and hand over a person's phone: `async with phone_for(bot) as phone:`; see `linqbot.testing.talking`.

    An `async def` test that asks for it needs neither a marker nor another plugin. It also works under anyio's
    (`@pytest.mark.anyio`, on asyncio) and pytest-asyncio.
    """
    from linqbot.testing.talk import talking

    return talking


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that asked for a phone, unless a plugin for async tests has it already."""
    test = pyfuncitem.obj
    if FIXTURE not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(test):
        return None
    import asyncio

    wanted = inspect.signature(test).parameters
    asyncio.run(test(**{name: pyfuncitem.funcargs[name] for name in wanted if name in pyfuncitem.funcargs}))
    return True
