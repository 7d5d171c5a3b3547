"""A client of an app in this process, without a socket, and the headers of a webhook that Linq has signed."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette

from linqbot.linq.signatures import sign
from linqbot.server.app import running

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
PATH = "/webhooks/linq"


def signed(
    body: bytes, *, at: float | None = None, webhook_id: str | None = None, secret: str = SECRET
) -> dict[str, str]:
    """Return the headers of a webhook that was signed now, or at a Unix time, by default with an id of its own."""
    webhook_id, timestamp = webhook_id or str(uuid.uuid4()), int(time.time() if at is None else at)
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(body, webhook_id=webhook_id, timestamp=timestamp, secret=secret),
    }


async def posted(http: httpx.AsyncClient, body: bytes, *, secret: str = SECRET, at: float | None = None) -> int:
    """Post a webhook that was signed now, or at a Unix time. Return the status of the answer."""
    return (await http.post(PATH, content=body, headers=signed(body, at=at, secret=secret))).status_code


def client_of(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bot.test")


@asynccontextmanager
async def running_client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Run an app, and yield a client of it."""
    async with running(app), client_of(app) as http:
        yield http
