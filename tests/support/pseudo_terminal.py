"""Commands in a pseudo terminal, as a person types them."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
from patience import PATIENCE_S

QUESTION = b"[y/N]: "
CTRL_C = b"\x03"


@dataclass(frozen=True)
class Screen:
    """The output of a command in a terminal."""

    raw: str
    exit_code: int

    @property
    def text(self) -> str:
        """The output without colors, and with each line break as a space: a terminal breaks lines where they end."""
        return " ".join(click.unstyle(self.raw).split())


def typed(folder: Path, *words: str, answer: str | None = None, **environ: str | None) -> Screen:
    """Run `linqbot` with these words in a pseudo terminal, and wait until it ends.

    Args:
        answer: What the person types at the question, such as "y\\n", or "\\x03" for Ctrl-C.
        environ: Further variables of the environment; None leaves one out. Settings of this process are left out.
    """
    import fcntl
    import pty
    import termios

    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LINQ_", "LINQBOT_", "NO_COLOR", "COLUMNS"))
    }
    given = {name: value for name, value in environ.items() if value is not None}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "linqbot", *words],
        cwd=folder,
        env=plain | {"TERM": "xterm"} | given,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it makes Ctrl-C reach the command
    )
    os.close(theirs)
    try:
        return Screen(_all_of(ours, process, (answer or "").encode()).replace("\r\n", "\n"), process.wait(PATIENCE_S))
    finally:
        process.kill()
        os.close(ours)


def _all_of(ours: int, process: subprocess.Popen[bytes], answer: bytes) -> str:
    read, end, pressed = b"", time.monotonic() + PATIENCE_S, 0.0
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                block = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            read += block
            if answer and QUESTION in read and not pressed:
                os.write(ours, answer)
                pressed = time.monotonic()
        elif process.poll() is not None:
            break
        elif answer == CTRL_C and pressed and time.monotonic() > pressed + 3.0:
            # Python misses a signal that comes after the prompt is written and before the read begins, as no person is so
            # quick. A person who sees nothing happen presses again.
            os.write(ours, answer)
            pressed = time.monotonic()
    return read.decode()
