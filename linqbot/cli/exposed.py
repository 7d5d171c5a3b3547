"""The addresses at which `dev` and `emulator` can be opened, and a warning when other machines can open them too."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import click

_DESTINATIONS: Final = ("192.0.2.1", "10.254.254.254", "172.31.254.254", "192.168.254.254", "2001:db8::1")
"""Examples of a public address and of one in each private range: a machine may have an address in several of them."""


def _names(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(_name, values))


def _name(value: str) -> str:
    name = value.lower().removeprefix("[").removesuffix("]")
    if _address(name) is None and not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        raise click.BadParameter(f"{value!r} is not a host. Write a name or an IP address alone, such as mybox.local.")
    return name


allow_host_option = click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    callback=_names,
    help="Another name or address under which the page may be opened, such as mybox.local; repeatable.",
)


@dataclass(frozen=True, slots=True)
class Exposed:
    here: str  # the address for this machine
    elsewhere: tuple[str, ...]  # addresses for other machines; only when `is_open`, and empty when none was found
    is_open: bool  # True if other machines can connect
    port: int


def exposed(bound: socket.socket, host: str, names: Sequence[str]) -> Exposed:
    """Return the addresses at which a bound port can be opened; `names` are more names for it."""
    number, port = bound.getsockname()[:2]
    address = _address(number)
    is_wildcard = address is not None and address.is_unspecified
    is_open = address is None or not address.is_loopback
    here = _url(("127.0.0.1" if bound.family == socket.AF_INET else "::1") if is_wildcard else host, port)
    if not is_open:
        return Exposed(here, (), is_open, port)
    own = [_url(one, port) for one in own_addresses(bound.family)] if is_wildcard else [here]
    return Exposed(here, (*(_url(name, port) for name in names), *own), is_open, port)


def own_addresses(family: int) -> list[str]:
    """Return the addresses of this machine that other machines may reach; for an IPv4 socket, only IPv4 addresses."""
    wanted = [one for one in _DESTINATIONS if family == socket.AF_INET6 or ":" not in one]
    found = dict.fromkeys(filter(None, map(source, wanted)))
    return [one for one in found if (address := _address(one)) is not None and not address.is_loopback]


def source(destination: str) -> str | None:
    """Return the address from which this machine would reach `destination`; None without a route. Sends nothing."""
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((destination, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def warn(what: Exposed, parts: str, *, as_json: bool) -> None:
    """Warn on standard error that other machines can connect: to which addresses, and how to avoid that.

    `parts` ask for no password, such as "the phone page".
    """
    if not what.is_open:
        return
    problem = (
        f"Every machine that reaches port {what.port} of this one can open {parts} without a password: it can read all "
        "conversations, write as any person, and delete everything."
    )
    where = ", ".join(what.elsewhere) or "no address was found; give a name with --allow-host NAME"
    fix = (
        f"Use it only in a network that you trust. Without --host only this machine can open it, and another one through "
        f"`ssh -L {what.port}:127.0.0.1:{what.port} THIS_MACHINE`."
    )
    if as_json:
        warning = {"what": problem, "fix": fix, "addresses": what.elsewhere}
        click.echo(json.dumps({"warning": warning}, ensure_ascii=False), err=True)
    else:
        click.secho(f"Warning: {problem}\n{fix}\nFrom other machines: {where}", fg="yellow", err=True)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
