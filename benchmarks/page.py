"""Measure what a bot's author waits for under `linqbot dev`, with the clock of Chromium.

    uv run --all-packages benchmarks/page.py

`reply` is the time from the Enter key to the frame that shows the bot's reply. `reload` is the time from a save of the
bot's file to the reply of the new code, for a message that is sent as soon as the bot is up again. `text in a reload` is
the time from Enter to the reply for a message that is sent 0.3 s after a save, when the bot is stopped. `usable` is the time from a navigation until the
message field can be typed into, with an empty cache. `first load` is what the page transfers for that visit, also for the
parts that load after it, with the headers.

The figures depend on the machine and on its other work, so the load average is printed too. Only `first load` is exact.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from chromium_page import CHROMIUM_ARGS
from dev_command import Dev
from playwright.sync_api import Browser, Page, sync_playwright

BOT = """\
from linqbot import Bot, Context, MessageReceived

bot = Bot()


@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"{version}: {{message.text}}")
"""
TARGETS = {"reply": 100, "reload": 1000, "text in a reload": None, "usable": 400, "first load": 250}

# Notes the time of the first frame in which the message field has the focus.
USABLE = """window.usable = new Promise((done) => {
    const look = () => {
        if (!document.activeElement?.matches("textarea[aria-label=Message]")) requestAnimationFrame(look);
        else done(performance.mark("usable").startTime);
    };
    requestAnimationFrame(look);
})"""
# Resolves to the times of the Enter key and of the frame that shows a bubble with this end, in milliseconds since 1970.
ANSWERED = """(text) => {
    let pressed;
    addEventListener("keydown", (event) => { pressed ??= event.timeStamp; }, { capture: true, once: true });
    window.answered = new Promise((done) => {
        const look = () => {
            if (![...document.querySelectorAll(".msg.other .bubble")].some((one) => one.textContent.endsWith(text))) return;
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(() => done([pressed, performance.now()].map((at) => at + performance.timeOrigin))));
        };
        const observer = new MutationObserver(look);
        observer.observe(document.body, { childList: true, subtree: true, characterData: true });
    });
}"""


def visit(browser: Browser, url: str) -> tuple[Page, float]:
    """Open the page with an empty cache. Return it, and the milliseconds until it is usable."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(USABLE)
    page.goto(url)
    return page, page.evaluate("window.usable")


def first_load(browser: Browser, url: str) -> float:
    """Return what a visit with an empty cache transfers, in kB."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(USABLE)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[float] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(url)
    page.evaluate("window.usable")
    page.wait_for_timeout(2000)  # the icons and the modules of the other parts are not waited for by the field
    page.context.close()
    return sum(sizes) / 1000


def text(page: Page, said: str, answer: str) -> tuple[float, float]:
    """Text the bot. Return the times of the key and of the reply, in milliseconds since 1970."""
    page.get_by_label("Message", exact=True).fill(said)
    page.evaluate(ANSWERED, answer)
    page.keyboard.press("Enter")
    pressed, answered = page.evaluate("window.answered")
    return pressed, answered


def measure(browser: Browser, dev: Dev, *, replies: int, reloads: int, visits: int) -> dict[str, list[float]]:
    """Return the measured figures by name: milliseconds, and kB for `first load`."""
    found: dict[str, list[float]] = {name: [] for name in TARGETS}
    for _ in range(visits):
        page, usable = visit(browser, dev.url)
        found["usable"].append(usable)
        page.context.close()
    found["first load"].append(first_load(browser, dev.url))
    page, _ = visit(browser, dev.url)
    for number in range(replies):
        pressed, answered = text(page, f"text {number}", f"0: text {number}")
        found["reply"].append(answered - pressed)
    for version in range(1, reloads + 1):
        saved = time.time()
        dev.save(BOT.format(version=2 * version))
        _, answered = text(page, f"reload {version}", f"{2 * version}: reload {version}")
        found["reload"].append(answered - saved * 1000)
        with dev.saving(BOT.format(version=2 * version + 1)):
            time.sleep(0.3)
            pressed, answered = text(page, f"during {version}", f": during {version}")
        found["text in a reload"].append(answered - pressed)
    page.context.close()
    return found


def table(found: dict[str, list[float]]) -> str:
    """Return the figures as a table: median, least, most, target."""
    rows = ["| | median | least | most | target |", "| --- | --- | --- | --- | --- |"]
    for name, values in found.items():
        unit = "kB" if name == "first load" else "ms"
        shown = [f"{value:.0f} {unit}" for value in (statistics.median(values), min(values), max(values))]
        target = TARGETS[name]
        rows.append(f"| {name} | {' | '.join(shown)} | {'' if target is None else f'≤ {target} {unit}'} |")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=20)
    parser.add_argument("--reloads", type=int, default=5)
    parser.add_argument("--visits", type=int, default=5)
    options: Any = parser.parse_args(argv)
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        raise SystemExit("Chromium is not installed (Debian: apt-get install chromium)")
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        with Dev(Path(folder), BOT.format(version=0)) as dev:
            found = measure(browser, dev, replies=options.replies, reloads=options.reloads, visits=options.visits)
        browser.close()
    print(f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after, {os.cpu_count()} cores\n")
    print(table(found))


if __name__ == "__main__":
    main()
