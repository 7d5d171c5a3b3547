"""The names and addresses under which the emulator can be opened when other machines reach it."""

from __future__ import annotations

import httpx
import pytest
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app
from starlette.types import ASGIApp, Receive, Scope, Send

from emulator.conftest import LINE, PERSON, refused


def arriving(app: ASGIApp, address: str) -> httpx.ASGITransport:
    """Return a transport to `app` whose connections arrive at `address`, as a server reports it."""

    async def there(scope: Scope, receive: Receive, send: Send) -> None:
        await app(dict(scope) | {"server": (address, 4010)}, receive, send)

    return httpx.ASGITransport(there)


async def test_this_machine_and_the_address_at_which_a_connection_arrives_are_let_in_and_no_other_host(
    emulator: Emulator, subtests: pytest.Subtests
) -> None:
    lan = "192.168.1.5"
    let_in = [
        *(("127.0.0.1", host) for host in ("127.0.0.1:1", "localhost", "[::1]:4010", "LOCALHOST:80")),
        (lan, "192.168.1.5:4010"),
        ("::ffff:192.168.1.5", lan),  # a socket for IPv6 and IPv4
        ("fd00::1", "[fd00::1]:4010"),
        ("fe80::1%eth0", "[fe80::1]"),
    ]
    others = [
        *(("127.0.0.1", host) for host in ("evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost.evil")),
        *((lan, host) for host in ("evil.example", "192.168.1.6", "[fd00::1]", f"{lan}.evil.example", "0xc0a80105")),
    ]
    for arrived, host in let_in + others:
        with subtests.test(arrived=arrived, host=host):
            async with httpx.AsyncClient(transport=arriving(create_app(emulator), arrived)) as client:
                answer = await client.get("http://x/emulator/state", headers={"host": host})
                if (arrived, host) in let_in:
                    assert answer.status_code == 200
                    continue
                assert "--allow-host" in refused(answer, 403, 2005)["message"]
                for path in ("", "v3/phone_numbers", "attachments/x/y"):
                    refused(await client.get(f"http://x/{path}", headers={"host": host}), 403, 2005)


async def test_a_host_that_is_allowed_is_let_in_and_is_an_origin_of_its_own(emulator: Emulator) -> None:
    app = create_app(emulator, allowed_hosts=["MyBox.local"])
    async with httpx.AsyncClient(transport=arriving(app, "192.168.1.5"), base_url="http://mybox.local:4010") as client:
        assert (await client.get("/emulator/state")).status_code == 200
        body = {"from": PERSON, "to": LINE, "parts": [{"type": "text", "value": "hi"}]}
        foreign = {"origin": "http://192.168.1.5:4010"}
        refused(await client.post("/emulator/inbound", json=body, headers=foreign), 403, 2005)
        own = {"origin": "http://mybox.local:4010"}
        assert (await client.post("/emulator/inbound", json=body, headers=own)).status_code == 201
