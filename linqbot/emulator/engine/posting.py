"""One POST to a receiver of webhooks, and its answer."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from linqbot.emulator.engine import delivery_failure
from linqbot.errors import ConfigError


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The receiver's answer to one attempt.

    Attributes:
        status: None if no answer came.
        retry_after: Seconds.
        reason: Why the attempt failed, in words; None if it succeeded.
        beginning: The beginning of the answer to a failed attempt.
    """

    status: int | None = None
    retry_after: float | None = None
    reason: str | None = None
    beginning: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def over_http() -> httpx.AsyncHTTPTransport:
    """Return a transport that trusts the authorities in SSL_CERT_FILE or SSL_CERT_DIR, if one of the two is set.

    The number of connections is not limited here: each subscription has its own limit, and one subscription must not
    use up the connections of the others.

    Raises:
        ConfigError: SSL_CERT_FILE cannot be read, or holds no certificate.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)
    try:
        # A transport reads only these two variables. It is the client that reads the variables for proxies.
        return httpx.AsyncHTTPTransport(limits=limits, trust_env=True)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"SSL_CERT_FILE is {os.environ.get('SSL_CERT_FILE')}, and no certificate can be read from it: {error}. "
            "Set it to a PEM file, or unset it."
        ) from error


async def post(
    transport: httpx.AsyncBaseTransport, url: httpx.URL, headers: Mapping[str, str], body: bytes
) -> WebhookResponse:
    """Send a webhook, and return the receiver's answer.

    Raises:
        httpx.HTTPError: no answer came. A transport may raise other errors too.
    """
    request = httpx.Request("POST", url, headers=headers, content=body)
    response = await transport.handle_async_request(request)
    try:
        content = await response.aread()
    finally:
        await response.aclose()
    status, reason = response.status_code, delivery_failure.of_status(response.status_code)
    beginning = None if reason is None else content.decode("utf-8", "replace")[: delivery_failure.ANSWER_SHOWN]
    return WebhookResponse(status, _seconds(response.headers.get("retry-after")), reason, beginning, response.headers)


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
