"""The reference that `docs/generate.py` builds: complete, with links that lead somewhere, and snippets that run."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import posixpath
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import httpx
import pytest
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app

import linqbot.events
import linqbot.testing
from linqbot import Client, hookspecs
from linqbot.cli.table import COMMANDS, PACKAGES
from linqbot.clock import MovableClock
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.ops.explanations import of_linq, of_ours, of_rules
from linqbot.settings import Settings, variable
from linqbot.turn_events import End, QuotingEvent, Reason, TurnEvent

DOCS = Path(__file__).parents[2] / "docs"
SNIPPETS = sorted((DOCS / "snippets").glob("*.py"), key=lambda path: path.stem)

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecate:DeprecationWarning")


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def generator() -> Any:
    sys.path.append(str(DOCS))  # its modules are imported when they are needed
    return importlib.import_module("generate")


@cache
def built() -> dict[str, str]:
    """Return the pages of the reference, by their path in its folder."""
    pages: dict[str, str] = generator().built()
    return pages


def of(folder: str) -> str:
    return "".join(text for name, text in built().items() if name.startswith(folder))


@pytest.mark.slow
@pytest.mark.process
def test_one_command_builds_the_reference_without_a_warning(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", DOCS / "generate.py", tmp_path / "new"], check=True)
    assert {path.relative_to(tmp_path / "new").as_posix() for path in tmp_path.rglob("*.md")} == set(built())


def test_links_of_the_reference_lead_to_its_pages_and_to_written_ones() -> None:
    for page, text in built().items():
        for target in re.findall(r"\]\(((?!http)[^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            linked = posixpath.normpath(posixpath.join("reference", posixpath.dirname(page), path))
            linked = linked if path else f"reference/{page}"
            name = linked.removeprefix("reference/")
            content = built()[name] if name != linked else (DOCS / linked).read_text()
            assert not anchor or anchor in anchors(content), (page, target)


def test_every_page_of_the_reference_is_found_from_its_first() -> None:
    found, ahead = set(), ["index.md"]
    while ahead:
        page = ahead.pop()
        if page not in found and page in built():
            found.add(page)
            targets = re.findall(r"\]\(((?!http)[^)#\s]+)", built()[page])
            ahead += [posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) for target in targets]
    assert found == set(built())


HOOKS = [name for name, spec in vars(hookspecs).items() if hasattr(spec, "linqbot_spec")]
OBSERVED = [each.__name__ for each in TurnEvent.__subclasses__() if each is not QuotingEvent]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_command_setting_event_code_and_hook_is_listed() -> None:
    listed = {
        "commands.md": [f"\n## linqbot {name}\n" for name in (*COMMANDS, *PACKAGES)],
        "settings.md": [f"| `{variable(name)}` |" for name in Settings.model_fields],
        "events.md": [f"| `{name}` |" for name in EVENT_TYPES],
        "codes.md": [code for codes in (of_ours(), of_linq(), of_rules()) for code in codes],
        "hooks.md": [f"\n### {name}\n" for name in (*HOOKS, *OBSERVED)],
    }
    for page, rows in listed.items():
        assert rows
        assert [row for row in rows if row not in built()[page]] == [], page


def test_the_reference_leads_from_each_event_to_all_that_a_handler_reads_of_it() -> None:
    page = built()["classes/events.md"]
    entries: dict[str, str] = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))

    def entry_with_bases(name: str) -> str:
        bases = re.search(r"^A kind of (.*)$", entries[name], re.MULTILINE)
        return entries[name] + "".join(map(entry_with_bases, re.findall(r"`(\w+)`", bases[1]) if bases else ()))

    for cls in EVENT_TYPES.values():
        found = entry_with_bases(cls.__name__)
        for field in cls.model_fields:
            assert f"| `{field}` |" in found, f"{cls.__name__}.{field}"
    for shown in ("`sent_at`", "MessageEvent.text", "MessageReceived.is_addressed"):
        assert shown in entry_with_bases("MessageReceived")


def test_a_list_on_a_generated_page_names_arguments_and_holds_no_example() -> None:
    for page, text in built().items():
        for line in text.splitlines() if page.startswith(("api/", "classes/")) else ():
            if item := re.match(r"- `([^`]+)`: ", line):
                assert re.fullmatch(r"[\w.]+([,/] ?[\w.]+)*", item[1]), (page, line)
                assert "Example:" not in line, (page, line)


def test_every_name_for_handler_files_stands_on_a_page_of_classes() -> None:
    pages = of("classes/")
    errors_and_tools = {"Client", "hookimpl"} | {
        name for name in linqbot.__all__ if hasattr(getattr(linqbot, name), "lqb")
    }
    offered = {*linqbot.__all__, *linqbot.events.__all__, *linqbot.testing.__all__}
    missing = {name for name in offered - errors_and_tools - {"Delivery"} if f"\n## {name}\n" not in pages}
    assert missing == set()


def test_every_method_stands_on_a_page_with_its_source_and_in_a_snippet() -> None:
    pages = of("api/")
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
    page = built()["hooks.md"]
    assert "register_commands() -> Iterable[PluginCommand]" in page
    assert "started(running: Running) -> None" in page
    assert "### WebhookRefused\n\n```python\nreason: Reason\nstatus: int\n```" in page


@pytest.mark.parametrize("kind", [End, Reason])
def test_the_page_of_hooks_explains_each_value_of_an_argument(kind: Any) -> None:
    explained = built()["hooks.md"].partition("## Types of the arguments")[2]
    for value in get_args(kind):
        assert f"- `{value}`: " in explained
    assert "### Tried" in explained


def test_the_page_about_plugins_names_every_hook_and_event() -> None:
    page = (DOCS / "plugins.md").read_text()
    assert [name for name in (*HOOKS, *OBSERVED) if f"`{name}`" not in page] == []
