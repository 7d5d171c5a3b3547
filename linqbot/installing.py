"""The command that installs a package where this process runs, for a person to paste.

Errors that miss a package and `linqbot new` take the command from here, because only the environment knows it: one made by
uv has no pip, and that of pipx is changed by pipx. A package of linqbot's own is named by the place that linqbot was
installed from, never by its name alone: it is on no index, where the name could be anybody's.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


@dataclass(frozen=True, slots=True)
class InstalledFrom:
    """The place that a package of linqbot's repository was installed from.

    Attributes:
        folder: The folder of its clone; None if it was installed from elsewhere.
        is_editable: True if changes in this folder count at once.
        url: The address of another place than a folder, such as `git+https://example.com/linqbot.git@abc`; empty if it is not
            known, as it is for an index.
    """

    folder: Path | None = None
    is_editable: bool = False
    url: str = ""


def installed_from(package: str = "linqbot") -> InstalledFrom:
    found = json.loads(importlib.metadata.distribution(package).read_text("direct_url.json") or "{}")
    url = found.get("url", "")
    if "dir_info" in found:
        return InstalledFrom(Path(url2pathname(urlsplit(url).path)), found["dir_info"].get("editable", False))
    if vcs := found.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return InstalledFrom(url=url)


def install_command(*packages: str) -> str:
    """Return the command that installs packages of an index for this process, such as `uv add tzdata`."""
    return _command(packages)


def extra_command(extra: str) -> str:
    """Return the command that installs what an extra of linqbot needs, such as `uv add --editable '/src/linqbot[languages]'`."""
    ours = installed_from()
    if _is_of_pipx():
        return _command(_libraries(extra))  # pipx injects what is not there yet, and linqbot is
    if ours.folder is not None:
        if ours.folder == _uv_project():
            return f"uv sync --inexact --extra {extra}"
        return _command((f"{ours.folder}[{extra}]",), is_editable=ours.is_editable)
    if ours.url:
        return _command((f"linqbot[{extra}] @ {ours.url}",))
    return _command(_libraries(extra))


def plugin_command(name: str) -> str | None:
    """Return the command that installs a plugin of linqbot's repository, such as `linqbot-agent`; None if it is not there."""
    ours = installed_from()
    if ours.folder is not None:
        folder = ours.folder / "plugins" / name
        if not (folder / "pyproject.toml").is_file():
            return None
        if ours.folder == _uv_project() and not _is_of_pipx():
            return f"uv sync --inexact --package {name}"
        return _command((str(folder),), is_editable=ours.is_editable)
    return _command((f"{name} @ {ours.url}#subdirectory=plugins/{name}",)) if ours.url.startswith("git+") else None


def plugin_advice(name: str) -> str:
    """Return the sentence that says how to install a plugin of linqbot's repository."""
    command = plugin_command(name)
    return f"Install it: {command}" if command else f"Install it from the place of linqbot, where it is plugins/{name}."


def environment_command(*arguments: str) -> str:
    """Return the command that installs into the environment of this process, whatever project the current folder has."""
    words = " ".join(map(shlex.quote, arguments))
    python = shlex.quote(sys.executable)
    if find_spec("pip") is not None:
        found = shutil.which("pip")
        is_ours = is_activated() or (found is not None and Path(found).parent == Path(sys.executable).parent)
        return f"pip install {words}" if is_ours else f"{python} -m pip install {words}"
    return f"uv pip install {words}" if is_activated() else f"uv pip install --python {python} {words}"


def is_activated() -> bool:
    """Return True if this process runs in a virtual environment that was activated by hand; `uv run` does so for itself only."""
    active = os.environ.get("VIRTUAL_ENV")
    return bool(active) and Path(str(active)) == Path(sys.prefix) and "UV" not in os.environ


def _command(packages: tuple[str, ...], *, is_editable: bool = False) -> str:
    words = " ".join(map(shlex.quote, packages))
    if _is_of_pipx():
        return f"pipx inject {shlex.quote(Path(sys.prefix).name)} {'--editable ' if is_editable else ''}{words}"
    if _uv_project() is not None:
        return f"uv add {'--editable ' if is_editable else ''}{words}"
    return environment_command(*(("-e",) if is_editable else ()), *packages)


def _is_of_pipx() -> bool:
    return Path(sys.prefix, "pipx_metadata.json").is_file()


def _uv_project() -> Path | None:
    """Return the folder of the project of uv that this process runs in; None if there is none.

    An environment with pip that lies elsewhere was chosen by hand: the project's own one would not be that of this process.
    """
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if _is_uv_project(folder)), None)
    if root is None or (find_spec("pip") is not None and not Path(sys.prefix).is_relative_to(root)):
        return None
    return root


def _is_uv_project(folder: Path) -> bool:
    project = folder / "pyproject.toml"
    if not project.is_file():
        return False
    if (folder / "uv.lock").is_file():
        return True
    import tomllib

    try:
        return "uv" in tomllib.loads(project.read_text("utf-8")).get("tool", {})
    except (OSError, ValueError):
        return False


def _libraries(extra: str) -> tuple[str, ...]:
    """Return what an extra of linqbot requires, such as `babel>=2.16`."""
    required = importlib.metadata.requires("linqbot") or ()
    marker = f"extra == '{extra}'"
    return tuple(each.partition(";")[0].strip() for each in required if marker in each.replace('"', "'"))
