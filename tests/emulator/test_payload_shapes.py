"""Events of the emulator compared with real ones: the same keys and kinds of values, in both payload versions."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from emulator.conftest import FRIEND, LINE, PERSON, THIRD, Api, Receiver, say
from linqbot.emulator.acts.chat_acts import (
    AddOptions,
    ChangeLine,
    Connect,
    Decline,
    Disconnect,
    MakePoll,
    Pay,
    ShareCard,
    ShareLocation,
    Vote,
)
from linqbot.emulator.acts.conversation import Edit, React, Read, SetTyping, Write
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.faults import Fault

SAMPLES = Path(__file__).parent.parent / "data" / "events"

pytestmark = pytest.mark.anyio

# Free-form text, or lists whose content is the case's own.
OPEN = {"target_url", "from", "to"}


def alike(ours: Any, real: Any, at: str = "") -> None:
    """Check that objects have the same keys, values the same kind, and times, ids and addresses the same form."""
    if isinstance(real, dict):
        assert isinstance(ours, dict), at
        assert set(ours) == set(real), f"{at}: {set(ours) ^ set(real)}"
        for key, value in real.items():
            if key not in OPEN or not isinstance(value, dict | list):
                alike(ours[key], value, f"{at}.{key}")
    elif isinstance(real, list):
        assert isinstance(ours, list), at
        for mine, theirs in zip(ours, real, strict=False):
            alike(mine, theirs, f"{at}[]")
    elif real is not None and ours is not None:
        assert type(ours) is type(real), f"{at}: {ours!r} {real!r}"
        if isinstance(real, str):
            assert form(ours) == form(real), f"{at}: {ours!r} {real!r}"


def form(text: str) -> str:
    for name, pattern in {
        "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
        "trace": r"[0-9a-f]{32}",
        "phone": r"\+\d+",
        "url": r"https?://.*",
    }.items():
        if re.fullmatch(pattern, text):
            return name
    return "text"


def sample(name: str) -> dict[str, Any]:
    return dict(json.loads((SAMPLES / f"{name}.json").read_text()))


def by_api(name: str) -> dict[str, Any]:
    """Return a sample of a change on the dashboard, as if made through the API."""
    real = sample(name)
    real["data"]["actor"] = {"type": "api"}
    return real


class World:
    """An emulator with two subscriptions, one for each payload version, and the events that they received."""

    def __init__(self, emulator: Emulator, api: Api, receiver: Receiver) -> None:
        self.emulator, self.api, self.receiver = emulator, api, receiver
        self.new = emulator.subscribe("https://new.example/?version=2026-02-03").id
        self.old = emulator.subscribe("https://old.example/?version=2025-01-01").id

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.api.request(method, f"/v3{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def heard(self, event_type: str, version: str = "new") -> dict[str, Any]:
        await self.emulator.flush()
        heard = dict(
            next(
                json.loads(request.content)
                for request in reversed(self.receiver.requests)
                if request.headers["x-webhook-event"] == event_type and request.url.host == f"{version}.example"
            )
        )
        if version == "new":
            official(event_type).model_validate(heard)
        return heard


def official(event_type: str) -> type[BaseModel]:
    """Return the official client's model of an event, which refuses data that does not fit."""
    name = re.sub(r"[._]", "_", event_type) + "_webhook_event"
    module = importlib.import_module(f"linq.types.{name}")
    return getattr(module, name.title().replace("_", "").replace("Url", "URL"))  # type: ignore[no-any-return]


@pytest.fixture
def world(emulator: Emulator, api: Api, receiver: Receiver) -> World:
    return World(emulator, api, receiver)


IMAGE = {"type": "media", "filename": "receipt.jpg", "mime_type": "image/jpeg", "data_base64": "AAAA"}


async def test_a_received_message_has_the_shape_of_linqs(world: World) -> None:
    chat_id = say(world.emulator)["chat_id"]
    mine = await world.call(
        "POST", f"/chats/{chat_id}/messages", {"message": {"parts": [{"type": "text", "value": "a"}]}}
    )
    parts = [{"type": "text", "value": "Thanks!"}, IMAGE]
    world.emulator.do(Write(from_=PERSON, to=LINE, parts=parts, reply_to={"message_id": mine["message"]["id"]}))
    alike(await world.heard("message.received"), sample("message.received"))
    alike(await world.heard("message.received", "old"), sample("message.received.v2025-01-01"))
    world.emulator.do(Write(from_=PERSON, to=LINE, parts=[{"type": "link", "value": "https://example.com/menu"}]))
    alike(await world.heard("message.received"), sample("message.received.link"))
    text = {"type": "text", "value": "@Linq can you help?", "mention": LINE, "mention_range": [0, 5]}
    world.emulator.do(Write(from_=PERSON, to=LINE, parts=[text], group=[FRIEND, THIRD]))
    heard = await world.heard("message.received")
    alike(heard, sample("message.received.group"))
    assert heard["data"]["parts"][0]["mentions"] == [{"handle": LINE, "is_me": True, "range": [0, 5]}]
    world.emulator.do(
        Write(
            from_=PERSON,
            to=LINE,
            parts=[{"type": "text", "value": "?"}],
            sent_at="1970-01-01T00:00:00Z",
            reconciled_at="1970-01-01T00:00:09Z",
        )
    )
    heard = await world.heard("message.received")
    alike(heard, sample("message.received.reconciled"))
    assert heard["data"]["sent_at"] == "1970-01-01T00:00:00.000Z"
    say(world.emulator, "STOP")
    heard = await world.heard("message.received")
    alike(heard, sample("message.received.stop"))
    assert heard["data"]["chat"]["health_status"]["status"] == "OPTED_OUT"


async def test_messages_sent_delivered_and_read(world: World) -> None:
    chat_id = say(world.emulator)["chat_id"]
    message = {
        "parts": [
            {"type": "text", "value": "Booked for 7 pm.", "text_decorations": [{"range": [0, 6], "style": "bold"}]}
        ],
        "effect": {"type": "screen", "name": "confetti"},
        "preferred_service": "iMessage",
        "idempotency_key": "booking-8841",
    }
    await world.call("POST", f"/chats/{chat_id}/messages", {"message": message})
    world.emulator.advance(1)
    world.emulator.do(Read(from_=PERSON, chat_id=chat_id or ""))
    for step in ("sent", "delivered", "read"):
        alike(await world.heard(f"message.{step}"), sample(f"message.{step}"))
        # The message of the old sample has no effect; ours has one, and so one more key.
        old = await world.heard(f"message.{step}", "old")
        assert old["data"]["message"].pop("effect") == {"type": "screen", "name": "confetti"}
        alike(old, sample(f"message.{step}.v2025-01-01"))
    assert (await world.heard("message.sent"))["data"]["delivered_at"] is None
    assert (await world.heard("message.delivered"))["data"]["read_at"] is None


async def test_messages_failed_and_edited(world: World) -> None:
    answer = await world.call(
        "POST", "/chats", {"from": LINE, "to": [PERSON], "message": {"parts": [{"type": "text", "value": "a"}]}}
    )
    message_id = answer["chat"]["message"]["id"]
    await world.call("PATCH", f"/messages/{message_id}", {"text": "b"})
    alike(await world.heard("message.edited"), sample("message.edited"))
    with pytest.raises(StopIteration):
        # async code cannot raise StopIteration itself
        next(
            one
            for one in world.receiver.requests
            if one.url.host == "old.example" and "edited" in one.headers["x-webhook-event"]
        )
    say(world.emulator, service="SMS")
    only = {"parts": [{"type": "text", "value": "a"}], "preferred_service": "iMessage"}
    await world.call("POST", f"/chats/{answer['chat']['id']}/messages", {"message": only})
    world.emulator.advance(1)
    alike(await world.heard("message.failed"), sample("message.failed"))


async def test_a_line_of_zero_retention_shows_no_outbound_parts(world: World) -> None:
    world.emulator.state.lines[LINE].zero_retention = True
    await world.call(
        "POST", "/chats", {"from": LINE, "to": [PERSON], "message": {"parts": [{"type": "text", "value": "a"}]}}
    )
    world.emulator.advance(1)
    heard = await world.heard("message.sent")
    alike(heard, sample("message.sent.zero_retention"))
    assert heard["data"]["parts"] == []


async def test_events_of_chats_and_their_people_have_the_shape_of_linqs(world: World) -> None:
    say(world.emulator)
    alike(await world.heard("chat.created"), sample("chat.created"))
    chat_id = say(world.emulator, group=[FRIEND, THIRD])["chat_id"]
    body = {"display_name": "Friday dinner", "group_chat_icon": "https://cdn.linqapp.com/icon.png"}
    await world.call("PUT", f"/chats/{chat_id}", body)
    real = sample("chat.group_name_updated")
    real["data"]["changed_by_handle"] |= {"line_type": "iMessage"}  # ours was changed by the line, not by a person
    alike(await world.heard("chat.group_name_updated"), real)
    world.emulator.do(SetTyping(from_=PERSON, chat_id=chat_id or "", state="started"))
    alike(await world.heard("chat.typing_indicator.started"), sample("chat.typing_indicator.started"))
    world.emulator.do(SetTyping(from_=PERSON, chat_id=chat_id or "", state="stopped"))
    alike(await world.heard("chat.typing_indicator.stopped"), sample("chat.typing_indicator.stopped"))
    await world.call("POST", f"/chats/{chat_id}/participants", {"handle": "+14155550111"})
    alike(await world.heard("participant.added"), sample("participant.added"))
    await world.call("DELETE", f"/chats/{chat_id}/participants", {"handle": "+14155550111"})
    alike(await world.heard("participant.removed"), sample("participant.removed"))
    await world.call("POST", f"/chats/{chat_id}/leave")
    heard = await world.heard("participant.removed")
    alike(heard, sample("participant.removed.left"))
    assert (heard["data"]["handle"], heard["data"]["participant"]["status"]) == (LINE, "left")


async def test_a_new_group_icon_has_the_shape_of_linqs(world: World) -> None:
    chat_id = say(world.emulator, group=[FRIEND])["chat_id"]
    await world.call("PUT", f"/chats/{chat_id}", {"group_chat_icon": "https://cdn.linqapp.com/icon.png"})
    heard = await world.heard("chat.group_icon_updated")
    alike(heard, sample("chat.group_icon_updated"))
    assert heard["data"]["new_value"] == "https://cdn.linqapp.com/icon.png"


async def test_reactions_have_the_shape_of_linqs(world: World) -> None:
    message_id = say(world.emulator)["message_id"] or ""
    world.emulator.do(React(from_=PERSON, message_id=message_id, type="love"))
    alike(await world.heard("reaction.added"), sample("reaction.added"))
    world.emulator.do(React(from_=PERSON, message_id=message_id, type="love", operation="remove"))
    alike(await world.heard("reaction.removed"), sample("reaction.removed"))
    world.emulator.do(React(from_=PERSON, message_id=message_id, type="custom", custom_emoji="🚀"))
    alike(await world.heard("reaction.added"), sample("reaction.added.custom"))
    world.emulator.do(React(from_=PERSON, message_id=message_id, type="sticker", emoji="🚀"))
    alike(await world.heard("reaction.added"), sample("reaction.added.sticker"))


async def test_events_of_backgrounds_and_locations_have_the_shape_of_linqs(world: World) -> None:
    chat_id = say(world.emulator)["chat_id"] or ""
    sky = {"type": "dynamic", "style": "sky", "variant": "sunset"}
    await world.call("POST", f"/chats/{chat_id}/background", sky)
    alike(await world.heard("chat.background_updated"), sample("chat.background_updated"))
    await world.call("DELETE", f"/chats/{chat_id}/background")
    assert (await world.heard("chat.background_updated"))["data"]["background"] is None
    world.emulator.do(ShareLocation(from_=PERSON, chat_id=chat_id, latitude=52.5, longitude=13.4, for_s=3600))
    alike(await world.heard("location.sharing.started"), sample("location.sharing.started"))
    world.emulator.advance(3600)
    alike(await world.heard("location.sharing.stopped"), sample("location.sharing.stopped"))


async def test_events_of_polls_have_the_shape_of_linqs(world: World) -> None:
    ids = say(world.emulator)
    chat_id = ids["chat_id"] or ""
    asked = {"poll": {"options": [{"text": "Thursday"}, {"text": "Friday"}]}}
    made = await world.call("POST", f"/chats/{chat_id}/polls", asked)
    world.emulator.advance(1)
    world.emulator.do(Read(from_=PERSON, chat_id=chat_id))
    for step in ("sent", "delivered", "read"):
        alike(await world.heard(f"poll.{step}"), sample(f"poll.{step}"))
    option = made["poll"]["options"][0]["option_id"]
    world.emulator.do(Vote(from_=PERSON, message_id=made["message_id"], option_id=option))
    alike(await world.heard("poll.vote.added"), sample("poll.vote.added"))
    world.emulator.do(Vote(from_=PERSON, message_id=made["message_id"], option_id=option, operation="remove"))
    alike(await world.heard("poll.vote.removed"), sample("poll.vote.removed"))
    world.emulator.do(AddOptions(from_=PERSON, message_id=made["message_id"], options=["Saturday"]))
    heard = await world.heard("poll.updated")
    alike(heard, sample("poll.updated"))
    assert (heard["data"]["direction"], heard["data"]["sender_handle"]["handle"]) == ("inbound", LINE)
    world.emulator.do(React(from_=PERSON, message_id=made["message_id"], type="sticker", emoji="🚀"))
    alike(await world.heard("poll.reaction.added"), sample("poll.reaction.added"))
    world.emulator.do(MakePoll(from_=PERSON, chat_id=chat_id, options=["Thursday", "Friday"]))
    alike(await world.heard("poll.received"), sample("poll.received"))
    world.emulator.add_fault(Fault(on="message", match=PERSON))
    await world.call("POST", f"/chats/{chat_id}/polls", asked)
    world.emulator.advance(1)
    alike(await world.heard("poll.failed"), sample("poll.failed"))


async def test_events_of_the_account_have_the_shape_of_linqs(world: World) -> None:
    answer = await world.call(
        "POST",
        "/webhook-subscriptions",
        {"target_url": "https://a.example/?k=secret", "subscribed_events": ["message.received"]},
    )
    heard = await world.heard("webhook_subscription.created")
    alike(heard, sample("webhook_subscription.created"))
    assert heard["data"]["webhook_subscription"]["target_url"] == "https://a.example/"
    path = f"/webhook-subscriptions/{answer['id']}"
    for body, event in (
        ({"target_url": "https://b.example"}, "target_url_changed"),
        ({"subscribed_events": ["message.sent"]}, "events.updated"),
        ({"phone_numbers": [LINE]}, "phone_numbers.updated"),
        ({"routing_key_header": "X-Route-Token", "routing_id_header": "X-Chat-Id"}, "routing_headers_set"),
        ({"routing_key_header": None}, "routing_headers_cleared"),
    ):
        await world.call("PUT", path, body)
        alike(await world.heard(f"webhook_subscription.{event}"), by_api(f"webhook_subscription.{event}"))
    for is_active, event in ((False, "disabled"), (True, "enabled")):
        await world.call("PUT", path, {"is_active": is_active})
        alike(await world.heard(f"webhook_subscription.{event}"), by_api(f"webhook_subscription.{event}"))
    await world.call("DELETE", path)
    alike(await world.heard("webhook_subscription.deleted"), sample("webhook_subscription.deleted"))
    await world.call("POST", "/contact_card", {"phone_number": LINE, "first_name": "Acme"})
    alike(await world.heard("contact_card.created"), sample("contact_card.created"))
    await world.call("PATCH", "/contact_card?phone_number=%2B12025550100", {"last_name": "Support"})
    alike(await world.heard("contact_card.updated"), sample("contact_card.updated"))
    line_id = world.emulator.state.lines[LINE].id
    await world.call("PUT", f"/phone_numbers/{line_id}", {"forwarding_number": PERSON})
    alike(await world.heard("phone_number.forwarding_updated"), sample("phone_number.forwarding_updated"))
    await world.api.post("/emulator/lines", json={"phone_number": LINE, "status": "FLAGGED", "reputation": "CRITICAL"})
    alike(await world.heard("phone_number.status_updated"), sample("phone_number.status_updated"))


async def test_failed_changes_of_a_chat(world: World) -> None:
    chat_id = say(world.emulator, group=[FRIEND])["chat_id"]
    for fault in (Fault("chat", "group_name"), Fault("chat", "group_icon"), Fault("chat", "background", code=2011)):
        world.emulator.add_fault(fault)
    body = {"display_name": "Friday dinner", "group_chat_icon": "https://cdn.linqapp.com/icon.png"}
    await world.call("PUT", f"/chats/{chat_id}", body)
    await world.call("POST", f"/chats/{chat_id}/background", {"type": "color", "variant": "mango"})
    for what in ("group_name", "group_icon", "background"):
        alike(await world.heard(f"chat.{what}_update_failed"), sample(f"chat.{what}_update_failed"))
    assert (await world.heard("chat.background_update_failed"))["data"]["error_code"] == 2011
    chat = await world.call("GET", f"/chats/{chat_id}")
    assert (chat["display_name"], chat["group_chat_icon"]) == (f"{PERSON}, {FRIEND}", None)
    assert world.emulator.state.chats[chat_id or ""].background is None


async def test_cards_and_lines_that_come_and_go(world: World) -> None:
    photo = "https://cdn.linqapp.com/contacts/1/photo.jpg"
    world.emulator.do(ShareCard(from_=PERSON, to=LINE, first_name="Dana", last_name="Ortiz", media_url=photo))
    world.emulator.do(ShareCard(from_=PERSON, to=LINE, first_name="Dana", last_name="Ortiz", media_url=photo))
    alike(await world.heard("contact_card.received"), sample("contact_card.received"))
    world.emulator.do(ShareCard(from_=PERSON, to=LINE, first_name="Dana", last_name="Miller"))
    assert (await world.heard("contact_card.received"))["data"]["last_name"] == "Miller"
    assert len(world.receiver.of("contact_card.received")) == 4  # twice, to two subscriptions
    card = {"phone_number": LINE, "first_name": "Acme", "last_name": "Support", "image_url": photo}
    await world.call("POST", "/contact_card", card)
    world.emulator.do(ChangeLine(phone_number=LINE, card="deleted"))
    alike(await world.heard("contact_card.deleted"), sample("contact_card.deleted"))
    world.emulator.do(ChangeLine(phone_number="+12025550102", assigned=True))
    alike(await world.heard("phone_number.assigned"), sample("phone_number.assigned"))
    world.emulator.do(ChangeLine(phone_number="+12025550102", zero_retention=True))
    alike(await world.heard("zero_day_retention.updated"), sample("zero_day_retention.updated"))
    world.emulator.do(ChangeLine(phone_number="+12025550102", assigned=False))
    alike(await world.heard("phone_number.released"), sample("phone_number.released"))


async def test_events_of_payments_and_connections_have_the_shape_of_linqs(world: World) -> None:
    asked = {
        "amount": 2500,
        "currency": "usd",
        "description": "Table deposit",
        "metadata": {"chat_id": "3c99d589-8d03-5753-96bd-addff71de8c2"},
    }

    async def ask(**more: Any) -> str:
        return str((await world.call("POST", "/payment_requests", asked | more))["id"])

    paid = await ask()
    world.emulator.do(Decline(id=paid))
    alike(await world.heard("payment.declined"), sample("payment.declined"))
    world.emulator.do(Pay(id=paid))
    alike(await world.heard("payment.succeeded"), sample("payment.succeeded"))
    await world.call("POST", f"/payment_requests/{await ask()}/cancel")
    alike(await world.heard("payment.canceled"), sample("payment.canceled"))
    world.emulator.do(Pay(id=await ask(rail="natural", from_=None, **{"from": LINE, "payer_handle": PERSON})))
    alike(await world.heard("payment.authorized"), sample("payment.authorized"))
    await ask()
    world.emulator.advance(86400)
    alike(await world.heard("payment.expired"), sample("payment.expired"))
    world.emulator.do(Connect(from_=PERSON))
    real = sample("connection.created")
    real["data"]["metadata"] = {"handle": PERSON}
    alike(await world.heard("connection.created"), real)
    world.emulator.do(Disconnect(from_=PERSON))
    real = sample("connection.revoked")
    real["data"]["metadata"] = {"handle": PERSON}
    alike(await world.heard("connection.revoked"), real)


async def test_a_line_of_zero_retention_keeps_no_content(world: World) -> None:
    world.emulator.do(ChangeLine(phone_number=LINE, zero_retention=True))
    chat_id = say(world.emulator)["chat_id"]
    heard = await world.heard("message.received")
    assert (heard["data"]["parts"][0]["value"], heard["data"]["zero_retention"]) == ("hi", True)
    said = {"message": {"parts": [{"type": "text", "value": "hello"}]}}
    sent = await world.call("POST", f"/chats/{chat_id}/messages", said)
    assert sent["message"]["parts"][0]["value"] == "hello"
    page = await world.call("GET", f"/chats/{chat_id}/messages")
    assert [message["parts"] for message in page["messages"]] == [[], []]
    await world.call("PATCH", f"/messages/{sent['message']['id']}", {"text": "changed"})
    assert (await world.heard("message.edited"))["data"]["part"]["text"] == ""
    world.emulator.do(Edit(from_=PERSON, message_id=page["messages"][1]["id"], text="hi!"))
    assert (await world.heard("message.edited"))["data"]["part"]["text"] == "hi!"
    poll = await world.call("POST", f"/chats/{chat_id}/polls", {"poll": {"options": [{"text": "a"}, {"text": "b"}]}})
    assert [option["text"] for option in poll["poll"]["options"]] == ["a", "b"]
    world.emulator.advance(1)
    assert [option["text"] for option in (await world.heard("poll.sent"))["data"]["poll"]["options"]] == ["", ""]
    kept = await world.call("GET", f"/messages/{poll['message_id']}/poll")
    assert [option["text"] for option in kept["poll"]["options"]] == ["", ""]
    world.emulator.do(MakePoll(from_=PERSON, chat_id=chat_id or "", options=["c", "d"]))
    heard = await world.heard("poll.received")
    assert [option["text"] for option in heard["data"]["poll"]["options"]] == ["c", "d"]


# Events of Linq's dashboard only, or of calls: nothing in the emulator causes them. `linqbot trigger` sends them.
NEVER_HERE = {
    "api_token.activated", "api_token.created", "api_token.deleted", "api_token.expired", "api_token.expiry_scheduled",
    "api_token.renamed", "environment.created", "environment.deleted", "environment.line_moved", "environment.renamed",
    "team_member.added", "team_member.signed_in", "team_member.signed_out",
}  # fmt: skip


def test_every_sample_is_compared_with_an_event_of_the_emulator() -> None:
    compared = set(re.findall(r"""(?:sample|by_api)\(f?"([\w.{}-]+)"\)""", Path(__file__).read_text()))
    names = {path.stem for path in SAMPLES.glob("*.json")}
    fits = {
        name
        for name in names
        for one in compared
        if re.fullmatch(re.sub(r"\\{.*?\\}", r"[\\w.]+", re.escape(one)), name)
    }
    assert names - fits == NEVER_HERE
