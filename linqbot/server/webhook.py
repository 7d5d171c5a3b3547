"""The webhook endpoint: step one of the path of an event. Linq's POST is answered 200 once its delivery is stored.

Linq never retries after a 4xx, so only a proven forgery is answered 401: `verify` raised InvalidSignature. Anything
else that prevents storing the delivery now is answered 503, after which Linq delivers again for half an hour: a full
disk, an oversized body, or a genuine signature with a wrong time (StaleSignature). The only other 4xx answers a
schedule that the bot does not have, which only `linqbot trigger` sends. Next steps: `linq/signatures.py` verifies the
signature, `linq/events/delivery.py` names the delivery, and `Storage.put` (`storage/backend.py`) stores it.

linqbot's own server answers webhooks without ASGI, because a whole turn then takes about a tenth less CPU time. For this,
an app names its endpoint in `app.state.webhooks`, a mapping by path, and `connection.py` calls `WebhookEndpoint.answer`.
Middleware would not see these requests, so those of an app with middleware go ASGI's way, as all do on another server.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog
from starlette.types import Receive, Scope, Send

from linqbot.clock import Clock, SystemClock
from linqbot.engine.feature import Catalogue
from linqbot.errors import DeliveryRejected, InvalidSignature, LaneFull, StaleSignature, StorageBusy, StorageError
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.signatures import SIGNED_HEADERS, Verified, is_probe, verify
from linqbot.plugins.registry import Plugins
from linqbot.server.refusals import BoundedLog, RefusalRecord
from linqbot.server.secret_file import REFRESH_EVERY_S, KnownSecrets
from linqbot.storage.backend import Storage
from linqbot.turn_events import DeliveryReceived, DeliveryStored, Reason, WebhookRefused

log = structlog.get_logger("linqbot.server")

STANDARD_HEADERS = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
LEGACY_HEADERS = (b"x-webhook-timestamp", b"x-webhook-signature")
SUBSCRIPTION_HEADER = b"x-webhook-subscription-id"

NOT_RUNNING: Final = (
    "A delivery arrived while the app was not running: it is starting or stopping, or its lifespan was never run. An app that "
    "mounts it must run its lifespan: async with linqbot.server.app.running(app)."
)
"""The reason that is logged when a delivery arrives while the endpoint is closed."""

RETRY_AFTER: Final = (b"retry-after", b"5")
"""The header with the time, in seconds."""

CLOSE: Final = (b"connection", b"close")
"""The header that asks for the end of the connection."""

Answer: TypeAlias = tuple[int, list[tuple[bytes, bytes]], bytes]
"""The status, the headers without the length, and the body of an answer."""

CHECK_EVERY_S: Final = 1.0
"""Seconds between two test writes to a storage that has refused a delivery."""

_WALL_CLOCK: Final = SystemClock()


@dataclass(slots=True, eq=False, repr=False)
class WebhookEndpoint:
    """The ASGI app behind `POST /webhooks/linq`.

    Attributes:
        clock: The clock of the time of receipt, which is stored. The time that Linq signed is compared with wall time.
        allow_legacy: Accept the older `X-Webhook-*` headers if the new ones are absent.
        max_body_bytes: Largest body. Counted while the body is read, because a Content-Length may lie.
        body_timeout_s: Seconds that a body may take to arrive after its headers.
        max_held_bytes: Largest total size of all bodies that are still arriving, so that slow senders cannot fill the
            memory.
        plugins: Plugins to notify of each delivery.
        features: The features of the process, which learn of the deliveries that arrive or are refused.
        record: Record of refused deliveries for `linqbot check`; None keeps none.
        closed_because: The reason that is logged when a delivery arrives while `is_open` is False.
        is_open: True while deliveries are accepted.
        held_bytes: Total size of all bodies that are arriving.
        bounded_log: Rate-limited log for events that any client can cause.
        storage_trouble: Reason why the storage stores no deliveries, as far as is known; None if it stores them. A full lane
            is none, because deliveries of other chats are still accepted.
    """

    storage: Storage
    secrets: KnownSecrets
    clock: Clock
    allow_legacy: bool = False
    max_body_bytes: int = 1 << 20
    body_timeout_s: float = 10.0
    max_held_bytes: int = 64 << 20
    plugins: Plugins = field(default_factory=Plugins)
    features: Catalogue = field(default_factory=Catalogue)
    record: RefusalRecord | None = None
    closed_because: str = NOT_RUNNING
    is_open: bool = field(default=False, init=False)
    held_bytes: int = field(default=0, init=False)
    bounded_log: BoundedLog = field(default_factory=lambda: BoundedLog(log), init=False)
    storage_trouble: str | None = field(default=None, init=False)
    _trouble_since: float = field(default=0.0, init=False)
    _recovery: asyncio.Task[None] | None = field(default=None, init=False)

    async def close(self) -> None:
        """Accept no more deliveries. Other processes learn that this one has accepted some until now."""
        was_open, self.is_open = self.is_open, False
        self.bounded_log.end()
        if self._recovery is not None:
            self._recovery.cancel()
        if was_open:
            await self.features.receives_no_more()

    def _note_trouble(self, reason: str) -> None:
        if self.storage_trouble is None:
            self._trouble_since = self.clock.now()
        self.storage_trouble = reason
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.get_running_loop().create_task(self._recover(), name="linqbot webhook recovers")

    async def _recover(self) -> None:
        """Write to the storage until it stores again: a load balancer may send no more deliveries that would show it."""
        while self.storage_trouble is not None:
            await asyncio.sleep(CHECK_EVERY_S)
            if self.storage.trouble is None:
                with suppress(StorageError):
                    await self.storage.check()
                    self._note_stored()

    def _note_stored(self) -> None:
        if self.storage_trouble is not None:
            self.storage_trouble = None
            self.features.stored_again(self._trouble_since)

    def _note_refused(self, lane: str) -> None:
        """Note that Linq will deliver again into a lane, whose next messages may come before this one."""
        self.features.refused(lane)
        self.storage.note_refused(lane)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, content = await self.answer(scope, await self.read_body(receive))
        headers = [(b"content-length", b"%d" % len(content)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def answer(self, scope: Scope, body: bytes | Exception) -> Answer:
        """Return the answer to a request, once its delivery is stored or refused.

        Args:
            scope: Of ASGI's keys, only `method`, `headers` and `client` are used.
            body: The body of the request. If it did not arrive completely: a TimeoutError or a ConnectionError, or a
                MemoryError if the bodies that are arriving are too many.
        """
        is_whole = isinstance(body, bytes) and len(body) <= self.max_body_bytes
        if scope["method"] != "POST" or not self.is_open or not is_whole:
            return self._refuse_early(scope, body)
        assert isinstance(body, bytes)
        given = dict(scope["headers"])
        signing = (*STANDARD_HEADERS, *LEGACY_HEADERS) if self.allow_legacy else STANDARD_HEADERS
        headers = {name.decode(): given[name].decode("latin-1") for name in signing if name in given}
        now = _WALL_CLOCK.now()
        try:
            verified = self._verify(headers, body, now)
        except StaleSignature as error:
            return await self._answer_stale(headers, body, error)
        except InvalidSignature as error:
            if is_probe(headers, body, self.secrets.current, now=now):
                log.debug("delivery.probe_refused")
            else:
                reason = str(error)
                self.bounded_log.warning("delivery.forged", kind=reason, client=_client(scope), reason=reason)
                self._notify_refused("forged", 401, given.get(SUBSCRIPTION_HEADER))
                if self._looks_like_linqs(given):
                    self._note_people("forged")
            return 401, [(b"www-authenticate", _challenge(headers, body))], b""
        at = self.clock.now()
        delivery = Delivery.from_webhook(
            body, webhook_id=verified.webhook_id, received_at=at, signed_id=verified.signed_id
        )
        if DeliveryReceived in self.plugins.observers:
            delivery = self.plugins.notify_received(delivery, _all_headers(scope))
        return await self._store(delivery)

    def _refuse_early(self, scope: Scope, body: bytes | Exception) -> Answer:
        """Return the answer to a request whose signature need not be checked: no POST, too early or late, or without a whole body."""
        if scope["method"] != "POST":
            return 405, [(b"allow", b"POST")], b""
        if not self.is_open:
            self.bounded_log.error("webhook.closed", why=self.closed_because)
            if self._looks_like_linqs(dict(scope["headers"])):
                self._note_people("closed")
            return self._deliver_again("closed")
        if not isinstance(body, bytes):
            kind = type(body).__name__
            self.bounded_log.warning(
                "delivery.incomplete", kind=kind, client=_client(scope), error=kind, timeout_s=self.body_timeout_s
            )
            return self._deliver_again("incomplete", CLOSE)
        self.bounded_log.error("delivery.too_large", client=_client(scope), max_body_bytes=self.max_body_bytes)
        return self._deliver_again("too_large", CLOSE)

    def _looks_like_linqs(self, given: Mapping[bytes, bytes]) -> bool:
        """Return True if a request has all headers of a signature, as Linq's have, and those of scanners and checks by hand do not."""
        sets = (STANDARD_HEADERS, LEGACY_HEADERS) if self.allow_legacy else (STANDARD_HEADERS,)
        return any(all(given.get(name) for name in each) for each in sets)

    def _verify(self, headers: dict[str, str], body: bytes, now: float) -> Verified:
        self.secrets.refresh(now, after_s=REFRESH_EVERY_S)
        try:
            return verify(headers, body, self.secrets.current, now=now, allow_legacy=self.allow_legacy)
        except StaleSignature:
            raise
        except InvalidSignature:
            # Either a forgery, or signed with a secret that was written to the file a moment ago.
            if not self.secrets.refresh(now):
                raise
        return verify(headers, body, self.secrets.current, now=now, allow_legacy=self.allow_legacy)

    async def read_body(self, receive: Receive) -> bytes | Exception:
        """Return the whole body, or an error as `answer` takes it. Of a body that is larger than allowed, return only some."""
        try:
            async with asyncio.timeout(self.body_timeout_s):
                return await self._read_body(receive)
        except (TimeoutError, ConnectionError, MemoryError) as error:
            return error

    async def _read_body(self, receive: Receive) -> bytes:
        body, more = bytearray(), True
        try:
            while more and len(body) <= self.max_body_bytes:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError("The sender closed the connection before its body was complete.")
                chunk = message.get("body", b"")
                body += chunk
                self.held_bytes += len(chunk)
                more = message.get("more_body", False)
                if more and self.held_bytes > self.max_held_bytes:
                    raise MemoryError("Too many bodies are arriving at the same time.")
            return bytes(body)
        finally:
            self.held_bytes -= len(body)

    async def _store(self, delivery: Delivery) -> Answer:
        """Store a delivery. Linq delivers it again if the storage fails."""
        began = time.perf_counter()
        try:
            for arrives in self.features.arrives.get(delivery.type, ()):
                await arrives(delivery)
            is_new = await self.storage.put(delivery)
        except DeliveryRejected as error:
            return 422, [], str(error).encode()
        except StorageError as error:
            kind = type(error).__name__
            self.bounded_log.error("delivery.refused", kind=kind, delivery=delivery.id, error=str(error))
            if not isinstance(error, LaneFull):
                self._note_trouble(str(error))
            self._note_refused(delivery.lane)
            reason: Reason = "busy" if isinstance(error, StorageBusy) else "unavailable"
            self._note_people(reason, delivery.id)
            return self._deliver_again(reason)
        if self.storage_trouble is not None:
            self._note_stored()
        if (notify := self.plugins.observers.get(DeliveryStored)) is not None:
            notify(DeliveryStored(delivery, is_new, time.perf_counter() - began))
        # Bound first: the methods of an unbound logger are found by way of an AttributeError, which takes longer than a line.
        log.bind().debug("delivery.stored" if is_new else "delivery.duplicate", delivery=delivery.id)
        return 200, [], b""

    async def _answer_stale(self, headers: dict[str, str], body: bytes, error: StaleSignature) -> Answer:
        """Answer a genuine delivery whose time is wrong: 200 if it is stored, else 503, so that it comes with a new time."""
        webhook_id, is_signed = headers.get("webhook-id", ""), "webhook-signature" in headers
        delivery = Delivery.from_webhook(body, webhook_id=webhook_id, received_at=self.clock.now(), signed_id=is_signed)
        try:
            is_known = await self.storage.has_seen(delivery.id)
        except StorageError:
            is_known = False
        if is_known:
            return 200, [], b""
        self._note_refused(delivery.lane)
        self.bounded_log.warning(
            "delivery.out_of_time", delivery=delivery.id, age_s=round(error.age_s), reason=str(error)
        )
        self._note_people("out_of_time", delivery.id)
        return self._deliver_again("out_of_time")

    def _deliver_again(self, reason: Reason, *headers: tuple[bytes, bytes]) -> Answer:
        """Return a 503, after which Linq delivers again, and record the refusal."""
        self._notify_refused(reason, 503)
        return 503, [RETRY_AFTER, *headers], b""

    def _note_people(self, reason: Reason, delivery_id: str | None = None) -> None:
        """Note that there may be a message of a person in what was refused, with its id if its signature is valid."""
        if self.record is not None:
            self.record.note_people(reason, self.clock.now(), delivery_id)

    def _notify_refused(self, reason: Reason, status: int, named: bytes | None = None) -> None:
        """Record a refused delivery, and notify the plugins. `named` is the subscription that a forger gave."""
        if self.record is not None:
            subscription_id = named.decode("latin-1") if named else None
            # Other ids are not recorded: the sender chose them.
            self.record.note(reason, subscription_id if subscription_id in self.secrets.subscription_ids else None)
        if (notify := self.plugins.observers.get(WebhookRefused)) is not None:
            notify(WebhookRefused(reason, status))


def _all_headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _challenge(headers: dict[str, str], body: bytes) -> bytes:
    """Return the `WWW-Authenticate` header of a 401: the missing headers, or length and checksum of the body.

    The sender can compare them with what it sent, and so see whether a proxy has changed the request. They disclose
    nothing that the sender does not know.
    """
    missing = [name for name in SIGNED_HEADERS if not headers.get(name)]
    if missing:
        return f'Webhook-Signature error="headers", missing="{" ".join(missing)}"'.encode()
    return f'Webhook-Signature error="signature", bytes="{len(body)}", crc32="{zlib.crc32(body):08x}"'.encode()


def _client(scope: Scope) -> str | None:
    """Return the address of a request's sender, `unix:` for a Unix socket; None if the server does not know it.

    Behind a proxy this is the address of the proxy, unless `trusted_proxies` names the proxy.
    """
    client: tuple[str, int] | None = scope.get("client")
    # uvicorn copies X-Forwarded-For from a trusted proxy unchecked: it may be long, and need not be an address.
    return client[0][:64] if client else None
