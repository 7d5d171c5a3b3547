"""`linqbot new`: create a folder with a bot or a plugin. The files are made from `linqbot/cli/templates/`."""

from __future__ import annotations

import importlib.metadata
import json
import keyword
import os
import re
import shlex
import shutil
import string
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import click

from linqbot.cli.kit import Opt, Result
from linqbot.errors import ConfigError
from linqbot.installing import InstalledFrom, environment_command, installed_from, is_activated, plugin_command
from linqbot.settings import Settings, variable

PLACES: Final = {
    "env.example": ".env.example",
    "gitignore": ".gitignore",
    "dockerignore": ".dockerignore",
    "plugin.py": "$module/__init__.py",
    "py.typed": "$module/py.typed",
    "test_plugin.py": "tests/test_plugin.py",
}
"""The places of templates whose file name differs from that of the file they make.

A leading dot is left out of a template's name, because git would apply a `.gitignore` here.
"""

DEV: Final = "linqbot-dev"
"""The package with the tools that a bot is written and tested with."""

TAKEN: Final = {"bot", "linqbot", "mypy", "pytest", "test", "tests"}
"""Names of modules that a bot imports, and of its own files: a project with such a name could not import them."""


def new(
    name: str,
    *,
    plugin: Annotated[bool, Opt("Create a plugin for bots instead: a package with tests and README.")] = False,
) -> Result:
    """Create the folder NAME with a small bot: code, tests, settings, Dockerfile, README.

    Its tests and type checks pass. NAME may be a path; its last part is the name of the bot.
    """
    folder = Path(name)
    project = _project_name(folder, plugin=plugin)
    _refuse_if_not_empty(folder)
    module = _module(project)
    words = {"name": project, "image": project.lower(), "module": module, "short": module.removeprefix("linqbot_")}
    made = list(_write_templates(folder, "plugin" if plugin else "bot", words | _requirements(folder)))
    if not plugin:
        made.append(_write_settings_file(folder))
    steps = _next_steps(folder, plugin=plugin)
    has = "a plugin and its tests" if plugin else "a bot, its tests and its settings"
    shown = "\n".join([f"{project} has {has}. Next:\n", *(f"  {click.style(step, bold=True)}" for step in steps)])
    return Result({"folder": str(folder), "files": sorted(made), "next": steps}, shown)


def _project_name(folder: Path, *, plugin: bool) -> str:
    """Return the name of the project: the folder's, if a distribution may have it, and a plugin's module too."""
    name = folder.resolve().name
    taken = TAKEN | (sys.stdlib_module_names | frozenset(keyword.kwlist) if plugin else frozenset())
    if name.lower() in TAKEN or _module(name) in taken:
        raise click.UsageError(
            f"{name!r} is the name of a module that the project needs. Choose another, such as my-{name}."
        )
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        raise click.UsageError(
            f"{name!r} cannot name a Python project. Use letters, digits and dashes, beginning with a letter, such as my-bot."
        )
    return name


def _module(name: str) -> str:
    return re.sub(r"[-.]+", "_", name).lower()


def _refuse_if_not_empty(folder: Path) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "is a folder that is not empty" if folder.is_dir() else "is a file"
            raise ConfigError(f"{folder} {what}, and no file is overwritten. Choose another name.")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be created: {error.strerror}. Choose a place that you may write to."
        ) from error


def _write_templates(folder: Path, template: str, words: dict[str, str]) -> Iterator[str]:
    for source in (files("linqbot.cli") / "templates" / template).iterdir():
        own = source.name.removesuffix(".tmpl")
        place = string.Template(PLACES.get(own, own)).substitute(words)
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(string.Template(source.read_text("utf-8")).substitute(words), "utf-8")
        yield place


def _write_settings_file(folder: Path) -> str:
    """Write linqbot.toml with every setting that is not a secret, commented out, with its default.

    It is not a template, so that its settings are always those of this version.
    """
    lines = [
        "# Settings of linqbot serve. The values in comments are the defaults. An environment variable, named in brackets,",
        "# overrides a setting. Secrets, such as the token, belong in the environment, not here: .env.example. All settings:",
        "# linqbot serve --help",
    ]
    for name, field in Settings.model_fields.items():
        if not field.repr:
            continue
        about = f"{field.description}. [{variable(name)}]"
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        lines += ["", *textwrap.wrap(about, 98, initial_indent="# ", subsequent_indent="# ")]
        # JSON and TOML write numbers, strings, lists and booleans in the same way. TOML has no null.
        lines.append(f"# {name} is not set." if default is None else f"# {name} = {json.dumps(default, default=str)}")
    (folder / "linqbot.toml").write_text("\n".join(lines) + "\n", "utf-8")
    return "linqbot.toml"


def _requirements(folder: Path) -> dict[str, str]:
    """Return what the new project requires: linqbot and linqbot-dev, of this version or newer or from the place of linqbot.

    A folder is named by the way to it from the project, which is right on each machine with the two next to each other.
    `clone` is the folder with linqbot's Dockerfile: an example if linqbot was not installed from a folder.
    """
    ours = installed_from()
    if ours.folder is not None:
        clone = str(ours.folder)
        with suppress(ValueError):  # on Windows, from one drive to another
            clone = os.path.relpath(clone, folder.resolve())
        sources = {"linqbot": clone, DEV: os.path.join(clone, "plugins", DEV)}  # noqa: PTH118 - a way to a folder, not a folder
        where = (
            "\n# linqbot was installed from this folder. On another machine, name the folder of its clone there.\n"
            "[tool.uv.sources]\n"
            + "".join(f"{name} = {{ path = {json.dumps(path)}, editable = true }}\n" for name, path in sources.items())
        )
        return {"requirement": '"linqbot"', "tools": f'"{DEV}", ', "sources": where, "clone": shlex.quote(clone)}
    version = importlib.metadata.distribution("linqbot").version
    asked = [f"linqbot @ {ours.url}" if ours.url else f"linqbot>={version}", *_tools(ours, version)]
    requirement, *tools = map(json.dumps, asked)
    return {
        "requirement": requirement,
        "tools": "".join(f"{each}, " for each in tools),
        "sources": "",
        "clone": "../linqbot",
    }


def _tools(ours: InstalledFrom, version: str) -> list[str]:
    """Return the requirement of linqbot-dev, next to a linqbot that was not installed from a folder; empty if its place is not known."""
    if ours.url.startswith("git+"):
        return [f"{DEV} @ {ours.url}#subdirectory=plugins/{DEV}"]
    if not ours.url:
        return [f"{DEV}>={version}"]
    if find_spec("linqbot_dev") is None:
        return []
    return [f"{DEV} @ {url}"] if (url := installed_from(DEV).url) else []


def _next_steps(folder: Path, *, plugin: bool) -> list[str]:
    run = "uv run " if _is_uv_in_use() else ""
    steps = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    if not run and find_spec("linqbot_dev") is None and (command := plugin_command(DEV)):
        steps = [command, *steps]
    if plugin:
        return [
            *steps,
            f"{run}pytest" if run else f"{environment_command('-e', '.', 'pytest')} && pytest",
            f"{run}linqbot check --only plugins",
        ]
    return [*steps, f"{run}linqbot dev bot.py", f"{run}pytest" if run else f"{environment_command('pytest')} && pytest"]


def _is_uv_in_use() -> bool:
    """Return True if the next commands should run with uv.

    In an activated virtual environment they work as they are, and `uv run` would make a second environment.
    """
    return shutil.which("uv") is not None and not is_activated()
