"""Every endpoint of Linq, called: one table for our client and the official one, and what the emulator answers to each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import httpx
from linqbot_dev.emulator.acts.chat_acts import Connect, Pay, ShareLocation
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.endpoints import payments
from linqbot_dev.emulator.web.app import create_app

from linqbot.client.client import Client
from linqbot.clock import MovableClock

KEY = "lk_test_key"
LINE, PERSON, FRIEND, THIRD, NEWCOMER = "+12025550100", "+14155550142", "+14155550187", "+14155550199", "+14155550111"
SAID: Any = {"parts": [{"type": "text", "value": "hi"}]}
HI: Any = {**SAID, "idempotency_key": "key-1"}
CONTENT: Any = {
    "parts": [{"type": "text", "value": "Hello!", "text_decorations": [{"range": [0, 5], "style": "bold"}]}],
    "effect": {"name": "confetti", "type": "screen"},
    "idempotency_key": "key-1",
}
POLL: Any = {"options": [{"text": "a"}, {"text": "b"}], "idempotency_key": "key-1"}
CARD: Any = {
    "type": "imessage_app",
    "app": {"team_id": "ABCDE12345", "bundle_id": "com.example.app", "name": "App", "app_store_id": 1234},
    "layout": {"caption": "Look"},
    "url": "https://example.com/card",
}


Scene: TypeAlias = SimpleNamespace
"""The resources that calls refer to, by their ids: `scene` creates them."""


async def scene(emulator: Emulator, api: httpx.AsyncClient, name: str) -> Scene:
    """Create one resource of every kind, as a bot and people would create it, and what only the call `name` needs."""

    async def post(path: str, body: Any = None) -> Any:
        answer = await api.post(f"/v3/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    ids = emulator.do(Write(from_=PERSON, to=LINE, parts=SAID["parts"]))
    chat, received = str(ids["chat_id"]), str(ids["message_id"])
    group = str(emulator.do(Write(from_=PERSON, to=LINE, parts=SAID["parts"], group=[FRIEND, THIRD]))["chat_id"])
    sent = (await post(f"chats/{chat}/messages", {"message": SAID}))["message"]["id"]
    card = (await post(f"chats/{chat}/messages", {"message": {"parts": [CARD]}}))["message"]["id"]
    poll = await post(f"chats/{chat}/polls", {"poll": {"options": POLL["options"]}})
    await post(f"messages/{received}/reactions", {"operation": "add", "type": "sticker", "emoji": "🚀"})
    file = {"filename": "a.mp3", "content_type": "audio/mpeg", "size_bytes": 3}
    hook = {"target_url": "https://hook.example", "subscribed_events": ["message.received"]}
    emulator.do(ShareLocation(from_=PERSON, chat_id=chat, latitude=52.5, longitude=13.4))
    emulator.do(Connect(from_=PERSON))
    payment = (await post("payments", {"handle": PERSON, "amount_cents": 2500, "currency": "usd"}))["id"]
    emulator.do(Pay(id=payment))
    emulator.advance(1)
    if name == "chats.location.request":
        emulator.do(ShareLocation(from_=PERSON, chat_id=chat, state="stopped"))
    if name in {"chats.share_contact_card", "contact_card.retrieve", "contact_card.update"}:
        await post("contact_card", {"phone_number": LINE, "first_name": "Acme"})
    if name in {"blocked_handles.list", "blocked_handles.unblock"}:
        await post("blocked_handles", {"handle": THIRD})
    audit = (await post(f"phone_numbers/%2B{LINE[1:]}/reputation_audit"))["audit_id"]
    if name == "phone_numbers.get_reputation_audit":
        emulator.do(Write(from_=THIRD, to=LINE, parts=[{"type": "text", "value": "STOP"}]))
        emulator.advance(5)
    return Scene(
        chat=chat,
        group=group,
        received=received,
        sent=sent,
        card=card,
        poll=poll["message_id"],
        option=poll["poll"]["options"][0]["option_id"],
        sticker=emulator.state.messages[received].reactions[0].id,
        attachment=(await post("attachments", file))["attachment_id"],
        line=emulator.state.lines[LINE].id,
        subscription=(await post("webhook-subscriptions", hook))["id"],
        audit=audit,
        request=(await post("payment_requests", {"amount": 2500, "currency": "usd"}))["id"],
        payment=payment,
        pending=(await post(f"payments/handles/%2B{FRIEND[1:]}/connect"))["connect_id"],
    )


CALLS: dict[str, Callable[[Any, Scene], Any]] = {
    "chats.create": lambda c, s: c.chats.create(from_=LINE, to=[NEWCOMER], message=HI, override_optout=True),
    "chats.list_chats": lambda c, s: c.chats.list_chats(limit=1, from_=LINE),
    "chats.retrieve": lambda c, s: c.chats.retrieve(s.chat),
    "chats.update": lambda c, s: c.chats.update(
        s.group, display_name="Dinner", group_chat_icon="https://e.example/i.png"
    ),
    "chats.leave_chat": lambda c, s: c.chats.leave_chat(s.group),
    "chats.mark_as_read": lambda c, s: c.chats.mark_as_read(s.chat),
    "chats.send_voicememo": lambda c, s: c.chats.send_voicememo(s.chat, attachment_id=s.attachment),
    "chats.share_contact_card": lambda c, s: c.chats.share_contact_card(s.chat),
    "chats.participants.add": lambda c, s: c.chats.participants.add(s.group, handle=NEWCOMER),
    "chats.participants.remove": lambda c, s: c.chats.participants.remove(s.group, handle=THIRD),
    "chats.typing.start": lambda c, s: c.chats.typing.start(s.chat),
    "chats.typing.stop": lambda c, s: c.chats.typing.stop(s.chat),
    "chats.messages.list": lambda c, s: c.chats.messages.list(s.chat, limit=2),
    "chats.messages.send": lambda c, s: c.chats.messages.send(s.chat, message=CONTENT),
    "chats.location.retrieve": lambda c, s: c.chats.location.retrieve(s.chat),
    "chats.location.request": lambda c, s: c.chats.location.request(s.chat),
    "chats.location.stop": lambda c, s: c.chats.location.stop(s.chat, handle=PERSON),
    "chats.polls.create": lambda c, s: c.chats.polls.create(s.chat, poll=POLL),
    "chats.background.set": lambda c, s: c.chats.background.set(s.chat, type="color", shades=["#112233", "#445566"]),
    "chats.background.remove": lambda c, s: c.chats.background.remove(s.chat),
    "messages.create": lambda c, s: c.messages.create(
        to=[PERSON],
        message=CONTENT,
        continuation_message={"text": "It is us, from a new number."},
        exclude_from=["+12025550999"],
        override_optout=False,
        idempotency_key="key-1",
    ),
    "messages.retrieve": lambda c, s: c.messages.retrieve(s.received),
    "messages.update": lambda c, s: c.messages.update(s.sent, text="ho", part_index=0),
    "messages.delete": lambda c, s: c.messages.delete(s.sent),
    "messages.add_reaction": lambda c, s: c.messages.add_reaction(
        s.received, operation="add", type="sticker", emoji="🎂", placement={"x": 0.5, "y": -1, "scale": 2}
    ),
    "messages.update_sticker_placement": lambda c, s: c.messages.update_sticker_placement(
        s.sticker, message_id=s.received, placement={"x": 0.5, "y": -0.5, "rotation": 45}
    ),
    "messages.list_messages_thread": lambda c, s: c.messages.list_messages_thread(s.sent, limit=5, order="desc"),
    "messages.update_app_card": lambda c, s: c.messages.update_app_card(
        s.card,
        layout={"caption": "New", "image_url": "https://example.com/i.png", "image_title": "8 pm"},
        url="https://example.com/card",
        fallback_text="Booked",
        interactive=False,
    ),
    "messages.poll.retrieve": lambda c, s: c.messages.poll.retrieve(s.poll),
    "messages.poll.add_options": lambda c, s: c.messages.poll.add_options(s.poll, options=[{"text": "c"}]),
    "messages.poll.vote": lambda c, s: c.messages.poll.vote(s.poll, operation="add", option_id=s.option),
    "attachments.create": lambda c, s: c.attachments.create(filename="a.png", content_type="image/png", size_bytes=3),
    "attachments.retrieve": lambda c, s: c.attachments.retrieve(s.attachment),
    "attachments.delete": lambda c, s: c.attachments.delete(s.attachment),
    "phone_numbers.list": lambda c, s: c.phone_numbers.list(),
    "phone_numbers.update": lambda c, s: c.phone_numbers.update(s.line, forwarding_number=PERSON),
    "phone_numbers.start_reputation_audit": lambda c, s: c.phone_numbers.start_reputation_audit(LINE),
    "phone_numbers.get_reputation_audit": lambda c, s: c.phone_numbers.get_reputation_audit(s.audit, phone_number=LINE),
    "phonenumbers.list": lambda c, s: c.phonenumbers.list(),
    "available_number.retrieve": lambda c, s: c.available_number.retrieve(to=[PERSON], exclude_from=["+12025550999"]),
    "capability.check_i_message": lambda c, s: c.capability.check_i_message(address="ann@example.com", from_=LINE),
    "capability.check_RCS": lambda c, s: c.capability.check_RCS(address=PERSON),
    "contact_card.create": lambda c, s: c.contact_card.create(
        phone_number="+12025550101", first_name="Acme", last_name="Support", image_url="https://example.com/i.png"
    ),
    "contact_card.retrieve": lambda c, s: c.contact_card.retrieve(phone_number=LINE),
    "contact_card.update": lambda c, s: c.contact_card.update(phone_number=LINE, last_name="Support"),
    "blocked_handles.list": lambda c, s: c.blocked_handles.list(),
    "blocked_handles.block": lambda c, s: c.blocked_handles.block(handle=NEWCOMER, reason="spam"),
    "blocked_handles.unblock": lambda c, s: c.blocked_handles.unblock(handle=THIRD),
    "experiences.list": lambda c, s: c.experiences.list(),
    "experiences.retrieve": lambda c, s: c.experiences.retrieve("link"),
    "webhook_events.list": lambda c, s: c.webhook_events.list(),
    "webhook_subscriptions.create": lambda c, s: c.webhook_subscriptions.create(
        target_url="https://other.example",
        subscribed_events=["message.sent", "message.delivered"],
        phone_numbers=[LINE],
        routing_id_header="Linq-Chat-Id",
        routing_key_header="Linq-Route",
    ),
    "webhook_subscriptions.list": lambda c, s: c.webhook_subscriptions.list(),
    "webhook_subscriptions.retrieve": lambda c, s: c.webhook_subscriptions.retrieve(s.subscription),
    "webhook_subscriptions.update": lambda c, s: c.webhook_subscriptions.update(
        s.subscription, is_active=False, phone_numbers=[], routing_key_header=""
    ),
    "webhook_subscriptions.delete": lambda c, s: c.webhook_subscriptions.delete(s.subscription),
    "payment_requests.create": lambda c, s: c.payment_requests.create(
        mode="subscription",
        price_id="price_1",
        quantity=2,
        discount={"coupon": "SUMMER", "label": "Summer"},
        trial_period_days=7,
        customer_id="cus_1",
        description="Membership",
        metadata={"a": "b"},
        idempotency_key="key-1",
    ),
    "payment_requests.list": lambda c, s: c.payment_requests.list(limit=5, offset=0, status="requested"),
    "payment_requests.retrieve": lambda c, s: c.payment_requests.retrieve(s.request),
    "payment_requests.cancel": lambda c, s: c.payment_requests.cancel(s.request),
    "payments.create": lambda c, s: c.payments.create(
        handle=PERSON,
        amount_cents=2500,
        currency="usd",
        description="Deposit",
        merchant={"name": "Acme", "url": "https://example.com"},
        metadata={"a": "b"},
    ),
    "payments.retrieve": lambda c, s: c.payments.retrieve(s.payment),
    "payments.cancel": lambda c, s: c.payments.cancel(s.payment),
    "payments.credentials": lambda c, s: c.payments.credentials(s.payment),
    "payment_providers.retrieve": lambda c, s: c.payment_providers.retrieve("natural"),
    "payment_providers.connect": lambda c, s: c.payment_providers.connect("natural", return_url="https://e.example"),
    "payment_handles.connect": lambda c, s: c.payment_handles.connect(NEWCOMER),
    "payment_handles.connection": lambda c, s: c.payment_handles.connection(PERSON),
    "payment_handles.revoke": lambda c, s: c.payment_handles.revoke(PERSON),
    "payment_handles.verify": lambda c, s: c.payment_handles.verify(FRIEND, code=payments.CODE, connect_id=s.pending),
    "v2.list_chats": lambda c, s: c.v2.list_chats(phone_number=LINE),
}


class Exchange(NamedTuple):
    """A call's scene, and the status and JSON of the emulator's response."""

    scene: Scene
    status: int
    answer: Any


class Linq(httpx.AsyncBaseTransport):
    """A transport to an emulator in which each call can be made. It keeps the last response."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.last = httpx.Response(500)
        self._app = httpx.ASGITransport(create_app(emulator))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.last = await self._app.handle_async_request(request)
        await self.last.aread()
        return self.last

    def client(self) -> Client:
        return Client(KEY, base_url=f"{self.emulator.public_url}/api/partner", transport=self)

    async def made(self, name: str, client: Any) -> tuple[Exchange, Any]:
        """Make a call with a client in a new scene, and return what the client made of the answer."""
        self.emulator.reset()
        headers = {"authorization": f"Bearer {KEY}"}
        api = httpx.AsyncClient(transport=self, base_url=self.emulator.public_url, headers=headers)
        there = await scene(self.emulator, api, name)
        result = await CALLS[name](client, there)
        return Exchange(there, self.last.status_code, self.last.json() if self.last.content else None), result


@asynccontextmanager
async def emulated() -> AsyncIterator[Linq]:
    silent = httpx.MockTransport(lambda _: httpx.Response(200))
    async with Emulator(clock=MovableClock(frozen=True), api_key=KEY, delivery_transport=silent) as emulator:
        yield Linq(emulator)
