"""The pages of `docs/deploy/` agree with the files of `deploy/`, and their commands are run where possible."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import yaml
from crash import Served, settled
from deploy.tools import DEPLOY, ran
from served_bot import NOTES, message, noted, post, serving

ROOT = DEPLOY.parent
PAGES = sorted((ROOT / "docs" / "deploy").glob("*.md"))
STORAGE = (ROOT / "docs" / "storage.md").read_text()
TEMPLATE = (DEPLOY / "nginx" / "linqbot.conf.template").read_text()


def page(name: str) -> str:
    return (ROOT / "docs" / "deploy" / name).read_text()


def section(text: str, heading: str) -> str:
    """Return the part of a page below a heading of the second level."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def console(text: str) -> list[str]:
    """Return the commands of a page or a part of it, block by block."""
    return re.findall(r"```console\n(.*?)```", text, re.DOTALL)


def test_every_file_of_deploy_that_a_page_names_is_there(subtests: pytest.Subtests) -> None:
    for path in PAGES:
        with subtests.test(path=path):
            text = re.sub(r"deploy/(secrets|certificates)\S*", "", path.read_text())
            for named in re.findall(r"\b(?:tests/)?deploy/[\w./*-]+", re.sub(r"docs/deploy\S*|\]\([^)]*\)", "", text)):
                assert list(ROOT.glob(named.rstrip("./"))), named


def test_the_first_page_leads_to_every_page() -> None:
    linked = re.findall(r"\]\((\w[\w-]*\.md)[)#]", page("run.md"))
    assert {path.name for path in PAGES} == {"run.md", *linked}


@pytest.mark.parametrize(("proxy", "file"), [("nginx", TEMPLATE), ("Caddy", (DEPLOY / "caddy/Caddyfile").read_text())])
def test_every_line_that_the_page_explains_is_in_the_configuration(proxy: str, file: str) -> None:
    rows = re.findall(r"^\| (.*?) \|", section(page("proxy.md"), proxy), re.MULTILINE)
    explained = [said for row in rows for said in re.findall(r"`([^`]+)`", row)]
    assert len(explained) > 5
    for said in explained:
        there = all(word in file for word in said.replace("…", " ").split())
        assert there is not ("no `" + said + "`" in " ".join(rows)), said


def test_nginx_gets_the_same_variables_everywhere() -> None:
    wanted = set(re.findall(r"\$\{(\w+)\}", TEMPLATE))
    of_page = set(re.findall(r"\$\{(\w+)\}", (DEPLOY / "nginx" / "page.conf.template").read_text()))
    assert wanted == set(re.findall(r"(BOT_\w+)=", console(section(page("proxy.md"), "nginx"))[0]))
    assert wanted == set(re.findall(r"\$(BOT_\w+)", console(section(page("proxy.md"), "nginx"))[0]))
    compose = yaml.safe_load((DEPLOY / "compose.nginx.yaml").read_text())
    assert wanted | of_page == set(compose["services"]["nginx"]["environment"])


async def _deliver(bot: Served, http: httpx.AsyncClient, *bodies: bytes) -> None:
    for body in bodies:
        assert (await post(http, bot.url, body)).status_code == 200


async def _restart(bot: Served, http: httpx.AsyncClient) -> None:
    """Start the bot again, with handlers that are not blocked."""
    (bot.folder / "blocked").unlink()
    await bot.start()
    await bot.up(http, "/readyz")


async def _handled(bot: Served, http: httpx.AsyncClient) -> list[str]:
    """Wait until nothing waits, and return the handled texts."""
    await settled(http, bot.url)
    return sorted(word for _, word in noted(bot.folder))


@pytest.mark.process
@pytest.mark.slow
async def test_a_bot_restored_from_a_backup_as_the_page_says_is_in_its_old_state(tmp_path: Path) -> None:
    (tmp_path / "blocked").touch()
    async with serving(tmp_path, code=NOTES, LINQBOT_DRAIN_S="0") as (bot, http):
        before, since = [message(f"before{n}") for n in range(20)], message("since")
        await _deliver(bot, http, *before)
        make, restore = console(section(STORAGE, "Backup"))[0], console(section(STORAGE, "Restore"))[0]
        _type(make, tmp_path)
        assert (tmp_path / "backup" / "monday.db").stat().st_mode & 0o077 == 0
        await _deliver(bot, http, since)
        assert await bot.kill(signal.SIGTERM) == 0
        assert _type(restore, tmp_path).count("message.received") == len(before)
        with closing(sqlite3.connect(tmp_path / "linqbot.db")) as file:
            assert file.execute("pragma integrity_check").fetchone() == ("ok",)
        await _restart(bot, http)
        # Restored deliveries are not accepted twice. Those lost with the old file are accepted when Linq retries.
        await _deliver(bot, http, *before, since)
        assert await _handled(bot, http) == sorted([*(f"before{n}" for n in range(20)), "since"])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a deleted file is found again in /proc")
@pytest.mark.process
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
async def test_a_deleted_file_is_rescued_as_the_page_says(
    sig: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocked").touch()
    async with serving(tmp_path, code=NOTES, LINQBOT_DRAIN_S="0") as (bot, http):
        await _deliver(bot, http, *(message(f"accepted{n}") for n in range(20)))
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"linqbot.db{suffix}").unlink()
        assert bot.process is not None
        monkeypatch.setenv("PID", str(bot.process.pid))
        _type(console(section(STORAGE, "If the file goes away"))[0], tmp_path)
        await bot.kill(sig)
        for name in ("linqbot.db", "linqbot.db-wal"):
            assert (tmp_path / "rescued" / name).stat().st_mode & 0o077 == 0
            (tmp_path / "rescued" / name).rename(tmp_path / name)
        await _restart(bot, http)
        assert await _handled(bot, http) == sorted(f"accepted{n}" for n in range(20))


def _type(commands: str, folder: Path) -> str:
    """Run a block exactly as on the page. Return its output."""
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = ran([shutil.which("bash") or "bash", "-euc", commands], cwd=folder, env=environ)
    assert done.code == 0, done.err
    return done.out
