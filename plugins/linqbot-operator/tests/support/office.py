"""An operator in front of the operator's page of a bot: a browser without pictures, and the page next to its bot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from html import unescape

import httpx
import pytest
from linqbot_operator.page.access import Access, hashed
from linqbot_operator.page.app import create_page
from linqbot_operator.page.sessions import Role, Sessions
from starlette.applications import Starlette
from storages import open_storage

from linqbot import Bot
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.storage.backend import Storage
from linqbot.testing import Phone, talking

PAGE, PROXY, STRANGER = "http://page", "10.0.0.9", "10.0.0.10"
_ITEM = re.compile(r'<li class="([^"]*)" id="s-[^>]*>(.*?)</li>', re.DOTALL)


@dataclass(frozen=True)
class Seen:
    """A bubble of a conversation, as an operator sees it."""

    looks: str  # the classes
    who: str
    text: str
    mark: str


def plain(html: str) -> str:
    """Return the words of HTML."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


def _items(html: str) -> list[tuple[str, str]]:
    return _ITEM.findall(html)


def _part(item: str, name: str) -> str:
    found = re.search(rf'<(\w+) class="{name}[^>]*>(.*?)</\1>', item, re.DOTALL)
    return "" if found is None else found[2]


class Operator:
    """A browser without pictures, of one person."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def log_in(self, password: str) -> int:
        return (await self.http.post("/login", data={"password": password, "to": "/day"})).status_code

    async def see(self, path: str) -> str:
        shown = await self.http.get(path)
        assert shown.status_code == 200, shown.text
        is_chat = path.startswith("/chats/")
        assert shown.text.count("script") == 2 * is_chat, "the only script is that of a chat"
        assert ("script-src" in shown.headers["content-security-policy"]) is is_chat
        return plain(shown.text)

    async def chat(self, chat_id: str, *, show: str = "") -> list[Seen]:
        """Return the conversation of a chat."""
        html = (await self.http.get(f"/chats/{chat_id}", params={"show": show} if show else None)).text
        return [
            Seen(looks, *(plain(_part(item, name)).strip() for name in ("who", "bubble", "mark")))
            for looks, item in _items(html)
        ]

    async def token(self, path: str = "/") -> dict[str, str]:
        fields = re.findall(r'name="(token|back|once)" value="([^"]*)"', (await self.http.get(path)).text)
        return dict(fields)

    async def do(self, path: str, view: str, **fields: str) -> str:
        """Send a form of a view, and return what the view says then."""
        done = await self.http.post(path, data={**await self.token(view), **fields})
        assert done.status_code == 303, done.text
        said = re.search(r'role="status">([^<]*)<', (await self.http.get(done.headers["location"])).text)
        assert said is not None
        return said[1]


def _page(
    storage: Storage, client: Client | None, clock: MovableClock, hashes: dict[Role, str], mute_s: float
) -> Starlette:
    sessions = Sessions(storage, clock)
    access = Access(sessions, clock, hashes, user_header="x-user", proxies=[PROXY], operators=["Dana"])
    return create_page(storage, client, access, clock, mute_s=mute_s)


class Office:
    """A bot, its phone, and the page next to it."""

    def __init__(
        self, phone: Phone, storage: Storage, clock: MovableClock, *, client: Client | None, mute_s: float
    ) -> None:
        self.phone, self.storage, self.clock = phone, storage, clock
        hashes: dict[Role, str] = {"operator": hashed("let me act"), "reader": hashed("let me look")}
        self._page = partial(_page, storage, client, clock, hashes, mute_s)
        self.app = self._page()

    def start_again(self) -> None:
        """Serve the page by a new process, as it were: on the same storage, with nothing else of the old one."""
        self.app = self._page()

    @asynccontextmanager
    async def browser(self, *, peer: str = STRANGER, **headers: str) -> AsyncIterator[Operator]:
        transport = httpx.ASGITransport(self.app, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url=PAGE, headers=headers) as http:
            yield Operator(http)

    @asynccontextmanager
    async def operator(self, password: str = "let me act") -> AsyncIterator[Operator]:
        async with self.browser() as one:
            assert await one.log_in(password) == 303
            yield one


@asynccontextmanager
async def at_office(bot: Bot, url: str, *, mute_s: float = 1800.0, asks_linq: bool = True) -> AsyncIterator[Office]:
    """Open the page next to a bot that people text, with its storage at `url`."""
    scrypt = hashlib.scrypt  # which takes long on purpose
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "scrypt", lambda *given, **how: scrypt(*given, **how | {"n": 2}))
        async with talking(bot, storage=url) as phone:
            clock = MovableClock(phone.now, frozen=True)
            async with open_storage(url, serving=False, clock=clock) as storage:
                yield Office(phone, storage, clock, client=phone.client if asks_linq else None, mute_s=mute_s)
