"""Driving the emulator's page in Chromium: a served emulator, the bot and other people, and pages as a person uses them.

The fixtures are in `plugins/linqbot-dev/tests/emulator/page/conftest.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin

import httpx
import pytest
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app
from patience import PATIENCE_S
from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, ViewportSize, expect
from ports import free_port

from linqbot.server.uvicorn_server import Server, listen

Scheme = Literal["light", "dark"]
ME = "+14155550142"
FRIEND = "+14155550187"
LINE = "+12025550100"
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
MOBILE: ViewportSize = {"width": 390, "height": 844}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"))), None
)
"""The first is Chromium without its own windows: it takes a quarter less processor time."""
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
expect.set_options(timeout=1000 * PATIENCE_S)
_LOOKS: dict[str, Any] = {
    "viewport": DESKTOP,
    "color_scheme": "light",
    "reduced_motion": "reduce",  # else each bubble slides in, and a processor paints every frame
    "contrast": "no-preference",
}
"""What a page can change, with what a new one has."""
_WITHOUT_BLUR = """{
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("*, ::before, ::after { backdrop-filter: none !important; }");
    document.adoptedStyleSheets = [sheet];
}"""
"""Without a GPU, Chromium blurs what is behind a bar with a processor, again in each frame. No test looks at that."""
AXE = Path(__file__).parents[1] / "page" / "node_modules" / "axe-core" / "axe.min.js"
_VIOLATIONS = """async (options) => (await axe.run(document, { resultTypes: ["violations"], ...options })).violations.map(
    ({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)])"""
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


class Served:
    """An emulator on a free port, in another thread: this thread drives the browser."""

    def __init__(self, name: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._public_url = f"http://{name}:{self.port}"

    def start(self) -> None:
        emulator, up = Emulator(public_url=self._public_url), threading.Event()
        server = Server(create_app(emulator), graceful_s=2, before_exit=emulator.end_streams, when_ready=up.set)
        bound = listen("127.0.0.1", self.port)
        self._server, self._thread = server, threading.Thread(target=lambda: asyncio.run(server.serve(bound)))
        self._thread.start()
        assert up.wait(PATIENCE_S)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(60)


class Bot:
    """The bot, which acts through Linq's API, and other people, who act through the control API."""

    def __init__(self, url: str) -> None:
        # No test uses TLS. To read the certificates would take longer than all else that a new client does.
        self.http = httpx.Client(
            base_url=url, headers={"authorization": "Bearer test"}, timeout=PATIENCE_S, verify=False, trust_env=False
        )

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, headers: dict[str, str] | None = None
    ) -> Any:
        answer = self.http.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def hear(self, *parts: str | dict[str, Any], person: str = ME, **more: Any) -> dict[str, str]:
        """Write to the line as `person`; return the ids of the chat and of the message."""
        body = {"from": person, "to": LINE, "parts": _shaped(parts)} | more
        return dict(self.call("POST", "/emulator/inbound", body))

    def say(self, chat_id: str, *parts: str | dict[str, Any], **more: Any) -> str:
        message = {"parts": _shaped(parts)} | more
        return str(self.call("POST", f"/v3/chats/{chat_id}/messages", {"message": message})["message"]["id"])

    def ask(self, chat_id: str, *options: str) -> None:
        """Make a poll."""
        poll = {"options": [{"text": option} for option in options]}
        self.call("POST", f"/v3/chats/{chat_id}/polls", {"poll": poll})

    def upload(self, filename: str, content_type: str, data: bytes) -> dict[str, str]:
        """Upload a file; return it as a media part."""
        asked = {"filename": filename, "content_type": content_type, "size_bytes": len(data)}
        ticket = self.call("POST", "/v3/attachments", asked)
        self.http.request("PUT", ticket["upload_url"], content=data, headers=ticket["required_headers"])
        return {"type": "media", "attachment_id": ticket["attachment_id"]}

    @property
    def chats(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/emulator/state")["chats"])

    def last(self) -> dict[str, Any]:
        """Return the last message of the only chat."""
        (chat,) = self.chats
        return dict(chat["messages"][-1])


def _shaped(parts: tuple[str | dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [{"type": "text", "value": part} if isinstance(part, str) else part for part in parts]


class Profiles:
    """Browser profiles of one page each, which tests use one after the other.

    A new profile starts a renderer, which takes more CPU time than a usual test. A used page is as new: its storage is
    empty, its routes are removed, and it has the viewport and the media features that are asked for. Only what Playwright
    cannot remove from a page would stay: no test adds an init script. The one that pages have here removes blur.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: dict[str, list[Page]] = {}
        self._kinds: dict[Page, str] = {}

    def take(self, **options: Any) -> Page:
        """Return an empty page with these options of Playwright's `new_context`."""
        looks = {name: options.pop(name, usual) for name, usual in _LOOKS.items()}
        kind = repr(sorted(options.items()))
        free = self._free.setdefault(kind, [])
        page = free.pop() if free else self._made(options)
        page.set_viewport_size(looks.pop("viewport"))
        page.emulate_media(**looks)
        self._kinds[page] = kind
        return page

    def _made(self, options: dict[str, Any]) -> Page:
        context = self._browser.new_context(**options)
        context.add_init_script(_WITHOUT_BLUR)
        context.set_default_timeout(1000 * PATIENCE_S)
        return context.new_page()

    def give_back(self, page: Page) -> None:
        """Keep a page for the next test."""
        page.unroute_all()
        for other in page.context.pages:
            if other is not page:
                other.close()
        # A missing page of the same server, which clears that server's storage. For about:blank, Chromium would start
        # another renderer. With a route for it, Chromium would forget all files, and fetch and compile them for each test.
        page.goto(urljoin(page.url, "/empty"))
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        page.mouse.move(0, 0)
        self._free[self._kinds.pop(page)].append(page)


class Browsing:
    """Opens pages, each in its own browser profile, and collects the errors and warnings of their consoles."""

    def __init__(self, profiles: Profiles, url: str) -> None:
        self._profiles, self._url = profiles, url
        self._pages: list[Page] = []
        self.console_errors: list[str] = []

    def open(self, path: str = "/", **options: Any) -> Page:
        page = self._profiles.take(**options)
        self._pages.append(page)
        page.on("console", self._collect)
        page.on("pageerror", self._collect_error)
        page.goto(self._url + path)
        # With the state: it comes after the page has loaded, and replaces what was written into the text field before.
        page.locator("#screen.ready").wait_for(state="attached")
        return page

    def _collect(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.console_errors.append(message.text)

    def _collect_error(self, error: Error) -> None:
        self.console_errors.append(str(error))

    def close(self) -> None:
        while self._pages:
            page = self._pages.pop()
            page.remove_listener("console", self._collect)
            page.remove_listener("pageerror", self._collect_error)
            self._profiles.give_back(page)


def greet(phone: Page, bot: Bot) -> str:
    """Send the sample message; return the id of the new chat."""
    expect(phone.get_by_label("Message", exact=True)).to_be_focused()
    phone.keyboard.press("Enter")
    expect(phone.locator(".msg.own")).to_have_count(1)
    return str(bot.chats[0]["id"])


@contextmanager
def unlimited_press(phone: Page) -> Iterator[None]:
    """Let a press last as long as the block, on however slow a machine: the timer that ends a long press does not start."""
    phone.evaluate("() => { window.laterAsUsual = setTimeout; window.setTimeout = () => 0; }")
    yield
    phone.evaluate("() => { window.setTimeout = laterAsUsual; }")


def write(phone: Page, text: str) -> None:
    phone.get_by_label("Message", exact=True).fill(text)
    phone.keyboard.press("Enter")


def bubble(phone: Page, text: str) -> Any:
    return phone.locator(".msg .bubble", has_text=text)


def open_panel(page: Page) -> Locator:
    """Open the panel of time and faults."""
    page.get_by_role("button", name="Time and faults").locator("visible=true").first.click()
    panel = page.get_by_role("complementary", name="Time and faults")
    # Its modules are loaded first. Then it takes the focus, also from a text field into which the test writes already.
    expect(panel.locator(":focus")).to_have_count(1)
    return panel


def chips(page: Page) -> Locator:
    """Return what the page says is in effect, such as a fault."""
    return page.get_by_role("status", name="Now in effect").get_by_role("listitem")


def axe_source() -> str:
    """Return the source of axe-core. Without it the test is skipped, or fails if `CI=true`."""
    if not AXE.exists():
        missing = "axe-core is not installed. To run this test, in tests/page: npm ci --ignore-scripts"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return AXE.read_text("utf-8")


def violations(page: Page, axe: str, *, schemes: tuple[Scheme, ...] = ("light", "dark")) -> list[str]:
    """Return what axe-core finds on a page now. The page was opened with `bypass_csp`.

    Args:
        schemes: Light is examined with all rules, dark in its colours only.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    found: list[str] = []
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        found += page.evaluate(_VIOLATIONS, {} if scheme == "light" else {"runOnly": ["color-contrast"]})
    return found
