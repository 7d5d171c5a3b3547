"""Faults and other conditions in the control API: switched on, listed, used up, switched off; and a moved clock."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from linqbot_dev.emulator.acts.chat_acts import event_of
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import BotRunner, Emulator
from linqbot_dev.emulator.endpoints import attachments
from linqbot_dev.emulator.model.documents import iso
from linqbot_dev.emulator.web.app import create_app
from patience import PATIENCE_S

from emulator.conftest import HI, LINE, PERSON, SEND, Api, Ids, Receiver, refused, say
from linqbot.clock import MovableClock
from linqbot.server import uvicorn_server


async def switch_on(api: Api, **fault: Any) -> str:
    answer = await api.post("/emulator/faults", json=fault)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def conditions(api: Api) -> dict[str, Any]:
    return dict((await api.get("/emulator/state")).json()["conditions"])


async def test_a_fault_without_a_number_of_times_lasts_until_it_is_removed(api: Api) -> None:
    fault_id = await switch_on(api, on="api", status=500, times=None)
    for _ in range(5):
        assert (await api.get("/v3/phone_numbers")).status_code == 500
    assert (await api.get("/emulator/faults")).json() == {
        "faults": [{"id": fault_id, "on": "api", "match": "", "status": 500, "times": None}]
    }
    assert (await api.delete(f"/emulator/faults/{fault_id}")).status_code == 204
    assert (await api.get("/v3/phone_numbers")).status_code == 200
    refused(await api.delete(f"/emulator/faults/{fault_id}"), 404, 2001)
    await switch_on(api, on="api", status=429, retry_after=7, times=9)
    answer = await api.get("/api/partner/v3/phonenumbers")
    assert refused(answer, 429, 1007)["retry_after"] == int(answer.headers["retry-after"]) == 7
    assert (await api.delete("/emulator/faults")).status_code == 204
    assert (await api.get("/v3/phone_numbers")).status_code == 200


async def test_a_call_of_no_endpoint_meets_faults_for_all_calls_only(api: Api) -> None:
    await switch_on(api, on="api", match="chats.create", status=500)
    assert (await api.get("/v3/nothing")).status_code == 404
    await switch_on(api, on="api", status=503)
    assert (await api.get("/v3/nothing")).status_code == 503


async def test_a_closed_connection_does_nothing_and_is_a_hang_up(emulator: Emulator, api: Api, chat: Ids) -> None:
    await switch_on(api, on="api", drop="connection")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await api.write(chat)
    assert len(emulator.state.messages) == 1
    (call,) = (await api.get("/emulator/state")).json()["calls"]
    assert (call["status"], call["lost"], call["chat_id"]) == (None, "connection", chat["chat_id"])


async def test_a_fault_for_downloads_makes_a_file_gone_broken_or_late(emulator: Emulator, api: Api) -> None:
    photo = f"/attachments/{attachments.add(emulator.world, 'a.jpg', 'image/jpeg', b'photo').id}/a.jpg"
    await switch_on(api, on="api", match="GET /attachments", status=404, times=2)
    assert [(await api.get(photo)).status_code for _ in range(3)] == [404, 404, 200]
    for lost in ("request", "answer", "connection"):
        await switch_on(api, on="api", match=photo, drop=lost)
        with pytest.raises(httpx.TransportError):
            await api.get(photo)
    before = emulator.clock.now()
    await switch_on(api, on="api", match=photo, delay_ms=5000)
    slow = asyncio.create_task(api.get(photo))
    await asyncio.sleep(0)
    emulator.advance(5)
    assert ((await slow).content, emulator.clock.now() - before) == (b"photo", 5)


async def test_the_page_shows_a_file_and_leaves_its_fault_to_the_bot(emulator: Emulator, api: Api) -> None:
    photo = f"/attachments/{attachments.add(emulator.world, 'a.jpg', 'image/jpeg', b'photo').id}/a.jpg"
    await switch_on(api, on="api", match="GET /attachments", status=404)
    assert (await api.get(photo, headers={"sec-fetch-site": "same-origin"})).content == b"photo"
    assert (await api.get(photo)).status_code == 404


async def test_an_upload_whose_answer_is_lost_is_stored(emulator: Emulator, api: Api) -> None:
    file = {"filename": "a.png", "content_type": "image/png", "size_bytes": 4}
    upload = (await api.post("/v3/attachments", json=file)).json()
    await switch_on(api, on="api", match="PUT /uploads", drop="request")
    await switch_on(api, on="api", match="PUT /uploads", drop="answer")
    stored = []
    for _ in range(2):
        with pytest.raises(httpx.ReadError):
            await api.put(upload["upload_url"], content=b"\x89PNG", headers={"content-type": "image/png"})
        stored.append(emulator.state.attachments[upload["attachment_id"]].content)
    assert stored == [None, b"\x89PNG"]


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """An emulator behind a socket, served as `linqbot dev --no-bot` serves it."""
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        emulator = Emulator(clock=MovableClock())
        server = uvicorn_server.Server(create_app(emulator), before_exit=emulator.end_streams)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(bound)))
        thread.start()
        try:
            yield bound.getsockname()[:2]
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize("length", [0, 200_000])
def test_over_a_socket_a_closed_connection_ends_without_a_byte(address: tuple[str, int], length: int) -> None:
    url = f"http://{address[0]}:{address[1]}"
    with httpx.Client(transport=httpx.HTTPTransport(retries=20), timeout=PATIENCE_S) as client:
        client.post(f"{url}/emulator/faults", json={"on": "api", "drop": "connection"})
        with socket.create_connection(address) as connection:
            head = f"POST /v3/chats HTTP/1.1\r\nhost: {address[0]}\r\ncontent-length: {length}\r\n\r\n"
            connection.sendall(head.encode() + b"x" * length)
            assert connection.makefile("rb").read() == b""
        assert client.get(f"{url}/v3/phone_numbers", headers={"authorization": "Bearer x"}).status_code == 200


async def test_an_opt_out_is_recorded_and_taken_back_without_a_message(api: Api, chat: Ids) -> None:
    path = f"/v3/chats/{chat['chat_id']}"
    assert (await api.post("/emulator/opt-out", json={"handle": PERSON, "opted_out": True})).status_code == 200
    refused(await api.post(f"{path}/messages", json=SEND), 403, 2024)
    assert (await api.get(path)).json()["health_status"]["status"] == "OPTED_OUT"
    assert (await conditions(api))["opted_out"] == [PERSON]
    await api.post("/emulator/opt-out", json={"handle": PERSON, "opted_out": False})
    assert (await api.post(f"{path}/messages", json=SEND)).status_code == 202
    assert (await api.get(path)).json()["health_status"]["status"] == "HEALTHY"
    assert (await conditions(api))["opted_out"] == []


async def test_flagged_lines_and_people_who_wrote_stop_are_conditions(emulator: Emulator, api: Api) -> None:
    await api.post("/emulator/lines", json={"phone_number": LINE, "status": "FLAGGED"})
    say(emulator, "STOP")
    shown = await conditions(api)
    assert (shown["flagged_lines"], shown["opted_out"]) == ([LINE], [PERSON])


# The clock


async def test_the_clock_moves_to_a_time_and_never_back(emulator: Emulator, api: Api) -> None:
    day = iso(emulator.clock.now() + 86_400)
    assert (await api.post("/emulator/clock", json={"to": day})).json() == {"now": day, "stopped": None}
    shown = (await api.get("/emulator/clock")).json()
    assert (shown["now"], shown["is_frozen"]) == (day, True)
    error = refused(await api.post("/emulator/clock", json={"to": iso(emulator.clock.now() - 60)}), 400, 1005)
    assert "only forward" in error["message"]
    refused(await api.post("/emulator/clock", json={"to": day, "advance_s": 1}), 400, 1005)
    refused(await api.post("/emulator/clock", json={"to": "tomorrow"}), 400, 1005)


async def test_a_reset_returns_a_running_clock_to_real_time_but_no_stopped_one(emulator: Emulator, api: Api) -> None:
    stopped_at = emulator.clock.now()
    await api.post("/emulator/reset")
    assert emulator.clock.now() == stopped_at
    await api.post("/emulator/clock", json={"freeze": False, "advance_s": 3600})
    assert (await conditions(api))["ahead_s"] > 3000
    await api.post("/emulator/reset")
    assert (await conditions(api))["ahead_s"] == 0


# Without and with a program that runs the bot


async def test_without_a_runner_what_concerns_the_bot_is_refused(api: Api, chat: Ids) -> None:
    assert (await api.get("/emulator/stored")).json() == {"available": False}
    for path in ("run-again", "restart"):
        error = refused(await api.post(f"/emulator/{path}", json={"message_id": chat["message_id"]}), 409, 1006)
        assert "linqbot dev" in error["message"]


async def test_a_message_is_delivered_again_under_the_same_id(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    emulator.subscribe("https://hook.example", ["message.received", "message.edited"])
    written = say(emulator)
    await api.post("/emulator/edit", json={"from": PERSON, "message_id": written["message_id"], "text": "hey"})
    await emulator.flush()
    assert (await api.post("/emulator/deliver-again", json={"message_id": written["message_id"]})).status_code == 202
    await emulator.flush()
    assert receiver.types == ["message.received", "message.edited", "message.received"]
    first, _, again = receiver.requests
    assert (again.headers["webhook-id"], again.content) == (first.headers["webhook-id"], first.content)
    refused(await api.post("/emulator/deliver-again", json={"message_id": "nothing"}), 404, 2002)


async def test_a_message_that_no_webhook_reported_cannot_be_delivered_again(api: Api, chat: Ids) -> None:
    refused(await api.post("/emulator/deliver-again", json={"message_id": chat["message_id"]}), 409, 1006)


class Runner(BotRunner):
    """Notes what it is asked to do."""

    runs_bot = True

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.asked: list[Any] = []

    async def write(self, message: Write) -> dict[str, str | None]:
        self.asked.append("write")
        return self.emulator.do(message)

    async def move_to(self, at: float) -> str | None:
        self.asked.append("move")
        self.emulator.advance(60)
        return "Enough."

    async def follow_clock(self) -> None:
        self.asked.append("follow")

    async def stored(self, chat_id: str | None) -> dict[str, Any]:
        return {"available": True, "chat": chat_id}

    async def run_again(self, message_id: str) -> None:
        self.asked.append(event_of(self.emulator.world, message_id))

    async def restart_from(self, message_id: str) -> dict[str, str | None]:
        return {"chat_id": "c", "message_id": message_id}

    async def reset(self) -> None:
        self.asked.append("reset")


async def test_a_runner_is_asked_about_what_concerns_the_bot(emulator: Emulator, api: Api, hook: Receiver) -> None:
    emulator.runner = runner = Runner(emulator)
    before = emulator.clock.now()
    written = (await api.post("/emulator/inbound", json={"from": PERSON, "to": LINE, "parts": [HI]})).json()
    moved = (await api.post("/emulator/clock", json={"advance_s": 3600})).json()
    assert moved == {"now": iso(before + 60), "stopped": "Enough."}
    await api.post("/emulator/clock", json={"freeze": False})
    await emulator.flush()
    assert (await api.post("/emulator/run-again", json={"message_id": written["message_id"]})).status_code == 202
    await api.post("/emulator/reset", json={})
    assert runner.asked == ["write", "move", "follow", "move", hook.requests[0].headers["webhook-id"], "reset"]
    restarted = await api.post("/emulator/restart", json={"message_id": "m"})
    assert (restarted.status_code, restarted.json()) == (201, {"chat_id": "c", "message_id": "m"})
    assert (await api.get("/emulator/stored", params={"chat_id": "c"})).json() == {"available": True, "chat": "c"}
    assert (await api.get("/emulator/state")).json()["has_runner"] is True
