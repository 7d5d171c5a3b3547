"""A stand-in for Linq's CLI: `linq webhooks listen --json`, whose relay prints each event twice.

Like the CLI of 2026-04, it prints indented JSON among other lines, and deletes its subscription on the first signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import httpx


def install(folder: Path) -> str:
    """Put a program `linq` into a folder. Return a PATH in which it is found."""
    folder.mkdir()
    program = folder / "linq"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} "$@"\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


class Relay(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        say(json.dumps(event, indent=2))
        say(json.dumps(event, ensure_ascii=False))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    assert sys.argv[1:] == ["webhooks", "listen", "--json"]
    linq = httpx.Client(
        base_url=os.environ["LINQ_API_V3_BASE_URL"] + "/v3",
        headers={"authorization": f"Bearer {os.environ['LINQ_TOKEN']}"},
        trust_env=False,
    )
    server = HTTPServer(("127.0.0.1", 0), Relay)
    body: dict[str, Any] = {
        "target_url": f"http://127.0.0.1:{server.server_port}/relay/{os.getpid()}",
        "subscribed_events": ["message.received", "message.sent", "reaction.added"],
    }
    made = linq.post("/webhook-subscriptions", json=body).raise_for_status().json()

    def shut_down(_: int, __: FrameType | None) -> NoReturn:
        say("Shutting down...")
        linq.delete(f"/webhook-subscriptions/{made['id']}").raise_for_status()
        sys.exit()

    signal.signal(signal.SIGTERM, shut_down)
    say(f"Webhook created: {made['id']}")
    say("Listening for events... (Ctrl+C to stop)")
    server.serve_forever()


if __name__ == "__main__":
    main()
