"""Records a page of Chromium as a moving picture: an animated WebP, which READMEs on GitHub and package pages show."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page

LONGEST_MS = 1500
"""A frame is shown no longer than this, however long nothing moved."""
END_MS = 3500
"""The last frame, so that a reader sees the end before the picture begins again."""
SHORTEST_MS = 60
"""Frames that follow sooner are left out: a reader sees none of them, and each is kept."""


class Recorder:
    """Collects the frames of a page from now on, each with its time, while a test drives the page.

    Chromium sends a frame whenever something on the page has moved.
    """

    def __init__(self, page: Page) -> None:
        self._frames: list[tuple[float, bytes]] = []
        self._session = page.context.new_cdp_session(page)
        self._session.on("Page.screencastFrame", self._keep)
        self._session.send("Page.startScreencast", {"format": "jpeg", "quality": 95})

    def _keep(self, event: dict[str, Any]) -> None:
        self._frames.append((event["metadata"]["timestamp"], base64.b64decode(event["data"])))
        self._session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    def save(self, file: Path, *, width: int, quality: int) -> None:
        """Stop, and write the picture."""
        self._session.send("Page.stopScreencast")
        images, durations = list[Image.Image](), list[int]()
        for number, (at, frame) in enumerate(self._frames):
            following = self._frames[number + 1][0] if number + 1 < len(self._frames) else at + 60
            ms = round((following - at) * 1000)
            if ms < SHORTEST_MS and durations:
                durations[-1] += ms
                continue
            image = Image.open(io.BytesIO(frame)).convert("RGB")
            images.append(image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS))
            durations.append(ms)
        shown = [min(LONGEST_MS, max(SHORTEST_MS, ms)) for ms in durations[:-1]]
        images[0].save(
            file,
            save_all=True,
            append_images=images[1:],
            duration=[*shown, END_MS],
            loop=0,
            quality=quality,
            method=4,
            minimize_size=True,
        )
