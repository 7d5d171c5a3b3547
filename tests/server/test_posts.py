"""`POST /posts`: only with a secret, and nothing is lost without an answer that says so."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
from asgi_client import SECRET, client_of, running_client, signed
from fakes import Linq
from structlog.testing import capture_logs

from linqbot import Bot
from linqbot.errors import ConfigError, StorageUnavailable
from linqbot.events import Delivery
from linqbot.server.app import create_app
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.sqlite.memory import MemoryStorage

OTHER = "whsec_AAAABAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
GOOD = {"type": "order.shipped", "data": {"number": 7}, "chat": "9e1f"}


class Storage(MemoryStorage):
    """A storage that may be out of order."""

    is_away = False

    async def put(self, delivery: Delivery) -> bool:
        if self.is_away:
            raise StorageUnavailable("The disk is full.")
        return await super().put(delivery)


@asynccontextmanager
async def served(storage: MemoryStorage, *secrets: str, is_running: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        Bot(), client=Linq().client, storage=storage, secrets=[OTHER], post_secrets=secrets, max_body_bytes=1000
    )
    async with running_client(app) if is_running else client_of(app) as http:
        yield http


async def answer(http: httpx.AsyncClient, content: object, *, secret: str = SECRET, age_s: int = 0) -> tuple[int, str]:
    """Post with a signature, and return the status and the text of the answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = signed(body, at=time.time() - age_s, webhook_id="7", secret=secret)
    response = await http.post("/posts", content=body, headers=headers)
    return response.status_code, response.text.strip()


async def test_a_signed_post_is_stored_once_and_answered_202() -> None:
    storage = Storage()
    async with served(storage, OTHER, SECRET) as http:
        assert await answer(http, GOOD) == (202, "stored")
        assert await answer(http, GOOD, secret=OTHER) == (202, "known")
        assert await storage.has_seen("i.post.order.shipped:7")


async def test_what_cannot_be_stored_is_refused_with_the_reason(subtests: pytest.Subtests) -> None:
    rows: list[tuple[object, dict[str, object], int, str]] = [
        (GOOD, {"secret": "whsec_" + "A" * 44}, 401, "No secret of LINQBOT_POST_SECRETS"),
        (GOOD, {"age_s": 400}, 401, " s ago"),
        (b"{", {}, 400, "no JSON object"),
        ([1], {}, 400, "no JSON object"),
        ({"data": {}}, {}, 400, "cannot be the name"),
        ({**GOOD, "data": 7}, {}, 400, "must be a JSON object"),
        ({**GOOD, "chat": 7}, {}, 400, "the id of a chat"),
        ({**GOOD, "person": "+14155550142"}, {}, 400, "not both"),
        ({**GOOD, "data": {"a": "x" * 2000}}, {}, 413, "larger than 1000 bytes"),
    ]
    storage = Storage()
    async with served(storage, SECRET) as http:
        for content, how, status, why in rows:
            with subtests.test(why=why):
                got, text = await answer(http, content, **how)  # type: ignore[arg-type]
                assert (got, why in text) == (status, True), text
        with capture_logs() as logs:
            assert {(await http.post("/posts", json=GOOD)).status_code for _ in range(20)} == {401}
        assert [line["event"] for line in logs] == ["post.forged"] * 4, "one came before, and five a minute are logged"
        assert (await http.get("/posts")).status_code == 405
        assert await storage.depth() == 0


async def test_a_post_that_cannot_be_stored_now_is_answered_503_so_that_it_is_made_again() -> None:
    storage = Storage()
    async with served(storage, SECRET) as http:
        storage.is_away = True
        assert await answer(http, GOOD) == (503, "The post cannot be stored now. Post again later.")
        storage.is_away = False
        assert await answer(http, GOOD) == (202, "stored")
    async with served(storage, SECRET, is_running=False) as http:
        assert (await answer(http, GOOD))[0] == 503


async def test_a_post_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.server.app.WebhookEndpoint", partial(WebhookEndpoint, body_timeout_s=0.01))

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with served(Storage(), SECRET) as http, asyncio.timeout(5):
        answered = await http.post("/posts", content=slow())
    assert (answered.status_code, answered.text) == (503, "The body did not arrive completely. Post again later.")


async def test_without_secrets_there_is_no_such_route_and_a_wrong_secret_is_found_at_the_start() -> None:
    async with served(Storage()) as http:
        assert (await answer(http, GOOD))[0] == 404
    with pytest.raises(ConfigError):
        create_app(Bot(), client=Linq().client, storage=Storage(), secrets=[OTHER], post_secrets=["abc"])
