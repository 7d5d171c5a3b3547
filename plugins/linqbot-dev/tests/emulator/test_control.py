"""The control API: acts of a person, faults, clock, reset, and the page's state and stream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.state import BACKLOG, Feed

from emulator.conftest import FRIEND, HI, LINE, OTHER_LINE, PERSON, SEND, THIRD, Api, Ids, Receiver, refused, say


async def act(api: Api, verb: str, **body: Any) -> dict[str, Any]:
    answer = await api.post(f"/emulator/{verb}", json=body)
    assert answer.is_success, answer.text
    return dict(answer.json())


async def inbound(api: Api, **body: Any) -> dict[str, Any]:
    return await act(api, "inbound", **({"from": PERSON, "to": LINE, "parts": [HI]} | body))


async def test_its_address_lists_what_it_offers(api: Api) -> None:
    listed = (await api.get("/emulator")).json()["requests"]
    inbound = next(one for one in listed if one["path"] == "/emulator/inbound")
    assert (inbound["method"], inbound["does"]) == ("POST", (Write.__doc__ or "").partition("\n")[0])
    assert {"/emulator", "/emulator/clock", "/emulator/state"} <= {one["path"] for one in listed}
    assert all(one["does"] for one in listed)


async def test_a_chat_is_found_by_its_exact_people_also_one_the_bot_opened(api: Api) -> None:
    body = {"from": LINE, "to": [PERSON, FRIEND], **SEND}
    opened = (await api.post("/v3/chats", json=body)).json()["chat"]["id"]
    assert (await inbound(api, group=[FRIEND]))["chat_id"] == opened
    assert (await inbound(api, **{"from": FRIEND}, group=[PERSON]))["chat_id"] == opened
    assert (await inbound(api))["chat_id"] != opened
    assert (await inbound(api, group=[FRIEND, THIRD]))["chat_id"] != opened
    assert (await inbound(api, to=OTHER_LINE, group=[FRIEND]))["chat_id"] != opened
    assert (await inbound(api, chat_id=opened))["chat_id"] == opened


async def test_a_wrong_body_is_refused_in_the_v3_envelope(api: Api, subtests: pytest.Subtests) -> None:
    rows: list[tuple[dict[str, Any], int, int]] = [
        ({"from": "me"}, 400, 1005),
        ({"parts": []}, 400, 1005),
        ({"parts": [{"type": "text"}]}, 400, 1001),
        ({"parts": [{"type": "txet"}]}, 400, 1005),
        ({"parts": [{"type": "media"}]}, 400, 1005),
        ({"parts": [{"type": "media", "data_base64": "%"}]}, 400, 1005),
        ({"group": [LINE]}, 400, 1005),
        ({"service": "imessage"}, 400, 1005),
        ({"colour": "red"}, 400, 1005),
        ({"to": "+12025550999"}, 403, 2005),
        ({"chat_id": "nothing"}, 404, 2001),
    ]
    for body, status, code in rows:
        with subtests.test(body=body):
            asked = {"from": PERSON, "to": LINE, "parts": [HI]} | body
            refused(await api.post("/emulator/inbound", json=asked), status, code)


async def test_reacting_reading_typing_and_editing(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    emulator.subscribe("https://hook.example")
    ids = await inbound(api)
    sent = (await api.post(f"/v3/chats/{ids['chat_id']}/messages", json=SEND)).json()["message"]["id"]
    await act(api, "react", **{"from": PERSON}, message_id=sent, type="custom", operation="add", custom_emoji="🎉")
    await act(api, "read", **{"from": PERSON}, chat_id=ids["chat_id"])
    for state in ("started", "started", "stopped", "stopped", "started"):
        await act(api, "typing", **{"from": PERSON}, chat_id=ids["chat_id"], state=state)
    await act(api, "edit", **{"from": PERSON}, message_id=ids["message_id"], text="hello", part_index=0)
    await inbound(api)
    await emulator.flush()
    started, stopped = "chat.typing_indicator.started", "chat.typing_indicator.stopped"
    receipts = ["message.sent", "message.delivered", "message.read"]
    typing = [started, stopped, started, "message.edited", stopped]
    assert receiver.types[2:] == ["reaction.added", *receipts, *typing, "message.received"]
    assert receiver.of("reaction.added")[0]["data"]["is_from_me"] is False
    assert receiver.of("message.edited")[0]["data"]["direction"] == "inbound"
    wrong = {"from": FRIEND, "message_id": ids["message_id"], "text": "mine"}
    refused(await api.post("/emulator/edit", json=wrong), 409, 1006)
    wrong = {"from": PERSON, "message_id": sent, "type": "sticker"}
    refused(await api.post("/emulator/react", json=wrong), 400, 1005)
    wrong = {"from": FRIEND, "message_id": sent, "type": "love"}
    refused(await api.post("/emulator/react", json=wrong), 404, 2001)


async def test_a_person_in_a_group_cannot_join_it_and_one_who_has_left_it_cannot_write(api: Api, group: Ids) -> None:
    friend = {"from": FRIEND, "chat_id": group["chat_id"]}
    refused(await api.post("/emulator/join", json=friend), 409, 1006)
    await act(api, "leave", **friend)
    refused(await api.post("/emulator/inbound", json={**friend, "to": LINE, "parts": [HI]}), 404, 2001)


async def test_an_answer_is_lost_after_the_work_and_a_request_before(emulator: Emulator, api: Api, chat: Ids) -> None:
    path = f"/v3/chats/{chat['chat_id']}/messages"
    for drop, messages in (("request", 1), ("answer", 2)):
        await act(api, "faults", on="api", match="POST /v3/chats", drop=drop)
        with pytest.raises(httpx.ReadError):
            await api.post(path, json=SEND)
        assert len(emulator.state.messages) == messages
    assert (await api.post(path, json=SEND)).status_code == 202
    calls = (await api.get("/emulator/state")).json()["calls"]
    assert [(call["status"], call["lost"]) for call in calls] == [(None, "request"), (202, "answer"), (202, None)]
    assert {call["chat_id"] for call in calls} == {chat["chat_id"]}


async def test_reset_empties_or_seeds_and_keeps_the_owners_subscription(
    emulator: Emulator, api: Api, receiver: Receiver
) -> None:
    mine = emulator.subscribe("https://hook.example", ["message.received"])
    theirs = {"target_url": "https://other.example", "subscribed_events": ["message.received"]}
    await api.post("/v3/webhook-subscriptions", json=theirs)
    await inbound(api)
    await act(api, "observations", kind="bot", status="failed", message="SyntaxError: invalid syntax")
    assert (await api.post("/emulator/reset")).status_code == 204
    assert (await api.get("/emulator/state")).json()["bot"]["status"] == "failed"
    assert (emulator.state.chats, list(emulator.state.subscriptions)) == ({}, [mine.id])
    assert len(emulator.state.lines) == 2
    receiver.clear()
    await inbound(api)
    await emulator.flush()
    assert receiver.types == ["message.received"]
    seed = emulator.save_state()
    seed["chats"][0]["id"] = seed["messages"][0]["chat_id"] = "11111111-1111-4111-8111-111111111111"
    assert (await api.post("/emulator/reset", json={"seed": seed})).status_code == 204
    assert list(emulator.state.chats) == ["11111111-1111-4111-8111-111111111111"]
    refused(await api.post("/emulator/reset", json={"seed": {"chats": [{"handles": 1}]}}), 400, 1005)
    assert emulator.state.chats == {}


async def test_the_state_shows_what_a_phone_shows(emulator: Emulator, api: Api) -> None:
    emulator.subscribe("https://hook.example")
    ids = await inbound(api)
    await act(api, "typing", **{"from": PERSON}, chat_id=ids["chat_id"], state="started")
    await act(api, "react", **{"from": PERSON}, message_id=ids["message_id"], type="love")
    turn = {"kind": "turn", "event_id": "1", "outcome": "acked", "handler": "bot:echo"}
    await act(api, "observations", **turn)
    await act(api, "observations", kind="bot", status="failed", file="bot.py", line=3)
    await act(api, "observations", kind="bot", status="loaded")
    await api.get(f"/v3/chats/{ids['chat_id']}")
    state = (await api.get("/emulator/state")).json()
    assert [line["phone_number"] for line in state["lines"]] == [LINE, OTHER_LINE]
    (chat,) = state["chats"]
    assert (chat["id"], chat["typing"]) == (ids["chat_id"], [PERSON])
    assert chat["messages"][0]["parts"][0]["reactions"][0]["type"] == "love"
    assert chat["messages"][0]["edits"] == 0
    assert {one["event_type"] for one in state["deliveries"]} >= {"chat.created", "message.received"}
    call = state["calls"][-1]
    assert (call["path"], call["chat_id"]) == (f"/v3/chats/{ids['chat_id']}", ids["chat_id"])
    (shown,) = state["observations"]
    assert shown.items() >= turn.items()
    assert shown["at"].endswith("Z")
    assert state["bot"].items() >= {"kind": "bot", "status": "loaded"}.items()


async def test_the_inspector_never_shows_a_secret(api: Api) -> None:
    body = {"target_url": "https://hook.example", "subscribed_events": ["message.received"]}
    secret = (await api.post("/v3/webhook-subscriptions", json=body)).json()["signing_secret"]
    assert secret not in (await api.get("/emulator/state")).text


def parsed(chunks: list[bytes]) -> list[tuple[str, Any]]:
    events = []
    for block in b"".join(chunks).decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events


async def test_the_stream_sends_every_change(emulator: Emulator, api: Api, hook: Receiver) -> None:
    chunks: list[bytes] = []

    async def read() -> None:
        chunks.extend([chunk async for chunk in emulator.world.feed.read(emulator.snapshot)])

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    ids = await inbound(api)
    await act(api, "typing", **{"from": PERSON}, chat_id=ids["chat_id"], state="started")
    await api.post(f"/v3/chats/{ids['chat_id']}/typing")
    await api.delete(f"/v3/messages/{ids['message_id']}")
    await act(api, "observations", kind="turn", event_id="1", outcome="acked")
    await emulator.flush()
    for assigned in (True, False):
        await act(api, "lines", phone_number="+12025550102", assigned=assigned)
    emulator.reset()
    emulator.end_streams()
    await reader
    assert chunks[0].startswith(b": hello")
    events = parsed(chunks)
    names = [name for name, _ in events]
    assert set(names) == {
        "state", "chat", "message", "typing", "call", "message_deleted", "observation", "delivery", "reset",
    }  # fmt: skip
    by_name = dict(reversed(events))
    assert by_name["chat"]["id"] == ids["chat_id"]
    assert (by_name["message"]["id"], by_name["message"]["edits"]) == (ids["message_id"], 0)
    assert by_name["typing"] == {"chat_id": ids["chat_id"], "handle": PERSON, "is_me": False, "state": "started"}
    assert by_name["message_deleted"] == {"chat_id": ids["chat_id"], "id": ids["message_id"]}
    assert (by_name["observation"]["kind"], by_name["observation"]["event_id"]) == ("turn", "1")
    assert by_name["delivery"]["attempts"] == []  # shown before it is sent: an answer may take seconds
    deliveries = [data for name, data in events if name == "delivery"]
    assert all(one["attempts"][0]["status"] == 200 for one in deliveries if one["attempts"])
    assert any(one["attempts"] for one in deliveries)
    assert by_name["call"]["method"] == "POST"
    assert events[0][0] == "state"
    assert names.count("reset") == 3  # also when the account gets or loses a line


async def test_the_newest_messages_are_shown_first_and_the_others_come_in_pieces(emulator: Emulator, api: Api) -> None:
    ids = await inbound(api)
    for number in range(1, 702):
        say(emulator, str(number))
    (chat,) = emulator.snapshot(latest=100)["chats"]
    assert (len(chat["messages"]), chat["earlier"]) == (100, 602)
    found = chat["messages"]
    for before, earlier in ((602, 102), (102, 0)):
        answer = await api.get(f"/emulator/chats/{ids['chat_id']}/messages", params={"before": before})
        assert answer.json()["earlier"] == earlier
        found = answer.json()["messages"] + found
    (whole,) = (await api.get("/emulator/state")).json()["chats"]
    assert found == whole["messages"]
    newest = (await api.get(f"/emulator/chats/{ids['chat_id']}/messages")).json()
    assert (newest["earlier"], newest["messages"]) == (202, found[202:])


async def test_messages_of_no_chat_and_before_no_number_are_refused(api: Api) -> None:
    path = f"/emulator/chats/{(await inbound(api))['chat_id']}/messages"
    assert (await api.get(path, params={"before": "-1"})).status_code == 400
    assert (await api.get(path, params={"before": "9" * 5000})).status_code == 400
    assert (await api.get("/emulator/chats/none/messages")).status_code == 404


async def test_a_slow_reader_is_disconnected_and_the_others_read_on() -> None:
    feed, slow, quick = Feed(), None, []
    slow = feed.read(dict)
    await anext(slow)
    reading = feed.read(dict)
    await anext(reading)
    for number in range(BACKLOG + 5):
        feed.publish("n", lambda number=number: number)  # type: ignore[misc]
        quick.append(await anext(reading))
    assert len(quick) == BACKLOG + 5
    assert [event async for event in slow] == []
    feed.close()
    assert [event async for event in reading] == []


async def test_nothing_is_rendered_without_a_reader() -> None:
    def fail() -> None:
        raise AssertionError

    Feed().publish("n", fail)


async def test_a_page_of_another_origin_cannot_act(api: Api) -> None:
    body = {"from": PERSON, "to": LINE, "parts": [HI]}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999"):
        refused(await api.post("/emulator/inbound", json=body, headers={"origin": origin}), 403, 2005)
    own = {"origin": "http://127.0.0.1:4010"}
    assert (await api.post("/emulator/inbound", json=body, headers=own)).status_code == 201


async def test_the_page_is_served_under_a_strict_policy(api: Api) -> None:
    for path in ("/", "/index.html", "/app.js", "/icons.svg"):
        answer = await api.get(path)
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers.get("content-security-policy", "")
        assert ("default-src 'self'" in policy) == ("frame-ancestors 'self'" in policy) == (not path.endswith(".js"))


async def test_an_unknown_path_or_method_is_refused_in_its_envelope(api: Api, subtests: pytest.Subtests) -> None:
    for method, path, status, code in [
        ("GET", "/emulator/inbox", 404, 2001),
        ("POST", "/emulator/inbound/again", 404, 2001),
        ("GET", "/emulator/inbound", 405, 1005),
        ("POST", "/emulator/clock/now", 404, 2001),
    ]:
        with subtests.test(method=method, path=path, status=status, code=code):
            answer = await api.request(method, path)
            assert "GET /emulator" in refused(answer, status, code)["message"]
            assert ("allow" in answer.headers) == (status == 405)


async def test_a_path_that_is_nowhere_is_not_answered_as_linq_would(api: Api) -> None:
    answers = [await api.get(path) for path in ("/api/v3/chats", "/emulators/clock")]
    assert [(answer.status_code, answer.text) for answer in answers] == [(404, "Not Found")] * 2
