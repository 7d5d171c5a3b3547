"""Every method of the client: what goes over the wire, what comes back, and that the official client sends the same."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from linq import AsyncLinqAPIV3

from linqbot.client.call import Answer, Call, Run
from linqbot.client.client import Client
from linqbot.client.endpoints import ENDPOINTS, prepare
from linqbot.errors import ConfigError, LinqApiError, RuleBroken
from linqbot.types.chat import Accepted, Chat, ChatCreated, ChatUpdate
from linqbot.types.line import PhoneNumber, Reputation
from linqbot.types.message import Effect, Message, MessageContent, MessageSent, TextDecoration, TextPart, VoiceMemoSent
from linqbot.types.routing import MessageCreated
from linqbot.types.webhook import CreatedWebhookSubscription, WebhookEvents, WebhookSubscription

pytestmark = pytest.mark.anyio

KEY = "lk_test_key"
CHAT = "550e8400-e29b-41d4-a716-446655440000"
SENT = "69a37c7d-af4f-4b5e-af42-e28e98ce873a"
LINE, ANN = "+12052535597", "+12052532136"

HANDLES = [
    {
        "id": "550e8400-e29b-41d4-a716-446655440010",
        "handle": "+14155551234",
        "joined_at": "2025-05-21T15:30:00.000Z",
        "service": "iMessage",
        "is_me": True,
        "left_at": None,
        "status": "active",
    },
    {
        "id": "550e8400-e29b-41d4-a716-446655440011",
        "handle": "+14155559876",
        "joined_at": "2025-05-21T15:30:00.000-05:00",
        "service": "iMessage",
        "is_me": False,
    },
]
CHAT_ANSWER = {
    "id": CHAT,
    "created_at": "2024-01-15T10:30:00Z",
    "display_name": "+14155551234, +14155559876",
    "handles": HANDLES,
    "health_status": {
        "doc_url": "https://docs.linqapp.com/guides/chats/chat-health#at-risk",
        "status": "AT_RISK",
        "updated_at": "2026-05-01T18:28:25Z",
    },
    "is_archived": True,
    "is_group": True,
    "updated_at": "2024-01-15T10:30:00Z",
    "service": "iMessage",
    "added_by_linq_next_year": {"x": 1},
}
SENT_MESSAGE = {
    "id": SENT,
    "created_at": "2025-10-23T13:07:55.019-05:00",
    "delivery_status": "pending",
    "is_read": False,
    "parts": [
        {
            "reactions": [
                {"handle": HANDLES[1], "is_me": False, "type": "love", "custom_emoji": None, "sticker": None}
            ],
            "type": "text",
            "value": "Hello!",
            "text_decorations": [{"range": [0, 5], "animation": "shake"}],
        }
    ],
    "sent_at": None,
    "delivered_at": None,
    "effect": {"name": "confetti", "type": "screen"},
    "from_handle": HANDLES[0],
    "preferred_service": "iMessage",
    "reply_to": {"message_id": CHAT, "part_index": 0},
    "service": "iMessage",
}
MESSAGE_ANSWER = {**SENT_MESSAGE, "chat_id": CHAT, "is_from_me": True, "is_delivered": False, "updated_at": None}
SUBSCRIPTION = {
    "id": "b2c3d4e5-f6a7-8901-bcde-f23456789012",
    "target_url": "https://webhooks.example.com/linq/events",
    "subscribed_events": ["message.sent", "message.delivered"],
    "is_active": True,
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T10:30:00Z",
    "phone_numbers": None,
}
QUEUED = {"message": "Participant addition queued", "status": "accepted", "trace_id": "trace_id"}
CONTENT = {
    "parts": [{"type": "text", "value": "Hello!", "text_decorations": [{"range": [0, 5], "style": "bold"}]}],
    "effect": {"name": "confetti", "type": "screen"},
    "idempotency_key": "key-1",
}


@dataclass(frozen=True)
class Row:
    """One call, as it is written with our client and with the official one."""

    name: str
    write: Callable[[Any], Awaitable[Any]]
    path: str
    body: Any = None
    query: tuple[tuple[str, str], ...] = ()
    status: int = 200
    answer: Any = None
    read: Callable[[Any], bool] = lambda result: result is None
    headers: tuple[tuple[str, str], ...] = ()


ROWS = [
    Row(
        "chats.create",
        lambda c: c.chats.create(from_=LINE, to=[ANN], message=CONTENT, override_optout=True),
        "/v3/chats",
        body={"from": LINE, "to": [ANN], "message": CONTENT, "override_optout": True},
        status=201,
        answer={"chat": {**CHAT_ANSWER, "message": SENT_MESSAGE}},
        read=lambda got: isinstance(got, ChatCreated) and got.chat.message.id == SENT,
    ),
    Row(
        "chats.list_chats",
        lambda c: c.chats.list_chats(cursor="20", from_=LINE, limit=50, to="ann+b@example.com"),
        "/v3/chats",
        query=(("cursor", "20"), ("from", LINE), ("limit", "50"), ("to", "ann+b@example.com")),
        answer={"chats": [CHAT_ANSWER], "next_cursor": "70"},
        read=lambda got: isinstance(got.items[0], Chat) and got.next_cursor == "70",
    ),
    Row(
        "chats.retrieve",
        lambda c: c.chats.retrieve(CHAT),
        f"/v3/chats/{CHAT}",
        answer=CHAT_ANSWER,
        read=lambda got: isinstance(got, Chat) and got.handles[0].is_me is True and got.is_group,
    ),
    Row(
        "chats.update",
        lambda c: c.chats.update(CHAT, display_name="Team", group_chat_icon="https://example.com/i.png"),
        f"/v3/chats/{CHAT}",
        body={"display_name": "Team", "group_chat_icon": "https://example.com/i.png"},
        answer={"chat_id": CHAT, "status": "pending"},
        read=lambda got: got == ChatUpdate(chat_id=CHAT, status="pending"),
    ),
    Row(
        "chats.leave_chat",
        lambda c: c.chats.leave_chat(CHAT),
        f"/v3/chats/{CHAT}/leave",
        status=202,
        answer=QUEUED,
        read=lambda got: isinstance(got, Accepted) and got.status == "accepted",
    ),
    Row("chats.mark_as_read", lambda c: c.chats.mark_as_read(CHAT), f"/v3/chats/{CHAT}/read", status=204),
    Row(
        "chats.share_contact_card",
        lambda c: c.chats.share_contact_card(CHAT),
        f"/v3/chats/{CHAT}/share_contact_card",
        status=204,
    ),
    Row(
        "chats.send_voicememo",
        lambda c: c.chats.send_voicememo(CHAT, voice_memo_url="https://example.com/memo.m4a"),
        f"/v3/chats/{CHAT}/voicememo",
        body={"voice_memo_url": "https://example.com/memo.m4a"},
        status=202,
        answer={
            "voice_memo": {
                "id": SENT,
                "from": LINE,
                "to": [ANN],
                "status": "queued",
                "created_at": "2024-01-15T10:30:00Z",
                "chat": {"id": CHAT, "handles": HANDLES, "is_active": True, "is_group": False, "service": "iMessage"},
                "voice_memo": {
                    "id": CHAT,
                    "filename": "m.m4a",
                    "mime_type": "audio/x-m4a",
                    "size_bytes": 9,
                    "url": "u",
                },
            }
        },
        read=lambda got: isinstance(got, VoiceMemoSent) and got.voice_memo.from_ == LINE,
    ),
    Row(
        "chats.participants.add",
        lambda c: c.chats.participants.add(CHAT, handle="+12052499136"),
        f"/v3/chats/{CHAT}/participants",
        body={"handle": "+12052499136"},
        status=202,
        answer=QUEUED,
        read=lambda got: isinstance(got, Accepted) and got.trace_id == "trace_id",
    ),
    Row(
        "chats.participants.remove",
        lambda c: c.chats.participants.remove(CHAT, handle="+12052499136"),
        f"/v3/chats/{CHAT}/participants",
        body={"handle": "+12052499136"},
        status=202,
        answer=QUEUED,
        read=lambda got: isinstance(got, Accepted),
    ),
    Row("chats.typing.start", lambda c: c.chats.typing.start(CHAT), f"/v3/chats/{CHAT}/typing", status=204),
    Row("chats.typing.stop", lambda c: c.chats.typing.stop(CHAT), f"/v3/chats/{CHAT}/typing", status=204),
    Row(
        "chats.messages.send",
        lambda c: c.chats.messages.send(CHAT, message=CONTENT),
        f"/v3/chats/{CHAT}/messages",
        body={"message": CONTENT},
        status=202,
        answer={"chat_id": CHAT, "message": SENT_MESSAGE},
        read=lambda got: isinstance(got, MessageSent) and got.message.delivery_status == "pending",
    ),
    Row(
        "chats.messages.list",
        lambda c: c.chats.messages.list(CHAT, limit=2),
        f"/v3/chats/{CHAT}/messages",
        query=(("limit", "2"),),
        answer={"messages": [MESSAGE_ANSWER, {**MESSAGE_ANSWER, "parts": None}], "next_cursor": None},
        read=lambda got: [each.text for each in got.items] == ["Hello!", ""] and got.next_cursor is None,
    ),
    Row(
        "messages.create",
        lambda c: c.messages.create(
            to=[ANN],
            message=CONTENT,
            continuation_message={"text": "It is us, from a new number."},
            exclude_from=[LINE],
            override_optout=False,
            idempotency_key="key-1",
        ),
        "/v3/messages",
        body={
            "to": [ANN],
            "message": CONTENT,
            "continuation_message": {"text": "It is us, from a new number."},
            "exclude_from": [LINE],
            "override_optout": False,
        },
        headers=(("idempotency-key", "key-1"),),
        status=202,
        answer={
            "chat_id": CHAT,
            "created_new_chat": True,
            "from": LINE,
            "from_selection": {"reason": "new_best_number", "reused_existing_chat": False},
            "handles": HANDLES,
            "is_group": False,
            "message": SENT_MESSAGE,
            "service": "iMessage",
        },
        read=lambda got: isinstance(got, MessageCreated) and got.from_ == LINE and got.from_selection is not None,
    ),
    Row(
        "messages.retrieve",
        lambda c: c.messages.retrieve(SENT),
        f"/v3/messages/{SENT}",
        answer=MESSAGE_ANSWER,
        read=lambda got: isinstance(got, Message) and got.text == "Hello!",
    ),
    Row(
        "messages.update",
        lambda c: c.messages.update(SENT, text="Hello?", part_index=0),
        f"/v3/messages/{SENT}",
        body={"text": "Hello?", "part_index": 0},
        answer=MESSAGE_ANSWER,
        read=lambda got: isinstance(got, Message),
    ),
    Row("messages.delete", lambda c: c.messages.delete(SENT), f"/v3/messages/{SENT}", status=204),
    Row(
        "messages.add_reaction",
        lambda c: c.messages.add_reaction(
            SENT, operation="add", type="sticker", emoji="🎂", placement={"x": 0.5, "y": -1, "scale": 2}
        ),
        f"/v3/messages/{SENT}/reactions",
        body={"operation": "add", "type": "sticker", "emoji": "🎂", "placement": {"x": 0.5, "y": -1, "scale": 2}},
        status=202,
        answer=QUEUED,
        read=lambda got: isinstance(got, Accepted),
    ),
    Row(
        "webhook_subscriptions.create",
        lambda c: c.webhook_subscriptions.create(
            target_url="https://webhooks.example.com/linq/events",
            subscribed_events=["message.sent", "message.delivered"],
            phone_numbers=[LINE],
            routing_id_header="Linq-Chat-Id",
            routing_key_header="Linq-Route",
        ),
        "/v3/webhook-subscriptions",
        body={
            "target_url": "https://webhooks.example.com/linq/events",
            "subscribed_events": ["message.sent", "message.delivered"],
            "phone_numbers": [LINE],
            "routing_id_header": "Linq-Chat-Id",
            "routing_key_header": "Linq-Route",
        },
        status=201,
        answer={**SUBSCRIPTION, "signing_secret": "whsec_MTIz"},
        read=lambda got: isinstance(got, CreatedWebhookSubscription) and got.signing_secret == "whsec_MTIz",
    ),
    Row(
        "webhook_subscriptions.retrieve",
        lambda c: c.webhook_subscriptions.retrieve(SUBSCRIPTION["id"]),
        f"/v3/webhook-subscriptions/{SUBSCRIPTION['id']}",
        answer=SUBSCRIPTION,
        read=lambda got: isinstance(got, WebhookSubscription) and got.is_active,
    ),
    Row(
        "webhook_subscriptions.update",
        lambda c: c.webhook_subscriptions.update(
            SUBSCRIPTION["id"], is_active=False, phone_numbers=[], routing_key_header=""
        ),
        f"/v3/webhook-subscriptions/{SUBSCRIPTION['id']}",
        body={"is_active": False, "phone_numbers": [], "routing_key_header": ""},
        answer=SUBSCRIPTION,
        read=lambda got: isinstance(got, WebhookSubscription),
    ),
    Row(
        "webhook_subscriptions.list",
        lambda c: c.webhook_subscriptions.list(),
        "/v3/webhook-subscriptions",
        answer={"subscriptions": [SUBSCRIPTION]},
        read=lambda got: [each.id for each in got] == [SUBSCRIPTION["id"]],
    ),
    Row(
        "webhook_subscriptions.delete",
        lambda c: c.webhook_subscriptions.delete(SUBSCRIPTION["id"]),
        f"/v3/webhook-subscriptions/{SUBSCRIPTION['id']}",
        status=204,
    ),
    Row(
        "webhook_events.list",
        lambda c: c.webhook_events.list(),
        "/v3/webhook-events",
        answer={"events": ["message.sent"], "doc_url": "https://docs.linqapp.com/x"},
        read=lambda got: isinstance(got, WebhookEvents) and got.events == ("message.sent",),
    ),
    Row(
        "phone_numbers.list",
        lambda c: c.phone_numbers.list(),
        "/v3/phone_numbers",
        answer={
            "phone_numbers": [
                {
                    "id": CHAT,
                    "phone_number": LINE,
                    "reputation": {"status": "HEALTHY", "doc_url": "u"},
                    "line_type": "RCS",
                }
            ]
        },
        read=lambda got: (
            isinstance(got[0], PhoneNumber) and got[0].reputation == Reputation(status="HEALTHY", doc_url="u")
        ),
    ),
]
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


class Recorder:
    """A Linq that remembers requests and answers one thing."""

    def __init__(self, status: int = 200, answer: Any = None) -> None:
        self.requests: list[httpx.Request] = []
        self._status, self._answer = status, answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self._status, json=self._answer) if self._answer else httpx.Response(self._status)


def seen(request: httpx.Request) -> tuple[str, str, list[tuple[str, str]], Any]:
    body = json.loads(request.content) if request.content else None
    path = request.url.raw_path.decode().partition("?")[0]
    return request.method, path, sorted(parse_qsl(request.url.query.decode())), body


def client_over(linq: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:
    return Client(KEY, transport=httpx.MockTransport(linq), **options)


@rows
async def test_a_method_sends_what_linq_documents_and_types_the_answer(row: Row) -> None:
    linq = Recorder(row.status, row.answer)
    async with client_over(linq) as client:
        result = await row.write(client)

    assert row.read(result), result
    (request,) = linq.requests
    method = ENDPOINTS[row.name].method
    assert seen(request) == (method, f"/api/partner{row.path}", sorted(row.query), row.body)
    assert request.url.host == "api.linqapp.com"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith("linqbot")
    assert request.headers.get("idempotency-key") == dict(row.headers).get("idempotency-key")
    if row.body is not None:
        assert request.headers["content-type"] == "application/json"


@rows
async def test_the_official_client_sends_the_same(row: Row) -> None:
    ours, theirs = Recorder(row.status, row.answer), Recorder(row.status, row.answer)
    async with client_over(ours) as client:
        await row.write(client)
    async with httpx.AsyncClient(transport=httpx.MockTransport(theirs)) as http:
        await row.write(AsyncLinqAPIV3(api_key=KEY, http_client=http))

    assert seen(ours.requests[0]) == seen(theirs.requests[0])
    for name in ("authorization", "idempotency-key"):
        assert ours.requests[0].headers.get(name) == theirs.requests[0].headers.get(name)


def test_every_method_stands_in_the_table() -> None:
    client = client_over(Recorder())
    nouns = {
        "chats": client.chats,
        "chats.participants": client.chats.participants,
        "chats.typing": client.chats.typing,
        "chats.messages": client.chats.messages,
        "messages": client.messages,
        "webhook_subscriptions": client.webhook_subscriptions,
        "webhook_events": client.webhook_events,
        "phone_numbers": client.phone_numbers,
    }
    written = {
        f"{noun}.{verb}"
        for noun, methods in nouns.items()
        for verb in vars(type(methods))
        if not verb.startswith("_") and callable(getattr(methods, verb))
    }
    assert written - {"chats.leave"} == {row.name for row in ROWS}
    assert type(client.chats).leave is type(client.chats).leave_chat


async def test_v2_asks_with_its_own_header_and_numbers_its_pages() -> None:
    chat = {"id": 45, "display_name": "Ann", "service": "iMessage", "group": False, "message_count": 25}
    handle = {
        "id": 123,
        "phone_number": "ann@example.com",
        "service": "iMessage",
        "joined_at": "2025-05-21T15:30:00-05:00",
    }
    asked: list[httpx.Request] = []

    def linq(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        page = int(request.url.params["page"])
        data = [{**chat, "id": page, "chat_handles": [handle]}]
        meta = {"page": page, "total_pages": 3, "total_count": 3, "per_page": 1}
        return httpx.Response(200, json={"data": data, "meta": meta})

    async with client_over(linq) as client:
        first = await client.v2.list_chats(phone_number="13343284472", per_page=1)
        walked = [each.id async for each in client.v2.list_chats(phone_number="13343284472", page=2, per_page=1)]

    assert (first.items[0].chat_handles[0].phone_number, first.total, first.next_cursor) == ("ann@example.com", 3, "2")
    assert walked == [2, 3]
    assert str(asked[0].url).startswith("https://api.linqapp.com/api/partner/v2/chats?")
    assert asked[0].headers["x-linq-integration-token"] == KEY
    assert "authorization" not in asked[0].headers


async def test_v2s_own_error_envelope_is_understood() -> None:
    body = {"errors": [{"status": 401, "code": "unauthorized", "title": "Unauthorized", "detail": "Invalid token"}]}
    async with client_over(Recorder(401, body)) as client:
        with pytest.raises(LinqApiError) as caught:
            await client.v2.list_chats(phone_number="13343284472")
    assert (caught.value.status, caught.value.message) == (401, "Invalid token")


async def test_typed_content_goes_out_as_linq_writes_it() -> None:
    linq = Recorder(202, {"chat_id": CHAT, "message": SENT_MESSAGE})
    bold = TextPart(value="Hello!", text_decorations=(TextDecoration(range=(0, 5), style="bold"),))
    content = MessageContent(parts=(bold,), effect=Effect.named("confetti"), idempotency_key="key-1")
    async with client_over(linq) as client:
        await client.chats.messages.send(CHAT, message=content)
        await client.chats.messages.send(CHAT, message={**CONTENT, "parts": [bold]})
    assert [json.loads(request.content) for request in linq.requests] == [{"message": CONTENT}] * 2


@pytest.mark.parametrize("given", ["argument", "message", "neither"])
async def test_a_message_to_people_carries_one_key_in_both_places(given: str) -> None:
    linq = Recorder(202, {"chat_id": CHAT, "message": SENT_MESSAGE})
    message: dict[str, Any] = {"parts": [{"type": "text", "value": "hi"}]}
    if given == "message":
        message["idempotency_key"] = "mine"
    async with client_over(linq) as client:
        await client.messages.create(to=[ANN], message=message, idempotency_key="mine" if given == "argument" else None)
    (request,) = linq.requests
    key = request.headers["idempotency-key"]
    assert json.loads(request.content)["message"]["idempotency_key"] == key
    assert (key == "mine") == (given != "neither")


async def test_lists_are_walked_to_their_end_and_keep_their_filters() -> None:
    asked: list[dict[str, str]] = []
    answers = {None: ("a", "2"), "2": ("b", "3"), "3": ("c", "")}

    def linq(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        name, following = answers[request.url.params.get("cursor")]
        return httpx.Response(200, json={"chats": [{"id": name}], "next_cursor": following})

    async with client_over(linq) as client:
        listing = client.chats.list_chats(from_=LINE, limit=1)
        assert not asked, "nothing is asked before somebody reads"
        assert [chat.id async for chat in listing] == ["a", "b", "c"]
        assert [page.next_cursor async for page in listing.pages()] == ["2", "3", None]
        assert [page.items[0].id async for page in client.chats.list_chats(cursor="3").pages()] == ["c"]
    assert asked[:3] == [{"from": LINE, "limit": "1", **({"cursor": c} if c else {})} for c in (None, "2", "3")]


async def test_a_list_that_runs_in_a_circle_is_an_error_and_not_an_endless_walk() -> None:
    async with client_over(Recorder(200, {"messages": [], "next_cursor": "1"})) as client:
        with pytest.raises(LinqApiError, match="before"):
            _ = [message async for message in client.chats.messages.list(CHAT)]


async def test_a_broken_rule_is_raised_before_anything_is_sent_or_wrapped() -> None:
    linq = Recorder()
    wrapped: list[Call] = []

    def wrap(run: Run) -> Run:
        async def noted(call: Call) -> Answer:
            wrapped.append(call)
            return await run(call)

        return noted

    two = [{"type": "text", "value": "a"}, {"type": "text", "value": "b"}]
    async with client_over(linq) as client:
        with pytest.raises(RuleBroken) as caught:
            await client.wrapped(wrap).chats.messages.send(CHAT, message={"parts": two})
    assert (caught.value.rule, caught.value.status, caught.value.code) == ("R22", 400, 1004)
    assert not linq.requests
    assert not wrapped


@pytest.mark.parametrize("value", ["half an emoji \ud83d", object()])
async def test_what_cannot_be_json_is_a_broken_rule(value: Any) -> None:
    async with client_over(Recorder()) as client:
        with pytest.raises(RuleBroken) as caught:
            await client.chats.messages.send(CHAT, message={"parts": [{"type": "text", "value": value}]})
    assert caught.value.rule == "R2"
    assert "half an emoji \\" not in str(caught.value)


async def test_one_handle_is_not_taken_for_a_list_of_letters() -> None:
    async with client_over(Recorder()) as client:
        with pytest.raises(RuleBroken, match="to must be a list"):
            await client.chats.create(from_=LINE, to=ANN, message=CONTENT)


async def test_wrappings_stand_around_every_call_the_newest_outermost() -> None:
    linq = Recorder(200, CHAT_ANSWER)
    order: list[str] = []

    def named(name: str) -> Callable[[Run], Run]:
        def wrap(run: Run) -> Run:
            async def noted(call: Call) -> Answer:
                order.append(f"{name} {call.name}")
                return await run(call)

            return noted

        return wrap

    async with client_over(linq) as client:
        inner = client.wrapped(named("ledger"))
        outer = inner.wrapped(named("middleware"))
        await outer.chats.retrieve(CHAT)
        await outer.run(prepare("chats.typing.stop", path={"chat_id": CHAT}))
        await client.chats.retrieve(CHAT)
        await outer.aclose()
        await client.chats.retrieve(CHAT)

    ledger_and_middleware = ["middleware chats.retrieve", "ledger chats.retrieve"]
    assert order == [*ledger_and_middleware, "middleware chats.typing.stop", "ledger chats.typing.stop"]
    assert len(linq.requests) == 4


async def test_a_stored_call_sent_again_is_the_same_request() -> None:
    linq = Recorder(202, {"chat_id": CHAT, "message": SENT_MESSAGE})
    stored: list[bytes] = []

    def ledger(run: Run) -> Run:
        async def keep(call: Call) -> Answer:
            keyed = call.with_key("lb-turn-0")
            stored.append(keyed.to_json())
            return await run(keyed)

        return keep

    async with client_over(linq) as client:
        await client.wrapped(ledger).messages.create(to=[ANN], message=MessageContent(parts=(TextPart(value="hé🎂"),)))
        await client.run(Call.from_json(stored[0]))
    first, again = linq.requests
    assert first.content == again.content
    assert first.headers == again.headers


async def test_an_answer_that_cannot_be_read_says_so_and_that_linq_accepted() -> None:
    async with client_over(Recorder(202, {"chat_id": CHAT, "message": {"text": "secret words"}})) as client:
        with pytest.raises(LinqApiError) as caught:
            await client.chats.messages.send(CHAT, message=CONTENT)
    assert caught.value.status == 202
    assert "message.id" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("key", ["", "two words", "line\n", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Client(key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "api.linqapp.com", "ftp://h", "https://", "https://a:b@h/x", "https://h/?q=1", "http://h#f"]
)
def test_a_base_url_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="base URL"):
        Client(KEY, base_url=url)


def test_a_repr_shows_where_but_not_who() -> None:
    client = client_over(Recorder(), base_url="http://127.0.0.1:4010/")
    assert repr(client) == "Client(base_url='http://127.0.0.1:4010')"
    for thing in (client, client._transport, client.chats, client.wrapped(lambda run: run)):
        assert KEY not in repr(thing) + str(thing)
