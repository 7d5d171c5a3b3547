"""Access to the operator's page: a password for each role, or the header of a trusted proxy.

`sessions.py` keeps the sessions of those who have logged in with a password, and `wrong_passwords.py` slows down who guesses. Each
form has a token of its session, so that no page of another site can send one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from getpass import getpass
from ipaddress import ip_address, ip_network
from typing import Final

from starlette.requests import Request

from linqbot.clock import Clock, SystemClock
from linqbot.errors import ConfigError, LinqbotError
from linqbot.settings import from_env
from linqbot_operator.page.sessions import Role, Sessions
from linqbot_operator.page.wrong_passwords import WrongPasswords

COOKIE: Final = "linqbot_page"
FORWARDED_FOR: Final = "x-forwarded-for"
"""The header in which proxies note where a request came from, each at the end."""

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


class LogInRefused(LinqbotError):
    """A log-in is refused: the password is wrong, or its client has tried too many."""


class Access:
    """Decides who a request comes from.

    Args:
        passwords: The hash of the password of each role.
        user_header: The header in which a proxy names the person; None if there is no such proxy.
        proxies: The addresses or networks of the proxies whose headers count.
        operators: The names of the people who may act; the others that the proxy lets in only read.
    """

    def __init__(
        self,
        sessions: Sessions,
        clock: Clock,
        passwords: Mapping[Role, str],
        *,
        user_header: str | None = None,
        proxies: Sequence[str] = (),
        operators: Sequence[str] = (),
    ) -> None:
        self._sessions = sessions
        self._passwords = passwords
        self._user_header = user_header
        self._is_behind_any_proxy = "*" in proxies
        self._proxies = [ip_network(each, strict=False) for each in proxies if each not in NO_ADDRESSES]
        self._operators = operators
        self._key = secrets.token_bytes(32)  # of the form tokens of people whom a proxy names, who have no session here
        self._wrong = WrongPasswords(clock)
        self._looked_at: set[str] = set()  # the clients whose password is being checked
        self._one_at_a_time = asyncio.Lock()

    @property
    def has_passwords(self) -> bool:
        return bool(self._passwords)

    async def log_in(self, password: str, client: str) -> str:
        """Begin a session for a password, and return its cookie.

        Passwords are checked one at a time, and one of each client: a client that guesses waits, and the others do not wait for it.

        Raises:
            LogInRefused: the password fits no role, or the client has tried too many.
        """
        if client in self._looked_at or self._wrong.has_too_many(client):
            raise LogInRefused("Too many passwords of your address were wrong in the last minute. Wait a minute.")
        self._looked_at.add(client)
        try:
            async with self._one_at_a_time:
                for role, stored in self._passwords.items():
                    if await asyncio.to_thread(_fits, password, stored):
                        return await self._sessions.begin(role)
        finally:
            self._looked_at.discard(client)
        self._wrong.add(client)
        raise LogInRefused("This is not the password.")

    async def log_out(self, request: Request) -> None:
        if token := request.cookies.get(cookie_of(request)):
            await self._sessions.end(token)

    async def session(self, request: Request) -> Session | None:
        """Return the session of a request; None if it has none."""
        if self._user_header is not None and self._is_proxy(_peer_of(request)):
            names = request.headers.getlist(self._user_header)
            if len(names) > 1:
                # A proxy sets the header once. Another one is of the client, and which of them counts would be a guess.
                return None
            if names and (name := names[0]):
                role: Role = "operator" if name in self._operators else "reader"
                return Session(role, name, self._signature(f"form {name}"))
        token = request.cookies.get(cookie_of(request), "")
        role_of_session = await self._sessions.role_of(token) if token else None
        if role_of_session is None:
            return None
        return Session(role_of_session, role_of_session, hmac.new(token.encode(), b"form", "sha256").hexdigest())

    def is_of_form(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(session.form_token.encode(), token.encode())

    def client_of(self, request: Request) -> str:
        """Return the address that a request came from: that of the peer, or the one that trusted proxies have noted."""
        address = peer = _peer_of(request)
        for hop in reversed(",".join(request.headers.getlist(FORWARDED_FOR)).split(",")):
            is_behind_proxy = self._is_proxy(address) or (self._is_behind_any_proxy and address == peer)
            if not is_behind_proxy or not hop.strip():
                break
            address = hop.strip()
        return address

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:  # no address, as of a Unix socket
            return False
        return any(found in network for network in self._proxies)

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()


def _peer_of(request: Request) -> str:
    return request.client.host if request.client else ""


async def _end_sessions() -> int:
    async with from_env().open_storage(serving=False) as storage:
        return await Sessions(storage, SystemClock()).end_all()


if __name__ == "__main__":
    if sys.argv[1:] == ["--end-sessions"]:
        ended = asyncio.run(_end_sessions())
        sys.stdout.write(f"Sessions that were ended: {ended}\n")
        sys.exit()
    if getpass("Password of the page: ") != (again := getpass("Again: ")) or not again:
        sys.exit("These are not the same, or nothing.")
    sys.stdout.write(f"LINQBOT_PAGE_PASSWORD='{hashed(again)}'\n")
