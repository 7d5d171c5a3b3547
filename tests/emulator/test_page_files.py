"""The files of the page over HTTP: compressed where the client accepts it, with all modules named, and nothing else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from linqbot.emulator.web.app import PAGE
from linqbot.emulator.web.page_files import PageFiles

pytestmark = pytest.mark.anyio


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path / "page"
    (folder / "parts").mkdir(parents=True)
    (folder / "index.html").write_text("<head><!-- modules --></head>")
    (folder / "parts" / "a.js").write_text("one();")
    (tmp_path / "secret.js").write_text("secret();")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(PageFiles(folder)), base_url="http://page") as client:
        yield client


async def test_a_file_is_compressed_only_for_clients_that_accept_it(page: httpx.AsyncClient) -> None:
    compressed = await page.get("/parts/a.js")
    plain = await page.get("/parts/a.js", headers={"accept-encoding": "identity"})
    assert (compressed.headers["content-encoding"], compressed.text) == ("gzip", "one();")
    assert ("content-encoding" in plain.headers, plain.text) == (False, "one();")
    assert compressed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert compressed.headers["vary"] == "accept-encoding"


async def test_a_changed_and_a_new_file_are_served_at_once(page: httpx.AsyncClient, tmp_path: Path) -> None:
    assert (await page.get("/parts/a.js")).text == "one();"
    (tmp_path / "page" / "parts" / "a.js").write_text("two two two();")
    (tmp_path / "page" / "b.js").write_text("three();")
    assert (await page.get("/parts/a.js")).text == "two two two();"
    assert (await page.get("/b.js")).text == "three();"


async def test_the_index_names_the_modules_that_exist(page: httpx.AsyncClient, tmp_path: Path) -> None:
    link = '<link rel="modulepreload" href="./parts/a.js">'
    assert (await page.get("/")).text == f"<head>{link}</head>"
    (tmp_path / "page" / "parts" / "a.js").unlink()
    assert (await page.get("/")).text == "<head></head>"


@pytest.mark.parametrize("path", ["/../secret.js", "/%2e%2e/secret.js", "/parts", "/no.js", "//etc/passwd"])
async def test_nothing_outside_of_the_folder_is_served(page: httpx.AsyncClient, path: str) -> None:
    assert (await page.get(path)).status_code == 404


async def test_the_page_takes_only_get_and_head(page: httpx.AsyncClient) -> None:
    assert (await page.post("/")).status_code == 405
    answer = await page.head("/parts/a.js")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_every_module_that_a_module_imports_is_preloaded(api: httpx.AsyncClient) -> None:
    index = (await api.get("/")).text
    preloaded = set(re.findall(r'modulepreload" href="\./([^"]+)"', index))
    modules = {path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*.js")}
    assert preloaded == modules
