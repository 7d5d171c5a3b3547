"""The unmodified official Python SDK against the emulator on a real socket.

Every answer is strictly checked by the SDK's own models. `tests/client/test_client.py` calls every endpoint, without a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import linq
import pytest
import uvicorn
from linq import AsyncLinqAPIV3, LinqAPIV3
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.faults import Fault
from linqbot_dev.emulator.web.app import create_app
from patience import PATIENCE_S
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator.conftest import FRIEND, LINE, PERSON, say
from linqbot.server.uvicorn_server import KEEP_ALIVE_S


@contextlib.asynccontextmanager
async def serve(app: Any) -> AsyncIterator[str]:
    """Serve `app` under uvicorn on a free port, and yield its address."""
    # Connections are kept as `linqbot dev --no-bot` keeps them: uvicorn's own 5 s may pass between two calls on a busy machine.
    config = uvicorn.Config(
        app, port=0, log_level="error", timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def served() -> AsyncIterator[Emulator]:
    emulator = Emulator(api_key="key")
    async with serve(create_app(emulator)) as url:
        emulator.public_url = url
        yield emulator


@pytest.fixture
async def client(served: Emulator) -> AsyncIterator[AsyncLinqAPIV3]:
    async with AsyncLinqAPIV3(
        api_key="key", base_url=served.public_url, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def text(value: str) -> Any:
    return {"parts": [{"type": "text", "value": value}]}


async def test_the_official_client_writes_reads_and_changes_messages(client: AsyncLinqAPIV3, served: Emulator) -> None:
    created = await client.chats.create(from_=LINE, to=[PERSON], message=text("hello"))
    chat_id = created.chat.id
    assert created.chat.message.delivery_status == "pending"
    again = await client.chats.create(from_=LINE, to=[PERSON], message=text("again"))
    assert again.chat.id == chat_id
    sent = await client.chats.messages.send(chat_id, message=text("more"))
    assert sent.chat_id == chat_id
    await client.chats.typing.start(chat_id)
    await client.chats.typing.stop(chat_id)
    await client.chats.mark_as_read(chat_id)
    assert (await client.chats.retrieve(chat_id)).display_name == PERSON
    assert [chat.id async for chat in client.chats.list_chats(from_=LINE, limit=1)] == [chat_id]
    texts = [message.parts[0].value async for message in client.chats.messages.list(chat_id, limit=1)]  # type: ignore[index, union-attr]
    assert texts == ["more", "again", "hello"]
    await served.flush()
    message = await client.messages.retrieve(sent.message.id)
    assert message.delivery_status == "delivered"
    assert message.updated_at == message.created_at
    edited = await client.messages.update(sent.message.id, text="changed")
    assert edited.updated_at > edited.created_at
    more: Any = {"reply_to": {"message_id": sent.message.id}, "effect": {"name": "confetti", "type": "screen"}}
    reply = await client.chats.messages.send(chat_id, message=text("reply") | more)
    thread = [one.id async for one in client.messages.list_messages_thread(reply.message.id, order="asc")]
    assert thread == [sent.message.id, reply.message.id]
    added = await client.messages.add_reaction(sent.message.id, operation="add", type="love")
    assert added.status == "accepted"
    await client.messages.add_reaction(sent.message.id, operation="add", type="sticker", extra_body={"emoji": "🚀"})
    reactions = (await client.messages.retrieve(sent.message.id)).parts[0].reactions  # type: ignore[index]
    assert reactions is not None
    love, sticker = reactions
    assert (love.type, sticker.sticker is None) == ("love", False)
    await client.messages.update_sticker_placement(
        sticker.id or "", message_id=sent.message.id, placement={"x": 0.5, "y": 0.5}
    )
    await client.messages.delete(sent.message.id)
    with pytest.raises(linq.NotFoundError):
        await client.messages.retrieve(sent.message.id)


async def test_attachments_voice_memos_and_cards(client: AsyncLinqAPIV3) -> None:
    chat_id = (await client.chats.create(from_=LINE, to=[PERSON], message=text("hello"))).chat.id
    upload = await client.attachments.create(filename="a b.mp3", content_type="audio/mpeg", size_bytes=5)
    async with httpx.AsyncClient(timeout=PATIENCE_S) as plain:
        put = await plain.request(
            upload.http_method, upload.upload_url, content=b"12345", headers=upload.required_headers
        )
        assert put.status_code == 200
        assert (await plain.get(upload.download_url)).content == b"12345"
    assert (await client.attachments.retrieve(upload.attachment_id)).status == "complete"
    memo = await client.chats.send_voicememo(chat_id, attachment_id=upload.attachment_id)
    assert memo.voice_memo.voice_memo.filename == "a b.mp3"
    await client.attachments.delete(upload.attachment_id)
    with pytest.raises(linq.NotFoundError):
        await client.attachments.retrieve(upload.attachment_id)
    await client.chats.share_contact_card(chat_id)
    with pytest.raises(linq.RateLimitError):
        await client.chats.share_contact_card(chat_id)
    card = await client.contact_card.create(phone_number=LINE, first_name="Acme")
    assert card.is_active
    await client.contact_card.update(phone_number=LINE, last_name="Support")
    found = (await client.contact_card.retrieve(phone_number=LINE)).contact_cards
    assert [(one.first_name, one.last_name) for one in found] == [("Acme", "Support")]


async def test_the_official_client_lists_lines_and_finds_a_free_one(client: AsyncLinqAPIV3) -> None:
    lines = (await client.phone_numbers.list()).phone_numbers
    assert [line.phone_number for line in lines] == [LINE, "+12025550101"]
    updated = await client.phone_numbers.update(lines[0].id, forwarding_number=PERSON)
    assert updated.forwarding_number == PERSON
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert len((await client.phonenumbers.list()).phone_numbers) == 2
    await client.chats.create(from_="+12025550101", to=[PERSON], message=text("hello"))
    assert (await client.available_number.retrieve(to=[PERSON])).phone_number == "+12025550101"
    # This SDK joins lists by commas; Linq's documentation repeats the key. Both work.
    both = await client.available_number.retrieve(to=[PERSON, FRIEND], exclude_from=["+12025550101", "+12025550199"])
    assert both.phone_number == LINE


async def test_subscriptions_and_a_verified_delivery(client: AsyncLinqAPIV3, served: Emulator) -> None:
    bodies: list[tuple[bytes, dict[str, str]]] = []

    async def hook(request: Request) -> Response:
        bodies.append((await request.body(), dict(request.headers)))
        return Response()

    async with serve(Starlette(routes=[Route("/hook", hook, methods=["POST"])])) as url:
        catalogue = await client.webhook_events.list()
        made = await client.webhook_subscriptions.create(target_url=f"{url}/hook", subscribed_events=catalogue.events)
        assert (await client.webhook_subscriptions.retrieve(made.id)).is_active
        assert [one.id for one in (await client.webhook_subscriptions.list()).subscriptions] == [made.id]
        chat_id = served.do(Write(from_=PERSON, to=LINE, parts=[{"type": "text", "value": "héllo"}]))["chat_id"]
        await client.chats.messages.send(chat_id or "", message=text("yo"))
        await served.flush()
        events = []
        for body, headers in bodies:
            event = client.webhooks.unwrap(body.decode(), headers=headers, key=made.signing_secret)
            events.append(event.event_type)
            assert headers["webhook-id"] == event.event_id == json.loads(body)["event_id"]
        assert {"chat.created", "message.received", "message.sent", "message.delivered"} <= set(events)
        updated = await client.webhook_subscriptions.update(made.id, is_active=False, phone_numbers=[LINE])
        assert (updated.is_active, updated.phone_numbers) == (False, [LINE])
        await client.webhook_subscriptions.delete(made.id)
        assert (await client.webhook_subscriptions.list()).subscriptions == []


async def test_an_error_is_what_the_sdk_expects(client: AsyncLinqAPIV3, served: Emulator) -> None:
    with pytest.raises(linq.NotFoundError) as caught:
        await client.chats.retrieve("00000000-0000-4000-8000-000000000000")
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["code"] == 2001
    with pytest.raises(linq.AuthenticationError):
        await client.with_options(api_key="wrong").phone_numbers.list()


async def test_the_synchronous_client_works_in_its_thread(served: Emulator) -> None:
    def talk() -> list[str]:
        with LinqAPIV3(api_key="key", base_url=served.public_url, _strict_response_validation=True) as client:
            chat_id = client.chats.create(from_=LINE, to=[PERSON], message=text("one")).chat.id
            for number in range(3):
                client.chats.messages.send(chat_id, message=text(str(number)))
            client.chats.typing.start(chat_id)
            return [message.id for message in client.chats.messages.list(chat_id, limit=2)]

    assert len(await asyncio.to_thread(talk)) == 4


async def test_the_stream_begins_at_once_and_does_not_keep_the_server_from_stopping() -> None:
    emulator = Emulator()
    async with httpx.AsyncClient(timeout=PATIENCE_S) as plain, serve(create_app(emulator)) as url:
        stream = await plain.send(plain.build_request("GET", f"{url}/emulator/stream"), stream=True)
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        assert [await anext(lines) for _ in range(3)] == [": hello", "", "event: state"]
        say(emulator)
        names: list[str] = []
        while "event: message" not in names:
            names.append(await anext(lines))
        assert "event: chat" in names
        emulator.end_streams()
        async for _ in lines:
            pass


async def test_a_lost_answer_is_a_broken_connection_to_a_real_client(client: AsyncLinqAPIV3, served: Emulator) -> None:
    served.world.faults.add(Fault(on="api", match="POST /v3/chats", drop="answer"))
    with pytest.raises(linq.APIConnectionError):
        await client.chats.create(from_=LINE, to=[PERSON], message=text("lost"))
    assert len(served.state.messages) == 1
