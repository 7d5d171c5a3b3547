"""R12-R56: lines, content that needs the state, first messages, reuse of chats, choice of lines, and idempotency."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from emulator.conftest import (
    CARD,
    FRIEND,
    HI,
    LINE,
    NOBODY,
    OTHER_LINE,
    PERSON,
    THIRD,
    Api,
    Ids,
    Receiver,
    refused,
    say,
)
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.records import Line

from linqbot.clock import MovableClock

NOBODYS = "+12025550999"


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"message": {"parts": list(parts or (HI,)), **more}}


async def create(api: Api, *to: str, line: str = LINE, **more: Any) -> httpx.Response:
    return await api.post("/v3/chats", json={"from": line, "to": list(to or (PERSON,)), **message(), **more})


async def test_r12_the_sender_must_be_a_line_of_the_account(api: Api) -> None:
    refused(await create(api, line=NOBODYS), 403, 2005)


async def test_r13_a_flagged_line_does_nothing_and_still_reads(emulator: Emulator, api: Api, group: Ids) -> None:
    await api.post("/emulator/lines", json={"phone_number": LINE, "status": "FLAGGED"})
    path, before = f"/v3/chats/{group['chat_id']}", len(emulator.state.messages)
    refused(await create(api), 403, 2027)
    refused(await api.post(f"{path}/messages", json=message()), 403, 2027)
    refused(await api.post(f"{path}/typing"), 403, 2027)
    refused(await api.put(path, json={"display_name": "a"}), 403, 2027)
    refused(await api.post(f"{path}/participants", json={"handle": "+14155550111"}), 403, 2027)
    reaction = {"operation": "add", "type": "love"}
    refused(await api.post(f"/v3/messages/{group['message_id']}/reactions", json=reaction), 403, 2027)
    assert (len(emulator.state.chats), len(emulator.state.messages)) == (1, before)
    assert (await api.get(f"{path}/messages")).status_code == 200


async def test_r14_no_line_that_can_send(emulator: Emulator, api: Api) -> None:
    for line in emulator.state.lines.values():
        line.status = "FLAGGED"
    refused(await api.post("/v3/messages", json={"to": [PERSON], **message()}), 409, 2015)
    refused(await api.get("/v3/available_number"), 409, 2015)
    refused(await api.get("/v3/available_number", params={"type": "iMessage"}), 503, 2015)


async def test_r16_foreign_lines_in_exclude_from_are_ignored_but_not_all_own(api: Api) -> None:
    body = {"to": [PERSON], **message(), "exclude_from": [NOBODYS, LINE]}
    assert (await api.post("/v3/messages", json=body)).json()["from"] == OTHER_LINE
    body = {"to": [FRIEND], **message(), "exclude_from": [LINE, OTHER_LINE]}
    refused(await api.post("/v3/messages", json=body), 400, 1005)


async def test_r16_all_lines_that_can_send_must_not_be_excluded(emulator: Emulator, api: Api) -> None:
    emulator.state.lines[OTHER_LINE].status = "FLAGGED"
    refused(await api.get("/v3/available_number", params={"exclude_from": LINE}), 400, 1005)
    refused(await api.post("/v3/messages", json={"to": [FRIEND], **message(), "exclude_from": [LINE]}), 400, 1005)


async def test_r17_suggestions_take_turns_among_the_lines_of_the_best_reputation(emulator: Emulator, api: Api) -> None:
    async def suggested() -> str:
        return str((await api.get("/v3/available_number")).json()["phone_number"])

    assert [await suggested() for _ in range(4)] == [LINE, OTHER_LINE, LINE, OTHER_LINE]
    emulator.state.lines[LINE].reputation = "AT_RISK"
    assert [await suggested() for _ in range(2)] == [OTHER_LINE, OTHER_LINE]
    emulator.state.lines[OTHER_LINE].reputation = "CRITICAL"
    assert await suggested() == LINE


async def test_r17_the_line_of_the_chat_with_these_people_is_suggested_before_the_best_one(api: Api) -> None:
    await create(api, line=OTHER_LINE)
    await create(api, PERSON, FRIEND, line=OTHER_LINE)
    # The official client joins lists by commas, Linq's documentation repeats the key.
    for to in ([PERSON], [PERSON, FRIEND], [f"{PERSON},{FRIEND}"]):
        for excluded, line in (([], OTHER_LINE), ([OTHER_LINE, NOBODYS], LINE), ([f"{OTHER_LINE},{NOBODYS}"], LINE)):
            found = await api.get("/v3/available_number", params={"to": to, "exclude_from": excluded})
            assert found.json()["phone_number"] == line, (to, excluded)


async def test_r17_an_available_number_of_a_type_that_no_line_has_is_503(emulator: Emulator, api: Api) -> None:
    refused(await api.get("/v3/available_number", params={"type": "rcs"}), 503, 2015)
    emulator.state.lines["+12025550102"] = Line("+12025550102", line_type="RCS")
    assert (await api.get("/v3/available_number", params={"type": "rcs"})).json()["phone_number"] == "+12025550102"


async def test_r18_an_empty_number_ends_forwarding(emulator: Emulator, api: Api) -> None:
    path = f"/v3/phone_numbers/{emulator.state.lines[LINE].id}"
    assert (await api.put(path, json={"forwarding_number": ""})).json()["forwarding_number"] is None


async def test_r30_an_unknown_attachment_is_404(api: Api, chat: Ids) -> None:
    here, linqs = "http://127.0.0.1:4010/attachments", "https://cdn.linqapp.com/attachments/partners"
    for where in (f"{here}/{NOBODY}/a.png", f"{linqs}/{NOBODY}/{NOBODY}/a.png"):
        refused(await api.write(chat, {"type": "media", "url": where}), 404, 2003)
    refused(await api.write(chat, {"type": "media", "attachment_id": NOBODY}), 404, 2003)


async def test_media_by_an_address_elsewhere_is_passed_on_unfetched(api: Api, chat: Ids) -> None:
    part = {"type": "media", "url": "https://example.com/pics/caf%C3%A9.png?x=1"}
    (sent,) = (await api.sent(chat, part))["parts"]
    assert (sent["filename"], sent["mime_type"], sent["url"]) == ("café.png", "image/png", part["url"])


async def test_r32_the_service_used(emulator: Emulator, api: Api, subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str | None, str, str]] = [
        ("iMessage", None, "iMessage", "delivered"),
        ("RCS", None, "RCS", "delivered"),
        ("SMS", None, "SMS", "sent"),
        ("iMessage", "SMS", "SMS", "sent"),
        ("iMessage", "RCS", "RCS", "delivered"),
        ("SMS", "RCS", "SMS", "sent"),
        ("SMS", "iMessage", "iMessage", "failed"),
    ]
    for speaks, preferred, service, end in rows:
        with subtests.test(speaks=speaks, preferred=preferred):
            emulator.reset()
            emulator.state.services[PERSON] = speaks
            more = {"preferred_service": preferred} if preferred else {}
            sent = (await create(api, **message(**more))).json()["chat"]["message"]
            assert (sent["service"], sent["preferred_service"]) == (service, preferred)
            emulator.advance(1)
            assert emulator.state.messages[sent["id"]].status == end


async def test_r34_the_message_answered_must_exist_in_this_chat(emulator: Emulator, api: Api, chat: Ids) -> None:
    elsewhere = say(emulator, from_=FRIEND)["message_id"]
    for wrong in (NOBODY, elsewhere):
        refused(await api.write(chat, reply_to={"message_id": wrong}), 404, 2002)
    sent = await api.sent(chat, reply_to={"message_id": chat["message_id"]})
    assert sent["reply_to"] == {"message_id": chat["message_id"], "part_index": 0}


async def test_r40_r41_cards_need_imessage(emulator: Emulator, api: Api) -> None:
    chat = say(emulator, service="SMS")
    refused(await api.write(chat, CARD), 409, 2018)
    clip = {"type": "app_clip", "value": "https://appclip.example.com/x"}
    refused(await api.write(chat, clip), 400, 2028)


async def test_r42_only_known_experiences_with_their_fields(api: Api, chat: Ids, group: Ids) -> None:
    async def opened(where: Ids, action: str = "request_payment", **params: Any) -> httpx.Response:
        body = {"message": {"experience": {"name": "agentpay", "action": action, "params": params}}}
        return await api.post(f"/v3/chats/{where['chat_id']}/messages", json=body)

    url = "https://pay.example.com"
    refused(await opened(chat, "dance"), 400, 1005)
    for wrong in ("http://pay.example.com", "https://", "http://127.0.0.1:1/"):
        refused(await opened(chat, checkout_url=wrong), 400, 1005)
    for more in ({}, {"checkout_url": url, "colour": "red"}, {"checkout_url": url, "title": "x" * 101}):
        refused(await opened(chat, **more), 400, 1005)
    part = (await opened(chat, checkout_url=url, title="Dinner")).json()["message"]["parts"][0]
    assert (part["type"], part["layout"]["caption"], part["url"]) == ("imessage_app", "Dinner", url)
    refused(await opened(group, checkout_url=url), 400, 1005)


async def test_r49_r50_mentions_are_for_groups(api: Api, chat: Ids, group: Ids) -> None:
    part = {"type": "text", "value": "🎂 @Ana", "mention": FRIEND, "mention_range": [3, 7]}
    refused(await api.write(chat, part), 409, 2023)
    (shown,) = (await api.sent(group, part))["parts"]
    assert shown["mentions"] == [{"handle": FRIEND, "is_me": False, "range": [3, 7]}]
    del part["mention_range"]
    (whole,) = (await api.sent(group, part))["parts"]
    assert whole["mention_range"] == [0, 7]


async def test_r51_a_line_is_no_recipient_of_its_own_chat_and_a_recipient_counts_once(api: Api) -> None:
    refused(await create(api, LINE), 400, 1005)
    twice = (await create(api, PERSON, PERSON)).json()["chat"]
    assert (twice["is_group"], len(twice["handles"])) == (False, 2)


async def test_r52_r53_a_first_message_has_no_link_no_effect_and_answers_nothing(emulator: Emulator, api: Api) -> None:
    link = {"type": "link", "value": "https://example.com"}
    effect = {"name": "slam", "type": "bubble"}
    see, answers = {"type": "text", "value": "see https://example.com"}, {"message_id": NOBODY}
    for first in (message(link), message(see), message(effect=effect), message(reply_to=answers)):
        refused(await create(api, **first), 400, 1005)
    assert emulator.state.chats == {}
    await create(api)
    assert (await create(api, **message(link))).status_code == 201
    assert (await create(api, **message(effect=effect))).status_code == 201


async def test_r54_a_chat_is_reused_for_the_same_people_in_any_order(api: Api) -> None:
    first = (await create(api, PERSON, FRIEND)).json()["chat"]["id"]
    assert (await create(api, FRIEND, PERSON)).json()["chat"]["id"] == first
    assert (await create(api, PERSON)).json()["chat"]["id"] != first
    assert (await create(api, FRIEND, PERSON, line=OTHER_LINE)).json()["chat"]["id"] != first


async def test_r54_a_named_changed_or_left_group_is_not_reused(api: Api) -> None:
    async def group() -> str:
        return f"/v3/chats/{(await create(api, PERSON, FRIEND, THIRD)).json()['chat']['id']}"

    named = await group()
    await api.put(named, json={"display_name": "Us"})
    changed = await group()
    await api.post(f"{changed}/participants", json={"handle": "a@example.com"})
    await api.request("DELETE", f"{changed}/participants", json={"handle": "a@example.com"})
    left = await group()
    await api.post(f"{left}/leave")
    assert len({named, changed, left, await group()}) == 4


async def test_r55_without_naming_a_line_a_first_message_may_hold_a_link(api: Api) -> None:
    link = {"type": "link", "value": "https://example.com"}
    answer = await api.post("/v3/messages", json={"to": [PERSON], **message(link)})
    assert (answer.status_code, answer.json()["created_new_chat"]) == (202, True)


async def test_r56_the_choice_of_the_line(emulator: Emulator, api: Api) -> None:
    async def send(**more: Any) -> dict[str, Any]:
        emulator.advance(1)
        body = {"to": [PERSON], **message(), "continuation_message": {"text": "from a new number"}, **more}
        answer = await api.post("/v3/messages", json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    new = await send()
    assert new["from_selection"] == {"reason": "new_best_number", "reused_existing_chat": False}
    assert new["message"]["parts"][0]["value"] == "hi"
    assert (await send())["from_selection"] == {"reason": "reused_active_chat", "reused_existing_chat": True}
    # A chat on an excluded line is reused if it is the only one; a chat on another line is preferred.
    assert (await send(exclude_from=[new["from"]]))["chat_id"] == new["chat_id"]
    other = next(line for line in (LINE, OTHER_LINE) if line != new["from"])
    second = (await create(api, line=other)).json()["chat"]["id"]
    assert (await send())["chat_id"] == second
    assert (await send(exclude_from=[other]))["chat_id"] == new["chat_id"]
    emulator.state.lines[other].status = emulator.state.lines[new["from"]].status = "FLAGGED"
    emulator.state.lines["+12025550102"] = Line("+12025550102")
    failover = await send()
    assert (failover["from_selection"]["reason"], failover["from"]) == ("failover_flagged", "+12025550102")
    assert failover["previous_chat_id"] == new["chat_id"]
    assert failover["message"]["parts"][0]["value"] == "from a new number"


async def test_the_same_key_sends_once_and_answers_with_the_original(emulator: Emulator, api: Api, chat: Ids) -> None:
    first = (await api.write(chat, idempotency_key="k1")).json()
    again = (await api.write(chat, {"type": "text", "value": "else"}, idempotency_key="k1")).json()
    assert first == again
    assert len(emulator.state.chats[chat["chat_id"]].messages) == 2
    created = (await create(api, FRIEND, **message(idempotency_key="k2"))).json()["chat"]
    assert (await create(api, FRIEND, **message(idempotency_key="k2"))).json()["chat"] == created


async def test_messages_create_takes_its_key_from_header_or_body(emulator: Emulator, api: Api) -> None:
    body = {"to": [PERSON], **message()}
    keyed = {"to": [PERSON], **message(idempotency_key="b")}
    for asked, headers in ((body, {"idempotency-key": "h"}), (keyed, {})):
        first, again = [await api.post("/v3/messages", json=asked, headers=headers) for _ in range(2)]
        assert first.json()["message"] == again.json()["message"]
    assert len(emulator.state.messages) == 2


async def test_the_key_of_a_deleted_message_is_404_and_never_sent_again(api: Api, chat: Ids) -> None:
    sent = (await api.sent(chat, idempotency_key="k"))["id"]
    await api.delete(f"/v3/messages/{sent}")
    refused(await api.write(chat, idempotency_key="k"), 404, 2002)


async def test_a_repeat_is_answered_also_if_sending_is_forbidden_now(emulator: Emulator, api: Api, chat: Ids) -> None:
    sent = (await api.write(chat, idempotency_key="k")).json()
    say(emulator, "STOP")
    assert (await api.write(chat, idempotency_key="k")).json() == sent


async def test_sending_clears_the_bots_typing(emulator: Emulator, api: Api, chat: Ids) -> None:
    await api.post(f"/v3/chats/{chat['chat_id']}/typing")
    assert LINE in emulator.state.chats[chat["chat_id"]].typing
    await api.sent(chat)
    assert emulator.state.chats[chat["chat_id"]].typing == {}


async def test_a_running_clock_delivers_by_itself_within_a_second(receiver: Receiver) -> None:
    clock = MovableClock()
    async with Emulator(clock=clock, delivery_transport=receiver) as emulator:
        sent = (await create(Api(emulator))).json()["chat"]["message"]["id"]
        clock.advance(0.7)  # the clock is moved by other code, and the timers notice that
        await emulator.flush()
        assert emulator.state.messages[sent].status == "delivered"
