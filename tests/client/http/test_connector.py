"""Opening connections: verified TLS, proxies from the environment, several addresses of one name, time limits."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import random
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from client.raw_server import Peer, Play, always, anyio_backend, certified, field, once, raw, said, whole  # noqa: F401
from patience import PATIENCE_S, until

from linqbot.client.http.addresses import Origin, target
from linqbot.client.http.connector import Connector, Proxy, environment_proxy, trust
from linqbot.client.http.http11 import ConnectFailed, Request, RequestHeaders, Response
from linqbot.client.http.pool import Pool
from linqbot.errors import ConfigError


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def sent(origin: Origin, **options: Any) -> Response:
    """Send one request from a separate pool."""
    pool = Pool(Connector(origin, **{"connect_timeout_s": 5.0, **options}))
    try:
        return await pool.send(Request("GET", origin, "/x?y=1", RequestHeaders({"Host": origin.authority})))
    finally:
        await pool.aclose()


async def failed(origin: Origin, **options: Any) -> ConnectFailed:
    """Return the error of a request for which no connection could be opened.

    The second of two requests would wait for ever if the first one kept the pool's only slot.
    """
    pool = Pool(Connector(origin, **{"connect_timeout_s": 5.0, **options}), max_connections=1)
    for _ in range(2):
        request = Request("GET", origin, "/", RequestHeaders({}))
        with pytest.raises(ConnectFailed) as caught:
            await asyncio.wait_for(pool.send(request), PATIENCE_S)
        assert not request.is_sent
    await pool.aclose()
    return caught.value


# --- TLS ------------------------------------------------------------------------------------------------------------


async def test_a_name_is_sent_and_verified(authority: trustme.CA) -> None:
    context, names = certified(authority, "linq.test"), []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with raw(always(said(b"fine")), context) as server:
        for host in ("linq.test", "linq.test."):
            answer = await sent(Origin("https", host, server.port), addresses=["127.0.0.1"])
            assert answer.content == b"fine"
        assert names == ["linq.test", "linq.test"]
        assert server.peers[0].writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("names", [["other.test"], ["127.0.0.1"]])
async def test_another_name_is_refused_before_anything_is_sent(authority: trustme.CA, names: list[str]) -> None:
    async with raw(always(said(b"fine")), certified(authority, *names)) as server:
        error = await failed(Origin("https", "linq.test", server.port), addresses=["127.0.0.1"])
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def test_a_refused_certificate_is_named_with_the_reason(authority: trustme.CA) -> None:
    expired = certified(authority, "127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    async with raw(always(said(b"fine")), expired) as server:
        error = await failed(Origin("https", "127.0.0.1", server.port))
    assert str(error) == "SSLCertVerificationError: certificate has expired"


async def test_a_server_that_speaks_no_tls_is_no_connection(authority: trustme.CA) -> None:
    async def plain(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw(plain) as server:
        error = await failed(Origin("https", "127.0.0.1", server.port))
        assert isinstance(error.__cause__, OSError)


async def test_a_handshake_has_a_time_limit(authority: trustme.CA) -> None:
    async def silent(peer: Peer) -> None:
        await asyncio.Event().wait()

    async with raw(silent) as server:
        error = await failed(Origin("https", "127.0.0.1", server.port), connect_timeout_s=0.1)
        assert str(error) == "no connection within 0.1 s"


async def test_calls_that_run_out_of_time_within_tls_disturb_no_other(authority: trustme.CA) -> None:
    async def echo(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            await peer.say(said(head.split(" ")[1].encode()))

    async def hurried(number: int) -> None:
        try:
            async with asyncio.timeout(chance.random() * 0.03):
                answer = await pool.send(Request("GET", origin, f"/{number}", RequestHeaders({})))
        except TimeoutError:
            return
        assert answer.content == f"/{number}".encode()

    chance = random.Random(7)
    async with raw(echo, certified(authority, "127.0.0.1")) as server:
        origin = Origin("https", "127.0.0.1", server.port)
        pool = Pool(Connector(origin, connect_timeout_s=5), max_connections=4)
        for batch in range(4):
            await asyncio.gather(*[hurried(batch * 50 + number) for number in range(50)])
            patient = pool.send(Request("GET", origin, "/patient", RequestHeaders({})))
            assert (await asyncio.wait_for(patient, PATIENCE_S)).content == b"/patient"
        await whole(server, pool, 4)
        await pool.aclose()
        await until(lambda: not server.open)


async def test_which_authorities_are_trusted_is_the_environments_to_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    assert len(trust().get_ca_certs()) > 50
    assert trust() is trust()

    trustme.CA().cert_pem.write_to_path(tmp_path / "authority.pem")
    (tmp_path / "hashed").mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "hashed"))
    assert trust().get_ca_certs() == []
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert len(trust().get_ca_certs()) == 1
    assert trust().check_hostname
    assert trust().verify_mode is ssl.CERT_REQUIRED

    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("missing.pem", "empty.pem"):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
        with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
            trust()


# --- addresses ------------------------------------------------------------------------------------------------------


async def test_checked_addresses_are_tried_in_turn_and_no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw(always(said(b"fine"))) as server:
        origin = Origin("http", "no-such-host.invalid", server.port)
        assert (await sent(origin, addresses=["::1", "127.0.0.1"])).content == b"fine"
        error = await failed(origin, addresses=["::1"])
        assert isinstance(error.__cause__, OSError)


async def test_an_ipv6_address_is_reached_and_named_in_brackets() -> None:
    heads = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(said(b"fine"))
        await reader.read()
        writer.close()

    try:
        listening = await asyncio.start_server(play, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = listening.sockets[0].getsockname()[1]
    assert (await sent(Origin("http", "::1", port))).content == b"fine"
    assert field(heads[0], "host") == f"[::1]:{port}"
    listening.close()
    await asyncio.sleep(0.01)


async def test_an_unreachable_host_is_named_without_what_the_system_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown, unreachable = socket.gaierror(socket.EAI_NONAME, "unknown"), OSError(errno.ENETUNREACH, "with the address")

    def failing(error: OSError) -> Any:
        async def fails(*_args: Any, **_options: Any) -> Any:
            raise error

        return fails

    for error, host, said_ in (
        (unknown, "linq.test", "gaierror: the host's name cannot be resolved"),
        (unreachable, "127.0.0.1", f"OSError: {os.strerror(errno.ENETUNREACH)}"),
    ):
        monkeypatch.setattr("aiohappyeyeballs.start_connection", failing(error))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", failing(error))
        caught = await failed(Origin("http", host, 80))
        assert str(caught) == said_


# --- proxies --------------------------------------------------------------------------------------------------------


class Tunnels:
    """A proxy: responds to plain requests itself, and connects every CONNECT to one port."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.heads: list[str] = []

    async def play(self, peer: Peer) -> None:
        head, _ = await peer.request()
        self.heads.append(head)
        if not head.startswith("CONNECT"):
            await peer.say(said(b"by proxy"))
            await peer.reader.read()
            return
        await peer.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(piped(peer.reader, writer), piped(reader, peer.writer))
        finally:
            writer.close()


async def piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxied(tunnels: Tunnels, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    async with raw(tunnels.play, tls) as server:
        pair = base64.b64encode("user:wörd".encode()).decode()
        yield Proxy(
            Origin("https" if tls else "http", "127.0.0.1", server.port),
            RequestHeaders({"Proxy-Authorization": f"Basic {pair}"}),
        )


@pytest.mark.parametrize("is_tls", [False, True], ids=["to an http proxy", "to an https proxy"])
async def test_plain_http_asks_the_proxy_for_the_whole_address(authority: trustme.CA, is_tls: bool) -> None:
    tunnels = Tunnels()
    async with proxied(tunnels, certified(authority, "127.0.0.1") if is_tls else None) as proxy:
        assert (await sent(Origin("http", "linq.test", 8080), proxy=proxy)).content == b"by proxy"
    assert tunnels.heads[0].startswith("GET http://linq.test:8080/x?y=1 HTTP/1.1\r\n")
    assert field(tunnels.heads[0], "host") == "linq.test:8080"
    assert field(tunnels.heads[0], "proxy-authorization") == dict(proxy.fields.pairs)["Proxy-Authorization"]


@pytest.mark.parametrize("is_tls", [False, True], ids=["through an http proxy", "through an https proxy"])
@pytest.mark.parametrize("host", ["linq.test", "2001:db8::1"])
async def test_https_is_tunnelled_and_the_proxy_sees_none_of_it(authority: trustme.CA, is_tls: bool, host: str) -> None:
    heads = []

    async def linq(peer: Peer) -> None:
        heads.append((await peer.request())[0])
        await peer.say(said(b"tunnelled"))
        await peer.reader.read()

    async with raw(linq, certified(authority, host)) as server:
        tunnels = Tunnels(server.port)
        async with proxied(tunnels, certified(authority, "127.0.0.1") if is_tls else None) as proxy:
            origin = Origin("https", host, 443)
            assert (await asyncio.wait_for(sent(origin, proxy=proxy), PATIENCE_S)).content == b"tunnelled"
    written = f"[{host}]" if ":" in host else host
    assert tunnels.heads[0].startswith(f"CONNECT {written}:443 HTTP/1.1\r\n")
    assert field(tunnels.heads[0], "host") == f"{written}:443"
    assert field(tunnels.heads[0], "proxy-authorization") == dict(proxy.fields.pairs)["Proxy-Authorization"]
    assert heads[0].startswith("GET /x?y=1 HTTP/1.1\r\n")
    assert field(heads[0], "host") == written
    assert field(heads[0], "proxy-authorization") is None


async def test_the_name_is_verified_through_the_tunnel_too(authority: trustme.CA) -> None:
    async with (
        raw(always(said(b"fine")), certified(authority, "other.test")) as server,
        proxied(Tunnels(server.port)) as proxy,
    ):
        error = await failed(Origin("https", "linq.test", 443), proxy=proxy)
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def test_a_proxy_that_makes_no_tunnel_is_no_connection_and_is_named(
    authority: trustme.CA, subtests: pytest.Subtests
) -> None:
    async def silent(peer: Peer) -> None:
        await peer.request()
        await asyncio.Event().wait()

    rows: list[tuple[Play, str]] = [
        (once(said(b"", "407 No")), "the proxy responded with 407; put a user and a password"),
        (once(said(b"abc", "502 Bad")), "the proxy responded with 502$"),
        (once(b"nonsense\r\n\r\n"), ""),
        (once(b""), ""),
        (silent, "no connection through the proxy http://127.* within 0.1 s$"),
    ]
    for play, words in rows:
        with subtests.test(words=words):
            limit_s = 0.1 if play is silent else PATIENCE_S
            async with raw(play) as server:
                proxy = Proxy(server.origin, RequestHeaders({}))
                error = await failed(Origin("https", "linq.test", 443), proxy=proxy, connect_timeout_s=limit_s)
                assert re.search(words, str(error))
                while server.open and play is not silent:
                    await asyncio.sleep(0)
    gone = await failed(Origin("https", "linq.test", 443), proxy=proxy)  # its server has ended
    assert str(gone) == f"no connection to the proxy {proxy.origin}: ConnectionRefusedError"


def test_which_proxy_is_the_environments_to_say(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    rows: list[tuple[dict[str, str], str, str | None]] = [
        ({}, "https://linq.test", None),
        ({"https_proxy": "http://p.test:3128"}, "https://linq.test", "http://p.test:3128"),
        ({"https_proxy": "http://p.test:3128"}, "http://linq.test", None),
        ({"HTTPS_PROXY": "p.test"}, "https://linq.test", "http://p.test"),
        ({"https_proxy": "https://p.test"}, "https://linq.test", "https://p.test"),
        ({"all_proxy": "http://[::1]:3128/"}, "https://linq.test", "http://[::1]:3128"),
        ({"all_proxy": "http://p.test", "no_proxy": "linq.test"}, "https://linq.test", None),
        ({"all_proxy": "http://p.test", "no_proxy": ".test"}, "https://linq.test", None),
        ({"all_proxy": "http://p.test", "no_proxy": "a.test, linq.test:443"}, "https://api.linq.test", None),
        ({"all_proxy": "http://p.test", "no_proxy": "linq.test:80"}, "https://linq.test", "http://p.test"),
        ({"all_proxy": "http://p.test", "no_proxy": "10.1.2.3"}, "https://10.1.2.3:8443", None),
        ({"all_proxy": "http://p.test", "no_proxy": "*"}, "https://linq.test", None),
        ({"all_proxy": "http://p.test"}, "http://127.0.0.1:4010", None),
        ({"all_proxy": "http://p.test"}, "http://localhost:4010", None),
    ]
    for environ, origin, proxy in rows:
        with subtests.test(environ=environ, origin=origin):
            with monkeypatch.context() as patched:
                for name, value in environ.items():
                    patched.setenv(name, value)
                found = environment_proxy(target(origin).origin)
            assert (None if found is None else str(found.origin)) == proxy


def test_credentials_in_a_proxys_address_are_for_the_proxy_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://us%40er:pass%3Aword@p.test:3128")
    proxy = environment_proxy(Origin("https", "linq.test", 443))
    assert proxy is not None
    assert (
        base64.b64decode(dict(proxy.fields.pairs)["Proxy-Authorization"].removeprefix("Basic ")) == b"us@er:pass:word"
    )
    assert "Basic" not in repr(proxy)


@pytest.mark.parametrize("url", ["socks5://p.test:1", "socks4a://p.test", "ftp://p.test", "http://", "http://p:port"])
def test_a_proxy_that_cannot_be_used_is_a_clear_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", url)
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        environment_proxy(Origin("https", "linq.test", 443))
