"""Every method of the client: its request, its return value, and that the official client sends the same request."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, unquote

import httpx
import pytest
from client.calls import CALLS, CONTENT, KEY, Exchange, Scene, emulated
from client.http11_peers import CHAT, SENT, Script, answer, client_over
from linq import AsyncLinqAPIV3

from linqbot import Client, Effect, MessageContent, TextDecoration, TextPart
from linqbot.client.call import ApiResponse, Call, Run, prepare
from linqbot.client.resources.chats import Chats
from linqbot.client.resources.resource import ApiResource, Listing
from linqbot.errors import ConfigError, LinqApiError, LinqUnavailable, RuleBroken
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.types.line import CreatedWebhookSubscription

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecate:DeprecationWarning")


LINE, ANN = "+12052535597", "+12052532136"
OURS_ONLY = {"v2.list_chats"}


def seen(request: httpx.Request) -> tuple[str, str, list[tuple[str, str]], Any]:
    body = json.loads(request.content) if request.content else None
    path = request.url.raw_path.decode().partition("?")[0]
    return request.method, path, sorted(parse_qsl(request.url.query.decode())), body


async def test_a_method_sends_what_the_official_client_sends(
    exchanges: dict[str, Exchange], subtests: pytest.Subtests
) -> None:
    def listed(c: Any, s: Scene) -> Any:
        return c.chats.list_chats(cursor="20", limit=50, to="ann+b@example.com")

    def walked(c: Any, s: Scene) -> Any:
        return c.messages.list_messages_thread(s.sent, cursor="1")

    def by_url(c: Any, s: Scene) -> Any:
        return c.chats.send_voicememo(s.chat, voice_memo_url="https://example.com/memo.m4a")

    more = [("chats.list_chats", listed), ("messages.list_messages_thread", walked), ("chats.send_voicememo", by_url)]
    for name, call in [*((name, CALLS[name]) for name in sorted(CALLS.keys() - OURS_ONLY)), *more]:
        with subtests.test(name=name):
            there, status, body = exchanges[name]
            ours, theirs = Script(answer(status, body)), Script(answer(status, body))
            async with client_over(ours) as client:
                await call(client, there)
            async with httpx.AsyncClient(transport=httpx.MockTransport(theirs)) as http:
                await call(AsyncLinqAPIV3(api_key=KEY, http_client=http), there)

            (request,), (wanted,) = ours.requests, theirs.requests
            method, path, query, body = seen(request)
            # The official client does not escape +.
            assert (method, unquote(path), query, body) == seen(wanted)
            assert method == ENDPOINTS[name].method
            assert request.url.host == "api.linqapp.com"
            assert request.headers["authorization"] == wanted.headers["authorization"] == f"Bearer {KEY}"
            assert request.headers["user-agent"].startswith("linqbot")
            key = request.headers.get("idempotency-key")
            assert key if name == "payments.create" else key == wanted.headers.get("idempotency-key")
            assert body is None or request.headers["content-type"] == "application/json"


async def test_the_official_client_accepts_every_answer_of_the_emulator(subtests: pytest.Subtests) -> None:
    async with emulated() as linq:
        http, url = httpx.AsyncClient(transport=linq), linq.emulator.public_url
        async with AsyncLinqAPIV3(
            api_key=KEY, base_url=url, http_client=http, max_retries=0, _strict_response_validation=True
        ) as client:
            for name in sorted(CALLS.keys() - OURS_ONLY):
                with subtests.test(name=name):
                    await linq.made(name, client)
                    assert linq.last.is_success


def settled(value: Any) -> Any:
    """Return JSON without values that Linq treats as absent, and with times in one form."""
    if isinstance(value, dict):
        settled_values = {name: settled(each) for name, each in value.items()}
        return {name: each for name, each in settled_values.items() if each not in (None, [])}
    if isinstance(value, list):
        return [settled(each) for each in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*", value):
        return datetime.fromisoformat(value)
    return value


async def test_an_answer_becomes_the_type_that_a_method_names_and_survives_being_written_again(
    exchanges: dict[str, Exchange], subtests: pytest.Subtests
) -> None:
    for name, (there, status, body) in exchanges.items():
        with subtests.test(name=name):
            async with client_over(Script(answer(status, body))) as client:
                method = attrgetter(name)(client)
                result = await CALLS[name](client, there)
            kind = get_type_hints(method)["return"]
            if get_origin(kind) is Listing:
                items = next(each for each in body.values() if isinstance(each, list))
                assert {type(item) for item in result} == set(get_args(kind))
                assert settled([item.to_json_object() for item in result]) == settled(items)
            else:
                assert type(result) is kind
                assert body is None or settled(result.to_json_object()) == settled(body)


def methods(holder: Any, path: str = "") -> Iterator[str]:
    """Return every method of a client or a resource, as `noun.verb`; properties lead to further resources."""
    for name, member in inspect.getmembers(type(holder), lambda member: not isinstance(member, type)):
        if name.startswith("_"):
            continue
        if isinstance(member, property) and isinstance(noun := getattr(holder, name), ApiResource):
            yield from methods(noun, f"{path}{name}.")
        elif callable(member) and isinstance(holder, ApiResource):
            yield f"{path}{name}"


def test_every_method_stands_in_the_table_and_every_endpoint_has_a_method() -> None:
    # `upload` is `create` and a PUT elsewhere, `leave` is an alias of `leave_chat`.
    written = set(methods(client_over(Script(answer())))) - {"attachments.upload", "chats.leave"}
    assert not written ^ ENDPOINTS.keys(), "Each is a row of linq/endpoints.py, and a method in client/resources."
    assert not CALLS.keys() ^ ENDPOINTS.keys(), "Each is called in tests/client/calls.py."
    assert Chats.leave is Chats.leave_chat


async def test_v2_asks_with_its_own_header_and_numbers_its_pages() -> None:
    chat = {"id": 45, "display_name": "Ann", "service": "iMessage", "group": False, "message_count": 25}
    handle = {"id": 123, "phone_number": "ann@example.com", "service": "iMessage", "joined_at": "2025-05-21T20:30:00Z"}
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


async def test_a_key_whose_file_has_changed_is_read_again_when_linq_refuses_it(tmp_path: Path) -> None:
    file, valid, asked = tmp_path / "key", "new-token", []

    def linq(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["authorization"].removeprefix("Bearer "))
        return httpx.Response(200 if asked[-1] == valid else 401, json={"phone_numbers": []})

    async with client_over(linq, api_key_file=file, max_retries=0) as client:
        for content in (None, "", "two words", KEY):
            if content is not None:
                file.write_text(content)
            with pytest.raises(LinqApiError) as caught:
                await client.phone_numbers.list()
            assert caught.value.status == 401
        assert asked == [KEY] * 4
        file.write_text(f"{valid}\n")
        await asyncio.gather(*(client.phone_numbers.list() for _ in range(3)))
        await client.phone_numbers.list()
        assert asked.count(valid) == 4


async def test_typed_content_goes_out_as_linq_writes_it() -> None:
    linq = Script(answer(202, SENT))
    bold = TextPart(value="Hello!", text_decorations=(TextDecoration(range=(0, 5), style="bold"),))
    content = MessageContent(parts=(bold,), effect=Effect.named("confetti"), idempotency_key="key-1")
    async with client_over(linq) as client:
        await client.chats.messages.send(CHAT, message=content)
        await client.chats.messages.send(CHAT, message={**CONTENT, "parts": [bold]})
    assert [json.loads(request.content) for request in linq.requests] == [{"message": CONTENT}] * 2


@pytest.mark.parametrize("given", ["argument", "message", "neither"])
async def test_a_message_to_people_carries_one_key_in_both_places(given: str) -> None:
    linq = Script(answer(202, SENT))
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
        assert not asked, "nothing is requested before the first iteration"
        assert [chat.id async for chat in listing] == ["a", "b", "c"]
        assert [page.next_cursor async for page in listing.pages()] == ["2", "3", None]
        assert [page.items[0].id async for page in client.chats.list_chats(cursor="3").pages()] == ["c"]
    assert asked[:3] == [{"from": LINE, "limit": "1", **({"cursor": c} if c else {})} for c in (None, "2", "3")]


async def test_a_list_that_runs_in_a_circle_is_an_error_and_not_an_endless_walk() -> None:
    async with client_over(Script(answer(200, {"messages": [], "next_cursor": "1"}))) as client:
        with pytest.raises(LinqApiError, match="before"):
            _ = [message async for message in client.chats.messages.list(CHAT)]


def noting(calls: list[str], name: str) -> Callable[[Run], Run]:
    """Return a wrapping that notes the name of each call behind its own name."""

    def wrap(run: Run) -> Run:
        async def noted(call: Call) -> ApiResponse:
            calls.append(f"{name} {call.name}")
            return await run(call)

        return noted

    return wrap


async def test_a_broken_rule_is_raised_before_anything_is_sent_or_wrapped() -> None:
    linq, wrapped = Script(answer()), list[str]()
    two = [{"type": "text", "value": "a"}, {"type": "text", "value": "b"}]
    async with client_over(linq) as client:
        with pytest.raises(RuleBroken) as caught:
            await client.wrapped(noting(wrapped, "wrapped")).chats.messages.send(CHAT, message={"parts": two})
    assert (caught.value.rule, caught.value.status, caught.value.code) == ("R22", 400, 1004)
    assert not linq.requests
    assert not wrapped


@pytest.mark.parametrize("value", [float("inf"), object()])
async def test_what_cannot_be_json_is_a_broken_rule(value: Any) -> None:
    async with client_over(Script(answer())) as client:
        with pytest.raises(RuleBroken) as caught:
            await client.chats.messages.send(CHAT, message={"parts": [{"type": "text", "value": value}]})
    assert caught.value.rule == "R2"


async def test_half_characters_of_a_call_are_repaired_in_texts_and_refused_in_keys_and_ids() -> None:
    linq = Script(answer(202, SENT))
    half, part = (
        "half \ud83d and \ud83d\ude00",
        {"type": "text", "text_decorations": [{"range": [0, 4], "style": "bold"}]},
    )
    async with client_over(linq) as client:
        await client.chats.messages.send(CHAT, message={"parts": [{**part, "value": half}]})
        await client.chats.messages.send(CHAT, message=MessageContent(parts=(TextPart(value=half),)))
        for key in ("\ud83d", "\ud83d\ude00"):
            message = {**CONTENT, "idempotency_key": key}
            for call in (
                client.messages.create(to=[ANN], message=CONTENT, idempotency_key=key),
                client.messages.create(to=[ANN], message=message),
                client.messages.create(to=[ANN], message=MessageContent.model_validate(message)),
            ):
                with pytest.raises(RuleBroken, match=r"R4: idempotency_key has half of a character"):
                    await call
        with pytest.raises(RuleBroken, match="R5"):
            await client.attachments.retrieve("\ud83d")
    sent = [json.loads(request.content)["message"]["parts"][0]["value"] for request in linq.requests]
    assert sent == ["half \ufffd and 😀"] * 2


async def test_one_handle_is_not_taken_for_a_list_of_letters() -> None:
    async with client_over(Script(answer())) as client:
        with pytest.raises(RuleBroken, match="to must be a list"):
            await client.chats.create(from_=LINE, to=ANN, message=CONTENT)


@pytest.mark.parametrize("key", ["", 5])
async def test_a_key_that_identifies_nothing_is_refused_and_nothing_is_sent(key: Any) -> None:
    script = Script()
    async with client_over(script) as client:
        for call in (
            client.payments.create(amount_cents=100, currency="usd", handle=ANN, idempotency_key=key),
            client.payment_requests.create(amount=500, payer_handle=ANN, idempotency_key=key),
            client.messages.create(to=[ANN], message=CONTENT, idempotency_key=key),
        ):
            with pytest.raises(RuleBroken, match="R4: idempotency_key must be a string that is not empty"):
                await call
    assert script.requests == []


async def test_a_call_that_a_close_cuts_off_says_that_linq_may_have_made_it() -> None:
    async def cut_off(request: httpx.Request) -> httpx.Response:
        await client.aclose()
        raise httpx.ReadError("the connection was closed")

    client = client_over(cut_off)
    with pytest.raises(LinqUnavailable) as caught:
        await client.chats.messages.send(CHAT, message=CONTENT)
    assert caught.value.is_unsent is False


async def test_wrappings_stand_around_every_call_the_newest_outermost() -> None:
    linq = Script(answer(200, {"id": CHAT}))
    order: list[str] = []
    async with client_over(linq) as client:
        inner = client.wrapped(noting(order, "journal"))
        outer = inner.wrapped(noting(order, "middleware"))
        await outer.chats.retrieve(CHAT)
        await outer.run(prepare("chats.typing.stop", path={"chat_id": CHAT}))
        await client.chats.retrieve(CHAT)
        await outer.aclose()
        await client.chats.retrieve(CHAT)

    journal_and_middleware = ["middleware chats.retrieve", "journal chats.retrieve"]
    assert order == [*journal_and_middleware, "middleware chats.typing.stop", "journal chats.typing.stop"]
    assert len(linq.requests) == 4


async def test_a_fetch_can_be_refused_also_after_a_further_wrapping() -> None:
    asked: list[str] = []

    def refuse() -> None:
        asked.append("first")
        raise PermissionError

    async with client_over(Script(answer(200))) as client:
        guarded = client.wrapped(lambda run: run, before_fetch=refuse)
        outer = guarded.wrapped(lambda run: run, before_fetch=lambda: asked.append("second")).wrapped(lambda run: run)
        for each in (guarded, outer):
            with pytest.raises(PermissionError):
                await each.fetch("https://media.example/x")
            with pytest.raises(PermissionError):
                await each.fetch_to("https://media.example/x", "never-written")
    assert asked == ["first", "first", "second", "first", "second", "first"]


async def test_an_answer_that_cannot_be_read_says_so_and_that_linq_accepted() -> None:
    async with client_over(Script(answer(201, {"id": "pr_1", "description": "secret words"}))) as client:
        with pytest.raises(LinqApiError) as caught:
            await client.payment_requests.create(amount=500, currency="usd")
    assert type(caught.value) is LinqApiError
    assert caught.value.status == 201
    assert "checkout_url" in str(caught.value)
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
    client = client_over(Script(answer()), base_url="http://127.0.0.1:4010/")
    assert repr(client) == "Client(base_url='http://127.0.0.1:4010')"
    for thing in (client, client.run, client.chats, client.wrapped(lambda run: run)):
        assert KEY not in repr(thing) + str(thing)
    made = CreatedWebhookSubscription(id="1", target_url="https://bot.example", signing_secret="whsec_x")
    assert "whsec_x" not in repr(made)


async def test_payment_requests_are_walked_by_offset(exchanges: dict[str, Exchange]) -> None:
    created, asked = exchanges["payment_requests.create"].answer, list[dict[str, str]]()

    def linq(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        begin = int(request.url.params.get("offset", 0))
        data = [created | {"id": f"pr_{at}"} for at in range(begin, min(begin + 2, 5))]
        return httpx.Response(200, json={"object": "list", "data": data, "has_more": begin + 2 < 5})

    async with client_over(linq) as client:
        found = [one.id async for one in client.payment_requests.list(limit=2, status="requested")]
        assert [one.id async for one in client.payment_requests.list(limit=2, offset=3)] == ["pr_3", "pr_4"]
        assert (await client.payment_requests.list(offset=4))[0].id == "pr_4"

    assert found == [f"pr_{at}" for at in range(5)]
    assert asked[:3] == [
        {"limit": "2", "status": "requested", **more} for more in ({}, {"offset": "2"}, {"offset": "4"})
    ]


async def test_lists_in_a_query_repeat_their_key() -> None:
    linq = Script(answer(200, {"phone_number": LINE, "vcf_url": "u"}))
    async with client_over(linq) as client:
        await client.available_number.retrieve(to=[ANN, "ann@example.com"], exclude_from=(LINE,))
        with pytest.raises(RuleBroken, match="R16"):
            await client.available_number.retrieve(exclude_from=["5597"])
        with pytest.raises(RuleBroken, match="R8"):
            await client.available_number.retrieve(to=["Ann"])
    assert linq.requests[0].url.query == b"exclude_from=%2B12052535597&to=%2B12052532136&to=ann%40example.com"


async def test_a_line_stops_forwarding_by_none() -> None:
    linq = Script(answer(200, {"id": CHAT, "phone_number": LINE, "forwarding_number": None}))
    async with client_over(linq) as client:
        assert (await client.phone_numbers.update(CHAT, forwarding_number=None)).forwarding_number is None
    assert json.loads(linq.requests[0].content) == {"forwarding_number": ""}


async def test_locations_are_asked_for_as_geojson(exchanges: dict[str, Exchange]) -> None:
    linq = Script(answer(200, exchanges["chats.location.retrieve"].answer))
    async with client_over(linq) as client:
        (feature,) = (await client.chats.location.retrieve(CHAT)).data.features
    assert (feature.geometry.latitude, feature.geometry.longitude) == (52.5, 13.4)
    assert linq.requests[0].headers["accept"] == "application/geo+json"
