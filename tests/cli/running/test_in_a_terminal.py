"""`linqbot` in a terminal, for a person who puts a bot live and makes mistakes: a moved bot, a wrong secret, a new project.

The findings themselves are tested in `test_check_server.py`, without a terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.practice import Practice, serve, text_the_bot
from ports import free_port
from pseudo_terminal import Screen, typed

pytest.importorskip("pty", reason="This system has no pseudo terminals.")
pytestmark = [pytest.mark.process, pytest.mark.slow]


class Typing:
    """A person at a terminal in the folder of a bot. The fixture of `practice` looks for secrets in what it prints."""

    def __init__(self, practice: Practice) -> None:
        self.practice = practice

    def __call__(self, *words: str) -> Screen:
        screen = typed(self.practice.folder, *words, **self.practice.environ)
        self.practice.outputs.append(screen.raw)
        return screen

    def doctor(self) -> Screen:
        return self("check", "bot.py")


def test_a_moved_bot_is_named_with_both_addresses_and_the_command_that_ends_the_old_one(
    practice: Practice, command: Callable[..., Any]
) -> None:
    type_in = Typing(practice)
    gone = f"http://127.0.0.1:{free_port()}/webhooks/linq"
    practice.sync(gone)
    (first,) = [row["id"] for row in practice.api("GET", "/webhook-subscriptions")["subscriptions"]]
    moved = type_in("connect", "sync", "bot.py", "--url", practice.url)
    assert f"Another subscription with a secret kept here delivers to {gone}" in moved.text
    bot = serve(practice, command)
    examined = type_in.doctor()
    assert examined.exit_code == 1
    assert f"FAIL delivery {gone}" in examined.text
    assert f"ok delivery {practice.url}" in examined.text
    assert f"{first} to {gone}" in examined.text
    assert (
        "If the bot has moved, delete the subscription to the old address: linqbot connect remove ID" in examined.text
    )
    assert "\x1b[31m" in examined.raw
    assert practice.run("connect", "remove", first, "--yes").exit_code == 0
    before = bot.said()
    healthy = type_in.doctor()
    assert (healthy.exit_code, "Nothing keeps it from working; 0 to look at." in healthy.text) == (0, True)
    # Neither the doctor nor a rotation rings the alarm for forged deliveries.
    assert practice.run("connect", "rotate", "--overlap", "0").exit_code == 0
    assert practice.run("check", "bot.py").exit_code == 0
    assert bot.stop() == 0
    added = bot.said().removeprefix(before)
    assert "forged" not in added
    assert "warning" not in added


def test_a_secret_that_refuses_every_delivery_is_a_failure_and_one_command_corrects_it(
    practice: Practice, command: Callable[..., Any]
) -> None:
    type_in = Typing(practice)
    practice.sync()
    subscription = practice.subscription()["id"]
    (practice.folder / ".linqbot" / "webhook-secret").write_text(f"whsec_{'QUJD' * 10} {subscription}\n")
    bot = serve(practice, command)
    text_the_bot(practice)
    bot.until(lambda: '"count": 1' in (practice.folder / "linqbot.db-refused.json").read_text())
    examined = type_in.doctor()
    assert examined.exit_code == 1
    assert "Nothing keeps it from working" not in examined.text
    assert "FAIL refused" in examined.text
    assert subscription in examined.text
    assert f"linqbot connect rotate --url {practice.url}" in examined.text
    assert type_in("connect", "rotate", "--url", practice.url, "--overlap", "0").exit_code == 0
    text_the_bot(practice)
    bot.until(lambda: practice.run("check", "bot.py").exit_code == 0)
    assert bot.stop() == 0


def test_a_new_bot_has_a_dockerfile_that_needs_no_package_index_and_no_folder_of_this_machine(tmp_path: Path) -> None:
    made = typed(tmp_path, "new", "my-bot")
    assert made.exit_code == 0, made.text
    dockerfile = (tmp_path / "my-bot" / "Dockerfile").read_text()
    assert "FROM linqbot" in dockerfile
    assert str(tmp_path) not in dockerfile
    assert "COPY --chown=10001:10001 . ." in dockerfile
    readme = (tmp_path / "my-bot" / "README.md").read_text()
    assert readme.index("/deploy/Dockerfile -t linqbot ") < readme.index("docker build -t")
