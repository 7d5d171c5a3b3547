"""`linqbot check` in a terminal, for a person who has moved a bot.

The findings themselves are tested in `test_check_server.py`, without a terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import pytest
from cli.practice import Practice, serve
from ports import free_port
from pseudo_terminal import Screen, typed

pytest.importorskip("pty", reason="This system has no pseudo terminals.")
pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_a_moved_bot_is_named_with_both_addresses_and_the_command_that_ends_the_old_one(
    practice: Practice, command: Callable[..., Any]
) -> None:
    def examined() -> Screen:
        screen = typed(practice.folder, "check", "bot.py", **practice.environ)
        practice.outputs.append(screen.raw)
        return screen

    gone = f"http://127.0.0.1:{free_port()}/webhooks/linq"
    practice.sync(gone)
    first = practice.subscription()["id"]
    practice.sync()
    bot = serve(practice, command)
    moved = examined()
    assert moved.exit_code == 1
    for words in (
        f"FAIL delivery {gone}",
        f"ok delivery {practice.url}",
        f"{first} to {gone}",
        "[LQB6060] → ",
        "If the bot has moved, delete the subscription to the old address: linqbot connect remove ID",
        "1 to fix, 1 to look at.",
    ):
        assert words in moved.text
    assert "\x1b[31m" in moved.raw
    assert all(len(line) <= 110 for line in click.unstyle(moved.raw).splitlines())
    assert practice.run("connect", "remove", first, "--yes").exit_code == 0
    healthy = examined()
    assert (healthy.exit_code, "Nothing keeps it from working; 0 to look at." in healthy.text) == (0, True)
    assert bot.stop() == 0
