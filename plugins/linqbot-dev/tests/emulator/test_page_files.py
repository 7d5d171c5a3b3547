"""The files of the page over HTTP: compressed where the client accepts it, with all modules named, and nothing else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from linqbot_dev.emulator.web.app import PAGE, PageFiles

from emulator.conftest import Api
from linqbot.linq.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS, TapbackName

SCRIPT = '<script type="module" src="./app.js"></script>'
APP = """\
// What this page is.
/** @import { Two } from "./types.js" */
import {
  two,
} from "./parts/b.js";
two(async () => (await import("./parts/later.js")).three());
"""


def preloads(index: str) -> list[str]:
    return re.findall(r'<link rel="modulepreload" href="\./[0-9a-f]{8}/([^"]+)">', index)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path / "page"
    (folder / "parts").mkdir(parents=True)
    (folder / "index.html").write_text(f"<head><!-- modules -->{SCRIPT}</head>")
    (folder / "parts" / "a.js").write_text("one();")
    (folder / "app.js").write_text(APP)
    (tmp_path / "secret.js").write_text("secret();")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(PageFiles(folder)), base_url="http://page") as client:
        yield client


async def test_the_files_of_the_page_are_compressed(api: Api) -> None:
    headers = (await api.get("/app.js")).headers
    assert (headers["content-encoding"], headers["content-type"]) == ("gzip", "text/javascript; charset=utf-8")


async def test_a_browser_keeps_files_until_one_of_them_changes(page: httpx.AsyncClient, tmp_path: Path) -> None:
    async def script() -> str:
        index = await page.get("/")
        assert "cache-control" not in index.headers
        return str(re.findall(r'src="\.(/[^"]+)">', index.text)[0])

    first = await script()
    kept = await page.get(first)
    assert (kept.text, kept.headers["cache-control"]) == (APP, "max-age=31536000, immutable")
    (tmp_path / "page" / "app.js").write_text("changed();")
    (tmp_path / "page" / "new.js").write_text("new();")
    second = await script()
    assert second != first
    for path, text in ((first, "changed();"), ("/app.js", "changed();"), ("/new.js", "new();")):
        other = await page.get(path)
        assert (other.text, "cache-control" in other.headers) == (text, False)


async def test_the_index_names_the_modules_that_the_page_starts_with(page: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "page" / "parts" / "b.js").write_text('import { one } from "./a.js";')
    (tmp_path / "page" / "parts" / "later.js").write_text("three();")
    assert preloads((await page.get("/")).text) == ["app.js", "parts/b.js", "parts/a.js"]
    (tmp_path / "page" / "parts" / "b.js").unlink()
    assert preloads((await page.get("/")).text) == ["app.js"]


async def test_nothing_outside_of_the_folder_is_served(page: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for path in ["/../secret.js", "/%2e%2e/secret.js", "/parts", "/no.js", "//etc/passwd"]:
        with subtests.test(path=path):
            assert (await page.get(path)).status_code == 404


async def test_the_page_takes_only_get_and_head(page: httpx.AsyncClient) -> None:
    assert (await page.post("/")).status_code == 405
    answer = await page.head("/parts/a.js")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_the_first_visit_asks_for_few_of_the_modules_and_names_each_of_them(api: Api) -> None:
    preloaded = preloads((await api.get("/")).text)
    assert "messages/message.js" in preloaded
    assert "inspector/inspector.js" not in preloaded
    imported = {
        (PAGE / name).parent.joinpath(one).resolve().relative_to(PAGE).as_posix()
        for name in preloaded
        for one in re.findall(r'^[^ /*].*from "(\.[^"]+)";', (PAGE / name).read_text(), re.MULTILINE)
    }
    assert imported <= set(preloaded)


def test_the_page_shows_every_tapback_and_effect_that_linq_has() -> None:
    tapbacks = (PAGE / "messages" / "tapbacks.js").read_text().partition("TAPBACKS = {")[2].partition("}")[0]
    scenes = (PAGE / "effects" / "scenes.js").read_text().partition("SCENES = {")[2].partition("}")[0]
    bubbles = (PAGE / "model" / "content" / "effect-names.js").read_text().partition("BUBBLE_EFFECTS = {")[2]
    assert set(re.findall(r"(\w+):", tapbacks)) == set(get_args(TapbackName))
    bubbles_that_rise = {"echo"}  # they need no scene
    assert set(re.findall(r"^  (\w+)", scenes, re.MULTILINE)) == SCREEN_EFFECTS - bubbles_that_rise
    assert set(re.findall(r"(\w+):", bubbles.partition("}")[0])) == BUBBLE_EFFECTS
    icons = set(re.findall(r'id="icon-([\w-]+)"', (PAGE / "icons.svg").read_text()))
    names = {f"effect-{name}" for name in SCREEN_EFFECTS | BUBBLE_EFFECTS} | set(get_args(TapbackName))
    assert names - icons == set()
