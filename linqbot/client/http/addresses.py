"""Parse and check URLs that came from outside, and decide which IP addresses are public. No I/O.

A URL is parsed once, here, and rebuilt from the checked parts, so that no second parser can read it differently. Host
names are checked for their form only; `media_fetch.py` resolves them and checks their addresses. File names that other
people chose are sanitised here too: no folders, no control characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from linqbot.characters import cut

PORTS: Final = {"https": 443, "http": 80}

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of the local machine."""

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

# IANA's special-purpose registries. `ip_address(...).is_global` is not used: its result depends on the Python version.
_CLOSED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public address by number, but on Azure it is the virtual machine's own host
        "169.254.0.0/16",  # link-local; most clouds' metadata at 169.254.169.254
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: leads to an IPv4 address
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


class UnsafeURL(ValueError):
    """A URL that the client does not follow. The message quotes nothing of the URL: queries carry signatures."""


class Origin(NamedTuple):
    """Scheme, host and port of a URL. The host is lower-case; an IPv6 address has no brackets."""

    scheme: str
    host: str
    port: int

    def is_same(self, other: Origin) -> bool:
        """Return True if both origins are equal, where all names of the local machine count as equal.

        The emulator returns URLs with 127.0.0.1 also when it is called as localhost.
        """
        hosts = {self.host, other.host}
        return (self.scheme, self.port) == (other.scheme, other.port) and (len(hosts) == 1 or hosts <= LOOPBACK)

    @property
    def authority(self) -> str:
        """Return host and port as in the Host header: an IPv6 address in brackets, the default port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Target:
    """A checked URL, percent-encoded as received: signatures are computed over this form. Its repr shows the origin only."""

    origin: Origin
    path: str = field(repr=False)
    query: str = field(repr=False)

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


def target(url: str) -> Target:
    """Parse and check a URL. Spaces and non-ASCII letters in its path are percent-encoded; a fragment is dropped."""
    if any(letter < " " or letter in "\\\x7f" for letter in url):
        raise UnsafeURL("A URL that contains control characters or backslashes is not followed.")
    try:
        parts = urlsplit(url)
        port = parts.port
        path, query = quote(parts.path or "/", safe=_PRINTABLE), quote(parts.query, safe=_PRINTABLE)
    except ValueError:
        raise UnsafeURL("The URL cannot be parsed.") from None
    if parts.scheme not in PORTS:
        raise UnsafeURL("Only https URLs are followed.")
    if "@" in parts.netloc:
        raise UnsafeURL("A URL with credentials before its host is not followed.")
    host = _host(parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.rstrip(":"))
    origin = Origin(parts.scheme, host, PORTS[parts.scheme] if port is None else port)
    return Target(origin, path, query)


def literal(host: str) -> str | None:
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def is_public(address: str) -> bool:
    """Return True if an IP address is a unicast address on the public internet.

    An IPv6 address that contains an IPv4 address is judged by that IPv4 address (mapped, NAT64), or refused (6to4,
    Teredo).
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        embedded = _embedded(ip)
        if embedded is None:
            return ip in _GLOBAL_V6 and not any(ip in network for network in _CLOSED_V6)
        ip = embedded
    return not any(ip in network for network in _CLOSED_V4)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    # On an IPv6-only network, DNS64 gives every IPv4 host a NAT64 address. Refusing them would refuse every IPv4 host.
    return IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped


def _host(written: str) -> str:
    host = written.lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" in host and "%" not in host and (address := literal(host)):
            return address
    elif (literal(host) and ":" not in host) or _is_name(host):
        return host
    raise UnsafeURL("The URL's host is neither a name nor an IP address in its usual form.")


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    # Some resolvers read a name whose last label is a number as an address: 2130706433, 0x7f.1, 127.1, 0177.0.0.1
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels) and not _NUMBER.fullmatch(labels[-1])


_LONGEST_DISPOSITION = 2048
_LONGEST_NAME = 255


def disposed_name(disposition: str) -> str:
    """Return the file name in a `Content-Disposition` header; empty if it has none that can be read, or is too long."""
    from email.message import Message

    if not disposition or len(disposition) > _LONGEST_DISPOSITION:
        return ""
    message = Message()
    message["Content-Disposition"] = disposition
    try:
        return message.get_filename() or ""
    except (ValueError, LookupError, TypeError):
        # A character set that Python does not decode, such as `idna`; or pieces of a name with and without a number.
        return ""


def bare_name(name: str) -> str | None:
    """Return a name without folders and control characters; None if nothing is left of it."""
    # Control characters, including those that change the direction of text: with one of them, gpj.exe reads as exe.jpg. Half a
    # surrogate pair is removed too: no system and no JSON takes a name with one. The character set utf-7 makes it. The
    # pattern is compiled at its first use, which takes as long as all others of the client together.
    printed = re.sub(
        r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", "", name.replace("\\", "/")
    )
    bare = printed.rpartition("/")[2].strip()
    return cut(bare, _LONGEST_NAME) if bare.strip(".") else None
