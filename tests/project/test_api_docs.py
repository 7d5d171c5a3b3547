"""The pages of docs/api/: what the generator would write, and snippets that run."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import httpx
import pytest

import linqbot.events
import linqbot.testing
from linqbot.api import ENDPOINTS
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.web.app import create_app
from linqbot.hookspecs import End, Reason

DOCS = Path(__file__).parents[2] / "docs"
SNIPPETS = sorted((DOCS / "snippets").glob("*.py"), key=lambda path: path.stem)

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:.*deprecate:DeprecationWarning")]


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_as_the_generator_writes_them() -> None:
    wanted = loaded(DOCS / "generate.py").pages()
    found = {path.name: path.read_text() for path in (DOCS / "api").glob("*.md")}
    assert found == wanted, "run: python docs/generate.py"


def test_the_page_of_hooks_is_as_the_generator_writes_it() -> None:
    assert (DOCS / "hooks.md").read_text() == loaded(DOCS / "generate.py").hooks(), "run: python docs/generate.py"


def test_the_pages_of_classes_are_as_the_generator_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    wanted = loaded(DOCS / "classes.py").pages()
    found = {path.name: path.read_text() for path in (DOCS / "classes").glob("*.md")}
    assert found == wanted, "run: python docs/generate.py"


def test_every_name_for_handler_files_stands_on_a_page_of_classes() -> None:
    pages = "".join(path.read_text() for path in (DOCS / "classes").glob("*.md"))
    errors_and_tools = {"Client", "hookimpl"} | {
        name for name in linqbot.__all__ if hasattr(getattr(linqbot, name), "lqb")
    }
    offered = {*linqbot.__all__, *linqbot.events.__all__, *linqbot.testing.__all__}
    missing = {name for name in offered - errors_and_tools - {"Delivery"} if f"\n## {name}\n" not in pages}
    assert missing == set()


def test_every_method_stands_on_a_page_with_its_source_and_in_a_snippet() -> None:
    pages = "".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    code = "".join(path.read_text() for path in SNIPPETS)
    for name in {*ENDPOINTS, "attachments.upload"}:
        assert f"### {name}\n" in pages
        assert f"client.{name}(" in code, name
    assert pages.count("\n[Linq's page](https://docs.linqapp.com/") == len(ENDPOINTS) + 1


class Linq(httpx.AsyncBaseTransport):
    """The emulator, on a clock that stands a second further on at every call."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.calls = 0
        self._api = httpx.ASGITransport(create_app(emulator))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        self._emulator.advance(1)
        return await self._api.handle_async_request(request)


async def test_a_snippet_runs(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    for path in SNIPPETS:
        with subtests.test(path=path):

            async def at_once(_: float) -> None:
                """Return at once: a test does not wait."""

            monkeypatch.setattr(asyncio, "sleep", at_once)
            emulator = Emulator(clock=MovableClock(frozen=True))
            linq = Linq(emulator)
            async with Client("key", base_url=f"{emulator.public_url}/api/partner", transport=linq) as client:
                await loaded(path).example(client)
            assert linq.calls


def test_the_page_of_hooks_says_what_each_takes_and_returns() -> None:
    page = (DOCS / "hooks.md").read_text()
    assert "register_commands() -> Iterable[click.Command]" in page
    assert "refused(reason: Reason, status: int) -> None" in page


@pytest.mark.parametrize("kind", [End, Reason])
def test_the_page_of_hooks_explains_each_value_of_an_argument(kind: Any) -> None:
    explained = (DOCS / "hooks.md").read_text().partition("## Types of the arguments")[2]
    for value in get_args(kind):
        assert f"- `{value}`: " in explained
    assert "### Tried" in explained
