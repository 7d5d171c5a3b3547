"""Runs `linqbot dev` with a bot's file that is saved again and again, for browser tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from patience import PATIENCE_S
from ports import free_port


class Dev:
    """`linqbot dev bot.py` on a free port.

    Args:
        folder: An empty folder for the bot's file.
        code: The content of the file.
        options: Further options of the command.
    """

    def __init__(self, folder: Path, code: str, *options: str) -> None:
        self.file = folder / "bot.py"
        self._log = folder / "dev.log"
        self.file.write_text(code)
        port = str(free_port())
        self.url = f"http://127.0.0.1:{port}"
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("LINQ_", "LINQBOT_"))}
        command = [sys.executable, "-m", "linqbot", "dev", "bot.py", "--port", port, *options]
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(command, cwd=folder, env=plain, stdout=out, stderr=out)

    def __enter__(self) -> Self:
        try:
            self.until(lambda: "Text your bot" in self.said)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def said(self) -> str:
        """All output so far."""
        return self._log.read_text()

    def save(self, code: str) -> None:
        """Save the bot's file, and wait until the bot has started with it or has failed to."""
        with self.saving(code):
            pass

    @contextmanager
    def saving(self, code: str) -> Iterator[None]:
        """Save the bot's file, and wait at the end of the block as `save` does."""
        starts = self._starts
        self.file.write_text(code)
        yield
        self.until(lambda: self._starts > starts)

    @property
    def _starts(self) -> int:
        return self.said.count("Reloaded.") + self.said.count("bot.py did not start.")

    def until(self, ready: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not ready():
            assert self._process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.02)

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)
