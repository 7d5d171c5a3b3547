"""The site of the docs: no warning, no broken link, a search that finds the page for a question, light pages that all can read."""

from __future__ import annotations

import functools
import gzip
import importlib
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from chromium_page import CHROMIUM, CHROMIUM_ARGS, DESKTOP, MOBILE, axe_source
from playwright.sync_api import Browser, expect, sync_playwright

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.process]

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
try:
    site_builder = importlib.import_module("site_builder")
finally:
    sys.path.pop(0)

SEARCHES: dict[str, dict[str, str]] = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "search_questions.toml").read_text()
)
QUESTIONS = SEARCHES["from_threads"] | SEARCHES["of_newcomers"]
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not on the PATH (Debian: apt-get install chromium)"
)
KINDS = ("", "coming-from/", "replying/", "measured/", "reference/settings/")
"""A page of each kind."""
WIDEST = "reference/control/"
"""The page with the widest tables."""
# The theme's buttons for copying stand in landmarks without a name.
AXE_RUN = """async (options) => (await axe.run({ exclude: [".md-code__nav"] }, { resultTypes: ["violations"], ...options }))
    .violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`))"""
PAGE_BYTES = 300_000
"""The most that a page may have with all that it loads, compressed, without the index of the search."""


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site") / "site"
    subprocess.run([sys.executable, DOCS / "site_builder.py", "build", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """The address of the built site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def search(site: str, chromium: Browser) -> Iterator[Callable[[str], list[str]]]:
    """The site's own search: takes words, returns the pages of the results, each once, the best first."""
    page = chromium.new_page(reduced_motion="reduce")
    page.goto(site)

    def found(words: str) -> list[str]:
        box.fill("")
        expect(page.locator("a[href*='?h=']")).to_have_count(0)  # else the last results stay, under the new words
        box.fill(words)
        # A result carries the words that it was found for.
        results = page.locator(f"a[href*='?h={quote_plus(words)}#'], a[href$='?h={quote_plus(words)}']")
        results.first.wait_for()
        links = results.evaluate_all("links => links.map(link => new URL(link.href).pathname.slice(1))")
        return list(dict.fromkeys(links))

    page.get_by_role("button", name="Search").first.click()
    box = page.get_by_role("combobox", name="Search")
    yield found
    page.close()  # it would go on painting


def test_one_file_holds_every_written_page_for_a_language_model(site: str) -> None:
    whole = httpx.get(f"{site}llms-full.txt").raise_for_status().text
    for page in [path for folder in (".", "deploy") for path in DOCS.glob(f"{folder}/*.md")]:
        assert f"\n{page.read_text().splitlines()[0]}\n" in whole, page


def test_each_code_block_is_shown_as_code(folder: Path) -> None:
    assert [page for page in folder.rglob("*.html") if "```" in page.read_text()] == []


@NEEDS_CHROMIUM
def test_the_search_has_the_page_that_answers_first_or_among_the_first_three(
    site: str, search: Callable[[str], list[str]]
) -> None:
    found = {words: search(words) for words in QUESTIONS}
    places = {words: pages.index(QUESTIONS[words]) for words, pages in found.items() if QUESTIONS[words] in pages}
    missed = {words: pages[:3] for words, pages in found.items() if places.get(words) != 0}
    assert len(QUESTIONS) == 30
    assert len(missed) <= 6, missed
    assert sum(places.get(words, 3) >= 3 for words in missed) <= 3, missed


@NEEDS_CHROMIUM
def test_the_search_understands_whole_questions_of_a_newcomer(search: Callable[[str], list[str]]) -> None:
    asked = SEARCHES["of_an_evening"]
    found = {words: search(words) for words in asked}
    missed = {words: pages[:3] for words, pages in found.items() if asked[words] not in pages[:3]}
    assert len(asked) == 42
    assert len(missed) <= 4, missed


@NEEDS_CHROMIUM
def test_axe_finds_nothing_on_a_page_of_each_kind_in_light_in_dark_and_on_a_phone(site: str, chromium: Browser) -> None:
    axe, found = axe_source(), dict[tuple[str, str], Any]()

    def opened(kind: str) -> None:
        page.goto(site + kind)
        page.evaluate(axe)

    page = chromium.new_page(color_scheme="light", reduced_motion="reduce", viewport=MOBILE)
    for kind in (*KINDS, WIDEST):
        opened(kind)
        found["phone", kind] = page.evaluate(AXE_RUN, {})
    page.set_viewport_size(DESKTOP)
    opened(KINDS[1])  # what a wide screen has in addition is on each page
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "default")
    found["light", KINDS[1]] = page.evaluate(AXE_RUN, {})
    page.close()
    page = chromium.new_page(color_scheme="dark", reduced_motion="reduce", viewport=DESKTOP)
    for kind in KINDS:
        opened(kind)
        expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
        found["dark", kind] = page.evaluate(AXE_RUN, {"runOnly": ["color-contrast"]})  # it differs in its colours only
    page.close()
    assert {where: findings for where, findings in found.items() if findings} == {}


def test_a_page_is_light(folder: Path) -> None:
    @functools.cache
    def weight(path: Path) -> int:
        content = path.read_bytes()
        return len(content if path.suffix in {".png", ".webp"} else gzip.compress(content))

    def loaded(page: Path) -> set[Path]:
        names = re.findall(r'(?:src|href)="([^":]+\.(?:css|js|png|svg|webp))"', page.read_text())
        return {(page.parent / name).resolve() for name in names}

    workers = [*(folder / "assets" / "javascripts" / "workers").glob("*.js")]
    weights = {
        page.relative_to(folder): sum(map(weight, {page, *workers, *loaded(page)}))
        for page in folder.rglob("index.html")
    }
    assert {page: sum_ for page, sum_ in weights.items() if sum_ > PAGE_BYTES} == {}
