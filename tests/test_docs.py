"""What README and docs show is true: every Python snippet runs, every command named exists, every picture is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from linqbot import Bot
from linqbot.cli.main import COMMANDS
from linqbot.client.endpoints import ENDPOINTS
from linqbot.settings import Settings, variable

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("deploy/*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
SNIPPETS = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{n}")
    for page in PAGES
    for n, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), 1)
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LINQ_API_V3_API_KEY", "token")
    monkeypatch.setenv("LINQ_WEBHOOK_SECRET", "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
    (tmp_path / "bot.py").write_text("from linqbot import Bot\nbot = Bot()\n")
    monkeypatch.delitem(sys.modules, "bot", raising=False)
    names: dict[str, object] = {"__name__": "snippet"}
    exec(compile(code, "snippet", "exec"), names)
    for bot in names.values():
        if isinstance(bot, Bot):
            from linqbot.bot.dispatch import Dispatcher
            from linqbot.clock import SystemClock

            Dispatcher(bot, SystemClock())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_settings_and_files_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    code = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text))
    assert set(re.findall(r"\blinqbot ([a-z]+)\b", code)) <= set(COMMANDS)
    known = {variable(name) for name in Settings.model_fields}
    assert set(re.findall(r"\b(?:LINQBOT|LINQ)_[A-Z0-9_]+\b", text)) <= known
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
        assert (page.parent / target).exists(), target


def test_the_readme_opens_with_the_two_commands() -> None:
    first = re.search(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert first is not None
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == [
        "pip install uv && uv run linqbot dev examples/echo.py",
        "pip install uv && uv run --all-packages pytest",
    ]


def test_the_page_on_delivery_names_every_call_that_is_sent_under_a_key() -> None:
    text = (ROOT / "docs" / "delivery.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| keyed"))
    assert set(re.findall(r"`([a-z_.]+)`", row)) == {
        name for name, endpoint in ENDPOINTS.items() if endpoint.safety == "keyed"
    }
