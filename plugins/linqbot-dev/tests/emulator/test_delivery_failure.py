"""Why a webhook was not delivered, in words: on the page and in the log."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import trustme
from client.raw_server import Peer, certified, once, raw, said
from client.test_sender import unused_port
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.engine import deliveries, webhook

from emulator.conftest import Api, Receiver, arrives, say
from linqbot.errors import ConfigError


async def attempt_of(url: str) -> tuple[int | None, str | None]:
    """Deliver one message to `url`; return the status of the attempt, and why it failed."""
    async with Emulator() as emulator:
        emulator.subscribe(url, ["message.received"])
        say(emulator, "secret words")
        await emulator.world.deliveries.settled()
        attempt = emulator.world.deliveries.history[0].attempts[0]
        return attempt.status, attempt.reason


async def test_a_refused_connection_names_the_address_without_its_path() -> None:
    here = f"http://127.0.0.1:{await unused_port()}"
    reason = f"Connection refused: nothing listens at {here}."
    assert await attempt_of(f"{here}/hook?token=hidden") == (None, reason)


async def test_a_name_that_does_not_exist_is_said() -> None:
    assert await attempt_of("https://bot.invalid/hook") == (None, "The name bot.invalid was not found.")


async def test_a_receiver_that_is_silent_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_: Peer) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(deliveries, "RECEIVER_TIMEOUT_S", 0.2)
    async with raw(silent) as server:
        assert await attempt_of(str(server.origin)) == (None, "Timed out: no answer came within 0.2 s.")


async def test_a_receiver_that_hangs_up_is_said() -> None:
    async with raw(once(b"")) as server:
        reason = "The receiver closed the connection without an answer."
        assert await attempt_of(str(server.origin)) == (None, reason)


async def test_a_status_has_its_meaning_and_the_answers_beginning_is_kept() -> None:
    answer = said(b"<h1>who are you?</h1>" + b"x" * 1000, "401 Unauthorized")
    async with raw(once(answer)) as server, Emulator() as emulator:
        emulator.subscribe(str(server.origin), ["message.received"])
        await arrives(emulator)
        (shown,) = emulator.snapshot()["deliveries"][0]["attempts"]
    assert shown["reason"] == (
        "The receiver answered 401 Unauthorized. It did not accept the signature: does it have this subscription's secret?"
    )
    assert shown["answer"].startswith("<h1>who are you?</h1>")
    assert len(shown["answer"]) == webhook.ANSWER_SHOWN


async def test_an_unknown_certificate_is_named_and_trusted_with_ssl_cert_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, file = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    begin = "Linq would not trust the certificate of localhost: "
    async with raw(once(said()), certified(authority, "localhost")) as server:
        status, reason = await attempt_of(f"https://localhost:{server.port}")
        assert status is None
        assert (reason or "").startswith(f"{begin}unable to get local issuer certificate.")
        assert "SSL_CERT_FILE" in (reason or "")
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert await attempt_of(f"https://localhost:{server.port}") == (200, None)
    expired = certified(authority, "localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    async with raw(once(said()), expired) as server:
        _, reason = await attempt_of(f"https://localhost:{server.port}")
        assert (reason or "").startswith(f"{begin}certificate has expired.")


async def test_an_unreadable_file_of_certificates_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_delivery_is_shown_as_sent_without_the_secret(emulator: Emulator, api: Api, receiver: Receiver) -> None:
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
