"""`dev` and `emulator` on an address that other machines reach: their warning, and the addresses that open."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from linqbot_dev.commands.dev import exposed, warn

from linqbot.server import uvicorn_server


def test_the_emulator_warns_that_other_machines_can_open_it_and_its_files_are_under_the_name_that_was_given(
    command: Callable[..., Any], port: int
) -> None:
    emulator = command(
        "dev", "--no-bot", "--host", "0.0.0.0", "--allow-host", "Emulator", "--port", str(port), "--json"
    )
    emulator.until(lambda: httpx.get(f"http://127.0.0.1:{port}/").status_code == 200)
    said: dict[str, Any] = {}
    for line in emulator.said().splitlines():
        said |= json.loads(line)
    assert (said["phone"], said["api"]) == (f"http://emulator:{port}", f"http://emulator:{port}/api/partner")
    assert said["warning"]["addresses"][0] == f"http://emulator:{port}"
    assert f"reaches port {port}" in said["warning"]["what"]
    assert "the phone page, the control API and Linq's API without a password" in said["warning"]["what"]
    assert f"ssh -L {port}:127.0.0.1:{port}" in said["warning"]["fix"]
    asked = {"filename": "a.txt", "content_type": "text/plain", "size_bytes": 1}
    headers = {"authorization": "Bearer x"}
    ticket = httpx.post(f"http://127.0.0.1:{port}/v3/attachments", json=asked, headers=headers).json()
    assert ticket["upload_url"].startswith(f"http://emulator:{port}/uploads/")
    # All of 127.0.0.0/8 is this machine, but only 127.0.0.1 is an allowed host by default.
    assert httpx.get(f"http://127.0.0.2:{port}/").status_code == 200
    for host in ("evil.example", f"192.0.2.7:{port}"):
        assert httpx.get(f"http://127.0.0.2:{port}/", headers={"host": host}).status_code == 403
    assert emulator.stop() == 0


def test_a_page_that_is_open_is_said_to_be_with_its_addresses_for_others(capsys: pytest.CaptureFixture[str]) -> None:
    with uvicorn_server.listen("0.0.0.0", 0) as bound:
        found = exposed(bound, "0.0.0.0", ("mybox.local", "fd00::5"))
    warn(found, "the phone page and the control API", as_json=False)
    said = capsys.readouterr().err
    assert f"From other machines: http://mybox.local:{found.port}, http://[fd00::5]:{found.port}" in said
    assert "the phone page and the control API without a password" in said


@pytest.mark.parametrize(
    ("host", "here", "is_open"),
    [
        ("127.0.0.1", "http://127.0.0.1:", False),
        ("localhost", "http://localhost:", False),
        ("0.0.0.0", "http://127.0.0.1:", True),
        ("::1", "http://[::1]:", False),
        ("::", "http://[::1]:", True),
    ],
)
def test_the_address_for_this_machine_can_be_opened(host: str, here: str, is_open: bool) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("This machine has no IPv6")
    with uvicorn_server.listen(host, 0) as bound:
        bound.listen()
        found = exposed(bound, host, ())
        assert (found.here, found.is_open) == (f"{here}{found.port}", is_open)
        with socket.create_connection((urlsplit(found.here).hostname or "", found.port)):
            pass
