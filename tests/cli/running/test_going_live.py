"""Three commands put a bot live: `connect sync`, `check`, `serve`. None of their outputs shows a secret."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli.practice import ANSWERING, KEY, Practice, is_ready
from patience import PATIENCE_S

MOST_LOOKS = 20


@contextmanager
def watching_processes() -> Iterator[set[bytes]]:
    """Collect all command lines of this machine while the context lasts, as `ps` shows them.

    A process is looked at in its first seconds: later its command line does not change.
    """
    seen: set[bytes] = set()
    taken: Counter[Path] = Counter()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            for folder in Path("/proc").glob("[0-9]*"):
                if taken[folder] == MOST_LOOKS:
                    continue
                taken[folder] += 1
                try:
                    seen.add((folder / "cmdline").read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are looked at in /proc")
def test_three_commands_go_live_and_none_shows_a_secret(
    tmp_path: Path, emulator: str, program: Callable[..., Any]
) -> None:
    account = Practice(tmp_path, emulator, ANSWERING)
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("LINQ_", "LINQBOT_"))}
    said = ""

    def type_in(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "linqbot", *words],
            cwd=tmp_path, env=plain | account.settings, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    with watching_processes() as seen:
        said += type_in("connect", "sync", "bot.py", "--url", f"http://127.0.0.1:{account.port}")
        assert said.rstrip().endswith("Next: linqbot check bot.py")
        examined = type_in("check", "bot.py")
        assert "Nothing keeps it from working; 0 to look at." in examined
        assert "Go live with: linqbot serve bot.py" in examined
        bot = program("serve", "bot.py", **account.settings)
        bot.until(lambda: is_ready(account.port))
        account.text("hello")
        bot.until(lambda: account.replies() == ["You said: hello"])
        said += examined + type_in("check", "bot.py") + type_in("connect", "rotate", "--overlap", "0")
        said += type_in("connect", "list") + type_in("connect", "list", "--json")
        assert bot.stop() == 0
    said += bot.said()
    (secret,) = account.kept().values()
    assert "whsec_" not in said
    for hidden in (KEY, secret.removeprefix("whsec_")):
        assert hidden not in said
        assert not any(hidden.encode() in line for line in seen)
    assert any(b"connect\0sync" in line for line in seen), "the watch has seen them"
    assert {each["status"] for one in account.deliveries() for each in one["attempts"]} == {200}
