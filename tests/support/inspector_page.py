"""Driving the page's inspector in Chromium: what a bot reports, and finding an exchange and its rows."""

from __future__ import annotations

from typing import Any

from chromium_page import Bot
from playwright.sync_api import Locator, Page, expect

ERROR = {
    "type": "ZeroDivisionError",
    "message": "division by zero",
    "file": "failing.py",
    "line": 9,
    "code": "1 / 0",
    "traceback": 'Traceback (most recent call last):\n  File "failing.py", line 9, in greet\nZeroDivisionError',
}


def inspector_of(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Inspector")


def subscribe(bot: Bot, url: str = "http://127.0.0.1:9/hook", *events: str) -> dict[str, Any]:
    body = {"target_url": url, "subscribed_events": list(events) or ["message.received"]}
    return dict(bot.call("POST", "/v3/webhook-subscriptions", body))


def report(bot: Bot, ids: dict[str, str], **fields: Any) -> str:
    """Post the report of a turn over the message with these ids, and return the id of the event."""
    event = next(
        one
        for one in bot.call("GET", "/emulator/deliveries?event_type=message.received")["deliveries"]
        if one["message_id"] == ids["message_id"]
    )
    about = {
        "kind": "turn",
        "event_type": "message.received",
        "event_id": event["event_id"],
        "started_at": event["created_at"],
    }
    turn = {"duration_ms": 12.3, "attempt": 1, "outcome": "acked", "replies": 1}
    handler = {"handler": "bot:greet", "file": "bot.py", "line": 12}
    bot.call("POST", "/emulator/observations", about | turn | handler | ids | fields)
    return str(event["event_id"])


def open_rows(page: Page, exchange: Locator) -> None:
    # Without the pointer: a row may move between its press and its release, as when something above it appears. The row of
    # the delivery is found and opened in one step, because each attempt puts another one in its place.
    exchange.evaluate("row => { row.open = true; }")
    expect(exchange.locator(".trace.delivery").first).to_be_visible()
    exchange.evaluate("row => { row.querySelector('.trace.delivery').open = true; }")
    expect(exchange.locator(".trace.delivery .block").first).to_be_visible()
