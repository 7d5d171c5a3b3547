"""Sends mutated deliveries to the webhook endpoint and counts how many were stored. The number must be zero.

    uv run python benchmarks/forgeries.py --count 1000000

The endpoint is called as uvicorn calls it, without a socket. Each forgery is a genuine delivery with one change: a bit
of the body, a character of a header, a header that is missing or has its value doubled, another secret, another id.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from typing import Any

import structlog

from linqbot.clock import SystemClock
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.signatures import sign
from linqbot.server.secret_file import KnownSecrets
from linqbot.server.webhook import WebhookEndpoint
from linqbot.storage.sqlite.memory import MemoryStorage

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
OTHER = "whsec_" + "QUJD" * 10
BODY = b'{"event_type":"message.received","event_id":"e1","data":{"id":"m1","chat":{"id":"c1"},"direction":"inbound"}}'
Headers = dict[str, str]


class Spy(MemoryStorage):
    """A storage that only counts deliveries."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = 0

    async def put(self, delivery: Delivery) -> bool:
        self.stored += 1
        return True


def genuine(now: int, *, secret: str = SECRET) -> Headers:
    return {
        "webhook-id": "e1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(BODY, webhook_id="e1", timestamp=now, secret=secret),
    }


def forged(headers: Headers, dice: random.Random, now: int) -> tuple[Headers, bytes]:
    """Return a genuine delivery with one change."""
    body, headers = bytearray(BODY), dict(headers)
    kind = dice.randrange(6)
    name = dice.choice(list(headers))
    if kind == 0:
        bit = dice.randrange(len(body) * 8)
        body[bit // 8] ^= 1 << bit % 8
    elif kind == 1:
        value = bytearray(headers[name].encode())
        value[dice.randrange(len(value))] ^= 1 << dice.randrange(7)
        headers[name] = value.decode("latin-1")
    elif kind == 2:
        del headers[name]
    elif kind == 3:
        headers[name] *= 2
    elif kind == 4:
        headers = genuine(now, secret=OTHER)
    else:
        cut = dice.randrange(len(body))
        body = body[:cut] + dice.randbytes(dice.randrange(4)) + body[cut + 1 :]
    same = bytes(body) == BODY and headers == genuine(now)
    return forged(headers, dice, now) if same else (headers, bytes(body))


async def run(count: int, seed: int = 0) -> tuple[int, Counter[int]]:
    """Send `count` forgeries, and one genuine delivery to check that the endpoint works.

    Returns:
        The number of forgeries that were stored, and how often each status was answered.
    """
    inbox, statuses, dice = Spy(), Counter[int](), random.Random(seed)
    endpoint = WebhookEndpoint(inbox, KnownSecrets([SECRET]), SystemClock())
    endpoint.is_open = True

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses[message["status"]] += 1

    async def deliver(headers: Headers, body: bytes) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await endpoint({"type": "http", "method": "POST", "headers": raw, "path": "/"}, receive, send)

    for _ in range(count):
        now = int(time.time())
        await deliver(*forged(genuine(now), dice, now))
    stored = inbox.stored
    await deliver(genuine(int(time.time())), BODY)
    assert inbox.stored == stored + 1, "the genuine delivery was refused"
    return stored, statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # each forgery is a warning
    started = time.monotonic()
    stored, statuses = asyncio.run(run(given.count))
    shown = ", ".join(f"{times} × {status}" for status, times in statuses.most_common())
    print(f"{given.count} forgeries in {time.monotonic() - started:.0f} s: {stored} stored ({shown})")
    sys.exit(bool(stored))


if __name__ == "__main__":
    main()
