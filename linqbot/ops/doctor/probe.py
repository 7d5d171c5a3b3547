"""Send a test event to the bot's public address, signed as Linq signs, and explain the response.

The event has a type of linqbot's own: the bot stores it like any other, and no handler gets it. Its body is formatted
in a way that no JSON library would choose, so a proxy that parses and rewrites JSON changes the body and is detected.
An event that the bot must refuse carries a second signature, with a secret that the bot knows (`webhooks.sign_probe`),
so that the bot does not report it as a forgery.

Before the bot is served, `probe_server` answers at the public address. It accepts test events with the server's own
code. It answers every delivery of Linq's with 503, also one with an unknown signature, so that Linq delivers it again
later: after a 401 Linq would give up.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import ssl
import time
import uuid
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import certifi
import httpx
from starlette.applications import Starlette
from starlette.types import Scope

from linqbot.clock import SystemClock
from linqbot.errors import StorageBusy
from linqbot.linq.events.delivery import PROBE_ID, PROBE_TYPE, Delivery
from linqbot.linq.signatures import random_secret, sign, sign_probe
from linqbot.ops.subscriptions import is_loopback
from linqbot.server import uvicorn_server
from linqbot.server.app import WEBHOOK_PATH
from linqbot.server.secret_file import KnownSecrets
from linqbot.server.webhook import RETRY_AFTER, Answer, WebhookEndpoint
from linqbot.storage.backend import Storage
from linqbot.storage.sqlite.memory import MemoryStorage

TIMEOUT_S: Final = 10.0
"""Linq waits no longer either."""

UNKNOWN: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a certificate that signs itself, and for a chain that does not lead to a known authority."""

MAX_EVENT_BYTES: Final = 4096
"""Largest body that is taken for an event of the doctor's, and kept. It is far larger than they are."""

E = TypeVar("E", bound=BaseException)

_CHALLENGE = re.compile(r'\b(\w++)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Trouble:
    """The reason why the bot did not accept the event: a code of `CODES`, and what was seen."""

    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Certificate:
    begins: datetime  # from here to `ends` it is valid
    ends: datetime


@dataclass(frozen=True, slots=True)
class Probed:
    delivery_id: str
    ms: int  # milliseconds until the response
    trouble: Trouble | None = None  # None if the bot accepted the event
    certificate: Certificate | None = None  # None without TLS


async def confirm(
    url: str, secret: str, *, known: Sequence[str] = (), authorities: ssl.SSLContext | None = None
) -> Probed:
    """Check that the bot at `url` accepts an event signed with `secret`, and refuses one signed with another secret.

    Return the result for `secret`, unless the other event already showed a problem.
    """
    stranger = await probe(url, random_secret(), known=[secret, *known], authorities=authorities)
    if stranger.trouble is None:
        return replace(stranger, trouble=Trouble("LQB6067", "It accepts an event signed with a random secret."))
    if stranger.trouble.code != "LQB6070":
        return stranger
    return await probe(url, secret, known=known, authorities=authorities)


async def probe(
    url: str,
    secret: str,
    *,
    known: Sequence[str] = (),
    authorities: ssl.SSLContext | None = None,
) -> Probed:
    """Send one event to `url`, signed with `secret`.

    Args:
        known: Secrets that the bot may know. They show the bot that an event which it refuses is a test.
        authorities: Those whose certificates are accepted; None is the public ones only, as Linq does.
    """
    event_id = str(uuid.uuid4())
    body = _body(event_id)
    now = int(time.time())
    signatures = [sign(body, webhook_id=event_id, timestamp=now, secret=secret)]
    signatures += [sign_probe(body, webhook_id=event_id, timestamp=now, secret=each) for each in known]
    headers = {
        "content-type": "application/json",
        "user-agent": "linqbot-doctor",
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(signatures),
    }
    started, certificate = time.perf_counter(), None
    try:
        answer, certificate = await _post(url, body, headers, authorities or public_authorities())
        trouble = _trouble(answer, body)
    except httpx.TransportError as error:
        trouble = _unreachable(error)
    return Probed(PROBE_ID + event_id, round((time.perf_counter() - started) * 1000), trouble, certificate)


async def _post(
    url: str, body: bytes, headers: dict[str, str], authorities: ssl.SSLContext
) -> tuple[httpx.Response, Certificate | None]:
    # Linq delivers over the internet, so the environment's proxies are used, but not for this machine itself.
    env = not is_loopback(urlsplit(url).hostname or "")
    async with (
        httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=env, verify=authorities) as http,
        http.stream("POST", url, content=body, headers=headers) as answer,
    ):
        return answer, _certificate(answer)


@functools.cache
def public_authorities() -> ssl.SSLContext:
    """Return a context that trusts the public authorities only, as Linq does.

    `SSL_CERT_FILE` and the store of this machine may name private ones too.
    """
    return ssl.create_default_context(cafile=certifi.where())


def _body(event_id: str) -> bytes:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f'{{"webhook_version":"2026-02-03", "event_type":"{PROBE_TYPE}","event_id":"{event_id}",\r\n'
        f'\t"created_at":"{at}","api_version":"v3",'
        '"data":{"z":1.0,"a":1e2 ,"word":"na\\u00efve \N{SNOWMAN} \\/ \N{GRINNING FACE}","none":null,"a b":[ ]} }\n'
    ).encode()


def _trouble(answer: httpx.Response, body: bytes) -> Trouble | None:
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
        return Trouble("LQB6073", "It answers 503: it cannot accept the event now.")
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


def _unreachable(error: httpx.TransportError) -> Trouble:
    if (refused := _cause(error, ssl.SSLCertVerificationError)) is not None:
        why = f"Its certificate is not valid: {refused.verify_message}."
        if refused.verify_code in UNKNOWN:
            why += (
                " A private authority signed it, which Linq does not trust, or intermediate certificates are missing."
            )
        return Trouble("LQB6061", why)
    if (broken := _cause(error, ssl.SSLError)) is not None:
        return Trouble("LQB6061", f"No TLS connection could be made: {broken.reason or type(broken).__name__}.")
    if isinstance(error, httpx.TimeoutException):
        return Trouble("LQB6060", f"There is no response within {TIMEOUT_S:g} s.")
    return Trouble("LQB6060", f"The connection failed ({type(error).__name__}).")


def _cause(error: BaseException | None, kind: type[E]) -> E | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _certificate(answer: httpx.Response) -> Certificate | None:
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    shown = tls.getpeercert() if tls is not None else None
    if not shown or "notAfter" not in shown:
        return None
    times = (ssl.cert_time_to_seconds(shown[name]) for name in ("notBefore", "notAfter"))
    return Certificate(*(datetime.fromtimestamp(at, UTC) for at in times))


Arrivals: TypeAlias = deque[bytes]
"""The bodies of the doctor's own events that arrived at the temporary server, unchanged or not; only the latest."""


def has_arrived(delivery_id: str, arrivals: Arrivals) -> bool:
    event_id = delivery_id.removeprefix(PROBE_ID).encode()
    return any(event_id in body for body in arrivals)


class _ProbeInbox(MemoryStorage):
    """Stores the doctor's own deliveries, and refuses all others: Linq delivers them again, to the bot."""

    async def put(self, delivery: Delivery) -> bool:
        if not delivery.id.startswith(PROBE_ID):
            raise StorageBusy("Only linqbot check is here. The bot is not served yet.")
        return await super().put(delivery)


class _ProbedEndpoint(WebhookEndpoint):
    """Notes the doctor's own deliveries, and answers 503 in place of 401 to all others."""

    def __init__(self, secrets: Sequence[str], inbox: Storage) -> None:
        super().__init__(inbox, KnownSecrets(secrets), SystemClock())
        self.is_open = True
        self.arrivals: Arrivals = deque(maxlen=100)

    async def answer(self, scope: Scope, body: bytes | Exception) -> Answer:
        content = body if isinstance(body, bytes) else b""
        is_own = len(content) <= MAX_EVENT_BYTES and PROBE_TYPE.encode() in content
        if is_own:
            self.arrivals.append(content)
        answer = await super().answer(scope, body)
        return (503, [RETRY_AFTER], b"") if answer[0] == 401 and not is_own else answer


@asynccontextmanager
async def probe_server(bound: socket.socket, secrets: Sequence[str]) -> AsyncIterator[Arrivals]:
    """Serve the webhook on a bound socket while the context lasts. Yield the record of the doctor's events."""
    async with _ProbeInbox() as inbox:
        endpoint = _ProbedEndpoint(secrets, inbox)
        app = Starlette()
        app.state.webhooks = {WEBHOOK_PATH: endpoint}
        server = uvicorn_server.Server(app, graceful_s=1)
        # From here on the kernel queues connections, until the server is ready to accept them.
        bound.listen()
        serving = asyncio.create_task(server.serve(bound))
        try:
            yield endpoint.arrivals
        finally:
            server.should_exit = True
            await serving
