"""The pytest plugin, which pytest imports in every run, so that it imports nothing heavy at its top."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from linqbot_dev.testing.talk import PhoneFor

FIXTURE = "phone_for"


@pytest.fixture(scope="session")  # it holds nothing, and fixtures of every scope may use it
def phone_for() -> PhoneFor:
    """Run a bot and return a person's phone: `async with phone_for(bot) as phone:`; see `linqbot.testing.talking`.

    An `async def` test that uses this fixture needs neither a marker nor another plugin. The fixture also works with
    anyio's plugin (`@pytest.mark.anyio`, on asyncio) and with pytest-asyncio.
    """
    from linqbot_dev.testing.talk import talking

    return talking


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that uses the fixture, unless another plugin for async tests runs it."""
    test = pyfuncitem.obj
    if FIXTURE not in pyfuncitem.fixturenames:
        return None
    if inspect.iscoroutinefunction(inner := getattr(getattr(test, "hypothesis", None), "inner_test", None)):
        # `@given` calls the test once for each example, and cannot await it.
        test.hypothesis.inner_test = _waiting_for(inner)
        return None
    if not inspect.iscoroutinefunction(test):
        return None
    wanted = inspect.signature(test).parameters
    _waiting_for(test)(**{name: pyfuncitem.funcargs[name] for name in wanted if name in pyfuncitem.funcargs})
    return True


def _waiting_for(test: Callable[..., Coroutine[Any, Any, object]]) -> Callable[..., None]:
    """Return a plain function that runs an async test in an event loop of its own."""
    import asyncio

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        asyncio.run(test(*args, **kwargs))

    return run
