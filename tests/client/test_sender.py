"""The sender: retries over a fake transport, and real sockets for behaviour that only sockets show."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from functools import partial
from typing import Any

import httpx
import pytest
from client.http11_peers import CHAT, KEY, SENT, Script, Waits, answer, client_at, client_over, plain, served
from pydantic_core import from_json

from linqbot import Client, LinqApiError, LinqUnavailable, RateLimited
from linqbot.client.call import prepare
from linqbot.client.http.pool import Pool

CONTENT = {"parts": [{"type": "text", "value": "hello there"}]}
LINQS = {"success": False, "error": {"code": 1005, "message": "m"}, "trace_id": "ab12"}
BODIES: list[Any] = [LINQS, None, b"<title>Please log in</title>", []]
GONE = answer(404, {**LINQS, "error": {"code": 2002, "message": "m"}})


# --- retries --------------------------------------------------------------------------------------------------------


async def test_a_send_is_repeated_under_one_key_until_linq_answers() -> None:
    script = Script(answer(500), answer(429, retry_after="7"), httpx.ReadError("gone"), answer(202, SENT))
    waits = Waits()
    async with client_over(script, max_retries=3, clock=waits) as client:
        sent = await client.chats.messages.send(CHAT, message=CONTENT)
        await client.chats.messages.send(CHAT, message=CONTENT)

    assert sent.chat_id == CHAT
    *keys, of_the_next = [json.loads(request.content)["message"]["idempotency_key"] for request in script.requests]
    assert len(keys) == 4
    assert len({*keys, of_the_next}) == 2
    first, second, third = waits.waited
    assert 0.375 <= first <= 0.5
    assert second == 7.0
    assert 1.5 <= third <= 2.0


async def test_after_the_last_repetition_the_error_is_ours(subtests: pytest.Subtests) -> None:
    rows: list[tuple[Any, type, int]] = [
        *((answer(status, body), LinqUnavailable, 3) for status in (408, 500, 503) for body in BODIES),
        *((answer(401, body), LinqApiError, 1) for body in BODIES),
        *((answer(429, body), RateLimited, 3) for body in BODIES),
        (answer(429, {"error": {"code": 1007, "message": "m", "retry_after": 3}}), RateLimited, 3),
        (answer(429, retry_after="3600"), RateLimited, 1),
        (answer(404, LINQS), LinqApiError, 1),
        (answer(404), LinqUnavailable, 3),
        (httpx.ConnectError("refused"), LinqUnavailable, 3),
        (httpx.ConnectTimeout("slow"), LinqUnavailable, 3),
        (httpx.ReadTimeout("slow"), LinqUnavailable, 3),
        (httpx.RemoteProtocolError("nonsense"), LinqUnavailable, 3),
        (httpx.StreamClosed(), LinqUnavailable, 3),
        (OSError("no route"), LinqUnavailable, 3),
        (TimeoutError(), LinqUnavailable, 3),
    ]
    for step, kind, requests in rows:
        with subtests.test(step=step):
            script, waits = Script(step), Waits()
            async with client_over(script, clock=waits) as client:
                with pytest.raises(LinqApiError) as caught:
                    await client.chats.retrieve(CHAT)
            assert type(caught.value) is kind
            assert caught.value.call == "chats.retrieve"
            assert isinstance(step, Exception) or caught.value.status == step.status_code
            assert (len(script.requests), len(waits.waited)) == (requests, requests - 1)
            if isinstance(step, Exception):
                assert caught.value.status is None
                assert type(step).__name__ in str(caught.value)


@pytest.mark.parametrize("lost", [answer(502), httpx.ReadError("gone")])
async def test_a_deletion_whose_answer_was_lost_was_made_if_nothing_is_left_to_delete(lost: Any) -> None:
    async with client_over(Script(lost, GONE)) as client:
        await client.messages.delete(CHAT)
    async with client_over(Script(answer(429), GONE)) as client:
        with pytest.raises(LinqApiError, match="404"):
            await client.messages.delete(CHAT)


async def test_only_a_deletion_counts_as_made_if_its_repetition_finds_nothing() -> None:
    async with client_over(Script(answer(502), GONE, answer(502), GONE)) as client:
        with pytest.raises(LinqApiError, match="404"):
            await client.chats.background.set(CHAT, type="color", variant="ice")
        with pytest.raises(LinqApiError, match="404"):
            await client.chats.messages.send(CHAT, message={"parts": [{"type": "text", "value": "hi"}]})


async def test_half_an_emoji_in_an_answer_costs_one_character() -> None:
    halved = httpx.Response(202, content=b'{"chat_id": "c", "message": {"id": "m", "to": "\\ud83d"}}')
    async with client_over(Script(halved)) as client:
        call = prepare("chats.messages.send", path={"chat_id": CHAT}, body={"message": CONTENT})
        answered = await client.run(call)
    assert answered.data["message"] == {"id": "m", "to": "\ufffd"}
    assert from_json(answered.to_json()) == answered.data


async def test_an_attempt_that_takes_too_long_is_ended() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with client_over(never, timeout_s=0.01, max_retries=1, clock=Waits()) as client:
        with pytest.raises(
            LinqUnavailable, match=r"no complete response from https://api\.linqapp\.com/ within 0\.01 s"
        ):
            await client.chats.retrieve(CHAT)


@pytest.mark.parametrize(
    "step", [answer(401, {"error": {"code": 2004, "message": f"bad token {KEY}"}}), httpx.ReadError(KEY)]
)
async def test_no_secret_or_text_is_in_an_error_or_in_the_log(step: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_over(Script(step)) as client:
        with pytest.raises(LinqApiError) as caught:
            await client.chats.messages.send(CHAT, message=CONTENT)
    shown = str(caught.value) + repr(caught.value) + str(vars(caught.value)) + caplog.text
    assert KEY not in shown
    assert "hello there" not in shown


# --- real sockets ---------------------------------------------------------------------------------------------------


async def unused_port() -> int:
    listening = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    return port


async def test_a_call_that_meets_a_connection_just_closed_is_repeated_at_once_if_it_may_be() -> None:
    clock = Waits()
    async with served() as server, client_at(server.port, clock=clock) as client:
        await client.chats.retrieve(CHAT)
        server.answers = [None, plain(202, SENT)]
        await client.chats.messages.send(CHAT, message=CONTENT)
        assert server.bodies[1] == server.bodies[2]
        assert clock.waited == [0.0]

        server.answers = [None]
        with pytest.raises(LinqUnavailable, match="ServerDisconnectedError") as caught:
            await client.chats.send_voicememo(CHAT, attachment_id=CHAT)
        assert len(server.bodies) == 4, "the memo may have been heard"
        assert not caught.value.is_unsent


async def test_a_call_that_must_happen_once_is_not_sent_over_a_kept_connection() -> None:
    async with served() as server, client_at(server.port) as client:
        for number in range(1, 20):
            await client.chats.retrieve(CHAT)
            # Closed by the server, which the client does not know yet.
            server.peers[-1].writer.close()
            server.answers = [plain(202, {"success": True})]
            assert (await client.chats.location.request(CHAT)).success is True
            assert len(server.peers) >= number
        assert len(server.bodies) == 38, "none was sent twice"


async def test_a_call_that_got_no_connection_was_not_sent_and_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linqbot.client.sender.Pool", partial(Pool, max_connections=0))
    clock = Waits()
    async with served() as server, client_at(server.port, timeout_s=0.05, max_retries=2, clock=clock) as client:
        with pytest.raises(LinqUnavailable, match=r"no complete response from http://127\.0\.0\.1:\d+/ within 0\.05 s"):
            await client.chats.send_voicememo(CHAT, attachment_id=CHAT)
        assert len(clock.waited) == 2
        assert server.peers == []


@pytest.mark.process
def test_httpx_is_not_imported_by_a_client_that_calls_and_fetches_over_the_network() -> None:
    code = """
import asyncio, sys
from linqbot.client.client import Client
from linqbot.errors import FetchFailed, LinqUnavailable

async def call():
    async with Client("key", base_url="http://127.0.0.1:1", max_retries=0) as client:
        for attempt, failure in (
            (client.chats.retrieve("550e8400-e29b-41d4-a716-446655440000"), LinqUnavailable),
            (client.fetch("http://127.0.0.1:1/x"), FetchFailed),
        ):
            try:
                await attempt
            except failure as error:
                assert "ConnectionRefusedError" in str(error), error
            else:
                raise AssertionError

asyncio.run(call())
assert not {"httpx", "httpcore", "anyio"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_refused_connection_is_tried_again_even_for_what_must_happen_once() -> None:
    clock = Waits()
    async with client_at(await unused_port(), clock=clock) as client:
        with pytest.raises(
            LinqUnavailable, match=r"no response from http://127\.0\.0\.1:\d+/ \(ConnectionRefusedError\)"
        ) as caught:
            await client.chats.send_voicememo(CHAT, attachment_id=CHAT)
    assert len(clock.waited) == 2
    assert caught.value.is_unsent


async def test_the_bearer_goes_to_no_other_origin() -> None:
    async with served() as server, served() as other, client_at(server.port) as client:
        server.answers = [plain(307, None, f"Location: http://127.0.0.1:{other.port}/v3/chats/{CHAT}")] * 3
        with pytest.raises(LinqUnavailable) as caught:
            await client.chats.retrieve(CHAT)
        assert caught.value.status == 307
        assert other.peers == []


async def test_the_environments_proxy_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as proxy, served() as server:
        monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        async with Client(KEY, base_url="http://linq.test/api/partner") as client:
            await client.chats.retrieve(CHAT)
        assert proxy.heads[0].startswith(f"GET http://linq.test/api/partner/v3/chats/{CHAT} ")
        assert proxy.header("proxy-authorization") == "Basic dXNlcjp3b3Jk"

        async with client_at(server.port) as client:
            await client.chats.retrieve(CHAT)
        assert (len(proxy.heads), len(server.heads)) == (1, 1)


def test_a_client_made_outside_a_loop_works_inside_one_and_says_no_in_another() -> None:
    port = asyncio.run(unused_port())
    client = client_at(port)

    async def use() -> str:
        async with served(port=port):
            return (await client.chats.retrieve(CHAT)).id

    async def both() -> str:
        async with client:
            return await use()

    assert asyncio.run(both()) == CHAT

    client = client_at(port)

    async def leave() -> None:
        async with served(port=port) as server:
            server.answers = [plain(200, {"id": CHAT}, "Connection: close")]  # no open connection outlives the loop
            await client.chats.retrieve(CHAT)
            await asyncio.sleep(0)

    asyncio.run(leave())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(use())
