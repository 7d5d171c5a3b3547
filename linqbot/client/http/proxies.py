"""Proxies from the environment: which proxy applies to an origin, and its credentials."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from linqbot.client.http.addresses import LOOPBACK, PORTS, Origin, literal
from linqbot.client.http.http11 import RequestHeaders
from linqbot.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy from the environment.

    Attributes:
        authorization: The value of `Proxy-Authorization`; empty if the proxy's URL has no credentials.
    """

    origin: Origin
    authorization: str = field(default="", repr=False)

    @property
    def fields(self) -> RequestHeaders:
        """Return the header fields that the proxy needs."""
        return RequestHeaders({"Proxy-Authorization": self.authorization} if self.authorization else {})


def environment_proxy(origin: Origin) -> Proxy | None:
    """Return the proxy that the environment defines for this origin; None for the local machine (the emulator).

    An entry of `NO_PROXY` is a name, which includes its subdomains, an address, or a network such as 10.0.0.0/8. Names
    and addresses may have a port. A network matches IP addresses only: names are not resolved for it.

    Raises:
        ConfigError: The client cannot use this proxy.
    """
    from urllib.request import getproxies, getproxies_environment, proxy_bypass

    if origin.host in LOOPBACK or proxy_bypass(origin.host):
        return None
    if any(_fits(entry.strip().lower(), origin) for entry in getproxies_environment().get("no", "").split(",")):
        return None
    proxies = getproxies()
    url = proxies.get(origin.scheme) or proxies.get("all")
    return _proxy(url) if url else None


def _fits(entry: str, origin: Origin) -> bool:
    if (is_inside := _is_inside(entry, origin.host)) is not None:
        return is_inside
    name, _, port = entry.rpartition(":")
    if not name or not port.isdecimal():
        return _is_or_is_below(origin.host, entry)
    if port != str(origin.port):
        return False
    is_inside = _is_inside(name, origin.host)
    return _is_or_is_below(origin.host, name) if is_inside is None else is_inside


def _is_inside(network: str, host: str) -> bool | None:
    """Return True if a host is an address inside a network; None if `network` is not a network but a name."""
    try:
        wanted = ip_network(network.removeprefix("[").removesuffix("]"), strict=False)
    except ValueError:
        return None
    address = literal(host)
    return address is not None and ip_address(address) in wanted


def _is_or_is_below(host: str, name: str) -> bool:
    name, host = name.strip("."), host.removesuffix(".")
    return name != "" and (host == name or host.endswith(f".{name}"))


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
    authorization = ""
    if parts.username or parts.password:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(Origin(scheme, host, PORTS[scheme] if port is None else port), authorization)
