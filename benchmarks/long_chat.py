"""Measure how fast the emulator's page opens and scrolls a long chat, in Chromium.

    uv run --all-packages benchmarks/long_chat.py --messages 10000 --rounds 5

`open` is the time from the click on the chat to the frame that shows its last message. `load` is a whole visit: the
state from the emulator, and the first frame with messages. `arrive` is the time from an event with a new message to the
frame that shows it. `scroll` is the median frame while the transcript is scrolled up, half a screen at a time, and
`longest` the longest one.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from chromium_page import CHROMIUM_ARGS, LINE, ME, Bot, Served
from playwright.sync_api import Page, sync_playwright

CHAT, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"

# A frame is painted between the first and the second callback.
PAINTED = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
OPEN = f"""async (text) => {{
    const row = [...document.querySelectorAll(".chat-row")].find((one) => one.textContent.includes(text));
    performance.mark("click");
    row.click();
    while (![...document.querySelectorAll(".msg .bubble")].some((one) => one.textContent === text)) {PAINTED}
    {PAINTED}
    return performance.measure("open", "click").duration;
}}"""
ARRIVE = f"""async (text) => {{
    const body = JSON.stringify({{ from: "{ME}", to: "{LINE}", chat_id: "{CHAT}", parts: [{{ type: "text", value: text }}] }});
    performance.mark("write");
    await fetch("/emulator/inbound", {{ method: "POST", headers: {{ "content-type": "application/json" }}, body }});
    while (![...document.querySelectorAll(".msg .bubble")].some((one) => one.textContent === text)) {PAINTED}
    return performance.measure("arrive", "write").duration;
}}"""
SCROLL = """async () => {
    const scroller = document.querySelector(".transcript");
    const frames = [];
    let before = performance.now();
    for (let i = 0; i < 120; i += 1) {
        scroller.scrollTop -= scroller.clientHeight / 2;
        await new Promise(requestAnimationFrame);
        frames.push(performance.now() - before);
        before = performance.now();
    }
    frames.sort((a, b) => a - b);
    return [frames[60], frames.at(-1), document.querySelectorAll("*").length];
}"""


def saved_state(count: int) -> dict[str, Any]:
    """Return a saved state with a chat of `count` messages and a small group."""
    members = [{"handle": LINE, "is_me": True}, {"handle": ME}]
    messages = [_message(CHAT, i) for i in range(count)] + [_message(OTHER, count, text="in the group")]
    chats = [
        {"id": CHAT, "handles": members},
        {"id": OTHER, "handles": [*members, {"handle": "+14155550187"}], "is_group": True},
    ]
    return {"phone_numbers": [{"phone_number": LINE}], "chats": chats, "messages": messages}


def _message(chat_id: str, i: int, *, text: str | None = None) -> dict[str, Any]:
    is_from_me = i % 3 == 0
    return {
        "chat_id": chat_id,
        "is_from_me": is_from_me,
        "from": LINE if is_from_me else ME,
        "parts": [{"type": "text", "value": text or f"This is message {i}"}],
        "created_at": f"2026-{1 + i // 28800 % 12:02}-{1 + i // 1440 % 20:02}T{i // 60 % 24:02}:{i % 60:02}:00Z",
        "delivery_status": "read" if is_from_me else "received",
    }


def measure(page: Page, url: str, last: str) -> dict[str, float]:
    """Visit the page once and return the times in milliseconds."""
    page.goto(url)
    page.locator(".chat-row").nth(1).wait_for()
    load = page.evaluate("() => performance.now()")
    figures = {"load": load, "open": page.evaluate(OPEN, last)}
    figures["arrive"] = page.evaluate(ARRIVE, f"new after {load}")
    figures["scroll"], figures["longest"], figures["elements"] = page.evaluate(SCROLL)
    return figures


def main(argv: list[str] | None = None) -> None:
    """Measure and print the median of each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        raise SystemExit("Chromium is not installed (Debian: apt-get install chromium)")
    served = Served()
    served.start()
    bot = Bot(served.url)
    rounds: list[dict[str, float]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        for _ in range(options.rounds):
            bot.call("POST", "/emulator/reset", {"seed": saved_state(options.messages)})
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            rounds.append(measure(context.new_page(), served.url, f"This is message {options.messages - 1}"))
            context.close()
        browser.close()
    bot.http.close()
    served.stop()
    print(f"{options.messages} messages, median of {options.rounds} rounds")
    for name in rounds[0]:
        unit = "" if name == "elements" else " ms"
        print(f"{name:9}{statistics.median(one[name] for one in rounds):8.0f}{unit}")


if __name__ == "__main__":
    main()
