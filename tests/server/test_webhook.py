"""Every kind of POST gets its status; none crashes the server, and no authentic one is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from asgi_client import PATH, SECRET, posted, running_client, signed
from fakes import Linq, text_body
from patience import PATIENCE_S, until
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from linqbot import Bot, Context, Event, UnknownEvent
from linqbot.clock import MovableClock, SystemClock
from linqbot.errors import StorageUnavailable
from linqbot.linq.events.delivery import PROBE_TYPE
from linqbot.linq.signatures import sign_legacy
from linqbot.server import uvicorn_server
from linqbot.server.app import create_app, running
from linqbot.server.refusals import RefusalRecord
from linqbot.server.secret_file import REFRESH_EVERY_S, SecretFile
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage

OTHER = "whsec_" + "QUJD" * 10


@pytest.fixture(autouse=True, params=["ASGI", "own server"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer is the same on any ASGI server and on linqbot's own, which does without ASGI for genuine deliveries."""
    monkeypatch.setattr(House, "on_own_server", request.param == "own server")


class House:
    """A served bot that records the events it handles."""

    on_own_server = False

    def __init__(self, storage: MemoryStorage | SQLiteStorage | None = None, **settings: Any) -> None:
        self.seen: list[Event] = []
        self.storage = storage or MemoryStorage()
        bot = Bot(read=False, typing=False, groups="all", max_age_s=None)

        @bot.on(Event, late=True)
        async def note(event: Event, ctx: Context) -> None:
            self.seen.append(event)

        self.app = create_app(bot, client=Linq().client, storage=self.storage, secrets=[SECRET], **settings)

    @property
    def webhook(self) -> WebhookEndpoint:
        """Return the endpoint."""
        return next(route.app for route in self.app.routes if getattr(route, "path", "") == PATH)  # type: ignore[attr-defined,no-any-return]

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[httpx.AsyncClient]:
        if self.on_own_server:
            async with served(self.app) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
                yield http
        else:
            async with running_client(self.app) as http:
                yield http

    async def handled(self) -> list[Event]:
        await until(self.is_done)
        return self.seen

    async def is_done(self) -> bool:
        return not await self.storage.depth()


@contextlib.asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """Serve an app with linqbot's own server in the running event loop; yield its URL."""
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        is_up = asyncio.get_running_loop().create_future()
        ready = partial(is_up.set_result, None)
        server = uvicorn_server.Server(app, graceful_s=1, when_ready=ready, is_main=False)
        serving = asyncio.create_task(server.serve(bound))
        await asyncio.wait({is_up, serving}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield uvicorn_server.address(bound)
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
def house() -> House:
    return House()


def with_limits(monkeypatch: pytest.MonkeyPatch, **limits: Any) -> House:
    """Return a served bot whose endpoint has other limits than `create_app` gives it."""
    monkeypatch.setattr("linqbot.server.app.WebhookEndpoint", partial(WebhookEndpoint, **limits))
    return House()


async def test_a_duplicate_is_answered_and_handled_once(house: House) -> None:
    body = text_body()
    async with house.open() as http:
        headers = signed(body)
        answers = await asyncio.gather(*(http.post(PATH, content=body, headers=headers) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(await house.handled()) == 1
        # Also with another delivery id, because the id of the event decides.
        assert await posted(http, body) == 200
        assert len(await house.handled()) == 1


async def test_a_forgery_is_answered_401_and_never_stored(house: House, subtests: pytest.Subtests) -> None:
    body = text_body()
    rows: dict[str, tuple[bytes, dict[str, str]]] = {
        "unsigned": (body, {}),
        "tampered": (body.replace(b"hello", b"hallo"), signed(body)),
        "other secret": (body, signed(body, secret=OTHER)),
        "truncated signature": (body, signed(body) | {"webhook-signature": "v1,"}),
    }
    async with house.open() as http:
        for how, (sent, headers) in rows.items():
            with subtests.test(how):
                assert (await http.post(PATH, content=sent, headers=headers)).status_code == 401
                assert await house.storage.depth() == 0
    assert house.seen == []


async def test_only_refusals_of_what_looks_like_linqs_may_be_of_people(house: House) -> None:
    record = house.webhook.record = RefusalRecord(None, MovableClock())
    body = text_body()
    async with house.open() as http:
        await http.post(PATH, content=b"")
        for missing in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            await http.post(PATH, content=body, headers={k: v for k, v in signed(body).items() if k != missing})
        await http.post(PATH, content=body, headers=signed(body) | {"webhook-signature": ""})
        await http.post(PATH, content=b"x" * ((1 << 20) + 1), headers=signed(body))
        assert +record.of_people == {}, "strangers"
        await posted(http, body, secret=OTHER)
        await posted(http, body, at=1_000)
        house.webhook.is_open = False
        await http.post(PATH, content=b"")
        await posted(http, body)
    assert +record.of_people == {"forged": 1, "out_of_time": 1, "closed": 1}


async def test_a_flood_of_refused_deliveries_writes_a_few_lines_with_the_sender_and_their_number(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = text_body()

    async def full(_: object) -> bool:
        raise StorageUnavailable("disk full")

    async with house.open() as http:
        with structlog.testing.capture_logs() as logs:
            for _ in range(8):
                await http.post(PATH, content=b"forged")
                await http.post(PATH, content=b"forged", headers=signed(b"other"))
                await http.post(PATH, content=b"x" * ((1 << 20) + 1))
                await posted(http, old, at=1_000)
            monkeypatch.setattr(house.storage, "put", full)
            for n in range(8):
                await posted(http, text_body(str(n)))
            await house.webhook.close()
    strange = [line for line in logs if line["event"] in ("delivery.forged", "delivery.too_large")]
    assert {line["client"] for line in strange} == {"127.0.0.1"}
    lines = Counter(line["event"] for line in logs)
    assert lines == {"delivery.forged": 12, "delivery.too_large": 6, "delivery.out_of_time": 6, "delivery.refused": 6}
    counts = [line for line in logs if "suppressed" in line]
    assert sorted((line["event"], line.get("reason", "")[:13], line["suppressed"]) for line in counts) == [
        ("delivery.forged", "The POST has ", 3),
        ("delivery.forged", "The signature", 3),
        ("delivery.out_of_time", "The signature", 3),
        ("delivery.refused", "", 3),
        ("delivery.too_large", "", 3),
    ]


@pytest.mark.parametrize("off_s", [-301, 360, -86_400])  # time passes in the test, towards what lies ahead
async def test_a_genuine_delivery_out_of_time_may_come_again(house: House, off_s: float) -> None:
    body = text_body()
    async with house.open() as http:
        answer = await http.post(PATH, content=body, headers=signed(body, at=time.time() + off_s))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert house.seen == []
        assert await posted(http, body) == 200
        assert len(await house.handled()) == 1
        # A delivery that is stored is answered 200, even if it is replayed outside the time window.
        assert await posted(http, body, at=1_000) == 200
        assert len(await house.handled()) == 1


@pytest.mark.parametrize("declared", [True, False], ids=["with content-length", "chunked"])
async def test_an_oversized_body_is_refused_while_reading_and_may_come_again(declared: bool) -> None:
    house = House(max_body_bytes=1000)
    # Through a socket, a client that still sends when the connection is closed may never see the answer.
    house.on_own_server = house.on_own_server and declared
    body = text_body("x" * 2000)
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        for start in range(0, len(body), 100):
            read += 1
            yield body[start : start + 100]

    async with house.open() as http:
        content: Any = body if declared else chunks()
        answer = await http.post(PATH, content=content, headers=signed(body))
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
    assert read == (0 if declared else 11)
    assert house.seen == []


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_body_of_exactly_the_largest_size_is_accepted(in_pieces: bool) -> None:
    body = text_body("x" * 2000)
    house = House(max_body_bytes=len(body))

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:1000]
        yield body[1000:]

    async with house.open() as http:
        content: Any = pieces() if in_pieces else body
        assert (await http.post(PATH, content=content, headers=signed(body))).status_code == 200
        assert len(await house.handled()) == 1


async def test_signed_bodies_that_are_no_events_are_kept_as_dead_letters_with_their_cause(house: House) -> None:
    event = json.loads(text_body())
    causes = {
        text_body()[:40]: "its 40 bytes are not JSON",
        b"": "it is empty",
        json.dumps([event, event]).encode(): "it is a JSON list of 2",
        b'"text"': "it is JSON, but no object",
        b"\xff\xfe\x00": "its 3 bytes are not JSON",
        b"null": "it is JSON, but no object",
        json.dumps({**event, "event_type": None}).encode(): "it has no event_type",
        json.dumps(
            {**json.loads(text_body()), "data": None}
        ).encode(): "could not be parsed: chat, chat_id, id missing or wrong",
    }
    async with house.open() as http:
        for i, body in enumerate(causes):
            # Such a body may have no event id, so the delivery is known by the id that Linq signed.
            for at in (None, 1_000):
                headers = signed(body, at=at, webhook_id=f"msg_{i}")
                assert (await http.post(PATH, content=body, headers=headers)).status_code == 200, body
        assert await house.handled() == []
        kept = await house.storage.dead_letters()
        bodies = {each.delivery.body: each.error for each in kept}
        assert {body: cause in bodies[body] for body, cause in causes.items()} == dict.fromkeys(causes, True)
        assert len(kept) == len(causes)


async def test_a_signed_event_of_an_unknown_type_is_handled(house: House) -> None:
    bodies = [b'{"event_type": "of.tomorrow", "data": {"a": 1}}', b'{"event_type": "of.tomorrow", "event_id": "e"}']
    async with house.open() as http:
        for body in bodies:
            assert await posted(http, body) == 200
        assert [event.body for event in await house.handled() if isinstance(event, UnknownEvent)] == bodies


@pytest.mark.parametrize(("method", "at"), [("put", None), ("has_seen", 1_000)], ids=["in time", "out of time"])
async def test_a_delivery_may_come_again_if_the_storage_fails(
    house: House, monkeypatch: pytest.MonkeyPatch, method: str, at: float | None
) -> None:
    body = text_body()

    async def fails(_: object) -> bool:
        raise StorageUnavailable("disk broken")

    async with house.open() as http:
        with monkeypatch.context() as patch:
            patch.setattr(house.storage, method, fails)
            answer = await http.post(PATH, content=body, headers=signed(body, at=at))
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
        assert await posted(http, body) == 200
        assert len(await house.handled()) == 1


@pytest.mark.parametrize("way", ["ASGI"], indirect=True)
@pytest.mark.parametrize("mounted", [False, True])
async def test_it_mounts_into_another_app_and_its_path_may_end_with_a_slash(house: House, mounted: bool) -> None:
    body = text_body()
    prefix, app = "", house.app
    if mounted:
        prefix = "/bots/echo"
        app = Starlette(routes=[Mount(prefix, house.app)], lifespan=lambda _: running(house.app))  # type: ignore[arg-type]
    async with running_client(app) as http:
        for path in (PATH, f"{PATH}/"):
            assert (await http.post(prefix + path, content=body, headers=signed(body))).status_code == 200
            assert (await http.post(prefix + path, content=b"forged")).status_code == 401
        assert len(await house.handled()) == 1


async def test_other_methods_and_paths_are_not_webhooks(house: House) -> None:
    async with house.open() as http:
        assert (await http.get(PATH)).status_code == 405
        assert (await http.post("/webhooks")).status_code == 404


@pytest.mark.parametrize(("allowed", "status"), [(True, 200), (False, 401)])
async def test_the_older_headers_count_only_if_they_are_allowed(allowed: bool, status: int) -> None:
    house = House(allow_legacy_signatures=allowed)
    now = int(time.time())
    async with house.open() as http:
        for count, body in ((1, text_body()), (2, b'{"event_type":"hologram.beamed"}')):  # the second has no event id
            signature = sign_legacy(body, timestamp=now, secret=SECRET)
            headers = {"x-webhook-timestamp": str(now), "x-webhook-signature": signature}
            for fresh in ("a", "b", "c"):
                answer = await http.post(PATH, content=body, headers=headers | {"webhook-id": fresh})
                assert answer.status_code == status
            assert len(await house.handled()) == (count if allowed else 0)


async def test_middleware_put_around_the_app_sees_deliveries_too(house: House) -> None:
    paths: list[str] = []

    class Watch:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                paths.append(scope["path"])
            await self._app(scope, receive, send)

    house.app.add_middleware(Watch)
    async with house.open() as http:
        assert await posted(http, text_body()) == 200
    assert paths == [PATH]


Receives = Callable[[], Awaitable[dict[str, Any]]]


async def called(house: House, receive: Receives, headers: dict[str, str] | None = None) -> list[int]:
    """Call the endpoint as a server does, and return the statuses of its answer."""
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await house.webhook({"type": "http", "method": "POST", "headers": raw, "path": PATH}, receive, send)
    return statuses


def begun_with(piece: bytes, then: Receives) -> Receives:
    """Return what receives the beginning of a body, perhaps nothing, and then what `then` returns."""
    pieces = [piece] if piece else []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(), "more_body": True} if pieces else await then()

    return receive


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("way", ["ASGI"], indirect=True)
@pytest.mark.parametrize("begun", [b"{", b""], ids=["some of it", "none of it"])
async def test_a_slow_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    house = with_limits(monkeypatch, body_timeout_s=0.01)
    async with house.open():
        assert await called(house, begun_with(begun, never)) == [503]


@pytest.mark.parametrize("begun", [b"{", b""], ids=["some of it", "none of it"])
async def test_a_body_that_is_given_up_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    body = text_body()
    house = with_limits(monkeypatch, max_held_bytes=len(body))
    has_ended = False

    async def receive() -> dict[str, Any]:
        nonlocal has_ended
        try:
            return await never()
        finally:
            has_ended = True

    async def in_pieces() -> AsyncIterator[bytes]:
        yield body[:10]
        yield body[10:]  # with the one byte of the other body, this would be too much

    async with house.open() as http:
        waiting = asyncio.ensure_future(called(house, begun_with(begun, receive)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert has_ended
        assert (await http.post(PATH, content=in_pieces(), headers=signed(body))).status_code == 200


async def test_bodies_that_trickle_in_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    house = with_limits(monkeypatch, max_held_bytes=5000)

    async with house.open() as http:
        for _ in range(2):
            go = asyncio.Event()

            async def leave(go: asyncio.Event = go) -> dict[str, Any]:
                await go.wait()
                return {"type": "http.disconnect"}

            slow = [asyncio.ensure_future(called(house, begun_with(b"x" * 1000, leave))) for _ in range(8)]
            for _ in range(10):
                await asyncio.sleep(0)
            assert [each.result() for each in slow if each.done()] == [[503]] * 3
            go.set()
            # Five senders closed the connection in the middle of a body, which shows no forgery.
            assert await asyncio.gather(*slow) == [[503]] * 8
        assert await posted(http, text_body()) == 200


async def test_a_secret_that_is_rotated_in_the_file_is_accepted_at_once_and_without_a_restart(tmp_path: Path) -> None:
    file = SecretFile(tmp_path / "secret")
    house = House(secret_file=file.path)
    body = text_body("signed with the new secret")
    async with house.open() as http:
        assert await posted(http, body, secret=OTHER) == 401
        file.keep(OTHER, "s1")
        for secret in (OTHER, SECRET):
            assert await posted(http, body, secret=secret) == 200


async def test_a_secret_that_left_the_file_is_refused_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SecretFile(tmp_path / "secret")
    file.keep(OTHER, "s1")
    house = House(secret_file=file.path)
    start = time.time()
    body = text_body()
    async with house.open() as http:
        monkeypatch.setattr(SystemClock, "now", lambda _: start)
        for secret in (OTHER, SECRET):
            assert await posted(http, body, secret=secret) == 200
        file.drop("s1")
        monkeypatch.setattr(SystemClock, "now", lambda _: start + REFRESH_EVERY_S)
        assert await posted(http, body, secret=OTHER) == 401
        assert await posted(http, body) == 200


async def test_a_refusal_describes_the_request_that_arrived(house: House) -> None:
    async with house.open() as http:
        headers = signed(b"{}")
        changed = await http.post(PATH, content=b"{ }", headers=headers)
        bare = await http.post(PATH, content=b"{}", headers={"webhook-id": "e1"})
    assert changed.status_code == bare.status_code == 401
    assert changed.headers["www-authenticate"] == (
        f'Webhook-Signature error="signature", bytes="3", crc32="{zlib.crc32(b"{ }"):08x}"'
    )
    assert bare.headers["www-authenticate"] == (
        'Webhook-Signature error="headers", missing="webhook-timestamp webhook-signature"'
    )


async def test_a_probe_from_linqbot_is_stored_and_reaches_no_handler(house: House) -> None:
    body = json.dumps({"event_type": PROBE_TYPE, "event_id": "probe-1", "data": {}}).encode()
    async with house.open() as http:
        for _ in range(2):
            assert await posted(http, body) == 200
        assert await house.handled() == []
        assert await house.storage.has_seen("i.doctor.probe-1")
        assert await house.storage.last_activity() is None, "it is no sign of life of Linq's"
