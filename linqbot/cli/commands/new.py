"""`linqbot new`: a folder to begin with. What goes in lies beside this module, in `templates/`."""

from __future__ import annotations

import importlib.metadata
import json
import keyword
import re
import shlex
import shutil
import string
import sys
import textwrap
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click

from linqbot.cli.output import json_option
from linqbot.errors import ConfigError

PLACES: Final = {
    "env.example": ".env.example",
    "gitignore": ".gitignore",
    "dockerignore": ".dockerignore",
    "plugin.py": "$module/__init__.py",
    "py.typed": "$module/py.typed",
    "test_plugin.py": "tests/test_plugin.py",
}
"""Where a template goes whose name here is not its name there: a dot would mean something to git."""

TAKEN: Final = {"bot", "linqbot", "mypy", "pytest", "test", "tests"}
"""Names of what a bot imports, or of its own files."""


@click.command("new")
@click.argument("name")
@click.option("--plugin", is_flag=True, help="Make a plugin for bots instead: a package, its tests, README.")
@json_option
def command(*, name: str, plugin: bool, as_json: bool) -> None:
    """Make a folder NAME with a bot to begin with: its tests, settings, Dockerfile, README.

    Its tests pass and its types hold as it is. NAME may be a path; the last part names the bot.
    """
    folder = Path(name)
    named = _named(folder, plugin=plugin)
    _refuse_if_not_empty(folder)
    module = _module(named)
    words = {"name": named, "image": named.lower(), "module": module, "short": module.removeprefix("linqbot_")}
    made = list(_written(folder, "plugin" if plugin else "bot", words | _requirement()))
    if not plugin:
        made.append(_settings_file(folder))
    steps = _next_steps(folder, plugin=plugin)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": sorted(made), "next": steps}, indent=1))
        return
    click.echo(f"{named} has {'a plugin and its tests' if plugin else 'a bot, its tests and its settings'}. Next:\n")
    for step in steps:
        click.echo(f"  {click.style(step, bold=True)}")


def _named(folder: Path, *, plugin: bool) -> str:
    """The name of what is made, which a distribution may have, and a plugin's module."""
    name = folder.resolve().name
    taken = TAKEN | (sys.stdlib_module_names | frozenset(keyword.kwlist) if plugin else frozenset())
    is_taken = name.lower() in TAKEN or _module(name) in taken
    if re.fullmatch(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?", name) and not is_taken:
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789") or "my"
    is_plain = plain != "my" and _module(plain) not in taken
    better = plain if is_plain else f"linqbot-{plain}" if plugin else f"{plain}-bot"
    why = "is taken" if is_taken else "cannot name a Python project"
    raise click.UsageError(
        f"{name!r} {why}. Use letters, digits and dashes, beginning with a letter, such as {better}."
    )


def _module(name: str) -> str:
    return re.sub(r"[-.]+", "_", name).lower()


def _refuse_if_not_empty(folder: Path) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "is a folder with something in it" if folder.is_dir() else "is a file"
            raise ConfigError(f"{folder} {what}, and nothing of yours is overwritten. Choose another name.")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}. Choose a place you may write to.") from error


def _written(folder: Path, template: str, words: dict[str, str]) -> Iterator[str]:
    for source in (files("linqbot.cli") / "templates" / template).iterdir():
        own = source.name.removesuffix(".tmpl")
        place = string.Template(PLACES.get(own, own)).substitute(words)
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(string.Template(source.read_text("utf-8")).substitute(words), "utf-8")
        yield place


def _settings_file(folder: Path) -> str:
    """Every setting that is no secret, commented out, with its default: this version's, not a template's."""
    # Late: reading the settings' list imports what they set up.
    from linqbot.settings import Settings, variable

    lines = [
        "# Settings of linqbot serve. What is commented out is the default. The environment wins, under the name in",
        "# brackets. The token and the webhook secret do not belong here but into the environment: .env.example",
    ]
    for name, field in Settings.model_fields.items():
        if not field.repr:
            continue
        told = f"{field.description}. [{variable(name)}]"
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        lines += ["", *textwrap.wrap(told, 98, initial_indent="# ", subsequent_indent="# ")]
        # JSON writes numbers, strings, lists and truths as TOML does; nothing is all that TOML does not know.
        lines.append(f"# {name} is not set." if default is None else f"# {name} = {json.dumps(default, default=str)}")
    (folder / "linqbot.toml").write_text("\n".join(lines) + "\n", "utf-8")
    return "linqbot.toml"


def _requirement() -> dict[str, str]:
    """How the new project asks for linqbot: this version or newer, or the place this one was installed from."""
    ours = importlib.metadata.distribution("linqbot")
    origin = json.loads(ours.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    if "dir_info" in origin:
        path = json.dumps(url2pathname(urlsplit(url).path))
        where = f"\n# This linqbot was installed from a folder. Elsewhere, leave this out.\n[tool.uv.sources]\nlinqbot = {{ path = {path}, editable = true }}\n"
        return {"requirement": json.dumps("linqbot"), "sources": where}
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return {"requirement": json.dumps(f"linqbot @ {url}" if url else f"linqbot>={ours.version}"), "sources": ""}


def _next_steps(folder: Path, *, plugin: bool) -> list[str]:
    run = "uv run " if shutil.which("uv") else ""
    steps = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    if plugin:
        return [*steps, f"{run}pytest" if run else "pip install -e . pytest && pytest", f"{run}linqbot plugins list"]
    return [*steps, f"{run}linqbot dev bot.py", f"{run}pytest" if run else "pip install pytest && pytest"]
