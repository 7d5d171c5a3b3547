"""Sends the bot an event through its public address, signed as Linq signs, and understands the answer.

The event is of a type of our own, which is stored as any other and reaches no handler. Its body is written as no
library would write it, so that whatever reads and writes JSON on the way shows itself.
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
"""What Linq, too, would wait at most."""

_CHALLENGE = re.compile(r'\b(\w++)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the event did not arrive: the fault's code, and what was seen."""

    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Probed:
    """What became of one event.

    Attributes:
        trouble: None when the bot took it.
        certificate_ends: When the certificate does; None without TLS.
    """

    delivery_id: str
    ms: int
    trouble: Trouble | None = None
    certificate_ends: datetime | None = None


async def confirm(url: str, secret: str) -> Probed:
    """Whether the bot at `url` takes what was signed with `secret`, and nothing else."""
    stranger = await probe(url, nobodys_secret())
    if stranger.trouble is None:
        return replace(stranger, trouble=Trouble("LQB6067", "It takes an event signed with a secret of nobody's."))
    return await probe(url, secret) if stranger.trouble.code == "LQB6070" else stranger


def nobodys_secret() -> str:
    """A secret that no bot has."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


async def probe(url: str, secret: str, *, event_id: str | None = None) -> Probed:
    """Send one event to `url`, signed with `secret`.

    Args:
        event_id: The same one twice is a duplicate.
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
        # Linq comes from outside; of the environment's proxies only those that lead there are used.
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
        return Trouble("LQB6062", f"It answers {status} and sends callers on, to {host}.")
    if status in {401, 403, 407}:
        return _refused(answer, body)
    if status in {404, 405}:
        return Trouble("LQB6063", f"It answers {status}: there is no webhook at this path.")
    if status == 503:
        return _later(answer, now)
    return Trouble("LQB6066", f"It answers {status}, which no bot of linqbot's answers to a signed event.")


def _refused(answer: httpx.Response, body: bytes) -> Trouble:
    said = answer.headers.get("www-authenticate", "")
    if answer.status_code != 401 or not said.startswith("Webhook-Signature"):
        return Trouble("LQB6064", f"It answers {answer.status_code}, and it is not the bot that says so.")
    told = dict(_CHALLENGE.findall(said))
    if told.get("error") == "headers":
        missing = told.get("missing", "").replace(" ", ", ")
        return Trouble("LQB6071", f"The event arrived without what was sent with it: {missing}.")
    if (told.get("bytes"), told.get("crc32")) != (str(len(body)), f"{zlib.crc32(body):08x}"):
        return Trouble(
            "LQB6072", f"The body was changed on its way: {len(body)} bytes left, {told.get('bytes')} arrived."
        )
    return Trouble("LQB6070", "The event arrived as it was sent, and the bot has another secret.")


def _later(answer: httpx.Response, now: int) -> Trouble:
    off_s = 0.0
    with contextlib.suppress(ValueError, OverflowError):
        off_s = parsedate_to_datetime(answer.headers.get("date", "")).timestamp() - now
    if abs(off_s) > TOLERANCE_S:
        return Trouble("LQB6050", f"It answers 503, and its clock is {_apart(off_s)} this machine's.")
    return Trouble("LQB6073", "It answers 503: it cannot take the event now.")


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
        return Trouble("LQB6060", f"Nobody answers within {TIMEOUT_S:g} s.")
    return Trouble("LQB6060", f"Nobody answers there ({type(error).__name__}).")


def _certificate_ends(answer: httpx.Response) -> datetime | None:
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    shown = tls.getpeercert() if tls is not None else None
    if not shown or "notAfter" not in shown:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC)
