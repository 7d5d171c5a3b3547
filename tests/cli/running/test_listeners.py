"""Servers that plugins open next to the bot's in `linqbot serve`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from cli.practice import ALONE, serve_alone
from ports import free_port
from typed_command import shown

BOT = """
import os
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from linqbot import Bot, hookimpl
from linqbot.errors import ConfigError
from linqbot.hookspecs import Listener


class Counts:
    name = "counts"

    @hookimpl
    def register_listeners(self, running):
        async def waiting(request):
            return PlainTextResponse(f"{await running.storage.depth()} wait")

        @asynccontextmanager
        async def lifespan(app):
            if os.environ["COUNTS"] == "down":
                raise RuntimeError("no server for counts")
            yield

        def make_app():
            if os.environ["COUNTS"] == "unset":
                raise ConfigError("COUNTS is not set. Set it.")
            if os.environ["COUNTS"] == "broken":
                raise RuntimeError("broken")
            return Starlette(routes=[Route("/", waiting)], lifespan=lifespan)

        listener = Listener("counts", "The page of counts", int(os.environ["COUNTS_PORT"]), "COUNTS_PORT", make_app)
        return [listener if os.environ["COUNTS"] != "wrong" else make_app]


bot = Bot(plugins=[Counts()])
"""


def test_a_plugin_serves_an_app_on_a_port_of_its_own_with_the_storage_of_the_bot(
    tmp_path: Path, command: Callable[..., Any], port: int
) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    own = free_port()
    bot = serve_alone(command, port, COUNTS="up", COUNTS_PORT=str(own), LINQBOT_PLUGINS="")
    assert bot.until(lambda: httpx.get(f"http://127.0.0.1:{own}/").text) == "0 wait"
    assert f"The page of counts is on http://127.0.0.1:{own}" in bot.said()
    assert httpx.get(f"http://127.0.0.1:{own}/readyz").status_code == 404
    assert bot.stop() == 0
    assert "Traceback" not in bot.said()


def test_with_json_the_first_line_has_the_address_of_each_listener(
    tmp_path: Path, command: Callable[..., Any], port: int
) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    environ = ALONE | {"COUNTS": "up", "COUNTS_PORT": "0", "LINQBOT_PLUGINS": ""}
    bot = command("serve", "bot.py", "--json", "--port", str(port), **environ)
    (line,) = bot.until(lambda: [line for line in bot.said().splitlines() if '"webhook"' in line])
    assert bot.until(lambda: httpx.get(json.loads(line)["counts"]).text) == "0 wait"


def test_a_listener_that_fails_is_named_and_the_bot_goes_on(
    tmp_path: Path, command: Callable[..., Any], port: int
) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    for how, said in (
        ("down", "listener.failed"),
        ("broken", "make_app raised RuntimeError"),
        ("wrong", "a function is no Listener"),
    ):
        bot = serve_alone(command, port, COUNTS=how, COUNTS_PORT="0", LINQBOT_PLUGINS="")
        bot.until(lambda: said in bot.said())  # noqa: B023 - called at once
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        assert bot.stop() == 0


def test_a_listener_that_cannot_be_opened_with_its_settings_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    serve = ("serve", str(tmp_path / "bot.py"), "--port", "8000")
    assert "COUNTS is not set" in shown(*serve, code=2, **ALONE, COUNTS="unset", COUNTS_PORT="0")
    same = shown(*serve, code=2, **ALONE, COUNTS="up", COUNTS_PORT="8000")
    assert "COUNTS_PORT and the port of the bot are both 8000. Set COUNTS_PORT to another port." in same
