"""The addresses at which `dev` and `emulator` can be opened, and a warning when other machines can open them too."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import click


def _names(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(_name, values))


def _name(value: str) -> str:
    name = value.lower().removeprefix("[").removesuffix("]")
    if name.count(":") == 1 or not re.fullmatch(r"[a-z0-9_.:-]+", name):
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
    elsewhere: tuple[str, ...]  # addresses under the names that were given
    is_open: bool  # True if other machines can connect
    port: int


def exposed(bound: socket.socket, host: str, names: Sequence[str]) -> Exposed:
    """Return the addresses at which a bound port can be opened; `names` are more names for it."""
    number, port = bound.getsockname()[:2]
    address = ip_address(number.partition("%")[0])
    here = ("127.0.0.1" if bound.family == socket.AF_INET else "::1") if address.is_unspecified else host
    return Exposed(_url(here, port), tuple(_url(name, port) for name in names), not address.is_loopback, port)


def warn(what: Exposed, parts: str, *, as_json: bool) -> None:
    """Warn on standard error that other machines can connect: under which names, and how to avoid that.

    `parts` ask for no password, such as "the phone page".
    """
    if not what.is_open:
        return
    problem = (
        f"Every machine that reaches port {what.port} of this one can open {parts} without a password: it can read all "
        "conversations, write as any person, and delete everything."
    )
    fix = (
        f"Use it only in a network that you trust. Without --host only this machine can open it, and another one through "
        f"`ssh -L {what.port}:127.0.0.1:{what.port} THIS_MACHINE`."
    )
    if as_json:
        warning = {"what": problem, "fix": fix, "addresses": what.elsewhere}
        click.echo(json.dumps({"warning": warning}, ensure_ascii=False), err=True)
    else:
        where = f"\nFrom other machines: {', '.join(what.elsewhere)}" if what.elsewhere else ""
        click.secho(f"Warning: {problem}\n{fix}{where}", fg="yellow", err=True)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
