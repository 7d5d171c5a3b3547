"""The image and the compose files: linted, parsed, and run as far as possible without a container engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import sys
import tomllib
from pathlib import Path

import anyio
import pytest
import yaml
from click.testing import CliRunner
from deploy.tools import DEPLOY, compose_command, is_closed, ran, tool
from ports import free_port
from served_bot import serving

from linqbot.cli.main import main

ROOT = DEPLOY.parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = [DEPLOY / "compose.caddy.yaml", DEPLOY / "compose.nginx.yaml"]
STEPS: list[tuple[str, str]] = re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE.replace("\\\n", ""), re.MULTILINE)


def step(name: str) -> str:
    """Return the last step of that name: only the last one takes effect."""
    return [value for each, value in STEPS if each == name][-1].strip()


@pytest.mark.process
def test_the_linter_finds_nothing_in_any_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Path(sys.executable).with_name("hadolint")
    hadolint = [str(program) if program.exists() else tool("hadolint", get="uv sync --all-packages"), "--no-color"]
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["new", "my-bot"]).exit_code == 0
    # The base image of a new bot is built on the same machine, so it has no version to pin. LINQ_WEBHOOK_SECRET_FILE is a path.
    of_new = ["--ignore", "DL3006", "--ignore", "DL3064", "my-bot/Dockerfile"]
    for words in ([str(DEPLOY / "Dockerfile"), str(DEPLOY / "fly" / "fly.Dockerfile")], of_new):
        linted = ran([*hadolint, *words])
        assert (linted.out, linted.code) == ("", 0)


def test_the_image_is_small_pinned_and_not_root() -> None:
    bases = [value.split()[0] for name, value in STEPS if name == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", base) for base in bases)
    assert int(step("USER").split(":")[0]) > 0
    assert step("STOPSIGNAL") == "SIGTERM"
    assert json.loads(step("ENTRYPOINT")) + json.loads(step("CMD")) == ["linqbot", "serve", "/app/bot.py"]
    assert step("WORKDIR") == step("VOLUME") == "/data"


def test_copied_files_exist_and_are_not_ignored() -> None:
    """Interprets the rules of `.dockerignore` that the file uses: names, in order; the last match decides."""
    rules = [
        line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] not in {"", "#"}
    ]

    def is_included(name: str) -> bool:
        fits = [rule for rule in rules if fnmatch.fnmatch(name, rule.removeprefix("!"))]
        return bool(fits) and fits[-1].startswith("!")

    sources = [part for name, value in STEPS if name == "COPY" and "--from" not in value for part in value.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert is_included(source)
    assert not any(map(is_included, [".env", "linqbot.db", ".git", ".linqbot", "tests", "uv.lock"]))
    # The files of the wheel must be among the copied files.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hatch = project["tool"]["hatch"]
    readme = [part["path"] for part in hatch["metadata"]["hooks"]["fancy-pypi-readme"]["fragments"]]
    needed = {*readme, *project["project"]["license-files"], *hatch["build"]["targets"]["wheel"]["packages"]}
    assert needed == {"README.md", "LICENSE", "linqbot"}
    assert needed <= set(sources)


@pytest.mark.process
async def test_the_health_check_tells_a_bot_that_serves_from_one_that_does_not(tmp_path: Path) -> None:
    check, port = json.loads(step("HEALTHCHECK").partition(" CMD ")[2]), free_port()
    # The health check must not use the proxy for outgoing requests.
    environ = os.environ | {"LINQBOT_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}

    async def is_healthy() -> bool:
        command = [sys.executable, *check[1:]]
        return (await anyio.run_process(command, env=environ, check=False)).returncode == 0

    async with serving(tmp_path, port=port) as (bot, _):
        assert await is_healthy()
        assert await bot.kill(signal.SIGTERM) == 0
        assert not await is_healthy()


@pytest.mark.slow
@pytest.mark.process
def test_compose_understands_each_file_and_asks_for_what_is_missing(subtests: pytest.Subtests) -> None:
    environ = os.environ | {"BOT_DOMAIN": "bot.example.com", "BOT": str(ROOT / "examples"), "BOT_IMAGE": "mybot"}
    several = {"receiver-1", "receiver-2", "worker-1", "worker-2", "postgres"}
    for file, bots in ((COMPOSE[0], {"bot"}), (COMPOSE[1], {"bot"}), (DEPLOY / "compose.postgresql.yaml", several)):
        with subtests.test(file=file.name):
            compose = [*compose_command(), "-f", str(file), "config"]
            checked = ran(compose, env=environ)
            assert checked.code == 0, checked.err
            services = yaml.safe_load(checked.out)["services"]
            proxy = "nginx" if "nginx" in file.name else "caddy"
            assert set(services) == {proxy, *bots}
            assert services[proxy]["environment"]["BOT_DOMAIN"] == "bot.example.com"
            for name in bots - {"postgres"}:
                bot = services[name]
                assert (bot["image"], bot["working_dir"]) == ("mybot", "/app")
                assert any(str(ROOT / "examples") in str(volume) and "/app" in str(volume) for volume in bot["volumes"])
            assert "${BOT_IMAGE:-linqbot}" in file.read_text()
            # Without the domain there is no name for a certificate, and without the folder no bot. The error says so.
            for name in ("BOT_DOMAIN", "BOT"):
                refused = ran(compose, env={k: v for k, v in environ.items() if k != name})
                assert (refused.code != 0, "say which" in refused.err) == (True, True)


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_the_bot_is_reached_through_its_proxy_only_and_has_no_secret_in_its_environment(file: Path) -> None:
    whole = yaml.safe_load(file.read_text())
    bot = whole["services"]["bot"]
    is_closed(bot)
    (secret,) = bot["secrets"]
    assert bot["environment"]["LINQ_API_V3_API_KEY_FILE"] == f"/run/secrets/{secret}"
    (subnet,) = whole["networks"]["front"]["ipam"]["config"]
    assert bot["environment"]["LINQBOT_TRUSTED_PROXIES"] == subnet["subnet"]
    for service in whole["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and not source.startswith("./certificates"):
                assert (DEPLOY / source).exists(), source


@pytest.mark.process
@pytest.mark.tools
def test_the_image_can_be_built_and_its_bot_serves() -> None:
    docker = shutil.which("docker")
    if docker is None or ran([docker, "info"]).code:
        # CI does not fail here: without nested containers, no engine can be installed.
        pytest.skip("There is no container engine here. To run this test: start Docker")
    built = ran([docker, "build", "-q", "-f", str(DEPLOY / "Dockerfile"), str(ROOT)])
    assert built.code == 0, built.err
    bot = [docker, "run", "--rm", "--read-only", "--cap-drop=ALL", built.out.strip()]
    assert "linqbot, version" in ran([*bot, "--version"]).out
    # The image's user may write into the storage's folder; the first missing thing is a bot.
    told = ran(bot)
    assert (told.code, "/app/bot.py" in told.err) == (2, True)
