"""`extra_body`: each method of the client sends fields that linqbot does not know, and the journal knows them again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from client.calls import CALLS, CONTENT, KEY, Linq, emulated
from linqbot_dev.emulator.emulator import Emulator

from linqbot import Bot, Client, Context, MessageReceived, RuleBroken
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.testing import Phone, killed_between_calls

CHAT = "550e8400-e29b-41d4-a716-446655440000"
EXTRA: Mapping[str, Any] = {"novel_field": "x", "novel_list": ["a", "b"], "novel_flag": True}


class WithExtra:
    """The client, or a resource of it, whose methods are all called with `EXTRA`."""

    def __init__(self, holder: Any) -> None:
        self._holder = holder

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._holder, name)
        if callable(member):
            return lambda *args, **how: member(*args, **how, extra_body=EXTRA)
        return WithExtra(member)


class Wire(Linq):
    """A transport that keeps the newest request."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.request = httpx.Request("GET", "http://none")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.request = request
        return await super().handle_async_request(request)


@pytest.mark.filterwarnings("ignore:Linq deprecates:DeprecationWarning")
async def test_the_fields_of_each_call_arrive_at_linq(subtests: pytest.Subtests) -> None:
    async with emulated() as linq:
        wire = Wire(linq.emulator)
        async with wire.client() as client:
            for name in CALLS:
                with subtests.test(name=name):
                    await wire.made(name, WithExtra(client))
                    request, endpoint = wire.request, ENDPOINTS[name]
                    assert request.method == endpoint.method
                    if request.method == "GET":
                        query = parse_qs(request.url.query.decode())
                        assert query["novel_list"] == ["a", "b"]
                        assert (query["novel_field"], query["novel_flag"]) == (["x"], ["true"])
                        assert request.content == b""
                    else:
                        assert EXTRA.items() <= json.loads(request.content).items()


def test_each_method_shows_the_keyword_to_editors_and_type_checkers(subtests: pytest.Subtests) -> None:
    client = Client(KEY)
    for name in (*ENDPOINTS, "attachments.upload", "chats.leave"):
        with subtests.test(name=name):
            parameter = inspect.signature(attrgetter(name)(client)).parameters["extra_body"]
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            assert parameter.default is None


async def test_an_upload_announces_its_file_with_the_fields() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(400, json={"error": {"code": 1005, "message": "no"}})

    async with Client(KEY, transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(Exception, match="no"):
            await client.attachments.upload(b"x", filename="a.png", extra_body={"novel_field": "x"})
    assert json.loads(seen[0])["novel_field"] == "x"


async def sent(**how: Any) -> Any:
    """Return the body of a message that is sent with these arguments."""
    seen: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return httpx.Response(202, json={"chat_id": CHAT, "message": {"id": "m"}})

    async with Client(KEY, transport=httpx.MockTransport(answer)) as client:
        await client.chats.messages.send(CHAT, message=how.pop("message", CONTENT), **how)
    return seen[0]


async def test_a_field_replaces_the_methods_own_as_in_the_official_client_and_null_is_sent() -> None:
    body = await sent(override_optout=False, extra_body={"override_optout": True, "expires_at": None})
    assert (body["override_optout"], body["expires_at"]) == (True, None)
    other = {"parts": [{"type": "hologram", "value": 1}]}
    assert (await sent(extra_body={"message": other}))["message"]["parts"] == other["parts"]
    at = datetime(2026, 12, 1, tzinfo=UTC)
    assert (await sent(extra_body={"at": at}))["at"] == "2026-12-01T00:00:00Z"


async def test_a_misspelt_name_is_sent_if_it_is_given_there() -> None:
    with pytest.raises(RuleBroken, match="Did you mean confetti"):
        await sent(message={**CONTENT, "effect": {"name": "confeti"}})
    body = await sent(extra_body={"message": {**CONTENT, "effect": {"name": "confeti"}}})
    assert body["message"]["effect"] == {"name": "confeti"}


async def test_half_a_character_is_repaired_in_it() -> None:
    assert (await sent(extra_body={"x": "\ud83c"}))["x"] == "\ufffd"


async def test_what_is_no_json_is_refused_and_not_sent(subtests: pytest.Subtests) -> None:
    rows: list[tuple[Any, str]] = [
        ({"x": object()}, "extra_body cannot be written as JSON"),
        ({"x": float("nan")}, "extra_body cannot be written as JSON"),
        ([("x", 1)], "extra_body is no JSON object"),
        ("x", "extra_body is no JSON object"),
        ({1: "x"}, "extra_body is no JSON object"),
        ({"message": "hi"}, "extra_body replaces message, which is an object"),
        ({"message": None}, "extra_body replaces message, which is an object"),
    ]
    for extra, said in rows:
        with subtests.test(extra=repr(extra)), pytest.raises(RuleBroken, match=said):
            await sent(extra_body=extra)
    async with Client(KEY) as client:
        for value in ({"a": 1}, [None]):
            with subtests.test(value=value), pytest.raises(RuleBroken, match="this call is a GET"):
                await client.chats.retrieve(CHAT, extra_body={"expand": value})


async def test_a_call_with_such_fields_is_made_once_after_every_crash() -> None:
    bot = Bot(read=False, typing=False)

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        said: Any = {"parts": [{"type": "text", "value": "Hello"}]}
        assert message.chat_id is not None
        await ctx.client.chats.messages.send(message.chat_id, message=said, extra_body={"novel_field": [1]})
        await ctx.client.messages.add_reaction(
            message.id, operation="add", type="like", extra_body={"novel_field": {"a": None}}
        )

    async def scenario(phone: Phone) -> None:
        await phone.text("hi")
        await phone.quiet()

    async for phone in killed_between_calls(bot, scenario):
        made = [(call.name, call.body["novel_field"]) for call in phone.calls if call.body and call.method == "POST"]
        assert set(map(str, made)) == {
            "('chats.messages.send', [1])",
            "('messages.add_reaction', {'a': None})",
        }
        assert await phone.replies() == ["Hello"]
