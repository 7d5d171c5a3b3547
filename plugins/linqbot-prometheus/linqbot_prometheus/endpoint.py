"""The endpoint that Prometheus scrapes: `GET /plugins/prometheus/metrics`."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from linqbot_prometheus.inbox import InboxCollector


class Endpoint:
    """Answers scrapes. Encoding and compression run in a thread, so that they do not hold up handlers."""

    def __init__(self, registry: CollectorRegistry, inbox: InboxCollector) -> None:
        self._registry = registry
        self._inbox = inbox

    async def scrape(self, request: Request) -> Response:
        """Return the metrics, as OpenMetrics if the client accepts it, otherwise in the text format of Prometheus."""
        await self._inbox.refresh()
        encode, content_type = _format(request.headers.get("accept", ""))
        zipped = "gzip" in request.headers.get("accept-encoding", "")

        def body() -> bytes:
            text: bytes = encode(self._registry)
            return gzip.compress(text, compresslevel=1, mtime=0) if zipped else text

        headers = {"vary": "accept, accept-encoding"} | ({"content-encoding": "gzip"} if zipped else {})
        return Response(
            await asyncio.to_thread(body), media_type=None, headers={"content-type": content_type} | headers
        )


def _format(accepted: str) -> Any:
    """Return a function that writes the metrics, and its content type, by an `Accept` header."""
    try:
        return choose_encoder(accepted)
    except TypeError:  # prometheus_client compares a version that is no number with numbers
        return choose_encoder("")
