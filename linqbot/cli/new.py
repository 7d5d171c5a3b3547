"""`linqbot new`: a folder to begin with. What goes in lies beside this module, in `templates/`."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import shutil
import string
import textwrap
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click

from linqbot.cli.beside import json_option
from linqbot.errors import ConfigError

RENAMED: Final = {"env.example": ".env.example", "gitignore": ".gitignore", "dockerignore": ".dockerignore"}
"""Templates whose own names would mean something to git, or to what builds our wheel."""

TAKEN: Final = {"bot", "linqbot", "mypy", "pytest", "test", "tests"}
"""Names of what a bot imports, or of its own files."""


@click.command("new")
@click.argument("name")
@json_option
def command(*, name: str, as_json: bool) -> None:
    """Make a folder NAME with a bot to begin with: its tests, settings, Dockerfile, README.

    Its tests pass and its types hold as it is. NAME may be a path; the last part names the bot.
    """
    folder = Path(name)
    named = _named(folder)
    _refuse_if_not_empty(folder)
    made = list(_written(folder, "bot", {"name": named} | _requirement()))
    made.append(_settings_file(folder))
    steps = _next_steps(folder)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": sorted(made), "next": steps}, indent=1))
        return
    click.echo(f"{named} has a bot, its tests and its settings. Next:\n")
    for step in steps:
        click.echo(f"  {click.style(step, bold=True)}")


def _named(folder: Path) -> str:
    """The name of what is made, which a distribution may have."""
    name = folder.resolve().name
    if re.fullmatch(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?", name) and name.lower() not in TAKEN:
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
    better = f"{plain}-bot" if plain in TAKEN else plain or "mybot"
    why = "is taken" if name.lower() in TAKEN else "cannot name a Python project"
    raise click.UsageError(
        f"{name!r} {why}. Use letters, digits and dashes, beginning with a letter, such as {better}."
    )


def _refuse_if_not_empty(folder: Path) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "is a folder with something in it" if folder.is_dir() else "is a file"
            raise ConfigError(f"{folder} {what}, and nothing of yours is overwritten. Choose another name.")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}. Choose a place you may write to.") from error


def _written(folder: Path, template: str, words: dict[str, str]) -> Iterator[str]:
    for path, source in _templates(files("linqbot.cli") / "templates" / template, ""):
        target = folder / string.Template(path).substitute(words)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(string.Template(source.read_text("utf-8")).substitute(words), "utf-8")
        yield target.relative_to(folder).as_posix()


def _templates(folder: Traversable, below: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _templates(entry, f"{below}{entry.name}/")
        elif entry.name.endswith(".tmpl"):
            name = entry.name.removesuffix(".tmpl")
            yield below + RENAMED.get(name, name), entry


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
        lines.append(f"# {name} is not set." if default is None else f"# {name} = {json.dumps(default)}")
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


def _next_steps(folder: Path) -> list[str]:
    run = "uv run " if shutil.which("uv") else ""
    first = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    test = "uv run pytest" if run else "pip install pytest && pytest"
    return [*first, f"{run}linqbot dev bot.py", test]
