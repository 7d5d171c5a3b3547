"""Payments (R96): requests paid on a page, customers who connect and are charged; and reputation audits."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from linqbot_dev.emulator.acts.chat_acts import Pay, SetProvider
from linqbot_dev.emulator.emulator import Emulator

from emulator.conftest import LINE, OTHER_LINE, PERSON, SEND, Api, Receiver, refused, say

ASKED = {"amount": 2500, "currency": "usd"}
CHARGE = {"handle": PERSON, "amount_cents": 2500, "currency": "usd"}
HANDLE = f"/v3/payments/handles/{PERSON.replace('+', '%2B')}"
AUDIT = f"/v3/phone_numbers/{LINE.replace('+', '%2B')}/reputation_audit"


async def ask(api: Api, key: str | None = None, **fields: Any) -> httpx.Response:
    headers = {"idempotency-key": key} if key else {}
    return await api.post("/v3/payment_requests", json={**ASKED, **fields} if fields else ASKED, headers=headers)


async def test_r96_a_wrong_payment_request_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    subscription = {"mode": "subscription", "price_id": "price_1"}
    rows: list[dict[str, Any]] = [
        subscription | {"price_id": "nothing"},
        ASKED | {"customer_id": "somebody"},
        subscription | {"trial_end": "yesterday"},
        subscription | {"trial_end": "2020-01-01T00:00:00Z"},
        subscription | {"trial_period_days": 10**12},
    ]
    for body in rows:
        with subtests.test(body=body):
            refused(await api.post("/v3/payment_requests", json=body), 400, 1005)


async def test_r96_stripe_must_be_connected(emulator: Emulator, api: Api) -> None:
    emulator.do(SetProvider(provider="stripe", status="onboarding"))
    refused(await ask(api), 403, 2005)
    natural = {"rail": "natural", "from": LINE, "payer_handle": PERSON}
    assert (await ask(api, **natural)).status_code == 201
    refused(await ask(api, **natural | {"from": "+12025550999"}), 403, 2005)


async def test_r96_only_an_open_request_can_be_canceled(emulator: Emulator, api: Api) -> None:
    paid, canceled, expired = [(await ask(api)).json()["id"] for _ in range(3)]
    emulator.do(Pay(id=paid))
    assert (await api.post(f"/v3/payment_requests/{canceled}/cancel")).json()["status"] == "canceled"
    emulator.advance(86400)
    assert (await api.get(f"/v3/payment_requests/{expired}")).json()["status"] == "expired"
    for one in (paid, canceled, expired):
        refused(await api.post(f"/v3/payment_requests/{one}/cancel"), 409, 1005)
    refused(await api.post("/emulator/pay", json={"id": canceled}), 409, 1005)
    refused(await api.get("/v3/payment_requests/pr_nobody"), 404, 2001)


async def test_a_request_is_asked_once_per_key_and_paid_on_a_page(emulator: Emulator, api: Api) -> None:
    first, again = await ask(api, "k1"), await ask(api, "k1", amount=9900)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["checkout_url"].startswith("https://zero.linqapp.com/pay/")
    await api.post("/emulator/decline", json={"id": first.json()["id"]})
    assert (await api.get(f"/v3/payment_requests/{first.json()['id']}")).json()["status"] == "requested"
    await api.post("/emulator/pay", json={"id": first.json()["id"]})
    paid = (await api.get(f"/v3/payment_requests/{first.json()['id']}")).json()
    assert (paid["status"], paid["paid_at"] is not None) == ("succeeded", True)


async def test_a_subscription_has_a_price_and_may_begin_later(api: Api) -> None:
    body = {"mode": "subscription", "price_id": "price_1", "quantity": 2, "trial_period_days": 7}
    body["discount"] = {"coupon": "SUMMER"}
    made = (await api.post("/v3/payment_requests", json=body)).json()
    assert (made["amount"], made["currency"], made["interval"], made["quantity"]) == (2000, "usd", "month", 2)
    assert made["stripe"]["subscription_id"].startswith("sub_")
    assert made["discount"] == {"coupon": "SUMMER"}
    assert made["trial_end"] > made["created_at"]


async def test_requests_are_listed_newest_first_by_offset(emulator: Emulator, api: Api) -> None:
    made = [(await ask(api)).json()["id"] for _ in range(5)]
    emulator.do(Pay(id=made[1]))
    page = (await api.get("/v3/payment_requests", params={"limit": 2, "offset": 1})).json()
    assert (page["object"], [one["id"] for one in page["data"]], page["has_more"]) == ("list", made[3:1:-1], True)
    last = (await api.get("/v3/payment_requests", params={"offset": 3})).json()
    assert ([one["id"] for one in last["data"]], last["has_more"]) == ([made[1], made[0]], False)
    paid = (await api.get("/v3/payment_requests", params={"status": "succeeded"})).json()["data"]
    assert [one["id"] for one in paid] == [made[1]]
    refused(await api.get("/v3/payment_requests", params={"offset": "-1"}), 400, 1005)
    refused(await api.get("/v3/payment_requests", params={"status": "succeded"}), 400, 1005)


async def charge(api: Api, key: str) -> dict[str, Any]:
    return dict((await api.post("/v3/payments", json=CHARGE, headers={"idempotency-key": key})).json())


async def test_a_customer_connects_approves_and_is_charged_under_one_key(emulator: Emulator, api: Api) -> None:
    payment = await charge(api, "k1")
    assert payment["status"] == "needs_connection"
    assert (await api.get(f"{HANDLE}/connection")).json() == {"handle": PERSON, "status": "not_connected"}
    pending = (await api.post(f"{HANDLE}/connect")).json()
    assert (await charge(api, "k1"))["status"] == "connecting"
    code = {"code": "424242", "connect_id": pending["connect_id"]}
    refused(await api.post(f"{HANDLE}/verify", json=code | {"code": "1"}), 400, 1005)
    assert (await api.post(f"{HANDLE}/verify", json=code)).json() == {"handle": PERSON, "status": "connected"}
    refused(await api.post(f"{HANDLE}/verify", json=code), 409, 1005)
    waiting = await charge(api, "k1")
    assert (waiting["id"], waiting["status"]) == (payment["id"], "awaiting_user_action")
    assert waiting["attach_url"]
    path = f"/v3/payments/{payment['id']}"
    refused(await api.get(f"{path}/credentials"), 409, 1005)
    await api.post("/emulator/pay", json={"id": payment["id"]})
    assert (await api.get(path)).json()["status"] == "authorized"
    assert (await api.get(f"{path}/credentials")).json()["handoff"]["provider"] == "agentcard"
    assert (await charge(api, "k1"))["status"] == "succeeded"
    refused(await api.post(f"{path}/cancel"), 409, 1005)
    second = await charge(api, "k2")
    assert (second["attach_url"], bool(second["approval_url"])) == (None, True)
    assert (await api.post(f"/v3/payments/{second['id']}/cancel")).json()["status"] == "canceled"


async def test_a_customer_may_say_no_and_leave(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    emulator.subscribe("https://hook.example")
    await api.post("/emulator/connect", json={"from": PERSON})
    payment = await charge(api, "k1")
    await api.post("/emulator/decline", json={"id": payment["id"]})
    assert (await charge(api, "k1"))["status"] == "declined"
    late = await charge(api, "k2")
    emulator.advance(172800)
    assert (await api.get(f"/v3/payments/{late['id']}")).json()["status"] == "expired"
    assert (await api.delete(f"{HANDLE}/connection")).json() == {"handle": PERSON, "status": "revoked"}
    assert (await charge(api, "k3"))["status"] == "needs_connection"
    refused(await api.post("/emulator/pay", json={"id": (await charge(api, "k3"))["id"]}), 409, 1006)
    await emulator.flush()
    heard = ["connection.created", "payment.declined", "payment.expired", "connection.revoked"]
    assert sorted(receiver.types) == sorted(heard)


async def test_a_payment_provider_is_connected_by_its_hosted_page(api: Api) -> None:
    path = "/v3/payments/providers"
    assert (await api.get(f"{path}/natural")).json() == {"provider": "natural", "status": "ready"}
    await api.post("/emulator/providers", json={"provider": "natural", "status": "disabled"})
    joined = (await api.post(f"{path}/natural/connect", json={"return_url": "https://e.example"})).json()
    assert (joined["status"], joined["hosted_url"].startswith("https://natural")) == ("onboarding", True)
    refused(await api.get(f"{path}/cash"), 404, 2001)
    refused(await api.post(f"{path}/natural/connect", json={}), 400, 1001)


async def test_r96_one_audit_at_a_time_and_then_none_for_an_hour(emulator: Emulator, api: Api) -> None:
    say(emulator, "STOP")
    first = await api.post(AUDIT)
    assert (first.status_code, first.json()["status"]) == (202, "pending")
    assert (await api.post(AUDIT)).json() == first.json()
    path = f"{AUDIT}/{first.json()['audit_id']}"
    assert (await api.get(path)).json()["status"] == "pending"
    emulator.advance(5)
    done = (await api.get(path)).json()
    assert (done["status"], done["phone"], done["report"]["severity"]) == ("complete", LINE, "HEALTHY")
    assert done["report"]["evidence"]["unhealthy_chats"][0]["status"] == "OPTED_OUT"
    assert refused(await api.post(AUDIT), 429, 1007)["retry_after"] == 3595
    refused(await api.get(path.replace("0100", "0101")), 404, 2001)
    refused(await api.post(AUDIT.replace("0100", "0999")), 404, 2001)
    emulator.advance(3600)
    assert (await api.post(AUDIT)).json()["audit_id"] != first.json()["audit_id"]
    emulator.advance(86400)
    refused(await api.get(path), 404, 2001)


async def test_r15_in_a_sandbox_people_write_first_and_a_day_has_100_messages(api: Api, emulator: Emulator) -> None:
    emulator.reset({"sandbox": True})
    refused(await api.post("/v3/chats", json={"from": LINE, "to": [PERSON], **SEND}), 403, 2008)
    assert not emulator.state.chats
    chat = say(emulator)
    emulator.advance(86400 - emulator.clock.now() % 86400)
    for _ in range(100):
        assert (await api.write(chat)).status_code == 202
        emulator.advance(10)
    emulator.advance(refused(await api.write(chat), 429, 1007)["retry_after"])
    assert (await api.write(chat)).status_code == 202


async def test_a_released_line_loses_its_chats_and_its_messages_in_progress_still_end(
    emulator: Emulator, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    chat_id = (await api.post("/v3/chats", json={"from": LINE, "to": [PERSON], **SEND})).json()["chat"]["id"]
    await api.post("/emulator/lines", json={"phone_number": LINE, "assigned": False})
    emulator.advance(10)
    refused(await api.get(f"/v3/chats/{chat_id}"), 404, 2001)
    assert [one["phone_number"] for one in (await api.get("/v3/phone_numbers")).json()["phone_numbers"]] == [OTHER_LINE]
    await api.post("/emulator/lines", json={"phone_number": LINE, "assigned": True, "line_type": "RCS"})
    assert emulator.state.lines[LINE].line_type == "RCS"
    assert emulator.save_state()
    assert "crashed" not in caplog.text
