"""The wire between the emulated Linq and a judged bot: each webhook and each send passes here, is noted, and may go wrong.

Faults are aimed: they begin when the request that they are for is on the wire, never after a time. `NotedDeliveries` sees the
webhooks and `NotedSends` the requests of the bot. Both tell `Wire`, which the trials ask.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linqbot.linq.signatures import signed_headers
from linqbot_dev.emulator.acts.conversation import Text, Write
from linqbot_dev.emulator.api import answer_of, break_connection, respond
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.engine import webhook
from linqbot_dev.emulator.engine.webhook import WebhookDelivery
from linqbot_dev.emulator.model.faults import Fault
from linqbot_dev.emulator.model.records import SubscriptionRecord

SENDS: Final = re.compile(r"(?:/api/partner)?/v3/(?:chats|messages|chats/(?P<chat>[^/]+)/messages)")
"""The paths with which a bot sends texts, by POST."""
Lost: TypeAlias = Literal["request", "answer"]

RECEIVER_S: Final = 10.0
"""Seconds that Linq waits for the answer of a webhook."""


@dataclass(eq=False)
class NotedWebhook:
    """A webhook that was sent to the bot: the message that it is about, and the answer.

    Attributes:
        at: The time of the answer; None without one.
    """

    message_id: str
    begun: float
    at: float | None = None
    status: int | None = None

    @property
    def is_accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(eq=False)
class NotedSend:
    """A request to send a text. `answered` is the status of the answer that left Linq; None if there was none."""

    begun: float
    handle: str | None
    key: str | None
    text: str
    life: int  # the number of the process of the bot
    answered: int | None = None


@dataclass(eq=False)
class SendFault:
    """A fault of the next sends to a person.

    Attributes:
        status: The refusal that answers them. Nothing is sent.
        lost: The connection breaks before anything is done, or after the message was sent.
        then: Called at this point of the request, with the connection still open.
        times: For how many sends.
    """

    handle: str
    status: int | None = None
    retry_after: int | None = None
    lost: Lost | None = None
    then: Callable[[], object] = lambda: None
    times: int = 1


@dataclass(eq=False)
class HeldSends:
    """The sends to a person wait until it ends. Those of a process that has been killed by then are lost.

    Attributes:
        limit_s: A send waits for so long at most: a bot that answers a webhook only after its send would wait for ever.
    """

    handle: str
    limit_s: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Wire:
    """The emulator, the bot's webhook, and all that passes between them.

    Attributes:
        life: The number of the bot's process, which rises with each start.
        is_down: True from a kill until the next start. A send that is read then comes from a process that is gone, and is lost.
        on_accepted: Called right after the bot has answered a webhook with 2xx.
        at_once: The people whose webhooks are sent twice at the same time.
    """

    def __init__(self, *, api_key: str | None, public_url: str) -> None:
        self._transport = webhook.over_http()
        self.emulator = Emulator(
            api_key=api_key, public_url=public_url, delivery_transport=NotedDeliveries(self, self._transport)
        )
        self.webhooks: list[NotedWebhook] = []
        self.sends: list[NotedSend] = []
        self.send_faults: list[SendFault] = []
        self.holds: list[HeldSends] = []
        self.life = 0
        self.is_down = False
        self.on_accepted: Callable[[NotedWebhook], object] = lambda _: None
        self.at_once: set[str] = set()
        self.last_at = 0.0
        self._subscription: SubscriptionRecord | None = None
        self._people = 0

    @property
    def now(self) -> float:
        return self.emulator.clock.now()

    @property
    def line(self) -> str:
        return next(iter(self.emulator.state.lines))

    @property
    def subscription(self) -> SubscriptionRecord:
        assert self._subscription is not None, "There is no webhook yet."
        return self._subscription

    def passed(self) -> float:
        """Note that something passes, and return the time."""
        self.last_at = self.now
        return self.last_at

    async def aclose(self) -> None:
        await self._transport.aclose()

    # The webhook of the bot

    def deliver_to(self, url: str, secret: str) -> None:
        """Deliver messages to this address from now on."""
        if self._subscription is None:
            self._subscription = self.emulator.subscribe(url, ("message.received",))
        self.subscription.target_url = url
        self.subscription.secret = secret
        self.emulator.world.deliveries.open(self.subscription)

    def retry_now(self) -> None:
        """Deliver again what the bot could not answer while it was away, instead of some seconds later."""
        self.emulator.retry_unanswered(self.subscription)

    def deliveries_of(self, message_id: str) -> list[WebhookDelivery]:
        return [each for each in self.emulator.world.deliveries.history if each.message_id == message_id]

    async def post(self, body: bytes, headers: dict[str, str]) -> int | None:
        """Post a webhook that Linq would not send, which is not noted. Return the status; None without an answer."""
        try:
            async with asyncio.timeout(RECEIVER_S):
                url = httpx.URL(self.subscription.target_url)
                return (await webhook.post(self._transport, url, headers, body)).status_code
        except (httpx.HTTPError, OSError, TimeoutError):
            return None

    def headers(self, delivery: WebhookDelivery, *, timestamp: int, secret: str | None = None) -> dict[str, str]:
        """Return the headers of a webhook that is signed for a time of choice, with the secret of the bot or another one."""
        return signed_headers(
            delivery.body,
            event_id=delivery.event_id,
            event_type=delivery.event_type,
            subscription_id=delivery.subscription_id,
            timestamp=timestamp,
            secret=secret or self.subscription.secret,
        )

    # The people

    def new_handle(self) -> str:
        """Return the phone number of a person who has never written."""
        self._people += 1
        return f"+1415557{self._people:04}"

    def write(self, handle: str, text: str) -> str:
        """Let a person write a text to the bot, and return the id of the message."""
        self.passed()
        made = self.emulator.do(Write(from_=handle, to=self.line, parts=[Text(value=text)]))
        return str(made["message_id"])

    def bubbles(self, handle: str) -> list[tuple[float, str]]:
        """Return the texts that the bot has sent to a person, with their times, from top to bottom."""
        chats = self.emulator.state.chats_with(self.line, [handle])
        return [
            (message.created_at, "\n".join(text for part in message.parts if (text := getattr(part, "value", None))))
            for chat in chats
            for message in chat.messages
            if message.is_from_me
        ]

    def sends_to(self, handle: str) -> list[NotedSend]:
        return [each for each in self.sends if each.handle == handle]

    # Faults

    def take(self, handle: str | None) -> SendFault | None:
        """Return the fault of the next send to a person, and count it as used once."""
        for fault in self.send_faults:
            if fault.handle == handle:
                fault.times -= 1
                if not fault.times:
                    self.send_faults.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """End all faults."""
        for hold in self.holds:
            hold.ended.set()
        self.holds.clear()
        self.send_faults.clear()
        self.at_once.clear()
        self.on_accepted = lambda _: None
        self.emulator.world.faults.clear()

    def person_of(self, chat_id: str | None, body: Any) -> str | None:
        """Return the handle of the person to whom a request sends; None for a group and for a chat that does not exist."""
        if chat_id is not None:
            chat = self.emulator.state.chats.get(chat_id)
            people: Any = list(chat.people) if chat else []
        else:
            people = body.get("to") if isinstance(body, dict) else []
        return people[0] if isinstance(people, list) and len(people) == 1 else None


class NotedDeliveries(httpx.AsyncBaseTransport):
    """Sends the webhooks of the emulator, and notes them."""

    def __init__(self, wire: Wire, inner: httpx.AsyncBaseTransport) -> None:
        self._wire = wire
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a webhook. Raises what the transport raises."""
        data = json.loads(request.content)["data"]
        twice = (data.get("sender_handle") or {}).get("handle") in self._wire.at_once
        copies = [self._send(request, str(data.get("id"))) for _ in range(2 if twice else 1)]
        answers = await asyncio.gather(*copies, return_exceptions=True)
        answer = answers[-1]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _send(self, request: httpx.Request, message_id: str) -> httpx.Response:
        wire = self._wire
        noted = NotedWebhook(message_id, wire.passed())
        wire.webhooks.append(noted)
        copy = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
        answer = await self._inner.handle_async_request(copy)
        # The status is the promise: a kill that waited for the body would come later.
        noted.at, noted.status = wire.passed(), answer.status_code
        if noted.is_accepted:
            wire.on_accepted(noted)
        content = b""
        with suppress(
            httpx.HTTPError
        ):  # the status was there, and Linq delivers no more, even if the bot has ended since
            content = await answer.aread()
        await answer.aclose()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


class NotedSends:
    """An ASGI app in front of the emulator, which notes the sends of the bot and lets them go wrong."""

    def __init__(self, app: ASGIApp, wire: Wire) -> None:
        self._app = app
        self._wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = SENDS.fullmatch(scope.get("path", "")) if scope.get("method") == "POST" else None
        if found is None:
            return await self._app(scope, receive, send)
        wire = self._wire
        raw = await _read(receive)
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        noted = self._noted(scope, found["chat"], body)
        wire.sends.append(noted)
        await self._hold(noted)
        if wire.is_down or noted.life != wire.life:  # what a process that has been killed had still sent
            return await break_connection("connection", scope, _again(raw, receive), send)
        return await self._answer(noted, scope, partial(_again, raw, receive), send, fault=wire.take(noted.handle))

    async def _answer(
        self, noted: NotedSend, scope: Scope, received: Callable[[], Receive], send: Send, *, fault: SendFault | None
    ) -> None:
        """Let the emulator answer a send, or the fault. `received` returns a function that receives the request again."""

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                noted.answered = message["status"]
                self._wire.passed()
            if not (fault and fault.lost):
                await send(message)

        if fault is None:
            return await self._app(scope, received(), note)
        if fault.status:
            refused = answer_of(Fault(on="api", status=fault.status, retry_after=fault.retry_after))
            await respond(refused)(scope, received(), note)
        elif fault.lost != "request":
            await self._app(scope, received(), note)
        fault.then()
        if fault.lost:
            noted.answered = None
            await break_connection("connection", scope, received(), send)
        return None

    def _noted(self, scope: Scope, chat_id: str | None, body: Any) -> NotedSend:
        asked = body.get("message") if isinstance(body, dict) else None
        asked = asked if isinstance(asked, dict) else {}
        parts = asked.get("parts")
        texts = [str(part.get("value")) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        headers = dict(scope["headers"])
        key = asked.get("idempotency_key") or headers.get(b"idempotency-key", b"").decode() or None
        wire = self._wire
        return NotedSend(wire.passed(), wire.person_of(chat_id, body), key, "\n".join(texts), wire.life)

    async def _hold(self, noted: NotedSend) -> None:
        for hold in [each for each in self._wire.holds if each.handle == noted.handle]:
            try:
                async with asyncio.timeout(hold.limit_s):
                    await hold.ended.wait()
            except TimeoutError:
                continue


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a function that receives a body that was read already, and then what comes."""
    left: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return received
