"""An httpx transport in place of the network: it receives the same requests, and its failures have the same meaning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import pytest
from client.http11_peers import CHAT, Script, Waits, client_at, plain, served
from client.test_sender import unused_port

from linqbot.client.http.addresses import Origin
from linqbot.client.http.http11 import MAX_CONTENT_BYTES, MalformedResponse, Request, RequestHeaders, TransportError
from linqbot.client.http.httpx_adapter import HttpxAdapter
from linqbot.errors import LinqUnavailable

LINQ = Origin("https", "api.linqapp.com", 443)


async def pieces() -> AsyncGenerator[bytes, None]:
    yield b"ab"
    yield b"c"


async def test_a_transport_gets_what_the_network_would() -> None:
    seen: list[httpx.Request] = []

    def linq(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json={"a": 1}, headers={"X-A": "b"})

    wire = HttpxAdapter(httpx.MockTransport(linq), connect_timeout_s=7)
    fields = RequestHeaders({"Host": LINQ.authority, "X-A": "b"})
    request = Request("PUT", LINQ, "/v3/x?a=%2B1", fields, pieces(), 3)
    answer = await wire.send(request)

    assert (answer.status, answer.content, answer.headers["x-a"]) == (202, b'{"a":1}', "b")
    assert request.is_sent
    assert str(seen[0].url) == "https://api.linqapp.com/v3/x?a=%2B1"
    assert seen[0].content == b"abc"
    fields_seen = seen[0].headers.multi_items()
    assert fields_seen == [("host", "api.linqapp.com"), ("x-a", "b"), ("content-length", "3")]
    assert seen[0].extensions["timeout"]["connect"] == 7
    await wire.aclose()


async def test_an_answer_larger_than_the_limit_is_none() -> None:
    answer = httpx.Response(200, stream=httpx.ByteStream(bytes(MAX_CONTENT_BYTES + 1)))
    wire = HttpxAdapter(httpx.MockTransport(lambda _: answer), connect_timeout_s=5)
    with pytest.raises(MalformedResponse, match="is larger than"):
        await wire.send(Request("GET", LINQ, "/", RequestHeaders({})))


async def test_a_request_that_was_certainly_not_sent_is_marked(subtests: pytest.Subtests) -> None:
    unsent: list[Exception] = [httpx.ConnectError("x"), httpx.ConnectTimeout("x")]
    others: list[Exception] = [httpx.ReadError("x"), httpx.WriteError("x"), OSError("x"), RuntimeError("x")]
    for error in [*unsent, *others]:
        with subtests.test(error=error):
            request = Request("GET", LINQ, "/", RequestHeaders({}))
            with pytest.raises((TransportError, RuntimeError)) as caught:
                await HttpxAdapter(httpx.MockTransport(Script(error)), connect_timeout_s=5).send(request)
            assert error in (caught.value, caught.value.__cause__)
            assert request.is_sent is (error in others)


def closed_with(error: Exception) -> HttpxAdapter:
    """Return an adapter for a transport whose responses raise an error when they are closed."""

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"abc"

        async def aclose(self) -> None:
            raise error

    return HttpxAdapter(httpx.MockTransport(lambda _: httpx.Response(200, stream=Body())), connect_timeout_s=5)


async def test_an_error_while_a_response_is_closed_is_ours_and_hides_no_earlier_one(subtests: pytest.Subtests) -> None:
    for error in (httpx.ReadError("x"), httpx.StreamClosed(), OSError("x")):
        with subtests.test(error=error):
            request = Request("GET", LINQ, "/", RequestHeaders({}))
            with pytest.raises(TransportError) as caught:
                await closed_with(error).send(request)
            assert caught.value.__cause__ is error
            assert request.is_sent
            with pytest.raises(asyncio.CancelledError):
                async with closed_with(error).stream(request):
                    raise asyncio.CancelledError


async def test_httpxs_own_transport_tells_refused_from_lost_connections() -> None:
    clock = Waits()
    refused = client_at(await unused_port(), transport=httpx.AsyncHTTPTransport(), clock=clock)
    async with refused:
        with pytest.raises(LinqUnavailable):
            await refused.chats.send_voicememo(CHAT, attachment_id=CHAT)
        assert len(clock.waited) == 2

    async with served() as server, client_at(server.port, transport=httpx.AsyncHTTPTransport()) as client:
        server.answers = [plain(200, {"id": CHAT})]
        assert (await client.chats.retrieve(CHAT)).id == CHAT
        server.answers = [None, None]
        with pytest.raises(LinqUnavailable, match="RemoteProtocolError"):
            await client.chats.send_voicememo(CHAT, attachment_id=CHAT)
        assert len(server.bodies) == 2, "it may have been heard"
