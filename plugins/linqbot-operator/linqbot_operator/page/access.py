"""Access to the operator's page: a password for each role, or the header of a trusted proxy.

A session is a cookie that this process has signed, so a restart ends all sessions. Each form has a token of its session, so
that no page of another site can send one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from getpass import getpass
from ipaddress import ip_address, ip_network
from typing import Final, Literal, TypeAlias

from starlette.requests import Request

from linqbot.clock import Clock
from linqbot.errors import ConfigError

Role: TypeAlias = Literal["operator", "reader"]

COOKIE: Final = "linqbot_page"
SESSION_S: Final = 12 * 3600.0
MOST_TRIES: Final = 10
"""Wrong passwords in a minute, of all clients together, after which no password is looked at for a while."""

HOW_TO_HASH: Final = "Make the hash of a password with: python -m linqbot_operator.page.access"

NO_ADDRESSES: Final = frozenset({"unix:", "*"})
"""Trusted proxies of the bot's port that say nothing about the page's: it has no socket, and not every client is a proxy."""

_SCHEME: Final = "scrypt"
_COST: Final = 2**14


def cookie_of(request: Request) -> str:
    """Return the name of the cookie of a session. A browser sends a cookie to all ports of a host, and each may be a bot."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"{COOKIE}_{port}" if port.isascii() and port.isdigit() else COOKIE


def hashed(password: str) -> str:
    """Return the hash of a password, for the settings."""
    salt = secrets.token_bytes(16)
    return "$".join((_SCHEME, *(base64.urlsafe_b64encode(each).decode() for each in (salt, _scrypt(password, salt)))))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=8, p=1)


def _fits(password: str, stored: str) -> bool:
    scheme, salt, digest = stored.split("$")
    if scheme != _SCHEME:
        raise ValueError(scheme)
    return hmac.compare_digest(_scrypt(password, base64.urlsafe_b64decode(salt)), base64.urlsafe_b64decode(digest))


def check_hash(variable: str, stored: str) -> None:
    """Check that a setting is the hash of a password.

    Raises:
        ConfigError: it is not.
    """
    try:
        _fits("", stored)
    except ValueError as error:
        raise ConfigError(f"{variable} is not the hash of a password. {HOW_TO_HASH}") from error


@dataclass(frozen=True, slots=True)
class Session:
    """A person who uses the page.

    Attributes:
        name: As the proxy names the person; otherwise the role.
        form_token: What each form of this session sends along.
    """

    role: Role
    name: str
    form_token: str


class Access:
    """Decides who a request comes from.

    Args:
        passwords: The hash of the password of each role.
        user_header: The header in which a proxy names the person; None if there is no such proxy.
        proxies: The addresses or networks of the proxies whose header counts.
        operators: The names of the people who may act; the others that the proxy lets in only read.
    """

    def __init__(
        self,
        clock: Clock,
        passwords: Mapping[Role, str],
        *,
        user_header: str | None = None,
        proxies: Sequence[str] = (),
        operators: Sequence[str] = (),
    ) -> None:
        self._clock = clock
        self._passwords = passwords
        self._user_header = user_header
        self._proxies = [ip_network(each, strict=False) for each in proxies if each not in NO_ADDRESSES]
        self._operators = operators
        self._key = secrets.token_bytes(32)
        self._wrong: deque[float] = deque(maxlen=MOST_TRIES)
        self._one_at_a_time = asyncio.Lock()

    @property
    def has_passwords(self) -> bool:
        return bool(self._passwords)

    async def log_in(self, password: str) -> str | None:
        """Return the cookie of a new session; None if the password fits no role, or too many were wrong."""
        async with self._one_at_a_time:
            now = self._clock.now()
            if len(self._wrong) == MOST_TRIES and self._wrong[0] > now - 60:
                return None
            for role, stored in self._passwords.items():
                if await asyncio.to_thread(_fits, password, stored):
                    said = f"{role}.{now + SESSION_S:.0f}.{secrets.token_hex(12)}"
                    return f"{said}.{self._signature(said)}"
            self._wrong.append(now)
            return None

    def session(self, request: Request) -> Session | None:
        """Return the session of a request; None if it has none."""
        if self._user_header is not None and self._is_of_proxy(request):
            name = request.headers.get(self._user_header)
            if name:
                role: Role = "operator" if name in self._operators else "reader"
                return Session(role, name, self._signature(f"form {name}"))
        said, _, signature = request.cookies.get(cookie_of(request), "").rpartition(".")
        if not said or not hmac.compare_digest(self._signature(said).encode(), signature.encode()):
            return None
        named, until, _ = said.split(".", 2)
        if float(until) <= self._clock.now():
            return None
        role = "operator" if named == "operator" else "reader"
        return Session(role, role, self._signature(f"form {said}"))

    def is_of_form(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(session.form_token.encode(), token.encode())

    def _is_of_proxy(self, request: Request) -> bool:
        if request.client is None:
            return False
        peer = ip_address(request.client.host)
        return any(peer in network for network in self._proxies)

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()


if __name__ == "__main__":
    if getpass("Password of the page: ") != (again := getpass("Again: ")) or not again:
        sys.exit("These are not the same, or nothing.")
    sys.stdout.write(f"LINQBOT_PAGE_PASSWORD='{hashed(again)}'\n")
