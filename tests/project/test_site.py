"""The site of the docs: it builds without a warning or a broken link, and its own search finds the page for a question."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote_plus

import httpx
import pytest
from chromium_page import CHROMIUM, CHROMIUM_ARGS
from playwright.sync_api import expect, sync_playwright

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.process]

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
try:
    site_builder = importlib.import_module("site_builder")
finally:
    sys.path.pop(0)

QUESTIONS: dict[str, str] = {
    words: page
    for table in tomllib.loads((Path(__file__).parents[1] / "data" / "search_questions.toml").read_text()).values()
    for words, page in table.items()
}
NOT_WRITTEN = {"deploy/hosts/", "lines/", "kept/", "database/"}
"""Pages of questions that may be missing."""


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the built site."""
    folder = tmp_path_factory.mktemp("site") / "site"
    subprocess.run([sys.executable, DOCS / "site_builder.py", "build", folder], check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def search(site: str) -> Iterator[Callable[[str], list[str]]]:
    """The site's own search: takes words, returns the pages of the results, each once, the best first."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        page = browser.new_page()
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
        browser.close()


def test_one_file_holds_every_written_page_for_a_language_model(site: str) -> None:
    whole = httpx.get(f"{site}llms-full.txt").raise_for_status().text
    for page in [path for folder in (".", "deploy", "coming-from") for path in DOCS.glob(f"{folder}/*.md")]:
        assert f"\n{page.read_text().splitlines()[0]}\n" in whole, page


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on the PATH (Debian: apt-get install chromium)")
def test_the_search_has_the_page_that_answers_first_or_among_the_first_three(
    site: str, search: Callable[[str], list[str]]
) -> None:
    missing = {page for page in QUESTIONS.values() if httpx.get(site + page).is_error}
    assert missing <= NOT_WRITTEN
    found = {words: search(words) for words, page in QUESTIONS.items() if page not in missing}
    places = {words: pages.index(QUESTIONS[words]) for words, pages in found.items() if QUESTIONS[words] in pages}
    missed = {words: pages[:3] for words, pages in found.items() if places.get(words) != 0}
    assert len(QUESTIONS) == 30
    assert len(missed) <= 6, missed
    assert sum(places.get(words, 3) >= 3 for words in missed) <= 3, missed


def test_a_link_or_an_anchor_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "index.html").write_text('<h2 id="part">…</h2>')
    (tmp_path / "index.html").write_text(
        '<a href="there/#part">1</a> <a href="there/#gone">2</a> <a href="gone/">3</a> <img src="gone.png"> <a href="https://example.com/">4</a>'
    )
    assert sorted(site_builder.broken_links(tmp_path)) == [("/", "gone.png"), ("/", "gone/"), ("/", "there/#gone")]
