"""`linqbot new`: the created project works without changes, and no existing file is overwritten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typed_command import data, shown

from linqbot.cli.table import COMMANDS, PACKAGES
from linqbot.settings import Settings, from_env

MYPY_CACHE = Path(__file__).parents[3] / ".mypy_cache" / "strict"
"""What mypy has learned about linqbot. Its first run in a checkout reads all of linqbot."""
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("LINQ_", "LINQBOT_", "PYTEST_"))}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """Run a Python module in the new folder, and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=PLAIN, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(made: Path, *, tests: str) -> None:
    """Let the tests, type checks and style checks of a project pass."""
    assert tests in run(made, "pytest", "-p", "no:cacheprovider", "-p", "no:langsmith_plugin")
    MYPY_CACHE.mkdir(parents=True, exist_ok=True)
    with (MYPY_CACHE / "lock").open("w") as lock:  # another process of the test run waits for the cache meanwhile
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        assert "Success" in run(made, "mypy", "--strict", "--cache-dir", str(MYPY_CACHE))
    run(made, "ruff", "check", "--isolated", "--no-cache", ".")
    run(made, "ruff", "format", "--isolated", "--no-cache", "--check", "--line-length", "120", ".")


@pytest.mark.process
@pytest.mark.slow
def test_the_tests_type_checks_and_style_checks_of_a_new_bot_pass(folder: Path) -> None:
    shown("new", "my-bot")
    check(folder / "my-bot", tests="4 passed")


@pytest.mark.process
@pytest.mark.slow
def test_the_tests_and_type_checks_of_a_new_plugin_pass_and_linqbot_finds_it(folder: Path) -> None:
    shown("new", "--plugin", "linqbot-Quiet.hours", "--json")
    made = folder / "linqbot-Quiet.hours"
    project = tomllib.loads((made / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["linqbot"] == {"quiet_hours": "linqbot_quiet_hours:Plugin"}
    # The metadata that an installer writes. An installer would need a network.
    installed = made / "linqbot_quiet_hours-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: linqbot-quiet-hours\nVersion: 0.1.0\n")
    (installed / "entry_points.txt").write_text("[linqbot]\nquiet_hours = linqbot_quiet_hours:Plugin\n")
    check(made, tests="2 passed")
    found = [row["what"] for row in json.loads(run(made, "linqbot", "check", "--only", "plugins", "--json"))]
    (what,) = [what for what in found if what.startswith("quiet_hours ")]
    assert "of linqbot-quiet-hours is active" in what


def test_no_placeholder_is_left_and_git_and_docker_ignore_secrets(folder: Path) -> None:
    printed = data("new", "my-bot")
    made = folder / "my-bot"
    there = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    assert printed["files"] == there
    assert {"bot.py", "test_bot.py", "linqbot.toml", ".env.example", ".gitignore", "Dockerfile", "README.md"} <= set(
        there
    )
    for name in there:
        text = (made / name).read_text()
        assert "$name" not in text
        assert "tmpl" not in text
    for ignored in (".gitignore", ".dockerignore"):
        assert ".env" in (made / ignored).read_text().splitlines()
    variables = re.findall(r"^(\w+)=$", (made / ".env.example").read_text(), re.MULTILINE)
    assert variables == ["LINQ_API_V3_API_KEY", "LINQ_WEBHOOK_SECRET"]


def test_the_settings_file_has_every_setting_that_is_not_a_secret_with_its_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown("new", "my-bot")
    file = folder / "my-bot" / "linqbot.toml"
    text = file.read_text()
    assert tomllib.loads(text) == {}
    said = "\n".join(re.findall(r"^# (\w+ = .+)$", text, re.MULTILINE))
    file.write_text(said)
    monkeypatch.chdir(file.parent)
    assert from_env({}) == Settings()
    for name, field in Settings.model_fields.items():
        assert (f"\n# {name} " in text) == field.repr, name


def test_the_readme_names_existing_commands_and_files_and_says_how_secrets_are_read_with_uv_and_without(
    folder: Path,
) -> None:
    shown("new", "my-bot")
    text = (folder / "my-bot" / "README.md").read_text()
    code = " ".join(re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL))
    assert {"dev", "serve", "explain"} <= set(re.findall(r"\blinqbot ([a-z]+)\b", code)) <= {*COMMANDS, *PACKAGES}
    for name in re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE):
        assert (folder / "my-bot" / name).is_file(), name
    for name in ("README.md", ".env.example"):
        text = " ".join((folder / "my-bot" / name).read_text().replace("# ", "").split())
        assert "linqbot does not read" in text
        assert "UV_ENV_FILE=.env" in text
        assert "set -a; . ./.env; set +a" in text


def test_it_prints_the_next_commands_which_need_uv_only_where_no_environment_is_activated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def next_commands(name: str, *, uv: str | None, pip: bool = True, **environ: Any) -> list[str]:
        monkeypatch.setattr("shutil.which", lambda _: uv)
        monkeypatch.setattr("linqbot.installing.find_spec", lambda name: object() if pip else None)
        return [line.strip() for line in shown("new", name, **environ).splitlines()[-3:]]

    with_uv, without = (
        ["uv run linqbot dev bot.py", "uv run pytest"],
        ["linqbot dev bot.py", "pip install pytest && pytest"],
    )
    by_path = ["linqbot dev bot.py", f"{sys.executable} -m pip install pytest && pytest"]
    plain: dict[str, Any] = {"VIRTUAL_ENV": None, "UV": None}
    activated: dict[str, Any] = {"VIRTUAL_ENV": sys.prefix, "UV": None}
    assert next_commands("bots/mybot", uv="/bin/uv", **plain) == ["cd bots/mybot", *with_uv]
    assert next_commands("other", uv=None, **plain) == ["cd other", *by_path]
    assert next_commands("third", uv="/bin/uv", **activated) == ["cd third", *without]
    # An environment that uv has made has no pip.
    in_fifth = ["cd fifth", "linqbot dev bot.py", "uv pip install pytest && pytest"]
    assert next_commands("fifth", uv="/bin/uv", pip=False, **activated) == in_fifth
    # `uv run` activates the environment for one command only.
    assert next_commands("fourth", uv="/bin/uv", **activated | {"UV": "/bin/uv"}) == ["cd fourth", *with_uv]


def test_it_fills_the_current_folder_if_that_is_empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "here").mkdir()
    monkeypatch.chdir(folder / "here")
    assert "cd " not in shown("new", ".")
    assert 'name = "here"' in (folder / "here" / "pyproject.toml").read_text()


@pytest.mark.parametrize("holds", ["a file", "nothing but a hidden file", "it is a file"])
def test_nothing_is_overwritten(folder: Path, holds: str) -> None:
    mine = folder / "mybot"
    if holds == "it is a file":
        mine.write_text("mine")
    else:
        mine.mkdir()
        (mine / (".env" if "hidden" in holds else "bot.py")).write_text("mine")
    before = sorted(folder.rglob("*"))
    assert "no file is overwritten" in shown("new", "mybot", code=2)
    assert sorted(folder.rglob("*")) == before


def test_an_unusable_name_is_refused(folder: Path, subtests: pytest.Subtests) -> None:
    impossible = ["My Bot", "1", "bot;rm", "-x", "ends-", "naïve", 'a"b', "$name"]
    rows = [([name], "cannot name a Python project") for name in impossible]
    rows += [([name], "is the name of a module") for name in ("pytest", "LinqBot")]
    rows += [(["--plugin", name], "is the name of a module") for name in ("json", "class", "bot")]
    for arguments, says in rows:
        with subtests.test(arguments=arguments):
            assert says in shown("new", *arguments[:-1], "--", arguments[-1], code=2)
    assert list(folder.iterdir()) == []
    shown("new", "json")  # a bot is no package, so it may have the name of a standard module


GIT = "git+https://example.com/linqbot.git@abc"
FROM_GIT = {"url": "https://example.com/linqbot.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
FROM_FOLDER = {"url": "file:///src/linq%20bot", "dir_info": {"editable": True}}


def from_wheel(package: str) -> dict[str, Any]:
    return {"url": f"file:///dist/{package}-0.1.0.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        (lambda _: None, ["linqbot>=0.1.0", "linqbot-dev>=0.1.0"]),
        (lambda _: FROM_FOLDER, ["linqbot", "linqbot-dev"]),
        (lambda _: FROM_GIT, [f"linqbot @ {GIT}", f"linqbot-dev @ {GIT}#subdirectory=plugins/linqbot-dev"]),
        (from_wheel, [f"{name} @ file:///dist/{name}-0.1.0.whl" for name in ("linqbot", "linqbot-dev")]),
    ],
    ids=["an index", "a folder", "git", "wheels"],
)
def test_the_project_requires_the_linqbot_that_created_it_and_its_tools(
    folder: Path, monkeypatch: pytest.MonkeyPatch, origin: Any, wanted: list[str]
) -> None:
    class Ours:
        version = "0.1.0"

        def __init__(self, package: str) -> None:
            self.found = origin(package)

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return self.found and json.dumps(self.found)

    monkeypatch.setattr("importlib.metadata.distribution", Ours)
    shown("new", "mybot")
    project = tomllib.loads((folder / "mybot" / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], project["dependency-groups"]["dev"][0]]
    assert asked == wanted
    # From the project's folder, so that a colleague with both folders next to each other can run it too.
    clone = os.path.relpath("/src/linq bot", (folder / "mybot").resolve())
    paths = {"linqbot": clone, "linqbot-dev": f"{clone}/plugins/linqbot-dev"}
    sources = {name: {"path": path, "editable": True} for name, path in paths.items()}
    assert project["tool"]["uv"].get("sources") == (sources if origin("linqbot") == FROM_FOLDER else None)


def test_a_project_of_a_wheel_names_no_tools_whose_place_is_not_known_and_says_how_to_install_them_from_a_clone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ours:
        version, place = "0.1.0", from_wheel("linqbot")

        def read_text(self, name: str) -> str:
            return json.dumps(self.place)

    monkeypatch.setattr("importlib.metadata.distribution", lambda _: Ours())
    monkeypatch.setattr("linqbot.cli.commands.new.find_spec", lambda _: None)
    shown("new", "mybot")
    project = tomllib.loads((folder / "mybot" / "pyproject.toml").read_text())
    assert project["dependency-groups"]["dev"][0].startswith("mypy")
    clone = folder / "clone"
    (clone / "plugins" / "linqbot-dev").mkdir(parents=True)
    (clone / "plugins" / "linqbot-dev" / "pyproject.toml").touch()
    Ours.place = {"url": clone.as_uri(), "dir_info": {}}
    monkeypatch.setattr("shutil.which", lambda _: None)
    steps = [line.strip() for line in shown("new", "other").splitlines()[-4:]]
    assert steps[0].endswith(f" {clone}/plugins/linqbot-dev")
    assert steps[1:3] == ["cd other", "linqbot dev bot.py"]
