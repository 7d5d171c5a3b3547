"""The names and addresses under which the emulator can be opened when other machines reach it."""

from __future__ import annotations

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from emulator.conftest import LINE, PERSON, refused
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app

pytestmark = pytest.mark.anyio


def arriving(app: ASGIApp, address: str) -> httpx.ASGITransport:
    """Return a transport to `app` whose connections arrive at `address`, as a server reports it."""

    async def there(scope: Scope, receive: Receive, send: Send) -> None:
        await app(dict(scope) | {"server": (address, 4010)}, receive, send)

    return httpx.ASGITransport(there)


async def test_the_address_at_which_a_connection_arrives_is_let_in(
    emulator: Emulator, subtests: pytest.Subtests
) -> None:
    for arrived, host in [
        ("192.168.1.5", "192.168.1.5:4010"),
        ("::ffff:192.168.1.5", "192.168.1.5"),  # a socket for IPv6 and IPv4
        ("fd00::1", "[fd00::1]:4010"),
        ("fe80::1%eth0", "[fe80::1]"),
    ]:
        with subtests.test(arrived=arrived):
            async with httpx.AsyncClient(transport=arriving(create_app(emulator), arrived)) as client:
                assert (await client.get("http://x/emulator/state", headers={"host": host})).status_code == 200


async def test_no_other_host_is_let_in_by_that_address(emulator: Emulator, subtests: pytest.Subtests) -> None:
    for host in ["evil.example", "192.168.1.6", "[fd00::1]", "192.168.1.5.evil.example", "0xc0a80105"]:
        with subtests.test(host=host):
            async with httpx.AsyncClient(transport=arriving(create_app(emulator), "192.168.1.5")) as client:
                answer = await client.get("http://x/emulator/state", headers={"host": host})
            assert "--allow-host" in refused(answer, 403, 2005)["message"]


async def test_a_host_that_is_allowed_is_let_in_and_is_an_origin_of_its_own(emulator: Emulator) -> None:
    app = create_app(emulator, allowed_hosts=["MyBox.local"])
    async with httpx.AsyncClient(transport=arriving(app, "192.168.1.5"), base_url="http://mybox.local:4010") as client:
        assert (await client.get("/emulator/state")).status_code == 200
        body = {"from": PERSON, "to": LINE, "parts": [{"type": "text", "value": "hi"}]}
        foreign = {"origin": "http://192.168.1.5:4010"}
        refused(await client.post("/emulator/inbound", json=body, headers=foreign), 403, 2005)
        own = {"origin": "http://mybox.local:4010"}
        assert (await client.post("/emulator/inbound", json=body, headers=own)).status_code == 201
