"""The answers of the emulator to our client, for tests of what the client makes of them, and an authority for TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme
from client.calls import CALLS, Exchange, emulated


@pytest.fixture(scope="session")
def exchanges() -> dict[str, Exchange]:
    """Every call of our client in its scene, and the answer that the emulator gave."""

    async def make_all() -> dict[str, Exchange]:
        async with emulated() as linq, linq.client() as client:
            return {name: (await linq.made(name, client))[0] for name in CALLS}

    return asyncio.run(make_all())


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that the client trusts, and no other."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made
