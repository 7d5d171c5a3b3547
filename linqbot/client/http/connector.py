"""Open connections: resolve names, race addresses, tunnel through a proxy, and negotiate TLS with a verified name.

The environment says which proxy applies to an origin, and with which credentials.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from linqbot.client.http.addresses import LOOPBACK, PORTS, Origin, literal
from linqbot.client.http.connection import Connection
from linqbot.client.http.http11 import ConnectFailed, Request, RequestHeaders, TransportError
from linqbot.errors import ConfigError

NEXT_ADDRESS_AFTER_S: Final = 0.25
"""Head start in seconds of one address over the next: Happy Eyeballs, RFC 8305."""

AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
OnLost: TypeAlias = Callable[[Connection], None]


@dataclass
class Connector:
    """Opens connections to one origin, through a proxy, or to one of the addresses without resolving the host's name.

    `prefix` and `more` are the arguments of `Request.head`: a proxy for plain http expects the origin in a request.
    Raises ConfigError if the TLS certificates cannot be read.
    """

    origin: Origin
    connect_timeout_s: float
    proxy: Proxy | None = None
    addresses: Sequence[str] | None = None

    def __post_init__(self) -> None:
        self._tls = trust() if self.origin.scheme == "https" else None
        relay = self.proxy if self.origin.scheme == "http" else None
        self.prefix = "" if relay is None else str(self.origin)
        self.more = b"" if relay is None else relay.fields.raw

    async def connect(self, on_lost: OnLost) -> Connection:
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                if self.proxy is None:
                    return await self._opened(self.origin, on_lost)
                if self._tls is None:
                    return await self._opened_to_proxy(self.proxy, on_lost)
                return await self._tunnelled(self.proxy, on_lost)
        except TimeoutError as error:
            way = "" if self.proxy is None else f" through the proxy {self.proxy.origin}"
            raise ConnectFailed(f"no connection{way} within {self.connect_timeout_s:g} s") from error
        except ConnectFailed:
            raise
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError for some addresses
            raise ConnectFailed(_reason(error)) from error

    async def _opened(self, origin: Origin, on_lost: OnLost) -> Connection:
        # Addresses are raced here and not by the event loop: uvloop cannot, and checked addresses need no resolution.
        from aiohappyeyeballs import start_connection

        loop = asyncio.get_running_loop()
        sock = await start_connection(await self._found(origin), happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S)
        is_tls = origin.scheme == "https"
        _, connection = await loop.create_connection(
            lambda: Connection(loop, on_lost),
            sock=sock,
            ssl=trust() if is_tls else None,
            server_hostname=certified(origin) if is_tls else None,
        )
        return connection

    async def _opened_to_proxy(self, proxy: Proxy, on_lost: OnLost) -> Connection:
        try:
            return await self._opened(proxy.origin, on_lost)
        except (OSError, RuntimeError) as error:
            raise ConnectFailed(f"no connection to the proxy {proxy.origin}: {_reason(error)}") from error

    async def _tunnelled(self, proxy: Proxy, on_lost: OnLost) -> Connection:
        tunnel = await self._opened_to_proxy(proxy, lambda _: None)
        try:
            await self._admit(tunnel, proxy)
            return await self._encrypted(tunnel, on_lost)
        except BaseException:
            tunnel.abort()
            raise

    async def _admit(self, tunnel: Connection, proxy: Proxy) -> None:
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        authority = f"{host}:{self.origin.port}"
        request = Request("CONNECT", proxy.origin, authority, proxy.fields.replaced({"Host": authority}))
        response = await tunnel.exchange(request, request.head())
        if not 200 <= response.status < 300:
            hint = "; put a user and a password into the proxy's URL" if response.status == 407 else ""
            raise ConnectFailed(f"the proxy responded with {response.status}{hint}")

    async def _encrypted(self, tunnel: Connection, on_lost: OnLost) -> Connection:
        assert self._tls is not None
        loop = asyncio.get_running_loop()
        connection = Connection(loop, on_lost)
        name = certified(self.origin)
        transport = await loop.start_tls(tunnel.transport, connection, self._tls, server_hostname=name)
        if transport is None:
            raise ConnectFailed("the connection was closed during the TLS handshake")
        connection.connection_made(transport)
        return connection

    async def _found(self, origin: Origin) -> Sequence[AddressInfo]:
        if self.addresses is not None:
            return [_info(address, origin.port) for address in self.addresses]
        if address := literal(origin.host):
            return [_info(address, origin.port)]
        try:
            return await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError("the host is not a valid name") from error


@lru_cache(maxsize=4)
def _trusted(file: str | None, folder: str | None) -> ssl.SSLContext:
    if file is None and folder is None:
        import certifi

        file = certifi.where()
    try:
        context = ssl.create_default_context(cafile=file, capath=folder)
    except OSError as error:
        raise ConfigError(
            f"The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read ({type(error).__name__}). "
            "Set SSL_CERT_FILE to a file of PEM certificates, or unset both to use certifi's."
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def trust() -> ssl.SSLContext:
    """Return a TLS context that verifies names. Its authorities are `SSL_CERT_FILE`, else `SSL_CERT_DIR`, else certifi."""
    file = os.environ.get("SSL_CERT_FILE") or None
    return _trusted(file, None if file else os.environ.get("SSL_CERT_DIR") or None)


def _reason(error: Exception) -> str:
    """Return our own text of an error, or else its class and the system's words for it. Its own text may quote more."""
    words: str | None = None
    match error:
        case TransportError() if str(error):
            return str(error)
        case socket.gaierror():
            words = "the host's name cannot be resolved"
        case ssl.SSLCertVerificationError():
            words = error.verify_message
        case ssl.SSLError():
            words = error.reason
        case OSError(errno=int() as number) if type(error) is OSError:
            words = os.strerror(number)
    name = type(error).__name__
    return f"{name}: {words}" if words else name


def _info(address: str, port: int) -> AddressInfo:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


def certified(origin: Origin) -> str:
    """Return the name that the certificate must have: the host without the trailing dot of a fully qualified name."""
    return origin.host.removesuffix(".")


class Proxy(NamedTuple):
    """A proxy from the environment, with the header fields that it needs: those of the credentials in its URL."""

    origin: Origin
    fields: RequestHeaders


def environment_proxy(origin: Origin) -> Proxy | None:
    """Return the proxy that the environment defines for this origin; None for the local machine (the emulator).

    `NO_PROXY` has names, which include their subdomains, and addresses, each with a port or without.
    """
    if origin.host in LOOPBACK:
        return None
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(f"{origin.host}:{origin.port}"):
        return None
    proxies = getproxies()
    url = proxies.get(origin.scheme) or proxies.get("all")
    return _proxy(url) if url else None


def _proxy(url: str) -> Proxy:
    if url.startswith("socks"):
        raise ConfigError(
            "The environment defines a SOCKS proxy, which this client cannot use. "
            "Set HTTPS_PROXY to an http:// proxy, or NO_PROXY to Linq's host."
        )
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in PORTS or not host:
        raise ConfigError(
            "The environment defines a proxy that is not an http:// or https:// address. "
            "Set HTTPS_PROXY to an address such as http://proxy.example:3128, or NO_PROXY to Linq's host."
        )
    fields = {}
    if parts.username or parts.password:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        fields["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(Origin(scheme, host, PORTS[scheme] if port is None else port), RequestHeaders(fields))
