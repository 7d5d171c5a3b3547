"""Runs `linqbot dev` with a bot's file that is saved again and again, for tests of its page."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from cli.conftest import Command
from ports import free_port


def save(file: Path, code: str) -> None:
    """Replace a file in one step, as editors do. A bot that is started between two steps would find an empty file."""
    new = file.with_suffix(".new")
    new.write_text(code)
    new.replace(file)


class Dev(Command):
    """`linqbot dev bot.py` on a free port.

    Args:
        folder: An empty folder for the bot's file.
        code: The content of the file.
        options: Further options of the command.
    """

    def __init__(self, folder: Path, code: str, *options: str) -> None:
        self.file = folder / "bot.py"
        self.file.write_text(code)
        port = str(free_port())
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(folder, "dev", "bot.py", "--port", port, *options)

    def __enter__(self) -> Self:
        try:
            self.until(lambda: "Text your bot" in self.said())
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def save(self, code: str) -> None:
        """Save the bot's file, and wait until the bot has started with it or has failed to."""
        starts = self._starts
        save(self.file, code)
        self.until(lambda: self._starts > starts)

    @property
    def _starts(self) -> int:
        return self.said().count("Reloaded.") + self.said().count("bot.py did not start.")
