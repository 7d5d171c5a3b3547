"""The command that installs a package fits the environment, and names no package of linqbot's that is on no index."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from linqbot.installing import environment_command, extra_command, install_command, plugin_command

NEEDS = ["httpx>=0.28", "babel>=2.16; extra == 'languages'", "phonenumbers>=8.13; extra == 'manners'"]
GIT = {"url": "https://example.com/linqbot.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
WHEEL = {"url": "file:///dist/linqbot-0.1.0.whl", "archive_info": {}}


class Machine:
    """A machine with an environment, a project in the current folder, and a linqbot that was installed from somewhere."""

    def __init__(self, folder: Path, patched: pytest.MonkeyPatch) -> None:
        self.folder, self._patched = folder, patched
        self.clone, self.project, self.environment = (
            folder / "linq bot",
            folder / "project",
            folder / "project" / ".venv",
        )
        for made in (self.clone / "plugins" / "linqbot-agent", self.project, self.environment / "bin"):
            made.mkdir(parents=True)
        (self.clone / "plugins" / "linqbot-agent" / "pyproject.toml").touch()
        patched.setattr(sys, "executable", str(self.environment / "bin" / "python"))
        for name in ("VIRTUAL_ENV", "UV"):
            patched.delenv(name, raising=False)
        patched.chdir(self.project)
        self.has(pip=False)
        self.came_from({"url": self.clone.as_uri(), "dir_info": {"editable": True}})

    def has(self, *, pip: bool, prefix: Path | None = None) -> None:
        self._patched.setattr(sys, "prefix", str(prefix or self.environment))
        self._patched.setattr("linqbot.installing.find_spec", lambda name: object() if name == "pip" and pip else None)
        self._patched.setattr("shutil.which", lambda name: None)

    def came_from(self, origin: dict[str, Any] | None) -> None:
        class Ours:
            def read_text(self, name: str) -> str | None:
                return json.dumps(origin) if origin else None

        self._patched.setattr("importlib.metadata.distribution", lambda name: Ours())
        self._patched.setattr("importlib.metadata.requires", lambda name: NEEDS)

    def is_project_of_uv(self, text: str = "[tool.uv]\npackage = false\n") -> None:
        (self.project / "pyproject.toml").write_text(f'[project]\nname = "mine"\n{text}')


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_project_of_uv_gets_a_command_of_uv(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.is_project_of_uv()
    assert install_command("tzdata") == "uv add tzdata"
    assert extra_command("languages") == f"uv add --editable '{machine.clone}[languages]'"
    assert plugin_command("linqbot-agent") == f"uv add --editable '{machine.clone}/plugins/linqbot-agent'"
    (machine.project / "bots").mkdir()
    monkeypatch.chdir(machine.project / "bots")
    machine.has(pip=True)  # `uv venv --seed`
    assert install_command("tzdata") == "uv add tzdata"
    machine.is_project_of_uv("")
    assert "uv add" not in install_command("tzdata")
    (machine.project / "uv.lock").touch()
    assert install_command("tzdata") == "uv add tzdata"


def test_the_clone_itself_is_not_added_to_its_own_project(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.clone / "pyproject.toml").touch()
    (machine.clone / "uv.lock").touch()
    monkeypatch.chdir(machine.clone)
    assert extra_command("languages") == "uv sync --inexact --extra languages"
    assert plugin_command("linqbot-agent") == "uv sync --inexact --package linqbot-agent"


def test_an_environment_with_pip_is_changed_with_its_own_pip(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has(pip=True)
    python = f"{machine.environment}/bin/python -m pip"
    assert extra_command("languages") == f"{python} install -e '{machine.clone}[languages]'"
    assert install_command("tzdata") == f"{python} install tzdata"
    monkeypatch.setattr("shutil.which", lambda name: str(machine.environment / "bin" / name))
    assert install_command("tzdata") == "pip install tzdata"
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert install_command("tzdata") == f"{python} install tzdata"
    monkeypatch.setenv("VIRTUAL_ENV", str(machine.environment))
    assert install_command("tzdata") == "pip install tzdata"
    # It was activated in the folder of another project, whose own environment would not be this one.
    machine.is_project_of_uv()
    machine.has(pip=True, prefix=machine.folder / "elsewhere")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert install_command("tzdata") == "pip install tzdata"


def test_an_environment_without_pip_is_changed_by_uv(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_command("tzdata") == f"uv pip install --python {machine.environment}/bin/python tzdata"
    monkeypatch.setenv("VIRTUAL_ENV", str(machine.environment))
    assert extra_command("languages") == f"uv pip install -e '{machine.clone}[languages]'"
    # `linqbot new` names the environment, whatever project the current folder has.
    machine.is_project_of_uv()
    assert environment_command("-e", ".", "pytest") == "uv pip install -e . pytest"


def test_pipx_injects_what_an_extra_needs(machine: Machine) -> None:
    machine.has(pip=True, prefix=machine.folder / "pipx" / "venvs" / "linqbot")
    Path(sys.prefix).mkdir(parents=True)
    Path(sys.prefix, "pipx_metadata.json").touch()
    machine.is_project_of_uv()
    assert extra_command("languages") == "pipx inject linqbot 'babel>=2.16'"
    assert plugin_command("linqbot-agent") == f"pipx inject linqbot --editable '{machine.clone}/plugins/linqbot-agent'"


def test_no_package_of_linqbots_is_named_as_if_it_were_on_an_index(machine: Machine) -> None:
    machine.is_project_of_uv()
    machine.came_from(GIT)
    address = "git+https://example.com/linqbot.git@abc"
    assert extra_command("languages") == f"uv add 'linqbot[languages] @ {address}'"
    assert plugin_command("linqbot-agent") == f"uv add 'linqbot-agent @ {address}#subdirectory=plugins/linqbot-agent'"
    machine.came_from(WHEEL)
    assert extra_command("languages") == "uv add 'linqbot[languages] @ file:///dist/linqbot-0.1.0.whl'"
    assert plugin_command("linqbot-agent") is None
    machine.came_from({"url": machine.clone.as_uri(), "dir_info": {}})
    assert extra_command("languages") == f"uv add '{machine.clone}[languages]'"
    assert plugin_command("linqbot-weather") is None
    machine.came_from(None)  # from an index, or a folder of wheels
    assert extra_command("languages") == "uv add 'babel>=2.16'"
    assert plugin_command("linqbot-agent") is None
