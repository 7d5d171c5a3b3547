"""README and docs are correct: snippets run, consoles print what is shown, and commands, settings and links exist."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from answers import answers
from docs_console import Terminal, steps
from project.test_reference import anchors, built

from linqbot import Bot, Context, MessageReceived
from linqbot.bot.dispatch import Dispatcher
from linqbot.cli.main import main
from linqbot.cli.table import COMMANDS, PACKAGES
from linqbot.clock import SystemClock
from linqbot.events import MessageDelivered
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.settings import Settings, variable
from linqbot.testing import talking

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DEV = ROOT / "plugins" / "linqbot-dev" / "linqbot_dev"
WRITTEN = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "llms.txt",
    *sorted(DOCS.glob("*.md")),
    *sorted(DOCS.glob("deploy/*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
"""The pages that are committed. Those of the reference are built: `test_reference.py`."""
NAMES_PAGES = [
    path
    for folder in ("linqbot", "plugins", "deploy", "examples", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.suffix not in {".pyc", ".png", ".md"} and "node_modules" not in path.parts
]
"""The files that may name a page of the docs, such as in an error."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


SNIPPETS = [
    (f"{named(page)}-{n}", code)
    for page in WRITTEN
    for n, code in enumerate(re.findall(r"```python(?: \S+)?\n(.*?)```", page.read_text(), re.DOTALL), 1)
]
SESSIONS = [page for page in WRITTEN if any(step.command for step in steps(page.read_text()))]


@pytest.mark.slow
def test_a_snippet_runs(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for n, (name, code) in enumerate(SNIPPETS):
        with subtests.test(name=name), pytest.MonkeyPatch.context() as patch:
            folder = tmp_path / str(n)
            folder.mkdir()
            patch.chdir(folder)
            patch.syspath_prepend(str(folder))
            patch.setenv("LINQ_API_V3_API_KEY", "token")
            patch.setenv("LINQ_WEBHOOK_SECRET", "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
            (folder / "bot.py").write_text("from linqbot import Bot\nbot = Bot()\n")
            sys.modules.pop("bot", None)
            names: dict[str, object] = {"__name__": "snippet"}
            exec(compile(code, "snippet", "exec", dont_inherit=True), names)  # as in a file of the reader
            for bot in names.values():
                if isinstance(bot, Bot):
                    Dispatcher(bot, SystemClock())


@pytest.mark.process
@pytest.mark.slow
def test_the_snippets_hold_under_mypy_strict(tmp_path: Path) -> None:
    for name, code in SNIPPETS:
        (tmp_path / (re.sub(r"\W", "_", name) + ".py")).write_text(code)
    (tmp_path / "bot.py").write_text("from linqbot import Bot\n\nbot = Bot()\n")
    # With the project's own settings, and what `mypy` has learned about linqbot and the frameworks of agents.
    command = [sys.executable, "-m", "mypy", "--no-explicit-package-bases", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages show a shell")
@pytest.mark.parametrize("page", SESSIONS, ids=named)
def test_a_console_prints_what_its_page_shows(page: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        for step in steps(page.read_text()):
            terminal.do(step)
    finally:
        terminal.close()


def test_commands_of_a_page_are_valid(subtests: pytest.Subtests) -> None:
    for page in WRITTEN:
        with subtests.test(page=page):
            for line in command_lines(page.read_text()):
                call(shlex.split(line, comments=True), whole=True)
            for code in re.findall(r"`linqbot ([^`\n]+)`", page.read_text()):
                call(["linqbot", *shlex.split(code)], whole=False)


def test_a_page_names_only_python_versions_of_the_package(subtests: pytest.Subtests) -> None:
    for page in WRITTEN:
        with subtests.test(page=page):
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            supported = {name.rpartition(" ")[2] for name in project["classifiers"] if "Python :: 3." in name}
            assert set(re.findall(r"\b3\.\d\d\b(?!\.\d)", page.read_text())) <= supported


def command_lines(text: str) -> Iterator[str]:
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        typed = [line[2:] for line in lines if line.startswith("$ ")] or lines
        for line in typed:
            yield from re.findall(r"(?:^|&& |uv run (?:--\S+ \S+ )?)(linqbot .*)", line)


def call(words: list[str], *, whole: bool) -> None:
    """Parse a command line as click would, without running it. A partial one, as in prose, may lack arguments."""
    root = click.Context(main, info_name="linqbot")
    command: click.Command = main
    context, rest = root, words[1:]
    try:
        while isinstance(command, click.Group):
            if not whole and (not rest or rest[0].startswith("-")):
                return
            _, found, rest = command.resolve_command(context, rest)
            assert found is not None, words
            command = found
            context = click.Context(command, parent=context)
        command.make_context(command.name, list(rest), parent=root)
    except click.exceptions.Exit:
        return  # --help, --list
    except click.MissingParameter:
        if whole:
            raise


def test_links_of_a_page_lead_to_existing_places(subtests: pytest.Subtests) -> None:
    for page in WRITTEN:
        with subtests.test(page=page):
            for target in re.findall(r"\]\(((?!http)[^)\s]+)\)", page.read_text()):
                path, _, anchor = target.partition("#")
                linked = page.parent / path if path else page
                assert linked.exists(), target
                assert DOCS / "reference" not in linked.resolve().parents, f"{target} is not in a clone"
                if anchor:
                    assert anchor in anchors(linked.read_text()), target


def test_every_page_is_found_by_following_links_from_the_readme() -> None:
    found, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop().resolve()
        if page not in found and page.suffix == ".md":
            found.add(page)
            targets = re.findall(r"\]\(((?!http)[^)#\s]+)", page.read_text())
            ahead += [page.parent / target for target in targets]
    assert {named(page) for page in WRITTEN if page.suffix == ".md"} <= {named(page) for page in found}


def test_pages_that_errors_comments_and_files_name_exist() -> None:
    for path in NAMES_PAGES:
        for name in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(errors="ignore")):
            assert (ROOT / name).exists() or name.removeprefix("docs/reference/") in built(), (path, name)


def test_files_that_contributing_names_exist() -> None:
    page = ROOT / "CONTRIBUTING.md"
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|md|toml|json|sql)))`", page.read_text()):
        assert any((each / name).exists() for each in (ROOT / "linqbot", ROOT, DEV)), name


def test_settings_a_page_names_exist(subtests: pytest.Subtests) -> None:
    for page in WRITTEN:
        with subtests.test(page=page):
            known = {variable(name) for name in Settings.model_fields}
            known |= OF_OTHERS if page.name == "judge.md" else set()
            assert set(re.findall(r"\b(?:LINQBOT|LINQ)_[A-Z0-9_]+\b", page.read_text())) <= known


OF_OTHERS = {"LINQ_API_URL", "LINQ_FROM_PHONE", "LINQ_TOKEN"}
"""Variables of Linq's command line, which bots of other frameworks read."""


# On the pages about plugins, such names are attributes of spans.
def test_modules_a_page_names_exist(subtests: pytest.Subtests) -> None:
    for page in [page for page in WRITTEN if "plugins" not in named(page)]:
        with subtests.test(page=page):
            for name in re.findall(r"`(linqbot(?:\.[a-z_0-9]+)+)`", page.read_text()):
                if name != "linqbot.toml":
                    importlib.import_module(name)


def test_every_command_stands_in_the_readme() -> None:
    assert set(re.findall(r"\blinqbot ([a-z]+)", (ROOT / "README.md").read_text())) >= {*COMMANDS, *PACKAGES}


def test_every_argument_of_a_bot_is_explained() -> None:
    text = (DOCS / "handling.md").read_text()
    for name in inspect.signature(Bot).parameters:
        assert f"`{name}=" in text, name


def test_the_readme_opens_with_the_two_commands() -> None:
    first, *_ = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [line.split("#")[0].strip() for line in first.splitlines()] == [
        "pip install uv && uv run linqbot dev examples/echo.py",
        "pip install uv && uv run --all-packages pytest",
    ]


def bot_of(code: str) -> Bot:
    names: dict[str, Any] = {"__name__": "bot"}
    exec(compile(code, "snippet", "exec", dont_inherit=True), names)
    bot = names["bot"]
    assert isinstance(bot, Bot)
    return bot


async def test_the_bot_in_the_readme_takes_an_order() -> None:
    first, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    async with talking(bot_of(first)) as phone:
        assert await answers(phone, "order") == ["Which size?", ""]  # the second is a poll of the sizes
        (reply,) = await answers(phone, "M")
        assert (reply, reply.effect) == ("One M is on its way.", "confetti")


async def test_each_bot_of_coming_from_asks_once_also_after_a_restart(subtests: pytest.Subtests) -> None:
    plain, of_eve = re.findall(r"```python\n(.*?)```", (DOCS / "coming-from.md").read_text(), re.DOTALL)
    for name, code in (("plain", plain), ("eve", of_eve)):
        with subtests.test(bot=name):
            async with talking(bot_of(code), copies=3) as phone:
                question, *choices = await answers(phone, "order")
                await phone.restart()
                if name == "eve":
                    assert question == "May I order (size S)? 👍 or yes, 👎 or no"
                    assert await answers(phone, "yes") == [
                        '{"order":"One S is on its way."}'
                    ]  # as the test model says it
                else:
                    assert (question, len(choices)) == ("Which size?", 1)
                    assert await answers(phone, "XL", "M") == [
                        "Please answer with one of these: S, M, L.",
                        "One M is on its way.",
                    ]


async def test_the_language_of_a_person_on_the_page_of_languages_takes_receipts_too() -> None:
    bot = bot_of(next(code for _, code in SNIPPETS if "async def of_person" in code))
    delivered = list[str | None]()

    @bot.on_delivery("delivered")
    async def note(receipt: MessageDelivered, ctx: Context) -> None:
        delivered.append(ctx.language)

    @bot.on_message
    def greet(message: MessageReceived, ctx: Context) -> str:
        return "Hello!"

    async with talking(bot) as phone:
        assert await answers(phone, "hi") == ["Hello!"]
    assert delivered == ["en"]


def test_the_page_on_delivery_names_every_keyed_call() -> None:
    text = (DOCS / "delivery.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| keyed"))
    assert set(re.findall(r"`([a-z_.]+)`", row)) == {
        name for name, endpoint in ENDPOINTS.items() if endpoint.safety == "keyed"
    }


def test_every_dependency_has_its_reason_behind_it() -> None:
    for file in [ROOT / "pyproject.toml", ROOT / "tests" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]:
        project = tomllib.loads(file.read_text())["project"]
        extras = project.get("optional-dependencies", {}).values()
        for requirement in [*project["dependencies"], *(each for extra in extras for each in extra)]:
            if not requirement.startswith("linqbot"):
                assert re.search(rf'^    "{re.escape(requirement)}",  # \w', file.read_text(), re.MULTILINE), (
                    requirement
                )
