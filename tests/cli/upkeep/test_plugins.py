"""Installed plugins in real processes, and `linqbot check --only plugins`, which examines them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli.practice import ALONE, serve_alone
from click.testing import CliRunner, Result
from fakes import delivery, text_body
from linqbot_dev.testing import samples
from plugin_packages import install_plugin
from signed import SECRET
from sqlite_connections import in_storage

from linqbot.cli import plugin_commands
from linqbot.cli.main import main
from linqbot.cli.table import PACKAGES
from linqbot.installing import plugin_advice
from linqbot.storage.inbox import Commit, DeadLetter
from linqbot.storage.sqlite.storage import SQLiteStorage

ECHO = """
from linqbot import Bot, Context, MessageReceived
bot = Bot(read=False, typing=False)
@bot.on_message
async def echo(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(f"You said: {message.text}")
"""
GOOD = """
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from linqbot import hookimpl
from linqbot.hookspecs import PluginCommand
from linqbot.turn_events import TurnEnded

class Plugin:
    def __init__(self):
        self.ends = []

    @hookimpl
    def register_observers(self):
        return {TurnEnded: self.turn_ended}

    def turn_ended(self, turn):
        self.ends.append(f"{turn.delivery.type} {turn.outcome}")

    @hookimpl
    def register_routes(self, running):
        async def ends(request):
            return PlainTextResponse("\\n".join(self.ends))
        return [Route("/ends", ends)]

    @hookimpl
    def register_commands(self):
        return [PluginCommand("greet", "Say hello.", "greetings_plugin:greet")]
"""
GREETINGS = """
import click

@click.command
def greet():
    '''Say hello.'''
    click.echo("hello")

spoken = "hello"
"""
RAISES = """
from linqbot import hookimpl
from linqbot.turn_events import DeliveryStored

def stored(event):
    raise ValueError(event.delivery.body)

@hookimpl
def register_observers():
    return {DeliveryStored: stored}
"""
SLEEPS = """
import time
from linqbot import hookimpl
from linqbot.turn_events import TurnTaken

@hookimpl
def register_observers():
    return {TurnTaken: lambda event: time.sleep(0.06)}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.py").write_text(ECHO)
    return folder


@pytest.fixture
def linqbot(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Run commands in this process. Modules that they import are unloaded afterwards."""
    monkeypatch.syspath_prepend(str(site))

    def run(*arguments: str, **environ: str) -> Result:
        forget_commands()
        return CliRunner().invoke(main, arguments, env=environ)

    yield run
    forget_commands()
    for name in [name for name in sys.modules if name == "bot" or name.endswith("_plugin")]:
        del sys.modules[name]


def forget_commands() -> None:
    plugin_commands.packages.cache_clear()
    plugin_commands.others.cache_clear()


def post(url: str, text: str) -> None:
    event = samples.event("message.received", text=text)
    body = json.dumps(event).encode()
    headers = samples.signed(body, event, secret=SECRET)
    assert httpx.post(f"{url}/webhooks/linq", content=body, headers=headers).status_code == 200


# Served


def test_broken_plugins_do_not_affect_the_others(site: Path, command: Callable[..., Any], port: int) -> None:
    install_plugin(site, "good", GOOD, entry="Plugin")
    install_plugin(site, "noimport", "import does_not_exist")
    install_plugin(site, "raises", RAISES)
    install_plugin(site, "sleeps", SLEEPS)
    url = f"http://127.0.0.1:{port}"
    (site.parent / "bot.py").write_text(ECHO.replace("await ctx.reply", "print"))
    path = f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    serve = serve_alone(command, port, PYTHONPATH=path)
    for n in range(6):
        post(url, f"secret words {n}")
    handled = ["message.received ack"] * 6
    serve.until(lambda: httpx.get(f"{url}/plugins/good/ends").text.splitlines() == handled)
    ready = httpx.get(f"{url}/readyz")
    report = ready.json()["plugins"]
    assert (ready.status_code, report["good"]) == (200, "active")
    assert "No module named 'does_not_exist'" in report["noimport"]
    assert report["raises"] == "disabled: its observer of DeliveryStored raised ValueError at raises_plugin.py:6"
    assert report["sleeps"].startswith("disabled: its observer of TurnTaken took over 50 ms in 5 of 5 calls")
    assert serve.stop() == 0
    log = [line for line in serve.said().splitlines() if "plugin.disabled" in line]
    assert [json.loads(line)["plugin"] for line in log] == ["noimport", "raises", "sleeps"]
    assert "secret words" not in "".join(log)


# Looked at


def test_check_shows_the_origin_and_status_of_each_plugin(site: Path, linqbot: Callable[..., Result]) -> None:
    install_plugin(site, "good", GOOD, entry="Plugin", version="1.2")
    install_plugin(site, "noimport", "import does_not_exist")
    install_plugin(site, "noroutes", "from linqbot import hookimpl\n@hookimpl\ndef register_routes(running): return 1")
    (site.parent / "bot.py").write_text(
        "from linqbot import Bot, hookimpl\nclass Mine:\n    @hookimpl\n    def stopped(self): ...\n"
        "bot = Bot(plugins=[Mine])\n"
    )
    found = plugins(linqbot("check", "bot.py", *ONLY))
    assert found["good"] == (
        "ok",
        "good 1.2 of linqbot-good is active; it has register_commands, register_observers, register_routes.",
    )
    assert found["Mine"] == ("ok", "Mine of the bot's code is active; it has stopped.")
    assert found["linqbot.storage.open"][1].startswith("linqbot.storage.open of linqbot is active")
    assert found["noimport"][0] == found["noroutes"][0] == "warning"
    assert "noroutes 1.0 of linqbot-noroutes is disabled: register_routes raised TypeError" in found["noroutes"][1]
    assert "is left out" in linqbot("check", *ONLY, LINQBOT_PLUGINS="").stdout


ONLY = ("--only", "plugins", "--json")


def plugins(result: Result) -> dict[str, tuple[str, str]]:
    """Return status and text of the finding about each plugin."""
    return {row["what"].split()[0]: (row["status"], row["what"]) for row in json.loads(result.stdout)}


def test_a_required_plugin_that_cannot_be_loaded_is_found_by_check_and_refused_by_serve(
    site: Path, linqbot: Callable[..., Result]
) -> None:
    install_plugin(site, "gate", "from linqbot.errors import ConfigError\nraise ConfigError('Set GATE_URL.')")
    required = ALONE | {"LINQBOT_REQUIRED_PLUGINS": "gate"}
    why = "loading it raised ConfigError at gate_plugin.py:2: Set GATE_URL."
    result = linqbot("check", *ONLY, **required)
    status, what = plugins(result)["gate"]
    assert (status, result.exit_code) == ("failure", 1)
    assert what.endswith(f" is disabled, required: {why}")
    refused = linqbot("serve", "bot.py", **required)
    assert refused.exit_code == 2
    assert f"The plugin gate is required, and failed: {why} Nothing is sent" in " ".join(refused.output.split())
    for _ in range(2):  # with the bot.py of the folder, and without
        (row,) = json.loads(linqbot("check", *ONLY, LINQBOT_PLUGINS="gat").stdout)
        assert (row["code"], row["fix"]) == ("LQB1009", "Did you mean gate?")
        Path("bot.py").unlink(missing_ok=True)


def test_a_plugins_command_is_a_command(site: Path, linqbot: Callable[..., Result]) -> None:
    install_plugin(site, "good", GOOD, entry="Plugin")
    (site / "greetings_plugin.py").write_text(GREETINGS)
    assert "From plugins:\n  greet     Say hello." in linqbot("--help").stdout
    assert "greetings_plugin" not in sys.modules, "The help imports no command."
    assert linqbot("greet").stdout == "hello\n"
    assert "Did you mean greet?" in linqbot("gret").output
    assert "There is no command greet" in linqbot("greet", LINQBOT_PLUGINS="").output


def test_a_plugins_command_can_be_in_any_section_and_one_that_is_none_is_named(
    site: Path, linqbot: Callable[..., Result]
) -> None:
    wrong = GOOD.replace("greetings_plugin:greet", "greetings_plugin:spoken").replace('")]', '", "Run it")]')
    install_plugin(site, "wrong", wrong, entry="Plugin")
    (site / "greetings_plugin.py").write_text(GREETINGS)
    assert re.search(r"\n  serve +Run a bot.*\n  greet +Say hello[.]\n", linqbot("--help").stdout)
    assert "greet is at greetings_plugin:spoken, where no click.Command is." in str(linqbot("greet").output)


def test_a_command_whose_package_is_missing_says_how_to_install_it(
    linqbot: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.plugin_loading.entry_points", lambda *, group: [])
    listed = linqbot("--help").stdout.partition("Not installed:")[2]
    for name, package in PACKAGES.items():
        assert re.search(rf"^  {name} +It comes with {package}\.$", listed, re.MULTILINE)
        for arguments in ((name,), (name, "--help")):
            result = linqbot(*arguments)
            assert result.exit_code == 2
            needs = f"linqbot {name} needs the package {package}, which is not installed. {plugin_advice(package)}"
            assert needs in " ".join(result.output.split())


def test_a_plugin_cannot_replace_a_built_in_command(site: Path, linqbot: Callable[..., Result]) -> None:
    install_plugin(site, "thief", GOOD.replace('"greet"', '"serve"'), entry="Plugin")
    assert "Run the bot in FILE" in linqbot("serve", "--help").stdout
    assert "there is a command serve already" in linqbot("--help").output
    assert "Say hello" not in linqbot("--help").stdout


def test_the_help_of_a_built_in_command_loads_no_plugin(site: Path, linqbot: Callable[..., Result]) -> None:
    install_plugin(site, "fatal", "raise SystemExit('imported')")
    for name in ("serve", "dev"):  # the second is of a package of ours
        assert linqbot(name, "--help").exit_code == 0
        assert plugin_commands.others.cache_info().misses == 0, name


# Storages


def kept(folder: Path) -> str:
    """Store a dead letter and return its id."""

    async def give_up(storage: SQLiteStorage) -> str:
        await storage.put(delivery(text_body("kept")))
        (lease,) = await storage.take(1, lease_s=60)
        await storage.finish(lease, Commit(DeadLetter("broken")))
        return lease.delivery.id

    return in_storage(folder / "linqbot.db", give_up)


def test_an_installed_plugin_opens_storages_of_its_scheme(site: Path, linqbot: Callable[..., Result]) -> None:
    code = """
    from linqbot import hookimpl
    from linqbot.storage.backend import StorageBackend
    from linqbot.storage.sqlite.storage import SQLiteStorage
    class Shelf(StorageBackend):
        form = "shelf://PATH"
        def open(self, url, /, **options):
            return SQLiteStorage(url.removeprefix("shelf://"), **options)
    @hookimpl
    def register_storage():
        return {"shelf": Shelf()}
    """
    letter = kept(site.parent)
    result = linqbot("waiting", "list", "--dead", "--storage", "shelf://linqbot.db")
    assert "There is no storage for shelf:// URLs" in result.output
    install_plugin(site, "shelf", code)
    result = linqbot("waiting", "list", "--dead", "--storage", "shelf://linqbot.db", "--json")
    assert [row["id"] for row in json.loads(result.stdout)] == [letter]
    refused = linqbot("waiting", "list", "--dead", "--storage", "other://x").output
    assert "postgresql://USER@HOST/DATABASE, shelf://PATH or memory://" in " ".join(refused.split())
    copied = linqbot("storage", "copy", "shelf://linqbot.db", "sqlite:///copy.db")
    assert "A storage of shelf:// cannot be checked or copied." in " ".join(copied.output.split())
