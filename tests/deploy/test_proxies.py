"""A real `linqbot serve` behind real nginx and Caddy with the files of `deploy/`: deliveries arrive unchanged.

The signature covers the body and three headers, so a 200 proves that all of them arrived unchanged.
"""

from __future__ import annotations

import gzip
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from asgi_client import PATH, signed
from deploy.proxies import DOMAIN, Behind, Proxy, behind
from h2.connection import H2Connection
from h2.events import ResponseReceived
from patience import PATIENCE_S
from served_bot import message, post

pytestmark = [pytest.mark.slow, pytest.mark.process]

MIB = 1 << 20


@pytest.fixture
async def bot(proxy_name: str, tmp_path: Path) -> AsyncIterator[Behind]:
    async with behind(proxy_name, tmp_path) as served:
        yield served


async def in_pieces(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    """Yield a body in pieces, so that it is sent without a Content-Length."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def test_a_signed_delivery_passes_whatever_its_bytes_are(bot: Behind) -> None:
    async with bot.client() as linq:
        for body in [
            message("plain"),
            message("umlauts: äöü, 👩‍👩‍👧, \u2028, \x00\x7f"),
            message("spaces").replace(b": ", b" :\t  ") + b"\r\n\r\n",
            b"\xef\xbb\xbf" + bytes(range(256)) * 8,
            message("gzip would change " * 500),
        ]:
            assert (await post(linq, bot.proxy.url, body)).status_code == 200, body[:60]
            answer = await linq.post(bot.webhook, content=in_pieces(body, 7), headers=signed(body))
            assert answer.status_code == 200, body[:60]
        packed = gzip.compress(message("packed"))
        assert (await post(linq, bot.proxy.url, packed, **{"content-encoding": "gzip"})).status_code == 200
        changed = message("changed")
        assert (await linq.post(bot.webhook, content=changed + b" ", headers=signed(changed))).status_code == 401
        # The query of the webhook's address asks Linq for a payload version. The bot ignores it.
        versioned = message("versioned")
        target = bot.webhook + "?version=2026-02-03"
        assert (await linq.post(target, content=versioned, headers=signed(versioned))).status_code == 200
    assert await bot.handled(5) == dict.fromkeys(["plain", "umlauts:", "spaces", "gzip", "versioned"], 1)


async def test_header_names_pass_in_any_case_and_over_http_2(bot: Behind) -> None:
    async with bot.client() as linq, bot.client(http2=True) as newer:
        body = message("shouted")
        shouted = {name.upper(): value for name, value in signed(body).items()}
        assert (await linq.post(bot.webhook, content=body, headers=shouted)).status_code == 200
        bodies = [message(f"h2-{n}", chat=None) for n in range(20)]
        async with anyio.create_task_group() as at_once:
            for body in bodies:
                at_once.start_soon(_delivered, newer, bot.proxy.url, body)
    assert len(await bot.handled(21)) == 21


async def _delivered(linq: httpx.AsyncClient, url: str, body: bytes) -> None:
    answer = await post(linq, url, body)
    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")


async def test_a_mebibyte_passes_and_more_is_answered_503_over_http_2_too(bot: Behind) -> None:
    largest = message("x" * (MIB - len(message(""))))
    assert len(largest) == MIB
    async with bot.client() as linq:
        assert (await post(linq, bot.proxy.url, largest)).status_code == 200
        larger = largest[:-1] + b" " + largest[-1:]
        for content in (larger, in_pieces(larger, 10_000)):
            answer = await linq.post(bot.webhook, content=content, headers=signed(larger))
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
        many = {f"x-{n}": "y" * 4000 for n in range(30)}
        answer = await linq.post(bot.webhook, content=message("a head"), headers=many)
        assert answer.status_code == 503
    for length in (MIB + 1, 3 * MIB):
        assert await anyio.to_thread.run_sync(status_before_the_body, bot.proxy, length) == 503


def status_before_the_body(proxy: Proxy, length: int) -> int:
    """Announce a body over HTTP/2 and send none of it. Return the status of the answer."""
    proxy.trust.set_alpn_protocols(["h2"])
    linq = H2Connection()
    linq.initiate_connection()
    target = {":method": "POST", ":scheme": "https", ":authority": f"{DOMAIN}:{proxy.port}", ":path": PATH}
    linq.send_headers(1, list((target | {"content-length": str(length)}).items()))
    with proxy.connect(linq.data_to_send()) as client:
        while True:
            for event in linq.receive_data(client.recv(65536)):
                if isinstance(event, ResponseReceived):
                    return int(dict(event.headers)[b":status"])


async def test_only_the_webhook_is_public(bot: Behind) -> None:
    async with bot.client() as client:
        for path in ("/", "/livez", "/readyz", "/metrics", "/plugins/", "/plugins/prometheus/metrics", PATH + "/x"):
            assert (await client.get(bot.proxy.url + path)).status_code == 404, path
        for odd in (
            "/webhooks/../readyz",
            "/webhooks/linq/../../readyz",
            "/webhooks/linq%2f..%2f..%2freadyz",
            "//readyz",
        ):
            assert _status_of(bot, odd) in {b"404", b"400", b"503"}, odd
    # A path that the proxy accepts as the webhook reaches the bot under the webhook's path: the bot's 405 proves this.
    for odd in ("/readyz/../webhooks/linq", "/plugins/x/../../webhooks/linq", "/./webhooks//linq", "/webhooks/%6cinq"):
        assert _status_of(bot, odd) in {b"405", b"404"}, odd
    assert _status_of(bot, "/readyz/../webhooks/linq") == b"405"


def _status_of(bot: Behind, path: str) -> bytes:
    """Return the status of a GET with a path that an HTTP client would normalise."""
    with bot.proxy.connect(f"GET {path} HTTP/1.1\r\nhost: {DOMAIN}\r\nconnection: close\r\n\r\n".encode()) as client:
        return client.recv(100).split()[1]


async def test_a_sender_that_expects_100_continue_gets_it(bot: Behind) -> None:
    body = message("asked")
    headers = signed(body) | {"host": DOMAIN, "content-length": str(len(body)), "expect": "100-continue"}
    headers["connection"] = "close"
    head = f"POST {PATH} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    def ask() -> tuple[bytes, bytes]:
        with bot.proxy.connect(f"{head}\r\n".encode()) as client:
            first = client.recv(100)
            client.sendall(body)
            rest = client.makefile("rb").read()
            return first, rest

    interim, rest = await anyio.to_thread.run_sync(ask)
    assert interim.startswith(b"HTTP/1.1 100 ")
    # Caddy also passes on the bot's own 100.
    assert b"HTTP/1.1 200 " in rest


async def test_the_clients_address_is_the_real_one_whatever_the_client_claims(bot: Behind) -> None:
    claims: list[dict[str, str]] = [
        {},
        {"x-forwarded-for": "6.6.6.6"},
        {"x-forwarded-for": "6.6.6.6, 127.0.0.1, 127.0.0.1"},
        {"forwarded": "for=6.6.6.6", "x-real-ip": "6.6.6.6", "true-client-ip": "6.6.6.6"},
    ]
    async with bot.client(source="127.0.0.9") as forger:
        for claim in claims:
            assert (await forger.post(bot.webhook, content=b"{}", headers=claim)).status_code == 401
        twice = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "127.0.0.1")]
        assert (await forger.post(bot.webhook, content=b"{}", headers=twice)).status_code == 401
    refused = bot.logged("delivery.forged")
    assert [line["client"] for line in refused] == ["127.0.0.9"] * (
        len(claims) + 1
    )  # the log has at most five lines a minute


async def test_a_bot_that_is_down_or_crashes_is_503_and_never_4xx(bot: Behind) -> None:
    await bot.served.kill(signal.SIGKILL)
    async with bot.client() as linq:
        body = message("down")
        answer = await post(linq, bot.proxy.url, body)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        # A server in place of the bot reads the request and closes the connection without an answer.
        with socket.create_server(("127.0.0.1", int(bot.served.url.rpartition(":")[2]))) as dying:
            dying.settimeout(PATIENCE_S)

            def die() -> None:
                while True:
                    try:
                        client, _ = dying.accept()
                    except OSError:
                        return
                    with client:
                        client.settimeout(5)
                        client.recv(100_000)

            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, die)
                answer = await post(linq, bot.proxy.url, body)
                dying.shutdown(socket.SHUT_RDWR)
        assert answer.status_code == 503
