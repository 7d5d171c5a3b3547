"""Files on the phone: dropped, pasted and chosen, odd, large and unreadable ones, and sends that fail."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from chromium_page import PIXEL, Bot, Browsing, bubble, greet, write
from playwright.sync_api import FilePayload, Page, Route, expect

pytestmark = pytest.mark.browser

PICTURE = FilePayload(name="cat.png", mimeType="image/png", buffer=base64.b64decode(PIXEL))
_ACT = """([selector, type, files, text]) => {
    const data = new DataTransfer();
    for (const [name, mime, content] of files) data.items.add(new File([content], name, { type: mime }));
    if (text) data.setData("text/plain", text);
    const named = type === "paste" ? { clipboardData: data } : { dataTransfer: data };
    const Kind = type === "paste" ? ClipboardEvent : DragEvent;
    const event = new Kind(type, { ...named, bubbles: true, cancelable: true });
    return document.querySelector(selector).dispatchEvent(event);
}"""


def do(phone: Page, type_: str, *files: tuple[str, str, str], text: str = "", at: str = ".composer textarea") -> bool:
    """Drop or paste; return True if the browser goes on with its own handling."""
    return bool(phone.evaluate(_ACT, [at, type_, files, text]))


def choose(phone: Page, *files: FilePayload) -> None:
    phone.get_by_label("Attach files").set_input_files(files)


def test_a_text_can_be_dropped_into_the_field(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    assert do(phone, "drop", text="some words")
    assert not do(phone, "drop", ("a.txt", "text/plain", "a"))
    expect(phone.locator(".attachment")).to_contain_text(["a.txt"])


def test_a_file_that_is_too_large_or_cannot_be_read_is_refused_and_the_rest_stays(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    phone.evaluate("""() => {
        FileReader.prototype.readAsDataURL = function () { this.dispatchEvent(new ProgressEvent("error")); };
        const data = new DataTransfer();
        for (const size of [1000, 100_000_001]) {
            data.items.add(new File([new Uint8Array(size)], `${size}.mov`, { type: "video/quicktime" }));
        }
        const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector(".transcript").dispatchEvent(drop);
    }""")
    expect(phone.get_by_role("alert")).to_contain_text("A file may have at most 100 MB.")
    expect(phone.locator(".attachment")).to_contain_text(["1000.mov"])
    write(phone, "")
    expect(phone.get_by_role("alert")).to_contain_text("1000.mov cannot be read")
    expect(phone.locator(".attachment")).to_contain_text("1000.mov")


def test_an_edit_takes_no_files_and_says_so(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    bubble(phone, "Hello!").dblclick()
    phone.get_by_role("menuitem", name="Edit").click()
    do(phone, "drop", ("a.txt", "text/plain", "a"))
    expect(phone.get_by_role("alert")).to_contain_text("An edit has text only")
    expect(phone.locator(".attachment")).to_have_count(0)


def test_a_picture_that_the_browser_cannot_show_is_a_named_file_in_the_draft(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    choose(phone, FilePayload(name="IMG_0001.heic", mimeType="image/heic", buffer=b"no picture"))
    expect(phone.locator(".attachment")).to_contain_text("IMG_0001.heic")
    expect(phone.locator(".attachment img")).to_have_count(0)
    phone.get_by_role("button", name="Remove IMG_0001.heic").click()
    expect(phone.locator(".attachment")).to_have_count(0)


def test_a_file_without_a_type_gets_it_from_its_name_and_may_be_empty(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    do(phone, "drop", ("IMG_0001.heic", "", "x"), ("ada.vcf", "", "BEGIN:VCARD"), ("notes", "", ""))
    write(phone, "")
    expect(phone.locator(".msg.own .file-card").first).to_be_visible()
    expect(phone.locator(".msg.own .file-card", has_text="notes")).to_contain_text("0 bytes")
    types = [part["mime_type"] for part in bot.last()["parts"]]
    assert types == ["image/heic", "text/vcard", "application/octet-stream"]


NAMES = ["50% #1?.pdf", "a/b\\c\"'.pdf", "naïve 🍲 שלום.pdf", ".env", "x" * 240 + ".pdf"]


def test_files_with_odd_names_arrive(phone: Page, bot: Bot) -> None:
    greet(phone, bot)
    cards, log = phone.locator(".msg.own a.file-card"), phone.locator(".log").bounding_box()
    assert log is not None
    for number, name in enumerate(NAMES, 1):
        do(phone, "drop", (name, "application/pdf", "%PDF"))
        write(phone, "")
        expect(cards).to_have_count(number)
        expect(cards.last).to_be_visible()
        url = bot.last()["parts"][0]["url"]
        got = bot.http.get(url)
        assert (got.status_code, got.content) == (200, b"%PDF"), url
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        card = cards.last.bounding_box()
        assert card is not None
        assert card["x"] >= log["x"], name


def refuse(route: Route) -> None:
    route.fulfill(status=500, content_type="text/plain", body="Internal Server Error")


def test_a_send_that_fails_gives_text_and_files_back(browsing: Browsing, bot: Bot) -> None:
    phone = browsing.open()
    greet(phone, bot)
    choose(phone, PICTURE)
    phone.get_by_label("Message", exact=True).fill("Look")
    failures: list[tuple[str, Callable[[Route], None]]] = [
        ("Not today", lambda route: route.fulfill(status=403, json={"error": {"message": "Not today"}})),
        ("The emulator answered 500", refuse),
        ("The emulator does not answer", lambda route: route.abort()),
    ]
    for said, fail in failures:
        phone.route("**/emulator/inbound", fail)
        phone.get_by_label("Message", exact=True).press("Enter")
        expect(phone.get_by_role("alert")).to_contain_text(said)
        expect(phone.get_by_label("Message", exact=True)).to_have_value("Look")
        expect(phone.locator(".attachment img")).to_have_count(1)
    browsing.console_errors.clear()
