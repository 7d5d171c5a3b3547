"""Why a webhook was not delivered, in words: on the page and in the log."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from emulator.conftest import Api, Receiver, arrives, say
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.engine import deliveries, webhook
from linqbot.errors import ConfigError


async def attempt_of(url: str) -> tuple[int | None, str | None]:
    """Deliver one message to `url`; return the status of the attempt, and why it failed."""
    async with Emulator() as emulator:
        emulator.subscribe(url, ["message.received"])
        say(emulator, "secret words")
        await emulator.world.deliveries.settled()
        attempt = emulator.world.deliveries.history[0].attempts[0]
        return attempt.status, attempt.reason


@asynccontextmanager
async def listening(answer: bytes | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen on a port: answer each request with these bytes, or with silence for None. Yield the port."""
    silent: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100_000)
        if answer is None:
            silent.append(writer)
            return
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in silent:
            writer.close()
        server.close()
        await server.wait_closed()


async def test_a_refused_connection_names_the_address_without_its_path() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    status, reason = await attempt_of(f"http://127.0.0.1:{port}/hook?token=hidden")
    assert (status, reason) == (None, f"Connection refused: nothing listens at http://127.0.0.1:{port}.")


async def test_a_name_that_does_not_exist_is_said() -> None:
    assert await attempt_of("https://bot.invalid/hook") == (None, "The name bot.invalid was not found.")


async def test_a_receiver_that_is_silent_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "RECEIVER_TIMEOUT_S", 0.2)
    async with listening() as port:
        assert await attempt_of(f"http://127.0.0.1:{port}") == (None, "Timed out: no answer came within 0.2 s.")


async def test_a_receiver_that_hangs_up_is_said() -> None:
    async with listening(b"") as port:
        status, reason = await attempt_of(f"http://127.0.0.1:{port}")
    assert (status, reason) == (None, "The receiver closed the connection without an answer.")


async def test_a_status_has_its_meaning_and_the_answers_beginning_is_kept() -> None:
    body = b"<h1>who are you?</h1>" + b"x" * 1000
    answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    async with listening(answer) as port, Emulator() as emulator:
        emulator.subscribe(f"http://127.0.0.1:{port}", ["message.received"])
        await arrives(emulator)
        (shown,) = emulator.snapshot()["deliveries"][0]["attempts"]
    assert shown["reason"] == (
        "The receiver answered 401 Unauthorized. It did not accept the signature: does it have this subscription's secret?"
    )
    assert shown["answer"].startswith("<h1>who are you?</h1>")
    assert len(shown["answer"]) == webhook.ANSWER_SHOWN


def server(authority: trustme.CA, *, days: int = 1) -> ssl.SSLContext:
    """Return the TLS of a server with a certificate for localhost that ends in `days`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.now(UTC) + timedelta(days=days)
    authority.issue_cert("localhost", not_before=ends - timedelta(days=30), not_after=ends).configure_cert(context)
    return context


def answering_ok(tls: ssl.SSLContext) -> AbstractAsyncContextManager[int]:
    return listening(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", tls)


async def test_an_unknown_certificate_is_named_and_trusted_with_ssl_cert_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, file = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    begin = "Linq would not trust the certificate of localhost: "
    async with answering_ok(server(authority)) as port:
        status, reason = await attempt_of(f"https://localhost:{port}")
        assert status is None
        assert (reason or "").startswith(f"{begin}unable to get local issuer certificate.")
        assert "SSL_CERT_FILE" in (reason or "")
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert await attempt_of(f"https://localhost:{port}") == (200, None)
    async with answering_ok(server(authority, days=-1)) as port:
        _, reason = await attempt_of(f"https://localhost:{port}")
        assert (reason or "").startswith(f"{begin}certificate has expired.")


async def test_a_file_of_certificates_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(missing))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE is .*missing\.pem"):
        async with Emulator():
            pass


async def test_the_log_names_each_reason_once_and_holds_no_text_and_no_answer(
    emulator: Emulator, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [httpx.Response(status, text="private answer") for status in (500, 500, 200, 500)]
    emulator.subscribe("https://hook.example/private/path?token=1", ["message.received"])
    with caplog.at_level(logging.WARNING, "linqbot.emulator"):
        say(emulator, "private words")
        for wait_s in (1, 2, 4):
            await emulator.flush()
            emulator.advance(wait_s)
        await arrives(emulator, "private words")
    lines = [record.getMessage() for record in caplog.records]
    line = "delivery.failed type=message.received to=https://hook.example reason='The receiver answered 500 Internal Server Error.'"
    assert lines == [line, line]


async def test_a_delivery_is_returned_as_it_was_sent_and_without_the_secret(
    emulator: Emulator, api: Api, receiver: Receiver
) -> None:
    subscription = emulator.subscribe("https://hook.example", ["message.received"])
    await arrives(emulator, "héllo")
    (request,) = receiver.requests
    answer = await api.get(f"/emulator/deliveries/{request.headers['webhook-id']}")
    (shown,) = answer.json()["deliveries"]
    assert shown["body"].encode() == request.content
    assert shown["headers"].items() <= dict(request.headers).items()
    assert shown["headers"]["webhook-signature"] == request.headers["webhook-signature"]
    assert (shown["target_url"], shown["by_bot"]) == ("https://hook.example", False)
    assert subscription.secret not in answer.text
    assert (await api.get("/emulator/deliveries/unknown")).status_code == 404
