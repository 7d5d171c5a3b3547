"""R1-R11: authentication, the form of requests, ids, pages; and Linq's error envelope on every refusal."""

from __future__ import annotations

import pytest
from emulator.conftest import LINE, NOBODY, SEND, Api, Ids, refused, say
from linqbot_dev.emulator.emulator import Emulator


async def test_r1_a_call_without_a_token_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for header in ("", "Bearer ", "Bearer", "Basic abc", "abc"):
        with subtests.test(header=header):
            refused(await api.get("/v3/chats", headers={"authorization": header}), 401, 2004)


async def test_r1_a_wrong_token_is_refused(emulator: Emulator) -> None:
    emulator.api_key = "right"
    async with Api(emulator) as client:
        refused(await client.get("/v3/chats", headers={"authorization": "Bearer wrong"}), 401, 2004)
        assert (await client.get("/v3/chats", headers={"authorization": "bearer right"})).status_code == 200


async def test_r2_a_body_must_be_a_json_object_and_say_so(api: Api, subtests: pytest.Subtests) -> None:
    no_objects = [b"", b"{", b"[]", b'{"a": NaN}', b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
    named = [(content, "application/json") for content in no_objects]
    for content, kind in [(b"{}", "text/plain"), (b"{}", ""), *named]:
        with subtests.test(content=content):
            refused(await api.post("/v3/chats", content=content, headers={"content-type": kind}), 400, 1003)


async def test_a_charset_in_the_content_type_is_accepted(api: Api) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}
    refused(await api.post("/v3/chats", content=b"{}", headers=headers), 400, 1001)


async def test_a_body_too_large_is_refused_while_reading(api: Api) -> None:
    headers = {"content-type": "application/json"}
    refused(await api.post("/v3/chats", content=b" " * (5 * 2**20), headers=headers), 413, 1005)


async def test_r5_an_id_is_a_uuid_and_may_be_in_upper_case(api: Api, chat: Ids) -> None:
    refused(await api.get("/v3/chats/chat-1"), 400, 1005)
    assert (await api.get(f"/v3/chats/{chat['chat_id'].upper()}")).status_code == 200


async def test_r6_a_missing_object_is_404_with_the_code_of_its_noun(api: Api, subtests: pytest.Subtests) -> None:
    for path, code in [("chats", 2001), ("messages", 2002), ("attachments", 2003), ("webhook-subscriptions", 2001)]:
        with subtests.test(path=path):
            refused(await api.get(f"/v3/{path}/{NOBODY}"), 404, code)


async def test_r8_e_mails_are_the_same_in_any_case(api: Api) -> None:
    first, second = [
        (await api.post("/v3/chats", json={"from": LINE, "to": [to], **SEND})).json()["chat"]["id"]
        for to in ("Ana@Example.com", "ana@example.com")
    ]
    assert first == second


async def test_r10_pages_hold_all_once_even_when_messages_come_and_go(emulator: Emulator, api: Api, chat: Ids) -> None:
    ids = [chat["message_id"]]
    ids += [say(emulator, str(number))["message_id"] or "" for number in range(6)]
    path, seen, cursor = f"/v3/chats/{chat['chat_id']}/messages", [], None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(path, params=params)).json()
        seen += [message["id"] for message in page["messages"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        say(emulator, "new")
        await api.delete(f"/v3/messages/{seen[-1]}")
    assert seen == ids[::-1]


async def test_chats_are_listed_by_line_and_by_person(emulator: Emulator, api: Api, chat: Ids) -> None:
    other = say(emulator, from_="+14155550143", to="+12025550101")["chat_id"]
    for params, wanted in (({"from": LINE}, chat["chat_id"]), ({"to": "+14155550143"}, other)):
        assert [one["id"] for one in (await api.get("/v3/chats", params=params)).json()["chats"]] == [wanted]


async def test_r10_a_cursor_of_another_list_is_refused(emulator: Emulator, api: Api, chat: Ids) -> None:
    say(emulator, from_="+14155550143")
    cursor = (await api.get("/v3/chats", params={"limit": "1"})).json()["next_cursor"]
    assert cursor
    for wrong in (cursor, "20", "%%%", "é", "AAAA"):
        refused(await api.get(f"/v3/chats/{chat['chat_id']}/messages", params={"cursor": wrong}), 400, 1005)


async def test_r11_actions_and_errors_carry_a_trace_id(api: Api, chat: Ids) -> None:
    body = {"operation": "add", "type": "love"}
    done = (await api.post(f"/v3/messages/{chat['message_id']}/reactions", json=body)).json()
    assert len(done["trace_id"]) == 32


async def test_unknown_paths_and_methods_have_the_envelope_too(api: Api) -> None:
    refused(await api.get("/v3/nothing"), 404, 2001)
    refused(await api.patch("/v3/chats"), 405, 1005)


async def test_half_a_surrogate_pair_survives_the_way_in_and_out(api: Api) -> None:
    raw = b'{"from":"+12025550100","to":["+14155550142"],"message":{"parts":[{"type":"text","value":"\\ud83d!"}]}}'
    answer = await api.post("/v3/chats", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 201
    assert answer.json()["chat"]["message"]["parts"][0]["value"] == "\ud83d!"


async def test_v2_lists_chats_in_pages_with_its_own_header_and_envelope(emulator: Emulator, api: Api) -> None:
    for number in range(3):
        say(emulator, from_=f"+1415555020{number}")
    say(emulator, group=["+14155550187"])
    params = {"phone_number": "12025550100", "per_page": "3"}
    unauthorized = await api.get("/api/partner/v2/chats", params=params)
    assert (unauthorized.status_code, unauthorized.json()["errors"][0]["code"]) == (401, "unauthorized")
    token = {"x-linq-integration-token": "t"}
    first = (await api.get("/api/partner/v2/chats", params=params, headers=token)).json()
    # As V3 it is also under the address to which LINQ_API_V3_BASE_URL is set for a rehearsal.
    assert (await api.get("/v2/chats", params=params, headers=token)).json() == first
    second = (await api.get("/api/partner/v2/chats", params=params | {"page": "2"}, headers=token)).json()
    assert first["meta"] == {"page": 1, "total_pages": 2, "total_count": 4, "per_page": 3}
    assert [len(first["data"]), len(second["data"])] == [3, 1]
    assert (first["data"][0]["group"], first["data"][0]["message_count"]) == (True, 1)
    assert {type(one["id"]) for one in first["data"][0]["chat_handles"]} == {int}
