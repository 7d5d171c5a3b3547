"""Bytes and headers arrive: step one of the way of an event, and its answer once the delivery is on disk.

Linq never retries a 4xx, so a 4xx is an answer for a proven forgery only. Whatever else keeps us from storing a
delivery now, a full disk, an oversized body, a clock that is off, is answered 503: Linq comes back for half an hour.
"""

from __future__ import annotations

import asyncio
import time
import types
import zlib
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar

import structlog
from starlette.types import Message, Receive, Scope, Send

from linqbot.clock import Clock
from linqbot.errors import InvalidSignature, LaneFull, StaleSignature, StorageBusy, StorageError
from linqbot.events.delivery import Delivery
from linqbot.hookspecs import Reason
from linqbot.plugins.registry import Plugins
from linqbot.server.bounded_log import BoundedLog
from linqbot.server.secret_file import LOOK_EVERY_S, KnownSecrets
from linqbot.storage.inbox import Inbox
from linqbot.webhooks import SIGNED_HEADERS, Verified, verify

T = TypeVar("T")

log = structlog.get_logger("linqbot.server")

RETRY_AFTER_S = 5
STANDARD_HEADERS = frozenset({b"webhook-id", b"webhook-timestamp", b"webhook-signature"})
LEGACY_HEADERS = frozenset({b"x-webhook-timestamp", b"x-webhook-signature"})


class WebhookEndpoint:
    """The ASGI app behind `POST /webhooks/linq`.

    Args:
        clock: Wall time: what it is compared with was signed by somebody else's clock.
        max_body_bytes: Counted while reading, so that no header can lie about it.
        body_timeout_s: Longest a body may take to arrive, from the end of its head.
        plugins: Told of what comes.
        on_refused: Called with the lane of a genuine delivery that was refused and will come again.
        max_held_bytes: Of all bodies together that are not whole yet: slow senders must not fill the memory.

    Attributes:
        is_open: Whether deliveries are taken.
        refusal: Why the storage did not take the last delivery; None once one was stored. A full lane is no refusal:
            other chats are accepted.
    """

    def __init__(
        self,
        inbox: Inbox,
        secrets: KnownSecrets,
        clock: Clock,
        *,
        allow_legacy: bool = False,
        max_body_bytes: int = 1 << 20,
        body_timeout_s: float = 10.0,
        max_held_bytes: int = 64 << 20,
        plugins: Plugins | None = None,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._inbox = inbox
        self._secrets = secrets
        self._clock = clock
        self._allow_legacy = allow_legacy
        self._signing_headers = STANDARD_HEADERS | LEGACY_HEADERS if allow_legacy else STANDARD_HEADERS
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._plugins = plugins or Plugins()
        self._on_refused = on_refused
        self._was_told = False
        self._bounded = BoundedLog(log)
        self.is_open = False
        self.refusal: str | None = None

    def close(self) -> None:
        """Take no more deliveries."""
        self.is_open = False
        self._bounded.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await _answer(send, 405, [(b"allow", b"POST")])
        elif not self.is_open:
            self._tell_closed()
            await self._refuse("closed", send)
        else:
            await self._receive(scope, receive, send)

    def _tell_closed(self) -> None:
        if not self._was_told:
            self._was_told = True
            log.error(
                "webhook.closed",
                why="A delivery came while the app was not running: it is starting or stopping, or its lifespan was "
                "never run. Who mounts it runs it: async with linqbot.server.app.running(app).",
            )

    async def _receive(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._body(receive)
        except (TimeoutError, ConnectionError, MemoryError) as error:
            kind = type(error).__name__
            self._bounded.warning(
                "delivery.incomplete", kind=kind, client=_client(scope), error=kind, timeout_s=self._body_timeout_s
            )
            await self._refuse("incomplete", send, close=True)
            return
        if body is None:
            self._bounded.error("delivery.too_large", client=_client(scope), max_body_bytes=self._max_body_bytes)
            await self._refuse("too_large", send, close=True)
            return
        headers = {
            name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in self._signing_headers
        }
        now = self._clock.now()
        try:
            verified = self._verified(headers, body, now)
        except StaleSignature as error:
            await self._out_of_time(headers, body, error, send)
        except InvalidSignature as error:
            reason = str(error)
            self._bounded.warning("delivery.forged", kind=reason, client=_client(scope), reason=reason)
            self._tell_refused("forged", 401)
            await _answer(send, 401, [(b"www-authenticate", _what_came(headers, body))])
        else:
            delivery = _delivery(verified, body, now)
            if self._plugins.received is not None:
                delivery = self._plugins.notify_received(delivery, _all_headers(scope))
            await self._store(delivery, send)

    def _verified(self, headers: dict[str, str], body: bytes, now: float) -> Verified:
        self._secrets.look(now, after_s=LOOK_EVERY_S)
        try:
            return verify(headers, body, self._secrets.current, now=now, allow_legacy=self._allow_legacy)
        except StaleSignature:
            raise
        except InvalidSignature:
            # Signed with a secret we have yet to learn, or forged.
            if not self._secrets.look(now):
                raise
        return verify(headers, body, self._secrets.current, now=now, allow_legacy=self._allow_legacy)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None when it is larger than allowed.

        Raises:
            TimeoutError, ConnectionError: it did not come.
            MemoryError: too many bodies are on their way at once.
        """
        # Nearly all bodies arrive with their head: for these there is nothing to wait for, and a timeout would cost
        # ten times what reading them does.
        arriving = receive().__await__()
        message: Message | None = None
        step = None
        try:
            step = next(arriving)
        except StopIteration as arrived:
            message = arrived.value
            if message["type"] == "http.request" and not message.get("more_body"):
                body: bytes = message.get("body", b"")
                return body if len(body) <= self._max_body_bytes else None
        async with asyncio.timeout(self._body_timeout_s):
            if message is None:
                message = await _resumed(arriving, step)
            return await self._rest(message, receive)

    async def _rest(self, message: Message, receive: Receive) -> bytes | None:
        body = bytearray()
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise ConnectionError("The sender went away before its body was whole.")
                chunk = message.get("body", b"")
                body += chunk
                self._held_bytes += len(chunk)
                if len(body) > self._max_body_bytes:
                    return None
                if not message.get("more_body"):
                    return bytes(body)
                if self._held_bytes > self._max_held_bytes:
                    raise MemoryError("Too many bodies are on their way at once.")
                message = await receive()
        finally:
            self._held_bytes -= len(body)

    async def _store(self, delivery: Delivery, send: Send) -> None:
        began = time.perf_counter()
        try:
            is_new = await self._inbox.put(delivery)
        except StorageError as error:
            self._bounded.error("delivery.refused", kind=type(error).__name__, delivery=delivery.id, error=str(error))
            if not isinstance(error, LaneFull):
                self.refusal = str(error)
            self._on_refused(delivery.lane)
            await self._refuse("busy" if isinstance(error, StorageBusy) else "unavailable", send)
            return
        self.refusal = None
        if (stored := self._plugins.stored) is not None:
            stored(delivery=delivery, is_new=is_new, took_s=time.perf_counter() - began)
        log.debug("delivery.stored" if is_new else "delivery.duplicate", delivery=delivery.id)
        await _answer(send, 200, [])

    async def _out_of_time(self, headers: dict[str, str], body: bytes, error: StaleSignature, send: Send) -> None:
        """A genuine delivery with a bad time: done if we have it, else Linq should come again with a new time."""
        verified = Verified(headers.get("webhook-id", ""), "webhook-signature" in headers, 0)
        delivery = _delivery(verified, body, self._clock.now())
        try:
            is_known = await self._inbox.has_seen(delivery.id)
        except StorageError:
            is_known = False
        if is_known:
            await _answer(send, 200, [])
            return
        self._on_refused(delivery.lane)
        self._bounded.warning("delivery.out_of_time", delivery=delivery.id, age_s=round(error.age_s), reason=str(error))
        await self._refuse("out_of_time", send)

    async def _refuse(self, reason: Reason, send: Send, *, close: bool = False) -> None:
        """Linq should come again later."""
        self._tell_refused(reason, 503)
        headers = [(b"retry-after", b"%d" % RETRY_AFTER_S)]
        await _answer(send, 503, [*headers, (b"connection", b"close")] if close else headers)

    def _tell_refused(self, reason: Reason, status: int) -> None:
        if (refused := self._plugins.refused) is not None:
            refused(reason=reason, status=status)


@types.coroutine
def _resumed(begun: Generator[Any, Any, T], step: Any) -> Generator[Any, Any, T]:
    """Await what has begun already, and now waits for `step`."""
    while True:
        try:
            sent = yield step
        except BaseException as error:  # noqa: BLE001 - a cancellation too is its own to handle
            go_on = partial(begun.throw, error)
        else:
            go_on = partial(begun.send, sent)
        try:
            step = go_on()
        except StopIteration as done:
            result: T = done.value
            return result


def _delivery(verified: Verified, body: bytes, received_at: float) -> Delivery:
    return Delivery.from_webhook(
        body, webhook_id=verified.webhook_id, received_at=received_at, signed_id=verified.signed_id
    )


def _all_headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _what_came(headers: dict[str, str], body: bytes) -> bytes:
    """Tells who signed what arrived here, so that they can see whether a proxy has changed it; they know it anyway."""
    missing = [name for name in SIGNED_HEADERS if not headers.get(name)]
    if missing:
        return f'Webhook-Signature error="headers", missing="{" ".join(missing)}"'.encode()
    return f'Webhook-Signature error="signature", bytes="{len(body)}", crc32="{zlib.crc32(body):08x}"'.encode()


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0"), *headers]})
    await send({"type": "http.response.body"})


def _client(scope: Scope) -> str | None:
    """The address that sent a request; None when it came through a socket in the file system.

    Behind a proxy it is the proxy's, unless `trusted_proxies` names that.
    """
    client: tuple[str, int] | None = scope.get("client")
    # What a trusted proxy puts into X-Forwarded-For is taken as it is: of any length, and not always an address.
    return client[0][:64] if client else None
