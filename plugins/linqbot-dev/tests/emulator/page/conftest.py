"""Fixtures: Chromium, the pages that it shows, and the emulator that serves them. All tests of this folder share them.

This folder is a package: a fixture of this scope ends with the folder's last test. While Playwright runs, no test can run
an event loop of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from chromium_page import CHROMIUM, CHROMIUM_ARGS, Bot, Browsing, Profiles, Served, axe_source
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        missing = (
            "Chromium is not installed (Debian: apt-get install chromium), and the page cannot be tested without it"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def profiles(chromium: Browser) -> Profiles:
    return Profiles(chromium)


@pytest.fixture(scope="package")
def axe() -> str:
    """The source of axe-core, which finds what is hard to read or to use."""
    return axe_source()


@pytest.fixture(scope="package")
def served() -> Iterator[Served]:
    running = Served()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def bot(served: Served) -> Iterator[Bot]:
    one = Bot(served.url)
    one.call("POST", "/emulator/reset")
    # A reset keeps the report about the bot's file, because the file is still as it was.
    one.call("POST", "/emulator/observations", {"kind": "bot", "status": "loaded"})
    yield one
    one.http.close()


@pytest.fixture
def browsing(profiles: Profiles, served: Served) -> Iterator[Browsing]:
    """Pages that fail the test at its end after a violated content policy, a missing file or an exception."""
    phones = Browsing(profiles, served.url)
    yield phones
    phones.close()
    assert phones.console_errors == []


@pytest.fixture
def phone(browsing: Browsing, bot: Bot) -> Page:
    return browsing.open()
