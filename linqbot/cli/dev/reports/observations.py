"""Posts reports to the emulator from a thread, so that no turn waits for the emulator or fails because of it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Final

import httpx

from linqbot.cli.dev.loopback import no_authorities

MAX_WAITING: Final = 1000
"""Maximum number of reports that wait. Later ones are dropped: the emulator is away or too slow."""

ANSWER_S: Final = 10.0
"""Seconds for the emulator's answer to a report. The machine may be busy, and only later reports wait for it."""

CLOSE_S: Final = 2.0
"""Seconds that the end of a bot may wait for its last reports."""

Report = Callable[[], dict[str, Any]]


class Observations:
    """Posts reports to one emulator, in order.

    Args:
        emulator: URL of the emulator.
        transport: None is HTTP.
    """

    def __init__(self, emulator: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = f"{emulator}/emulator/observations"
        self._transport = transport
        self._waiting: queue.Queue[Report | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="observations", daemon=True)
        self._thread.start()

    def post(self, report: Report) -> None:
        """Post a report soon. Never waits and never raises.

        Args:
            report: Makes the report. Called in the thread that posts.
        """
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(report)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Post the reports that wait, for at most `timeout_s` seconds, and end the thread."""
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        # No proxy: the emulator is on this machine.
        verify, transport = no_authorities(), self._transport
        with httpx.Client(trust_env=False, verify=verify, timeout=ANSWER_S, transport=transport) as client:
            while (report := self._waiting.get()) is not None:
                try:
                    client.post(self._url, json=report())
                except (httpx.HTTPError, ValueError):
                    continue  # the page misses one report
