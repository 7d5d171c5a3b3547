"""The webhook endpoint: step one of the path of an event. Linq's POST is answered 200 once its delivery is stored.

Linq never retries after a 4xx, so only a proven forgery is answered 401: `verify` raised InvalidSignature. Anything
else that prevents storing the delivery now is answered 503, after which Linq delivers again for half an hour: a full
disk, an oversized body, or a genuine signature with a wrong time (StaleSignature). The only other 4xx answers a
schedule that the bot does not have, which only `linqbot trigger` sends. Next step: `webhooks.py` verifies the
signature, `events/delivery.py` names the delivery, and `storage/inbox.py` stores it.

linqbot's own server answers genuine deliveries without ASGI, because a whole turn then takes about a tenth less CPU
time. For this, an app names a `DirectEndpoint` in the state of its lifespan, under `ENDPOINT`, and `connection.py`
hands it each complete request for its paths. A request that the endpoint does not take, such as a forgery, goes ASGI's
way, as every request does on another server. Middleware does not see the requests that it takes, so an app with
middleware of its own names no endpoint.
"""

from __future__ import annotations

import asyncio
import time
import types
import zlib
from collections.abc import Awaitable, Callable, Collection, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import structlog
from starlette.types import Message, Receive, Scope, Send

from linqbot.clock import Clock
from linqbot.errors import InvalidSignature, LaneFull, StaleSignature, StorageBusy, StorageError
from linqbot.events.delivery import Delivery
from linqbot.events.proactive import SCHEDULE_TYPE, schedule_name
from linqbot.hookspecs import Reason
from linqbot.plugins.registry import Plugins
from linqbot.server.bounded_log import BoundedLog
from linqbot.server.refusals import RefusalRecord
from linqbot.server.secret_file import REFRESH_EVERY_S, KnownSecrets
from linqbot.storage.inbox import Inbox
from linqbot.webhooks import SIGNED_HEADERS, Verified, is_probe, verify

T = TypeVar("T")

log = structlog.get_logger("linqbot.server")

STANDARD_HEADERS = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
LEGACY_HEADERS = (b"x-webhook-timestamp", b"x-webhook-signature")
SUBSCRIPTION_HEADER = b"x-webhook-subscription-id"

NOT_RUNNING: Final = (
    "A delivery arrived while the app was not running: it is starting or stopping, or its lifespan was never run. An app that "
    "mounts it must run its lifespan: async with linqbot.server.app.running(app)."
)
"""The reason that is logged when a delivery arrives while the endpoint is closed."""


class WebhookEndpoint:
    """The ASGI app behind `POST /webhooks/linq`.

    Args:
        clock: Wall time, because it is compared with the time that Linq signed.
        allow_legacy: Accept the older `X-Webhook-*` headers if the new ones are absent.
        max_body_bytes: Largest body. Counted while the body is read, because a Content-Length may lie.
        body_timeout_s: Seconds that a body may take to arrive after its headers.
        max_held_bytes: Largest total size of all bodies that are still arriving, so that slow senders cannot fill the
            memory.
        plugins: Plugins to notify of each delivery.
        on_refused: Called with the lane of a genuine delivery that was refused and that Linq will deliver again.
        on_storing_again: Called with the time of the first delivery that was not stored, in Unix seconds of
            `received_clock`, when the storage stores again.
        received_clock: The clock of the time of receipt, which is stored; None means `clock`.
        record: Record of refused deliveries for `linqbot doctor`; None keeps none.
        closed_because: The reason that is logged when a delivery arrives while `is_open` is False.
        schedules: Names of the bot's schedules. `linqbot trigger` may run only these.

    Attributes:
        is_open: True while deliveries are accepted.
        refusal: Reason why the storage did not store the latest delivery; None after one was stored. A full lane does
            not set it, because deliveries of other chats are still accepted.
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
        on_storing_again: Callable[[float], None] = lambda _: None,
        received_clock: Clock | None = None,
        record: RefusalRecord | None = None,
        closed_because: str = NOT_RUNNING,
        schedules: Collection[str] = (),
    ) -> None:
        self._inbox = inbox
        self._secrets = secrets
        self._clock = clock
        self._received_clock = received_clock or clock
        self._allow_legacy = allow_legacy
        self._signing_headers = (*STANDARD_HEADERS, *LEGACY_HEADERS) if allow_legacy else STANDARD_HEADERS
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._plugins = plugins or Plugins()
        self._on_refused = on_refused
        self._on_storing_again = on_storing_again
        self._record = record
        self._closed_because = closed_because
        self._schedules = schedules
        self._closed_was_logged = False
        self._bounded_log = BoundedLog(log)
        self.is_open = False
        self._trouble: str | None = None
        self._refused_since = 0.0

    def close(self) -> None:
        """Accept no more deliveries."""
        self.is_open = False
        self._bounded_log.end()

    @property
    def refusal(self) -> str | None:
        return self._trouble

    @refusal.setter
    def refusal(self, reason: str | None) -> None:
        before, self._trouble = self._trouble, reason
        if before is None and reason is not None:
            self._refused_since = self._received_clock.now()
        elif before is not None and reason is None:
            self._on_storing_again(self._refused_since)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["method"] != "POST":
            return _respond(send, 405, [(b"allow", b"POST")])
        if not self.is_open:
            self._log_closed()
            return self._refuse("closed", send)
        return self._read(scope, receive, send)

    def take(self, scope: Scope, body: bytes) -> Taken | None:
        """Begin to store the delivery of a complete request; see `DirectEndpoint`.

        Returns:
            None if the request is to go ASGI's way, because its answer is neither 200 nor about the storage.
        """
        if not self.is_open or len(body) > self._max_body_bytes:
            return None
        try:
            verified = self._verify(self._signing(dict(scope["headers"])), body, self._clock.now())
        except InvalidSignature:
            return None
        delivery = _delivery(verified, body, self._received_clock.now())
        if delivery.type == SCHEDULE_TYPE:
            return None
        if self._plugins.received is not None:
            delivery = self._received(delivery, scope)
        began = time.perf_counter()
        return asyncio.ensure_future(self._inbox.put(delivery)), partial(self._answer_to, delivery, began)

    def _answer_to(self, delivery: Delivery, began: float, put: asyncio.Future[bool]) -> Answer:
        """Return the answer to a delivery, once it is known if the storage has it."""
        try:
            is_new = put.result()
        except StorageError as error:
            return self._not_stored(delivery, error)
        return self._stored(delivery, is_new, began)

    def _log_closed(self) -> None:
        if not self._closed_was_logged:
            self._closed_was_logged = True
            log.error("webhook.closed", why=self._closed_because)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a request; refuse it if it is incomplete or too large."""
        try:
            body = await self._read_body(receive)
        except (TimeoutError, ConnectionError, MemoryError) as error:
            kind = type(error).__name__
            self._bounded_log.warning(
                "delivery.incomplete", kind=kind, client=_client(scope), error=kind, timeout_s=self._body_timeout_s
            )
            await self._refuse("incomplete", send, close=True)
            return
        if body is None:
            self._bounded_log.error("delivery.too_large", client=_client(scope), max_body_bytes=self._max_body_bytes)
            await self._refuse("too_large", send, close=True)
            return
        await self._accept(scope, body, send)

    async def _accept(self, scope: Scope, body: bytes, send: Send) -> None:
        """Verify a request whose body has arrived, and store its delivery."""
        given = dict(scope["headers"])
        headers = self._signing(given)
        now = self._clock.now()
        try:
            verified = self._verify(headers, body, now)
        except StaleSignature as error:
            await self._answer_stale(headers, body, error, send)
        except InvalidSignature as error:
            if is_probe(headers, body, self._secrets.current, now=now):
                log.debug("delivery.probe_refused")
            else:
                reason = str(error)
                self._bounded_log.warning("delivery.forged", kind=reason, client=_client(scope), reason=reason)
                self._notify_refused("forged", 401, given.get(SUBSCRIPTION_HEADER))
            await _respond(send, 401, [(b"www-authenticate", _challenge(headers, body))])
        else:
            delivery = self._received(_delivery(verified, body, self._received_clock.now()), scope)
            # Linq knows nothing of schedules: such an event is from `linqbot trigger`, which reports the answer.
            if delivery.type == SCHEDULE_TYPE and (name := schedule_name(body)) not in self._schedules:
                await _respond(send, 422, [], _no_such_schedule(name, self._schedules))
            else:
                await self._store(delivery, send)

    def _signing(self, headers: dict[bytes, bytes]) -> dict[str, str]:
        """Return the headers of the signature."""
        return {name.decode(): headers[name].decode("latin-1") for name in self._signing_headers if name in headers}

    def _received(self, delivery: Delivery, scope: Scope) -> Delivery:
        """Show a genuine delivery to the plugins, which may attach something to it."""
        if self._plugins.received is None:
            return delivery
        return self._plugins.notify_received(delivery, _all_headers(scope))

    def _verify(self, headers: dict[str, str], body: bytes, now: float) -> Verified:
        self._secrets.refresh(now, after_s=REFRESH_EVERY_S)
        try:
            return verify(headers, body, self._secrets.current, now=now, allow_legacy=self._allow_legacy)
        except StaleSignature:
            raise
        except InvalidSignature:
            # Either a forgery, or signed with a secret that was written to the file a moment ago.
            if not self._secrets.refresh(now):
                raise
        return verify(headers, body, self._secrets.current, now=now, allow_legacy=self._allow_legacy)

    async def _read_body(self, receive: Receive) -> bytes | None:
        """Return the whole body; None if it is larger than allowed.

        Raises:
            TimeoutError: the body did not arrive in time.
            ConnectionError: the sender closed the connection.
            MemoryError: too many bodies are arriving at the same time.
        """
        # Nearly every body arrives together with its headers. Then there is nothing to wait for, and a timeout would
        # cost ten times as much as reading the body.
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
                message = await _resume(arriving, step)
            return await self._read_rest(message, receive)

    async def _read_rest(self, message: Message, receive: Receive) -> bytes | None:
        body = bytearray()
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise ConnectionError("The sender closed the connection before its body was complete.")
                chunk = message.get("body", b"")
                body += chunk
                self._held_bytes += len(chunk)
                if len(body) > self._max_body_bytes:
                    return None
                if not message.get("more_body"):
                    return bytes(body)
                if self._held_bytes > self._max_held_bytes:
                    raise MemoryError("Too many bodies are arriving at the same time.")
                message = await receive()
        finally:
            self._held_bytes -= len(body)

    async def _store(self, delivery: Delivery, send: Send) -> None:
        """Store a delivery and answer 200; if the storage fails, answer 503."""
        began = time.perf_counter()
        try:
            is_new = await self._inbox.put(delivery)
        except StorageError as error:
            answer = self._not_stored(delivery, error)
        else:
            answer = self._stored(delivery, is_new, began)
        await _respond(send, *answer)

    def _stored(self, delivery: Delivery, is_new: bool, began: float) -> Answer:
        if self._trouble is not None:
            self.refusal = None
        if (stored := self._plugins.stored) is not None:
            stored(delivery=delivery, is_new=is_new, took_s=time.perf_counter() - began)
        log.debug("delivery.stored" if is_new else "delivery.duplicate", delivery=delivery.id)
        return 200, []

    def _not_stored(self, delivery: Delivery, error: StorageError) -> Answer:
        kind = type(error).__name__
        self._bounded_log.error("delivery.refused", kind=kind, delivery=delivery.id, error=str(error))
        if not isinstance(error, LaneFull):
            self.refusal = str(error)
        self._on_refused(delivery.lane)
        return self._refusal("busy" if isinstance(error, StorageBusy) else "unavailable")

    async def _answer_stale(self, headers: dict[str, str], body: bytes, error: StaleSignature, send: Send) -> None:
        """Answer a genuine delivery whose time is wrong: 200 if it is stored already, else 503.

        After a 503 Linq delivers again, signed with a new time.
        """
        verified = Verified(headers.get("webhook-id", ""), "webhook-signature" in headers, 0)
        delivery = _delivery(verified, body, self._clock.now())
        try:
            is_known = await self._inbox.has_seen(delivery.id)
        except StorageError:
            is_known = False
        if is_known:
            await _respond(send, 200, [])
            return
        self._on_refused(delivery.lane)
        self._bounded_log.warning(
            "delivery.out_of_time", delivery=delivery.id, age_s=round(error.age_s), reason=str(error)
        )
        await self._refuse("out_of_time", send)

    async def _refuse(self, reason: Reason, send: Send, *, close: bool = False) -> None:
        """Answer 503, after which Linq delivers again.

        Args:
            close: Also ask the client to close the connection.
        """
        status, headers = self._refusal(reason)
        await _respond(send, status, [*headers, (b"connection", b"close")] if close else headers)

    def _refusal(self, reason: Reason) -> Answer:
        self._notify_refused(reason, 503)
        return 503, [RETRY_AFTER]

    def _notify_refused(self, reason: Reason, status: int, named: bytes | None = None) -> None:
        """Record a refused delivery, and notify the plugins.

        Args:
            named: The id of a subscription that the sender of a forged delivery gave.
        """
        if self._record is not None:
            subscription_id = named.decode("latin-1") if named else None
            # Other ids are not recorded: the sender chose them.
            self._record.note(reason, subscription_id if subscription_id in self._secrets.subscription_ids else None)
        if (refused := self._plugins.refused) is not None:
            refused(reason=reason, status=status)


@types.coroutine
def _resume(begun: Generator[Any, Any, T], step: Any) -> Generator[Any, Any, T]:
    """Await a coroutine that was started by hand and has yielded `step`."""
    while True:
        try:
            sent = yield step
        except BaseException as error:  # noqa: BLE001 - the coroutine handles a cancellation too
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


def _challenge(headers: dict[str, str], body: bytes) -> bytes:
    """Return the `WWW-Authenticate` header of a 401: the missing headers, or length and checksum of the body.

    The sender can compare them with what it sent, and so see whether a proxy has changed the request. They disclose
    nothing that the sender does not know.
    """
    missing = [name for name in SIGNED_HEADERS if not headers.get(name)]
    if missing:
        return f'Webhook-Signature error="headers", missing="{" ".join(missing)}"'.encode()
    return f'Webhook-Signature error="signature", bytes="{len(body)}", crc32="{zlib.crc32(body):08x}"'.encode()


def _no_such_schedule(name: str | None, schedules: Collection[str]) -> bytes:
    known = f"The bot has: {', '.join(sorted(schedules))}." if schedules else "The bot has none: see @bot.every."
    return f"There is no schedule {name}. {known}".encode()


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


def _client(scope: Scope) -> str | None:
    """Return the address of a request's sender, `unix:` for a Unix socket; None if the server does not know it.

    Behind a proxy this is the address of the proxy, unless `trusted_proxies` names the proxy.
    """
    client: tuple[str, int] | None = scope.get("client")
    # uvicorn copies X-Forwarded-For from a trusted proxy unchecked: it may be long, and need not be an address.
    return client[0][:64] if client else None


RETRY_AFTER: Final = (b"retry-after", b"5")
"""The header with the time, in seconds."""


async def come_back_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503 to any request. This is an ASGI app."""
    headers = [RETRY_AFTER, (b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body"})


ENDPOINT: Final = "linqbot.endpoint"
"""The key of the `DirectEndpoint` in the state of the lifespan."""

Answer: TypeAlias = tuple[int, list[tuple[bytes, bytes]]]
"""The status and the headers of an answer without a body."""

Taken: TypeAlias = tuple[asyncio.Future[bool], Callable[[asyncio.Future[bool]], Answer]]
"""Work that has begun, and the function that turns it into the answer once it is done."""


@dataclass(frozen=True, slots=True)
class DirectEndpoint:
    """The part of an app that answers some requests without ASGI.

    Attributes:
        paths: The paths of its requests; all are POST.
        take: Begins the work of a request, given its ASGI scope and its body. None leaves the request to ASGI.
    """

    paths: Collection[str]
    take: Callable[[Scope, bytes], Taken | None]
