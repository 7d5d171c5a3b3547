"""Events of the emulator beside real ones: the same keys, the same kinds of values, in both payload versions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from linqbot.emulator.emulator import Emulator
from linqbot.emulator.faults import Fault

LINE, PERSON, FRIEND, THIRD = "+12025550100", "+14155550142", "+14155550187", "+14155550199"
SAMPLES = Path(__file__).parent.parent / "data" / "events"

pytestmark = pytest.mark.anyio

# Free-form text, or lists whose content is the case's own.
OPEN = {"target_url", "from", "to"}


def alike(ours: Any, real: Any, at: str = "") -> None:
    """The same keys in objects; the same kind of value; times, ids and addresses in the same form."""
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
    """A sample of something done on the dashboard, as if done through the API."""
    real = sample(name)
    real["data"]["actor"] = {"type": "api"}
    return real


class World:
    """One story in which everything happens once, and what the two subscriptions heard of it."""

    def __init__(self, emulator: Emulator, api: httpx.AsyncClient, receiver: Any) -> None:
        self.emulator, self.api, self.receiver = emulator, api, receiver
        self.new = emulator.subscribe("https://new.example/?version=2026-02-03").id
        self.old = emulator.subscribe("https://old.example/?version=2025-01-01").id

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.api.request(method, f"/v3{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def heard(self, event_type: str, version: str = "new") -> dict[str, Any]:
        await self.emulator.flush()
        return dict(
            next(
                json.loads(request.content)
                for request in reversed(self.receiver.requests)
                if request.headers["x-webhook-event"] == event_type and request.url.host == f"{version}.example"
            )
        )


@pytest.fixture
def world(emulator: Emulator, api: httpx.AsyncClient, receiver: Any) -> World:
    return World(emulator, api, receiver)


IMAGE = {"type": "media", "filename": "receipt.jpg", "mime_type": "image/jpeg", "data_base64": "AAAA"}


async def test_messages_received(world: World) -> None:
    chat_id = world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}])["chat_id"]
    mine = await world.call(
        "POST", f"/chats/{chat_id}/messages", {"message": {"parts": [{"type": "text", "value": "a"}]}}
    )
    parts = [{"type": "text", "value": "Thanks!"}, IMAGE]
    world.emulator.inbound(PERSON, LINE, parts, reply_to={"message_id": mine["message"]["id"]})
    alike(await world.heard("message.received"), sample("message.received"))
    alike(await world.heard("message.received", "old"), sample("message.received.v2025-01-01"))
    world.emulator.inbound(PERSON, LINE, [{"type": "link", "value": "https://example.com/menu"}])
    alike(await world.heard("message.received"), sample("message.received.link"))
    text = {"type": "text", "value": "@Linq can you help?", "mention": LINE, "mention_range": [0, 5]}
    world.emulator.inbound(PERSON, LINE, [text], group=[FRIEND, THIRD])
    heard = await world.heard("message.received")
    alike(heard, sample("message.received.group"))
    assert heard["data"]["parts"][0]["mentions"] == [{"handle": LINE, "is_me": True, "range": [0, 5]}]
    world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "?"}], sent_at=0.0, reconciled_at=9.0)
    heard = await world.heard("message.received")
    alike(heard, sample("message.received.reconciled"))
    assert heard["data"]["sent_at"] == "1970-01-01T00:00:00.000Z"
    world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "STOP"}])
    heard = await world.heard("message.received")
    alike(heard, sample("message.received.stop"))
    assert heard["data"]["chat"]["health_status"]["status"] == "OPTED_OUT"


async def test_messages_sent_delivered_and_read(world: World) -> None:
    chat_id = world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}])["chat_id"]
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
    world.emulator.read(PERSON, chat_id or "")
    for step in ("sent", "delivered", "read"):
        alike(await world.heard(f"message.{step}"), sample(f"message.{step}"))
        # The old sample has an effect-less message; with an effect it comes along.
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
    world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}], service="SMS")
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


async def test_chats_and_people(world: World) -> None:
    world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}])
    alike(await world.heard("chat.created"), sample("chat.created"))
    chat_id = world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}], group=[FRIEND, THIRD])["chat_id"]
    body = {"display_name": "Friday dinner", "group_chat_icon": "https://cdn.linqapp.com/icon.png"}
    await world.call("PUT", f"/chats/{chat_id}", body)
    real = sample("chat.group_name_updated")
    real["data"]["changed_by_handle"] |= {"line_type": "iMessage"}  # ours was changed by the line, not by a person
    alike(await world.heard("chat.group_name_updated"), real)
    world.emulator.typing(PERSON, chat_id or "")
    alike(await world.heard("chat.typing_indicator.started"), sample("chat.typing_indicator.started"))
    world.emulator.typing(PERSON, chat_id or "", is_typing=False)
    alike(await world.heard("chat.typing_indicator.stopped"), sample("chat.typing_indicator.stopped"))
    await world.call("POST", f"/chats/{chat_id}/participants", {"handle": "+14155550111"})
    alike(await world.heard("participant.added"), sample("participant.added"))
    await world.call("DELETE", f"/chats/{chat_id}/participants", {"handle": "+14155550111"})
    alike(await world.heard("participant.removed"), sample("participant.removed"))
    await world.call("POST", f"/chats/{chat_id}/leave")
    heard = await world.heard("participant.removed")
    alike(heard, sample("participant.removed.left"))
    assert (heard["data"]["handle"], heard["data"]["participant"]["status"]) == (LINE, "left")


async def test_the_group_icon(world: World) -> None:
    chat_id = world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}], group=[FRIEND])["chat_id"]
    await world.call("PUT", f"/chats/{chat_id}", {"group_chat_icon": "https://cdn.linqapp.com/icon.png"})
    heard = await world.heard("chat.group_icon_updated")
    alike(heard, sample("chat.group_icon_updated"))
    assert heard["data"]["new_value"] == "https://cdn.linqapp.com/icon.png"


async def test_reactions(world: World) -> None:
    message_id = world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}])["message_id"] or ""
    world.emulator.react(PERSON, message_id, "love")
    alike(await world.heard("reaction.added"), sample("reaction.added"))
    world.emulator.react(PERSON, message_id, "love", operation="remove")
    alike(await world.heard("reaction.removed"), sample("reaction.removed"))
    world.emulator.react(PERSON, message_id, "custom", custom_emoji="🚀")
    alike(await world.heard("reaction.added"), sample("reaction.added.custom"))
    world.emulator.react(PERSON, message_id, "sticker", sticker={"emoji": "🚀"})
    alike(await world.heard("reaction.added"), sample("reaction.added.sticker"))


async def test_backgrounds_and_locations(world: World) -> None:
    chat_id = world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}])["chat_id"] or ""
    sky = {"type": "dynamic", "style": "sky", "variant": "sunset"}
    await world.call("POST", f"/chats/{chat_id}/background", sky)
    alike(await world.heard("chat.background_updated"), sample("chat.background_updated"))
    await world.call("DELETE", f"/chats/{chat_id}/background")
    assert (await world.heard("chat.background_updated"))["data"]["background"] is None
    world.emulator.share_location(PERSON, chat_id, 52.5, 13.4, for_s=3600)
    alike(await world.heard("location.sharing.started"), sample("location.sharing.started"))
    world.emulator.advance(3600)
    alike(await world.heard("location.sharing.stopped"), sample("location.sharing.stopped"))


async def test_polls(world: World) -> None:
    ids = world.emulator.inbound(PERSON, LINE, [{"type": "text", "value": "hi"}])
    chat_id = ids["chat_id"] or ""
    asked = {"poll": {"options": [{"text": "Thursday"}, {"text": "Friday"}]}}
    made = await world.call("POST", f"/chats/{chat_id}/polls", asked)
    world.emulator.advance(1)
    world.emulator.read(PERSON, chat_id)
    for step in ("sent", "delivered", "read"):
        alike(await world.heard(f"poll.{step}"), sample(f"poll.{step}"))
    option = made["poll"]["options"][0]["option_id"]
    world.emulator.vote(PERSON, made["message_id"], option)
    alike(await world.heard("poll.vote.added"), sample("poll.vote.added"))
    world.emulator.vote(PERSON, made["message_id"], option, is_on=False)
    alike(await world.heard("poll.vote.removed"), sample("poll.vote.removed"))
    world.emulator.add_options(PERSON, made["message_id"], ["Saturday"])
    heard = await world.heard("poll.updated")
    alike(heard, sample("poll.updated"))
    assert (heard["data"]["direction"], heard["data"]["sender_handle"]["handle"]) == ("inbound", LINE)
    world.emulator.react(PERSON, made["message_id"], "sticker", sticker={"emoji": "🚀"})
    alike(await world.heard("poll.reaction.added"), sample("poll.reaction.added"))
    world.emulator.poll(PERSON, chat_id, ["Thursday", "Friday"])
    alike(await world.heard("poll.received"), sample("poll.received"))
    world.emulator.add_fault(Fault(on="message", match=PERSON))
    await world.call("POST", f"/chats/{chat_id}/polls", asked)
    world.emulator.advance(1)
    alike(await world.heard("poll.failed"), sample("poll.failed"))


async def test_the_account(world: World) -> None:
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
