"""Follows docs/tutorial.md word by word, as a reader with only Python and the installed wheel: an empty home, an empty folder.

    venv/bin/python .ci/tutorial.py REPOSITORY

`linqbot dev bot.py` keeps running, as the page says. For each step the page's file is copied over bot.py, the bot is texted on
the phone, the test that the page shows replaces test_bot.py, and `pytest` runs it. The PATH has the environment's programs only.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from phone import free_port, get, up

BIN = Path(sys.executable).parent
RELOAD_S = 120


def wait(is_so: Callable[[], bool], dev: subprocess.Popen[bytes], printed: Path) -> None:
    """Wait until something is so.

    Raises:
        RuntimeError: `linqbot dev` has ended, or it did not become so in time. The error shows what was printed.
    """
    until = time.monotonic() + RELOAD_S
    while not is_so():
        if dev.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"The bot did not do what the tutorial says.\n{printed.read_text()}")
        time.sleep(0.1)


def _greeted(guest: str, greeting: str, printed: Path) -> bool:
    line = rf'{re.escape(guest)} "hello" → .*"{re.escape(greeting)}" \(confetti\)'
    return re.search(line, printed.read_text()) is not None


def follow(repository: Path, folder: Path) -> int:
    """Do what the page says. Return the number of its steps.

    Raises:
        RuntimeError: something is not as the page says.
    """
    page = (repository / "docs" / "tutorial.md").read_text()
    greeting = re.findall(r'ctx\.reply\("([^"]+)", effect="confetti"\)', page)[0]
    sections = page.split("\n## ")[1:]
    home, bot, printed = folder / "home", folder / "mybot", folder / "printed"
    home.mkdir()
    environ, port = {"HOME": str(home), "PATH": str(BIN)}, free_port()
    subprocess.run([BIN / "linqbot", "new", "mybot"], cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)
    phone = f"http://127.0.0.1:{port}"
    with printed.open("wb") as out:
        command = [BIN / "linqbot", "dev", "bot.py", "--port", str(port)]
        dev = subprocess.Popen(command, cwd=bot, env=environ, stdout=out, stderr=out)

    def save(name: str, content: str) -> None:
        """Write a file of the bot, and wait until the bot runs with it."""
        before = printed.read_text().count("Reloaded.")
        (bot / name).write_text(content)
        wait(lambda: printed.read_text().count("Reloaded.") > before, dev, printed)

    try:
        up(f"{phone}/", dev, timeout_s=180)
        line = json.loads(get(f"{phone}/emulator/state"))["lines"][0]["phone_number"]
        wait(lambda: "Text your bot" in printed.read_text(), dev, printed)
        for n, section in enumerate(sections):
            (source,) = re.findall(r"\]\((\.\./examples/[\w/]+\.py)\)", section)
            save("bot.py", (repository / "docs" / source).read_text())
            guest = f"+1415555015{n}"
            hello = {"from": guest, "to": line, "parts": [{"type": "text", "value": "hello"}]}
            get(f"{phone}/emulator/inbound", hello)
            wait(partial(_greeted, guest, greeting, printed), dev, printed)
            for test in re.findall(r"^```python (test_bot\.py)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
                save(*test)
                ran = subprocess.run(
                    [BIN / "pytest", "-q"], cwd=bot, env=environ, capture_output=True, text=True, check=False
                )
                if ran.returncode:
                    raise RuntimeError(f"{section.splitlines()[0]}: its test fails.\n{ran.stdout}{ran.stderr}")
    finally:
        dev.send_signal(signal.SIGINT)
        code = dev.wait(30)
    if code:
        raise RuntimeError(f"linqbot dev exited with {code}.\n{printed.read_text()}")
    return len(sections)


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp())
    try:
        print(f"The {follow(Path(sys.argv[1]), place)} steps of the tutorial work.")
    finally:
        shutil.rmtree(place)
