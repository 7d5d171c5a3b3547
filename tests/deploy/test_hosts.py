"""The files for Fly.io, Render and a VPS: a bot starts with their commands, answers their health checks and stops in time."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from deploy.tools import DEPLOY, STOP_S, ran, tool
from ports import free_port
from served_bot import serving

from linqbot.settings import Settings, variable

FLY = tomllib.loads((DEPLOY / "fly" / "fly.toml").read_text())
FLY_IMAGE = (DEPLOY / "fly" / FLY["build"]["dockerfile"]).read_text().replace("\\\n", "")
(RENDER,) = yaml.safe_load((DEPLOY / "render" / "render.yaml").read_text())["services"]
UNIT = (DEPLOY / "systemd" / "linqbot.service").read_text()
PAGE = (DEPLOY.parent / "docs" / "deploy" / "run.md").read_text()


@dataclass
class Host:
    """A host as its files describe it."""

    command: list[str]
    health: str
    stop: str
    grace_s: int
    environ: dict[str, str]
    port: int
    disk: str


def image(name: str) -> str:
    """Return the value of the last such line of Fly's image."""
    return str(re.findall(rf"^{name} (.*)$", FLY_IMAGE, re.MULTILINE)[-1])


def unit(name: str) -> str:
    return str(re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)[-1])


HOSTS = {
    "Fly.io": Host(
        json.loads(image("CMD")),
        FLY["http_service"]["checks"][0]["path"],
        FLY["kill_signal"],
        FLY["kill_timeout"],
        dict(pair.split("=", 1) for pair in shlex.split(image("ENV"))),
        FLY["http_service"]["internal_port"],
        FLY["mounts"][0]["destination"],
    ),
    "Render": Host(
        shlex.split(RENDER["startCommand"]),
        RENDER["healthCheckPath"],
        "SIGTERM",  # what Render sends
        RENDER["maxShutdownDelaySeconds"],
        {each["key"]: each["value"] for each in RENDER["envVars"] if "value" in each},
        int(next(each["value"] for each in RENDER["envVars"] if each["key"] == "PORT")),
        RENDER["disk"]["mountPath"],
    ),
    "VPS": Host(
        unit("ExecStart").split(),
        re.findall(r"curl --fail http://127\.0\.0\.1:8000(\S+)", PAGE)[0],
        "SIGTERM",  # what systemd sends if a unit names no other
        int(unit("TimeoutStopSec")),
        {},
        8000,
        f"/var/lib/{unit('StateDirectory')}",
    ),
}


@pytest.mark.process
@pytest.mark.slow
async def test_a_bot_starts_answers_and_stops_as_the_files_of_each_host_say(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for name, host in HOSTS.items():
        with subtests.test(host=name):
            folder, port = tmp_path / name, free_port()
            folder.mkdir()
            program, *words = [word.replace("$PORT", str(port)) for word in host.command]
            assert Path(program).name == "linqbot"
            words = [str(folder / "bot.py") if Path(word).name == "bot.py" else word for word in words]
            ours = {name: value.replace(host.disk, str(folder)) for name, value in host.environ.items()}
            ours.pop("HOME", None)
            async with serving(folder, *words, port=port, health=host.health, **ours) as (bot, _):
                assert (folder / "linqbot.db").exists()
                assert await bot.kill(signal.Signals[host.stop]) == 0


def test_a_host_never_sleeps_and_gives_a_bot_its_disk_and_the_time_to_stop() -> None:
    for name, host in HOSTS.items():
        assert host.grace_s > STOP_S, name
        assert host.environ.get("LINQBOT_STORAGE", f"sqlite:///{host.disk}").startswith(f"sqlite:///{host.disk}"), name
        assert f"{host.grace_s} s" in PAGE, name
        assert f"`{host.disk}`" in PAGE, name
    assert FLY["http_service"]["auto_stop_machines"] == "off"
    assert FLY["http_service"]["min_machines_running"] == 1
    assert RENDER["plan"] != "free"


def test_the_files_name_settings_and_hold_no_secret() -> None:
    known = {variable(name) for name in Settings.model_fields}
    given = {*HOSTS["Fly.io"].environ, *(each["key"] for each in RENDER["envVars"])}
    assert {name for name in given if name.startswith("LINQ")} <= known
    secrets = [each for each in RENDER["envVars"] if each["key"] in {"LINQ_API_V3_API_KEY", "LINQ_WEBHOOK_SECRET"}]
    assert [each["sync"] for each in secrets] == [False, False]


@pytest.mark.process
@pytest.mark.tools
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a volume to another user")
def test_the_image_for_fly_gives_the_volume_to_the_bots_user_who_then_runs_the_bot(tmp_path: Path) -> None:
    tool("setpriv", get="apt-get install util-linux")
    volume = tmp_path / "data"
    volume.mkdir()
    shell, option, script, *rest = json.loads(image("ENTRYPOINT"))
    # The image has a user linqbot; each machine has this one.
    script = (
        script.replace("/data", str(volume)).replace("linqbot:linqbot", "65534:65534").replace("=linqbot", "=65534")
    )
    shown = ["sh", "-c", 'id -u; echo "$0" "$@"', *json.loads(image("CMD"))]
    started = ran([shell, option, script, *rest, *shown])
    assert (started.out, started.code) == ("65534\nlinqbot serve /app/bot.py\n", 0), started.err
    assert volume.stat().st_uid == 65534
