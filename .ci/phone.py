"""Sends requests to a running linqbot, and texts the bot of `linqbot dev`. Standard library only."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from typing import Any


def free_port() -> int:
    """Return a port that no program listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, body: dict[str, Any] | None = None) -> bytes:
    """GET a URL, or POST `body` as JSON. Return the body of the response."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
        return bytes(answer.read())


def up(url: str, process: subprocess.Popen[Any], *, timeout_s: float) -> bytes:
    """Send requests until a process answers at `url`. Return the body of the response.

    Raises:
        RuntimeError: the process has ended, or did not answer in time.
    """
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"It ended with {process.returncode} before {url} answered.")
        try:
            return get(url)
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer in {timeout_s:.0f} s.")


def text(page: str, said: str, *, timeout_s: float = 120) -> None:
    """Text the bot as a person would, and wait for its echo.

    Raises:
        RuntimeError: `page` is not the phone page, or the bot did not echo the text in time.
    """
    if b"<script" not in get(f"{page}/"):
        raise RuntimeError(f"{page} is not the phone page.")
    line = json.loads(get(f"{page}/emulator/state"))["lines"][0]["phone_number"]
    parts = [{"type": "text", "value": said}]
    get(f"{page}/emulator/inbound", {"from": "+14155550142", "to": line, "parts": parts})
    until = time.monotonic() + timeout_s
    while f"You said: {said}" not in get(f"{page}/emulator/state").decode():
        if time.monotonic() > until:
            raise RuntimeError(f"The bot did not echo the text in {timeout_s:.0f} s.")
        time.sleep(0.1)
