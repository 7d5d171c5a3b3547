"""No text of a person, no handle and no secret is in any output, on any path, at any log level.

Markers are planted wherever such data can occur. Then a real `linqbot serve` with a real `linqbot dev --no-bot` takes its
paths, good and bad. No marker may be in the output of either, and no field may break a line of it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from asgi_client import signed
from click.testing import CliRunner
from crash import Served, running
from linq_events import EXAMPLES, example
from patience import PATIENCE_S, until
from ports import free_port

from linqbot.cli.main import main
from linqbot.server import uvicorn_server as cli_http

SECRET = "whsec_" + base64.b64encode(b"mark-the-webhook-signing-secret!").decode()
PHONE, LINE, EMAIL = "+14155550177", "+12025550188", "mark.mail@example.com"
MARKS = {
    "text": "mark-inbound-text",
    "reply": "mark-outbound-text",
    "phone": PHONE.removeprefix("+"),
    "line": LINE.removeprefix("+"),
    "email": EMAIL,
    "token": "mark-api-token",
    "secret": SECRET.removeprefix("whsec_"),
    "signature": "mark-media-signature",
    "address": "mark-media-address",
    "filename": "mark-filename",
    "first name": "mark-first-name",
    "last name": "mark-last-name",
    "display name": "mark-display-name",
    "group": "mark-group-name",
    "emoji": "mark-emoji",
    "note": "mark-description",
    "checkout": "mark-checkout",
    "caller": "mark-user-agent",
    "header": "mark-header-value",
    "query": "mark-query",
    "error": "mark-error-text",
    "forged": "mark-forged-body",
    "oversized": "mark-oversized-body",
    "malformed": "mark-malformed-body",
    "Linq's sentence": "mark-what-linq-said",
    "password": "mark-password",
}
URL = f"https://cdn.example/{MARKS['address']}?signature={MARKS['signature']}"
PLANTED = {
    **dict.fromkeys(("value", "text"), MARKS["text"]),
    **dict.fromkeys(("handle", "phone_number", "recipient_phone", "sender_handle", "mention", "shared_by"), PHONE),
    **dict.fromkeys(("url", "media_url", "image_url", "target_url"), URL),
    **dict.fromkeys(("filename", "file_name"), MARKS["filename"]),
    **dict.fromkeys(("old_value", "new_value"), MARKS["group"]),
    "shared_with": PHONE,
    "email": EMAIL,
    "first_name": MARKS["first name"],
    "last_name": MARKS["last name"],
    "display_name": MARKS["display name"],
    "custom_emoji": MARKS["emoji"],
    "description": MARKS["note"],
    "summary": MARKS["note"],
    "checkout_url": f"https://cdn.example/{MARKS['checkout']}",
    "reason": MARKS["Linq's sentence"],
    "message": MARKS["Linq's sentence"],
    "idempotency_key": MARKS["note"],
    "token_prefix": MARKS["token"],
}
"""What stands in an event under these names, whatever its type."""

LINE_OF_THE_DOCUMENTS = "+12052535597"

UGLY = '\r\n\x1b[38;5;1m\x9b2J\x07\u2028{"event": "forged.line", "level": "info"}\r\n'
"""Ends a line, colours a terminal, rings its bell, and begins a line that looks like ours."""

BARE = "\x1b[2J\x9b31m\x07\x7f"
"""The same without a space or a quote, since some formats only look twice at values with one."""

BOT = f"""
import asyncio
import threading
from linqbot import Bot, Context, MessageReceived
from linqbot.engine.filters import contains

bot = Bot(groups="all", max_age_s=None, loop_breaker=False)
tasks = []


@bot.on_message(contains("fail now"), attempts=1)
async def fail_for_good(message: MessageReceived, ctx: Context) -> None:
    raise ValueError(f"{MARKS["error"]}: cannot answer {{message.text!r}} of {{message.sender.handle}}")


@bot.on_message(contains("fail"))
async def fail(message: MessageReceived, ctx: Context) -> None:
    try:
        raise KeyError(message.text)
    except KeyError as error:
        raise RuntimeError(f"{MARKS["error"]}: cannot answer {{message!r}}") from error


@bot.on_message(contains("in a thread"))
def fail_in_a_thread(message: MessageReceived, ctx: Context) -> str:
    raise LookupError(f"{MARKS["error"]} {{message.text}}")


@bot.on_message(contains("break a rule"))
async def break_a_rule(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("{MARKS["reply"]}" * 10_000)


@bot.on_message(contains("leave a task"))
async def leave_a_task(message: MessageReceived, ctx: Context) -> None:
    async def lost() -> None:
        raise ValueError(f"{MARKS["error"]}: nobody waits for {{message.text}}")

    tasks.append(asyncio.create_task(lost()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks.clear()


@bot.on_message(contains("start a thread"))
async def start_a_thread(message: MessageReceived, ctx: Context) -> None:
    def fail() -> None:
        raise ValueError(f"{MARKS["error"]}: cannot print {{message.text}}")

    threading.Thread(target=fail, name=message.text).start()


class Unclosable:
    def __init__(self, text: str) -> None:
        self.text = text

    def __del__(self) -> None:
        raise ValueError(f"{MARKS["error"]}: cannot close {{self.text}}")


@bot.on_message(contains("leave an object"))
async def leave_an_object(message: MessageReceived, ctx: Context) -> None:
    Unclosable(message.text)


@bot.on_message(contains("block"))
async def block(message: MessageReceived, ctx: Context) -> None:
    open("blocks", "w").close()
    await asyncio.sleep(3600)


@bot.on_message
async def answer(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("{MARKS["reply"]} to " + message.text)
"""


class Scene:
    """A served bot, its emulator, and an HTTP client for both."""

    def __init__(self, folder: Path, bot: Served, linq: str, http: httpx.AsyncClient) -> None:
        self.folder = folder
        self.bot = bot
        self._linq = linq
        self._http = http

    async def post(self, body: bytes, headers: dict[str, str], query: str = "") -> int:
        own = {"user-agent": MARKS["caller"], "x-note": MARKS["header"], "cookie": f"id={MARKS['header']}"}
        target = f"{self.bot.url}/webhooks/linq?{MARKS['query']}{query}"
        return (await self._http.post(target, content=body, headers=own | headers)).status_code

    async def deliver(self, event: dict[str, Any], *, age_s: int = 0) -> int:
        """Send an event to the bot, signed as by Linq."""
        return await self.post(body := json.dumps(event).encode(), signed(body, at=time.time() - age_s, secret=SECRET))

    async def receive(self, text: str, chat: str | None = None) -> int:
        """Deliver a message in a chat that the emulator does not know."""
        event = planted("message.received", chat=chat)
        event["data"]["parts"] = [{"type": "text", "value": text}]
        return await self.deliver(event)

    async def act(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call the emulator's control API, to act as a person."""
        answer = await self._http.post(f"{self._linq}/emulator/{path}", json=body)
        assert answer.is_success, answer.text
        return dict(answer.json() if answer.content else {})

    async def say(self, person: str, *parts: dict[str, Any], group: list[str] | None = None) -> str:
        """Let a person write to our line at the emulator. Return the chat."""
        body = {"from": person, "to": "+12025550100", "parts": list(parts)} | ({"group": group} if group else {})
        return str((await self.act("inbound", body))["chat_id"])

    async def until(self, is_so: Callable[[str], bool]) -> None:
        """Wait until the bot logs some words, which prove that a path was taken."""
        await until(lambda: is_so(self.log()), every_s=0.05)

    def log(self) -> str:
        return (self.folder / "bot.log").read_text()

    async def state(self) -> str:
        return (await self._http.get(f"{self._linq}/emulator/state")).text


def planted(name: str, *, chat: str | None = None, ending: str = "") -> dict[str, Any]:
    """Return an example event of Linq's documentation, with a marker in every field that may hold a person's words."""

    def plant(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: plant(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [plant(inner, name) for inner in value]
        if isinstance(value, str) and name in PLANTED:
            return (LINE if value == LINE_OF_THE_DOCUMENTS else PLANTED[name]) + ending
        if isinstance(value, str) and name == "id" and chat is None:
            return str(uuid.uuid4())
        return value

    event: dict[str, Any] = plant(example(name)) | {"event_id": str(uuid.uuid4())}
    if chat is not None:
        event["data"] |= {"id": str(uuid.uuid4()), "chat": event["data"]["chat"] | {"id": chat, "is_group": False}}
    return event


@asynccontextmanager
async def scene(folder: Path, **environ: str) -> AsyncIterator[Scene]:
    """Start the bot and the emulator, which delivers its webhooks to the bot. Stop both by a signal at the end."""
    (folder / "bot.py").write_text(BOT)
    key = {"LINQ_API_V3_API_KEY": MARKS["token"]}
    emulator = Served(folder, "emulator", free_port(), "dev", "--no-bot", **key)
    port = free_port()
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http, running(emulator):
        await emulator.up(http, "/emulator/state")
        linq = {
            **key,
            "LINQ_API_V3_BASE_URL": f"{emulator.url}/api/partner",
            "LINQ_WEBHOOK_SECRET": f"{SECRET},{await _subscribe(http, emulator.url, port)}",
            "LINQBOT_DRAIN_S": "0.2",
        }
        bot = Served(folder, "bot", port, "serve", "bot.py", **(linq | environ))
        async with running(bot):
            await bot.up(http, "/readyz")
            yield Scene(folder, bot, emulator.url, http)
            assert await bot.kill(signal.SIGTERM) == 0
            assert await emulator.kill(signal.SIGTERM) == 0


async def _subscribe(http: httpx.AsyncClient, linq: str, port: int) -> str:
    answer = await http.post(
        f"{linq}/v3/webhook-subscriptions",
        json={"target_url": f"http://127.0.0.1:{port}/webhooks/linq", "subscribed_events": ["message.received"]},
        headers={"authorization": f"Bearer {MARKS['token']}"},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["signing_secret"])


def said_nothing(output: str) -> None:
    """Assert that no marker was printed, in any of its forms."""
    found = {name: line for name, mark in MARKS.items() for line in output.splitlines() if mark in line}
    assert not found, "\n".join(f"{name}: {line[:300]}" for name, line in found.items())


def is_clean(output: str) -> None:
    """Assert that no field broke a line or printed a terminal escape code. Our own colours have short codes."""
    output = re.sub(r"\x1b\[[0-9;]{0,4}m", "", output)
    strange = {letter for letter in output if letter != "\n" and not letter.isprintable()}
    assert not strange, [line for line in output.split("\n") if strange & set(line)][:5]
    assert not any(line.startswith('{"event": "forged') for line in output.split("\n"))


LOGS = [("info", "json"), ("debug", "console")]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(("level", "style"), LOGS)
async def test_no_path_prints_a_marker_or_breaks_a_line(tmp_path: Path, level: str, style: str) -> None:
    async with scene(tmp_path, LINQBOT_LOG_LEVEL=level, LINQBOT_LOG_FORMAT=style) as on:
        await _talk(on)
        await _receive_every_event(on)
        await _fail_in_handlers(on)
        await _knock_wrongly(on)
        await _be_away(on)
        assert await on.receive(f"{MARKS['text']} block", chat=str(uuid.uuid4())) == 200
        await until((tmp_path / "blocks").exists, every_s=0.02)  # so that the stop releases the turn
    output = on.log()
    said_nothing(output)
    said_nothing((tmp_path / "emulator.log").read_text())
    is_clean(output)
    if style == "json":
        lines = output.splitlines()
        (banner,) = [line for line in lines if line.startswith("linqbot serves")]
        lines.remove(banner)
        assert all(isinstance(json.loads(line)["event"], str) for line in lines)
    for walked in ("turn.dead_lettered", "turn.failed", "turn.deferred", "delivery.forged", "delivery.too_large"):
        assert walked in output
    for walked in ("delivery.out_of_time", "event.unhandled", "turns.released", "bot.stopped"):
        assert walked in output


async def _talk(on: Scene) -> None:
    """Take the good paths: texts, a file, a group and an address from the emulator, and sends that Linq refuses."""
    media = {"type": "media", "filename": f"{MARKS['filename']}.png", "mime_type": "image/png", "data_base64": "aGk="}
    chat = await on.say(PHONE, {"type": "text", "value": MARKS["text"]}, media)
    await on.say(EMAIL, {"type": "text", "value": f"{MARKS['text']} {UGLY}"})
    await on.say(PHONE, {"type": "text", "value": MARKS["text"]}, group=[EMAIL, "+14155550178"])
    async with asyncio.timeout(PATIENCE_S):
        while (await on.state()).count(f"{MARKS['reply']} to") < 3:
            await asyncio.sleep(0.05)
    for status, code in ((403, 2024), (400, 1004), (404, 2001)):
        await on.act("faults", {"on": "api", "match": f"{chat}/messages", "status": status, "code": code})
        await on.say(PHONE, {"type": "text", "value": MARKS["text"]})
    await on.until(lambda log: "send.opted_out" in log and "turn.failed" in log)


async def _receive_every_event(on: Scene) -> None:
    for name in EXAMPLES:
        assert await on.deliver(planted(name)) == 200
        assert await on.deliver(planted(name, ending=UGLY)) == 200
    hostile = planted("message.received", ending=UGLY)
    for ugly in (UGLY, BARE):
        for strange in (
            {"event_type": f"t{ugly}"},
            {"event_id": f"e{ugly}"},
            {"data": {"id": "m", "chat": {"id": ugly}}},
        ):
            assert await on.deliver(hostile | strange) == 200
    for ugly in (UGLY, BARE):
        chat = str(uuid.uuid4())
        event = planted("message.received", chat=chat, ending=ugly) | {"event_id": f"e{ugly}{chat}"}
        assert await on.deliver(event) == 200


async def _fail_in_handlers(on: Scene) -> None:
    for text in ("fail now", "fail", "in a thread", "break a rule", "answer a chat that is not there"):
        assert await on.receive(f"{MARKS['text']} {text} {UGLY}", chat=str(uuid.uuid4())) == 200
    await on.until(lambda log: "turn.dead_lettered" in log and log.count("turn.failed") >= 3)


async def _knock_wrongly(on: Scene) -> None:
    """Send requests that are forged, stale, oversized, malformed, cut off or not HTTP."""
    forged = json.dumps({"event_id": MARKS["forged"], "text": MARKS["forged"]}).encode()
    assert await on.post(forged, {}) == 401
    assert await on.post(forged, signed(b"something else", secret=SECRET) | {"webhook-id": MARKS["header"]}) == 401
    assert (
        await on.post(forged, {"webhook-id": "x", "webhook-timestamp": MARKS["header"], "webhook-signature": "v1,"})
        == 401
    )
    assert await on.deliver(planted("message.received"), age_s=3600) == 503
    assert await on.deliver(planted("message.received"), age_s=-3600) == 503
    with contextlib.suppress(httpx.TransportError):  # the server closed the connection while we were sending
        assert await on.post(MARKS["oversized"].encode() * 100_000, {}) == 503
    for body in (MARKS["malformed"].encode(), f'{{"text": "{MARKS["malformed"]}'.encode(), b"\xff" * 9, b"[]", b"{}"):
        assert await on.post(body, signed(body, secret=SECRET)) == 200
    for raw in (
        f"POST /webhooks/linq HTTP/1.1\r\nx-note: {MARKS['header']}\x1b[31m\r\n\r\n",
        f"GET /{MARKS['query']}\x1b HTTP/1.1\r\n\r\n",
        f"{MARKS['header']}\r\n\r\n",
        f"GET /{MARKS['query']} HTTP/1.1\r\nhost: {MARKS['header']}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        f"POST /webhooks/linq HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{MARKS['forged']}",
    ):
        await asyncio.to_thread(_say, on.bot.url, raw.encode())


async def _be_away(on: Scene) -> None:
    """Let Linq be unavailable for one call, and limit the rate of the others."""
    await on.act("faults", {"on": "api", "match": "/messages", "status": 503})
    await on.act("faults", {"on": "api", "match": "/messages", "status": 429, "retry_after": 100, "times": 50})
    await on.say(PHONE, {"type": "text", "value": MARKS["text"]})
    await on.until(lambda log: "turn.deferred" in log)


def _say(url: str, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=PATIENCE_S) as client:
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass


@pytest.mark.process
async def test_an_error_that_no_code_can_catch_is_logged_without_its_message(tmp_path: Path) -> None:
    async with scene(tmp_path, LINQBOT_LOG_FORMAT="json") as on:
        for text in ("leave a task", "start a thread", "leave an object"):
            assert await on.receive(f"{MARKS['text']} {text} {UGLY}", chat=str(uuid.uuid4())) == 200
        await on.until(lambda log: all(said in log for said in ("never retrieved", "thread.failed", "error.ignored")))
    said_nothing(on.log())
    lines = [json.loads(line) for line in on.log().splitlines() if not line.startswith("linqbot serves")]
    failed = {line["event"]: (line["error"], line["at"]) for line in lines if line["level"] == "error"}
    in_task, in_thread, in_del = (
        BOT[: BOT.index(words)].count("\n") + 1 for words in (": nobody waits", ": cannot print", ": cannot close")
    )
    assert failed == {
        "Task exception was never retrieved": ("ValueError", f"bot.py:{in_task}"),
        "thread.failed": ("ValueError", f"bot.py:{in_thread}"),
        "error.ignored": ("ValueError", f"bot.py:{in_del}"),
    }


@contextmanager
def a_linq_that_quotes() -> Iterator[str]:
    """An API that refuses every request, and quotes the whole request and more in its answers."""

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            said = f"cannot send {given} to {PHONE} or {EMAIL}, see {URL}, key {self.headers['authorization']}"
            body = json.dumps({"success": False, "error": {"status": 429, "code": 1007, "message": said}}).encode()
            self.send_response(429)
            self.send_header("retry-after", "100")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
@pytest.mark.process
async def test_text_quoted_in_linqs_errors_is_not_printed(tmp_path: Path) -> None:
    with a_linq_that_quotes() as linq:
        async with scene(tmp_path, LINQ_API_V3_BASE_URL=linq, LINQBOT_LOG_LEVEL="debug") as on:
            assert await on.receive(MARKS["text"], chat=str(uuid.uuid4())) == 200
            await on.until(lambda log: "turn.deferred" in log)
    said_nothing(on.log())


def test_a_failed_start_names_the_setting_and_never_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_http, "run", lambda *_, **__: pytest.fail("it started"))
    (tmp_path / "bot.py").write_text(BOT)
    good = {"LINQ_API_V3_API_KEY": MARKS["token"], "LINQ_WEBHOOK_SECRET": SECRET}
    for environ in [
        {"LINQ_API_V3_API_KEY": ""},
        {"LINQ_WEBHOOK_SECRET": ""},
        {"LINQ_API_V3_API_KEY": f"{MARKS['token']}\n{MARKS['header']}"},
        {"LINQ_WEBHOOK_SECRET": f"whsec_{MARKS['password']}!"},
        {"LINQ_WEBHOOK_SECRET": f"{MARKS['password']}\x1b[31m"},
        {"LINQBOT_STORAGE": f"mysql://bot:{MARKS['password']}@db/linqbot"},
        {"LINQBOT_STORAGE": f"sqlite:///bot.db?key={MARKS['password']}"},
        {"LINQ_API_V3_BASE_URL": f"https://bot:{MARKS['password']}@api.example"},
        {"LINQ_API_V3_BASE_URL": f"https://api.example/?key={MARKS['password']}"},
        {"LINQBOT_PORT": MARKS["password"]},
        {"LINQBOT_LOG_LEVEL": MARKS["password"]},
        {"linqbot.toml": f'api_key = "{MARKS["password"]}'},
        {"linqbot.toml": f'api_key = "{MARKS["password"]}"\nport = "{MARKS["password"]}"'},
    ]:
        with subtests.test(settings=list(environ)):
            (tmp_path / "linqbot.toml").write_text(environ.pop("linqbot.toml", ""))
            result = CliRunner().invoke(main, ["serve", "bot.py"], env=good | environ)
            assert result.exit_code == 2, result.output
            said_nothing(result.output)
            assert "Traceback" not in result.output
