"""The answers of the emulator to our client, for tests of what the client makes of them."""

from __future__ import annotations

import asyncio

import pytest
from client.calls import CALLS, Exchange, emulated


@pytest.fixture(scope="session")
def exchanges() -> dict[str, Exchange]:
    """Every call of our client in its scene, and the answer that the emulator gave."""

    async def make_all() -> dict[str, Exchange]:
        async with emulated() as linq, linq.client() as client:
            return {name: (await linq.made(name, client))[0] for name in CALLS}

    return asyncio.run(make_all())
