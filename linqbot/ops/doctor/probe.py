"""Send a test event to the bot's public address, signed as Linq signs, and explain the response.

The event has a type of linqbot's own: the bot stores it like any other, and no handler gets it. Its body is formatted in
a way that no JSON library would choose, so a proxy that parses and rewrites JSON changes the body and is detected.
"""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
import ssl
import time
import uuid
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx

from linqbot.events.delivery import PROBE_ID, PROBE_TYPE
from linqbot.ops.subscriptions import is_loopback
from linqbot.webhooks import TOLERANCE_S, sign

TIMEOUT_S: Final = 10.0
"""Linq waits no longer either."""

_CHALLENGE = re.compile(r'\b(\w++)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Trouble:
    """The reason why the bot did not accept the event: a code of `CODES`, and what was seen."""

    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Probed:
    """The result of sending one test event.

    Attributes:
        ms: Milliseconds until the response.
        trouble: None if the bot accepted the event.
        certificate_ends: Expiry of the certificate; None without TLS.
    """

    delivery_id: str
    ms: int
    trouble: Trouble | None = None
    certificate_ends: datetime | None = None


async def confirm(url: str, secret: str) -> Probed:
    """Check that the bot at `url` accepts an event signed with `secret`, and refuses one signed with another secret.

    Returns:
        The result for `secret`, unless the other event already showed a problem.
    """
    stranger = await probe(url, random_secret())
    if stranger.trouble is None:
        return replace(stranger, trouble=Trouble("LQB6067", "It accepts an event signed with a random secret."))
    return await probe(url, secret) if stranger.trouble.code == "LQB6070" else stranger


def random_secret() -> str:
    """Return a new signing secret, which no bot has."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


async def probe(url: str, secret: str, *, event_id: str | None = None) -> Probed:
    """Send one event to `url`, signed with `secret`.

    Args:
        event_id: Id of the event; a new one without it. The bot drops a second event with the same id as a duplicate.
    """
    event_id = event_id or str(uuid.uuid4())
    body = _body(event_id)
    now = int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": "linqbot-doctor",
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(body, webhook_id=event_id, timestamp=now, secret=secret),
    }
    started, ends = time.perf_counter(), None
    try:
        # Linq delivers over the internet, so the environment's proxies are used, but not for this machine itself.
        env = not is_loopback(urlsplit(url).hostname or "")
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=env, verify=httpx.create_ssl_context()) as http:
            async with http.stream("POST", url, content=body, headers=headers) as answer:
                ends = _certificate_ends(answer)
            trouble = _trouble(answer, body, now)
    except httpx.TransportError as error:
        trouble = _unreachable(error)
    return Probed(PROBE_ID + event_id, round((time.perf_counter() - started) * 1000), trouble, ends)


def _body(event_id: str) -> bytes:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f'{{"webhook_version":"2026-02-03", "event_type":"{PROBE_TYPE}","event_id":"{event_id}",\r\n'
        f'\t"created_at":"{at}","api_version":"v3",'
        '"data":{"z":1.0,"a":1e2 ,"word":"na\\u00efve \N{SNOWMAN} \\/ \N{GRINNING FACE}","none":null,"a b":[ ]} }\n'
    ).encode()


def _trouble(answer: httpx.Response, body: bytes, now: int) -> Trouble | None:
    status = answer.status_code
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        host = urlsplit(answer.headers.get("location", "")).hostname or "elsewhere"
        return Trouble("LQB6062", f"It answers {status} and redirects to {host}.")
    if status in {401, 403, 407}:
        return _refused(answer, body)
    if status in {404, 405}:
        return Trouble("LQB6063", f"It answers {status}: there is no webhook at this path.")
    if status == 503:
        return _later(answer, now)
    return Trouble("LQB6066", f"It answers {status}, which linqbot never answers to a signed event.")


def _refused(answer: httpx.Response, body: bytes) -> Trouble:
    header = answer.headers.get("www-authenticate", "")
    if answer.status_code != 401 or not header.startswith("Webhook-Signature"):
        return Trouble("LQB6064", f"It answers {answer.status_code}, and this response is not the bot's.")
    challenge = dict(_CHALLENGE.findall(header))
    if challenge.get("error") == "headers":
        missing = challenge.get("missing", "").replace(" ", ", ")
        return Trouble("LQB6071", f"The event arrived without these headers: {missing}.")
    if (challenge.get("bytes"), challenge.get("crc32")) != (str(len(body)), f"{zlib.crc32(body):08x}"):
        return Trouble(
            "LQB6072", f"The body was changed on its way: {len(body)} bytes left, {challenge.get('bytes')} arrived."
        )
    return Trouble("LQB6070", "The event arrived unchanged, but the bot has another secret.")


def _later(answer: httpx.Response, now: int) -> Trouble:
    off_s = 0.0
    with contextlib.suppress(ValueError, OverflowError):
        off_s = parsedate_to_datetime(answer.headers.get("date", "")).timestamp() - now
    if abs(off_s) > TOLERANCE_S:
        return Trouble("LQB6050", f"It answers 503, and its clock is {_apart(off_s)} this machine's.")
    return Trouble("LQB6073", "It answers 503: it cannot accept the event now.")


def _apart(by_s: float) -> str:
    return f"{abs(by_s):.0f} s {'ahead of' if by_s > 0 else 'behind'}"


def _unreachable(error: httpx.TransportError) -> Trouble:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Trouble("LQB6061", f"Its certificate is not valid: {cause.verify_message}.")
        if isinstance(cause, ssl.SSLError):
            return Trouble("LQB6061", f"No TLS connection could be made: {cause.reason or type(cause).__name__}.")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return Trouble("LQB6060", f"There is no response within {TIMEOUT_S:g} s.")
    return Trouble("LQB6060", f"The connection failed ({type(error).__name__}).")


def _certificate_ends(answer: httpx.Response) -> datetime | None:
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    shown = tls.getpeercert() if tls is not None else None
    if not shown or "notAfter" not in shown:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
