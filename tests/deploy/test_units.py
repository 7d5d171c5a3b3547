"""The systemd units: systemd accepts them, and their services have few rights."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from deploy.tools import DEPLOY, ran, tool

UNITS = DEPLOY / "systemd"


def directives(name: str) -> dict[str, str]:
    """Return the last value of each directive of a unit."""
    return dict(re.findall(r"^(\w+)=(.*)$", (UNITS / name).read_text(), re.MULTILINE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the units as installed, with the path of a real linqbot."""
    linqbot = Path(sys.executable).with_name("linqbot")
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/linqbot/bin/linqbot", str(linqbot)))
    return tmp_path


@pytest.mark.process
@pytest.mark.tools
def test_systemd_understands_every_unit(folder: Path) -> None:
    analyze = tool("systemd-analyze", get="apt-get install systemd")
    names = [path.name for path in folder.iterdir() if path.suffix in {".service", ".socket", ".timer"}]
    assert len(names) == 4
    checked = ran([analyze, "verify", *(f"./{name}" for name in names)], cwd=folder)
    # Ignore messages about other units of this machine.
    ours = [line for line in checked.err.splitlines() if "linqbot" in line]
    assert (ours, checked.code) == ([], 0), checked.err


@pytest.mark.process
@pytest.mark.tools
@pytest.mark.parametrize(("name", "most"), [("linqbot.service", 15), ("linqbot-backup.service", 30)])
def test_a_service_has_few_rights(name: str, most: int, folder: Path) -> None:
    """`most` is a tenth of systemd's exposure score of 0 to 10."""
    analyze = tool("systemd-analyze", get="apt-get install systemd")
    command = [analyze, "security", "--offline=yes", f"--threshold={most}", f"./{name}"]
    checked = ran(command, cwd=folder)
    assert checked.code == 0, checked.out + checked.err


def test_every_line_of_the_service_is_json() -> None:
    assert "--json" in directives("linqbot.service")["ExecStart"].split()


def test_no_secret_is_in_an_environment_or_a_command() -> None:
    service = (UNITS / "linqbot.service").read_text()
    assert not re.search(r"^Environment=LINQ_(API_V3_API_KEY|WEBHOOK_SECRET)=", service, re.MULTILINE)
    assert directives("linqbot.service")["LoadCredential"] == "api-key:/etc/linqbot/api-key"
