"""Time and faults on the page of an emulator alone, in Chromium. With `linqbot dev` they are in `test_page_dev.py`."""

from __future__ import annotations

import httpx
import pytest
from chromium_page import LINE, MOBILE, Bot, Browsing, chips, open_panel
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.process]


def switch_on(panel: Locator, kind: str, often: str = "Once", which: str | None = None) -> None:
    panel.get_by_label("What goes wrong").select_option(label=kind)
    if which is not None:
        panel.get_by_label("Which").select_option(label=which)
    panel.get_by_label("How often").select_option(label=often)
    panel.get_by_role("button", name="Switch on").click()


def call(bot: Bot) -> httpx.Response:
    return bot.http.get("/v3/phone_numbers")


def test_a_fault_lasts_until_its_chip_switches_it_off(phone: Page, bot: Bot) -> None:
    panel = open_panel(phone)
    switch_on(panel, "500 Internal error", "Until switched off", "Anything read")
    expect(chips(phone)).to_have_text("500 Internal error, anything read: until switched off")
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()
    phone.reload()
    expect(chips(phone)).to_have_count(1)
    assert [call(bot).status_code for _ in range(3)] == [500, 500, 500]
    chips(phone).get_by_role("button", name="Switch off").click()
    expect(chips(phone)).to_have_count(0)
    assert call(bot).status_code == 200


def test_a_fault_happens_a_number_of_times_at_a_path_of_ones_own_and_is_gone(phone: Page, bot: Bot) -> None:
    panel = open_panel(phone)
    panel.get_by_label("What goes wrong").select_option(label="500 Internal error")
    panel.get_by_label("Which").select_option(label="Other …")
    panel.get_by_label("Part of the method and path").fill("GET /v3/phone_numbers")
    panel.get_by_label("How often").select_option(label="Several times")
    panel.get_by_label("Number of times").fill("2")
    panel.get_by_role("button", name="Switch on").click()
    expect(chips(phone)).to_have_text("500 Internal error, GET /v3/phone_numbers: 2 times")
    assert bot.http.get("/v3/chats?from=" + LINE.replace("+", "%2B")).status_code == 200
    assert [call(bot).status_code for _ in range(3)] == [500, 500, 200]
    expect(chips(phone)).to_have_count(0)
    switch_on(panel, "429 Too many requests", which="Any call")
    expect(chips(phone)).to_have_text("429 Too many requests: once")
    answer = call(bot)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    expect(chips(phone)).to_have_count(0)


def test_a_fault_of_calls_is_one_of_sending_unless_another_call_is_chosen(phone: Page, bot: Bot) -> None:
    panel = open_panel(phone)
    switch_on(panel, "429 Too many requests")
    expect(chips(phone)).to_contain_text("429 Too many requests, sending a message")
    assert call(bot).status_code == 200


def test_with_a_second_phone_the_inspector_keeps_its_width_next_to_the_panel(browsing: Browsing, bot: Bot) -> None:
    bot.hear("hi")
    for width in (1280, 1600, 1720):
        page = browsing.open(viewport={"width": width, "height": 800})
        open_panel(page)
        page.get_by_role("button", name="Second phone").click()
        page.locator("iframe.second").wait_for()
        inspector = page.locator("#inspector").bounding_box()
        assert inspector is not None
        assert inspector["width"] >= 300, width


def test_opt_out_and_flagged_lines_are_switches(phone: Page, bot: Bot) -> None:
    chat_id = bot.hear("hi")["chat_id"]
    panel = open_panel(phone)
    panel.get_by_role("checkbox", name="You have opted out").check()
    expect(chips(phone)).to_have_text("+1 415 555 0142 has opted out")
    send = {"message": {"parts": [{"type": "text", "value": "hello"}]}}
    assert bot.http.post(f"/v3/chats/{chat_id}/messages", json=send).json()["error"]["code"] == 2024
    chips(phone).get_by_role("button", name="in again").click()
    expect(panel.get_by_role("checkbox", name="You have opted out")).not_to_be_checked()
    panel.get_by_role("checkbox", name="flagged +1 202 555 0100").check()
    expect(chips(phone)).to_have_text("+1 202 555 0100 is flagged")
    assert bot.http.post(f"/v3/chats/{chat_id}/messages", json=send).json()["error"]["code"] == 2027
    panel.get_by_role("checkbox", name="flagged +1 202 555 0100").uncheck()
    expect(chips(phone)).to_have_count(0)
    assert bot.http.post(f"/v3/chats/{chat_id}/messages", json=send).status_code == 202
    bot.hear("STOP")
    expect(panel.get_by_role("checkbox", name="You have opted out")).to_be_checked()


def test_the_emulators_clock_moves_and_the_panel_says_that_the_bots_does_not(bot: Bot, browsing: Browsing) -> None:
    bot.hear("hi")
    phone = browsing.open()
    expect(phone.locator(".log")).to_contain_text("Today")
    panel = open_panel(phone)
    expect(panel.get_by_text("real time", exact=True)).to_be_visible()
    expect(panel).to_contain_text("Only the emulator's clock moves")
    expect(panel).to_contain_text("Only linqbot dev can look into the storage")
    panel.get_by_role("button", name="+1 day").click()
    expect(chips(phone)).to_have_text("Clock: 1 day ahead of real time")
    expect(phone.locator(".log")).to_contain_text("Yesterday")
    panel.get_by_role("button", name="+1 hour").click()
    expect(chips(phone)).to_have_text("Clock: 1 day 1 h ahead of real time")
    date = panel.get_by_label("Date and time to move to")
    date.fill("2040-02-03T04:05:00")
    panel.get_by_role("button", name="Go").click()
    expect(panel.locator("output")).to_contain_text("2040")
    date.evaluate("input => { input.form.noValidate = true; }")  # the browser itself would refuse a date in the past
    date.fill("2020-01-01T00:00:00")
    panel.get_by_role("button", name="Go").click()
    expect(phone.get_by_role("alert")).to_contain_text("only forward")
    assert "400" in browsing.console_errors.pop()


def test_emptying_asks_first_and_returns_to_real_time(phone: Page, bot: Bot) -> None:
    bot.hear("hi")
    panel = open_panel(phone)
    switch_on(panel, "500 Internal error")
    panel.get_by_role("button", name="+1 day").click()
    expect(chips(phone)).to_have_count(2)
    panel.get_by_role("button", name="Empty everything").click()
    panel.get_by_role("button", name="Cancel").click()
    assert len(bot.chats) == 1
    panel.get_by_role("button", name="Empty everything").click()
    panel.get_by_role("button", name="Empty", exact=True).click()
    expect(chips(phone)).to_have_count(0)
    assert bot.chats == []
    expect(panel.get_by_text("real time", exact=True)).to_be_visible()


def test_without_dev_a_message_can_only_be_delivered_again(bot: Bot, browsing: Browsing) -> None:
    bot.hear("hi")
    phone = browsing.open()
    phone.locator(".msg.own .bubble").dblclick()
    expect(phone.get_by_role("menuitem", name="Deliver Again")).to_be_visible()
    expect(phone.get_by_role("menuitem", name="Restart from Here")).to_have_count(0)
    phone.get_by_role("menuitem", name="Deliver Again").click()
    expect(phone.get_by_role("alert")).to_contain_text("does not know a webhook of this message")
    assert "409" in browsing.console_errors.pop()


def test_on_a_phone_chips_and_panel_fit_the_width(browsing: Browsing, bot: Bot) -> None:
    bot.hear("hi")
    bot.call("POST", "/emulator/faults", {"on": "api", "status": 500, "times": None, "match": "chats.messages.send"})
    bot.call("POST", "/emulator/clock", {"advance_s": 86_400})
    page = browsing.open(viewport=MOBILE)
    expect(chips(page)).to_have_count(2)
    expect(page.locator(".composer")).to_be_in_viewport(ratio=1)
    panel = open_panel(page)
    expect(panel).to_be_in_viewport(ratio=1)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == MOBILE["width"], scheme
        assert panel.evaluate("panel => panel.querySelector('.controls-scroll').scrollWidth <= panel.clientWidth")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


_ARE_APART = """([one, other]) => {
    const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
    return a.right <= b.left || b.right <= a.left;
}"""


def test_the_phone_stays_usable_next_to_the_panel(browsing: Browsing, bot: Bot) -> None:
    bot.hear("hi")
    # The inspector is open at first where it has room, so each page is opened in its greatest width.
    for widths in ([1600, 1280, 1100], [800]):
        page = browsing.open(viewport={"width": widths[0], "height": 900})
        open_panel(page)
        field = page.get_by_label("Message", exact=True)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            expect(field).to_be_in_viewport(ratio=1)
            if width >= 1100:
                # The phone may still be on its way to its place.
                page.wait_for_function(_ARE_APART, arg=[field.element_handle(), page.query_selector("#controls")])
