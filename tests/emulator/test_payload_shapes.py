"""Events of the emulator compared with real ones: the same keys and kinds of values, in both payload versions.

Everything happens once, and each sample of Linq must have an event of its shape among those that were delivered.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from emulator.conftest import FOURTH, FRIEND, HI, LINE, PERSON, THIRD, Api, Receiver, say
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
from linqbot.emulator.acts.conversation import Edit, NameGroup, React, Read, SetTyping, Write
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
        assert len(ours) >= len(real), f"{at}: {len(ours)} {len(real)}"
        for mine, theirs in zip(ours, real, strict=False):
            alike(mine, theirs, f"{at}[]")
    elif real is not None:
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


class World:
    """An emulator with two subscriptions, one for each payload version, and the events that they received."""

    def __init__(self, emulator: Emulator, api: Api, receiver: Receiver) -> None:
        self.emulator, self.api, self.receiver = emulator, api, receiver
        emulator.subscribe("https://new.example/?version=2026-02-03")
        emulator.subscribe("https://old.example/?version=2025-01-01")

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.api.request(method, f"/v3{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def all_heard(self, event_type: str, version: str = "new") -> list[dict[str, Any]]:
        """Return the events of a type, the newest first."""
        await self.emulator.flush()
        return [
            json.loads(request.content)
            for request in reversed(self.receiver.requests)
            if request.headers["x-webhook-event"] == event_type and request.url.host == f"{version}.example"
        ]

    async def heard(self, event_type: str) -> dict[str, Any]:
        return (await self.all_heard(event_type))[0]


def official(event_type: str) -> type[BaseModel]:
    """Return the official client's model of an event, which refuses data that does not fit."""
    name = re.sub(r"[._]", "_", event_type) + "_webhook_event"
    module = importlib.import_module(f"linq.types.{name}")
    return getattr(module, name.title().replace("_", "").replace("Url", "URL"))  # type: ignore[no-any-return]


@pytest.fixture
def world(emulator: Emulator, api: Api, receiver: Receiver) -> World:
    return World(emulator, api, receiver)


IMAGE = {"type": "media", "filename": "receipt.jpg", "mime_type": "image/jpeg", "data_base64": "AAAA"}


async def messages(world: World) -> None:
    do, sms = world.emulator.do, {"parts": [HI], "preferred_service": "iMessage"}
    chat = say(world.emulator)
    first = await world.api.sent(chat, preferred_service="iMessage", idempotency_key="k")
    bold = {"type": "text", "value": "Booked for 7 pm.", "text_decorations": [{"range": [0, 6], "style": "bold"}]}
    effect = {"type": "screen", "name": "confetti"}
    await world.api.sent(chat, bold, effect=effect, preferred_service="iMessage", idempotency_key="booking-8841")
    world.emulator.advance(1)
    do(Read(from_=PERSON, chat_id=chat["chat_id"]))
    parts = [{"type": "text", "value": "Thanks!"}, IMAGE]
    do(Write(from_=PERSON, to=LINE, parts=parts, reply_to={"message_id": first["id"]}))
    do(Write(from_=PERSON, to=LINE, parts=[{"type": "link", "value": "https://example.com/menu"}]))
    say(world.emulator, sent_at="1970-01-01T00:00:00Z", reconciled_at="1970-01-01T00:00:09Z")
    await world.call("PATCH", f"/messages/{first['id']}", {"text": "b"})
    for kind in ({"type": "love"}, {"type": "custom", "custom_emoji": "🚀"}, {"type": "sticker", "emoji": "🚀"}):
        do(React(from_=PERSON, message_id=first["id"], **kind))
    do(React(from_=PERSON, message_id=first["id"], type="custom", custom_emoji="🚀", operation="remove"))
    do(ChangeLine(phone_number=LINE, zero_retention=True))
    await world.api.sent(chat)
    world.emulator.advance(1)
    do(ChangeLine(phone_number=LINE, zero_retention=False))
    say(world.emulator, "STOP")
    on_sms = say(world.emulator, from_=FRIEND, service="SMS")
    await world.call("POST", f"/chats/{on_sms['chat_id']}/messages", {"message": sms})
    world.emulator.advance(1)


async def chats(world: World) -> str:
    do, text = (
        world.emulator.do,
        {"type": "text", "value": "@Linq can you help?", "mention": LINE, "mention_range": [0, 5]},
    )
    chat_id = str(do(Write(from_=PERSON, to=LINE, parts=[text], group=[FRIEND, THIRD]))["chat_id"])
    do(NameGroup(from_=PERSON, chat_id=chat_id, name="Friday dinner"))
    await world.call("PUT", f"/chats/{chat_id}", {"group_chat_icon": "https://cdn.linqapp.com/icon.png"})
    await world.call("POST", f"/chats/{chat_id}/participants", {"handle": FOURTH})
    await world.call("DELETE", f"/chats/{chat_id}/participants", {"handle": FOURTH})
    for what in ("group_name", "group_icon", "background"):
        world.emulator.add_fault(Fault("chat", what, code=2011 if what == "background" else None))
    await world.call("PUT", f"/chats/{chat_id}", {"display_name": "x", "group_chat_icon": "https://e.example/i.png"})
    await world.call("POST", f"/chats/{chat_id}/background", {"type": "color", "variant": "mango"})
    await world.call("POST", f"/chats/{chat_id}/leave")
    direct = say(world.emulator)["chat_id"]
    for state in ("started", "stopped"):
        do(SetTyping(from_=PERSON, chat_id=direct, state=state))
    sky = {"type": "dynamic", "style": "sky", "variant": "sunset"}
    await world.call("POST", f"/chats/{direct}/background", sky)
    await world.call("DELETE", f"/chats/{direct}/background")
    do(ShareLocation(from_=PERSON, chat_id=direct, latitude=52.5, longitude=13.4, for_s=3600))
    world.emulator.advance(3600)
    return chat_id


async def polls(world: World) -> None:
    do, chat_id = world.emulator.do, say(world.emulator)["chat_id"]
    asked = {"poll": {"options": [{"text": "Thursday"}, {"text": "Friday"}]}}
    made = await world.call("POST", f"/chats/{chat_id}/polls", asked)
    world.emulator.advance(1)
    do(Read(from_=PERSON, chat_id=chat_id))
    vote = Vote(from_=PERSON, message_id=made["message_id"], option_id=made["poll"]["options"][0]["option_id"])
    do(vote)
    do(vote.model_copy(update={"operation": "remove"}))
    do(AddOptions(from_=PERSON, message_id=made["message_id"], options=["Saturday"]))
    do(React(from_=PERSON, message_id=made["message_id"], type="sticker", emoji="🚀"))
    do(MakePoll(from_=PERSON, chat_id=chat_id, options=["Thursday", "Friday"]))
    world.emulator.add_fault(Fault(on="message", match=PERSON))
    await world.call("POST", f"/chats/{chat_id}/polls", asked)
    world.emulator.advance(1)


async def account(world: World) -> None:
    do, new_line, photo = world.emulator.do, "+12025550102", "https://cdn.linqapp.com/contacts/1/photo.jpg"
    hook = {"target_url": "https://a.example/?k=secret", "subscribed_events": ["message.received", "message.failed"]}
    path = f"/webhook-subscriptions/{(await world.call('POST', '/webhook-subscriptions', hook))['id']}"
    for body in (
        {"target_url": "https://b.example"},
        {"subscribed_events": ["message.sent"]},
        {"phone_numbers": [LINE]},
        {"routing_key_header": "X-Route-Token", "routing_id_header": "X-Chat-Id"},
        {"routing_key_header": None},
        {"is_active": False},
        {"is_active": True},
    ):
        await world.call("PUT", path, body)
    await world.call("DELETE", path)
    for _ in range(2):
        do(ShareCard(from_=PERSON, to=LINE, first_name="Dana", last_name="Ortiz", media_url=photo))
    card = {"phone_number": LINE, "first_name": "Acme", "last_name": "Support", "image_url": photo}
    await world.call("POST", "/contact_card", card)
    await world.call("PATCH", "/contact_card?phone_number=%2B12025550100", {"last_name": "Sales"})
    do(ChangeLine(phone_number=LINE, card="deleted"))
    line_id = world.emulator.state.lines[LINE].id
    await world.call("PUT", f"/phone_numbers/{line_id}", {"forwarding_number": PERSON})
    do(ChangeLine(phone_number=LINE, status="FLAGGED", reputation="CRITICAL"))
    do(ChangeLine(phone_number=LINE, status="ACTIVE"))
    do(ChangeLine(phone_number=new_line, assigned=True))
    do(ChangeLine(phone_number=new_line, zero_retention=True))
    do(ChangeLine(phone_number=new_line, assigned=False))


async def payments(world: World) -> None:
    do, metadata = world.emulator.do, {"chat_id": "3c99d589-8d03-5753-96bd-addff71de8c2"}

    async def ask(**more: Any) -> str:
        asked = {"amount": 2500, "currency": "usd", "description": "Table deposit", "metadata": metadata, **more}
        return str((await world.call("POST", "/payment_requests", asked))["id"])

    paid = await ask()
    do(Decline(id=paid))
    do(Pay(id=paid))
    await world.call("POST", f"/payment_requests/{await ask()}/cancel")
    do(Pay(id=await ask(rail="natural", **{"from": LINE, "payer_handle": PERSON})))
    await ask()
    world.emulator.advance(86400)
    do(Connect(from_=PERSON))
    do(Disconnect(from_=PERSON))


def sample(name: str) -> dict[str, Any]:
    """Return an event of Linq, changed to one of the emulator: which tells of its own API, and of its customer."""
    real: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    if name.startswith("webhook_subscription."):
        real["data"]["actor"] = {"type": "api"}
    if name.startswith("connection."):
        real["data"] |= {"metadata": {"handle": PERSON}, "description": None}
    if name == "message.failed.v2025-01-01":  # what Linq added later is in this version too, without a description
        real["data"] |= {"service": "iMessage", "preferred_service": None, "detail_code": 1203}
    return real


# Events of Linq's dashboard only, or of calls: nothing in the emulator causes them. `linqbot trigger` sends them.
NEVER_HERE = {
    "api_token.activated", "api_token.created", "api_token.deleted", "api_token.expired", "api_token.expiry_scheduled",
    "api_token.renamed", "environment.created", "environment.deleted", "environment.line_moved", "environment.renamed",
    "team_member.added", "team_member.signed_in", "team_member.signed_out",
}  # fmt: skip


async def test_the_emulator_has_an_event_of_the_same_shape_for_every_sample_of_linq(
    world: World, subtests: pytest.Subtests
) -> None:
    for act in (messages, chats, polls, account, payments):
        await act(world)
    for name in sorted({path.stem for path in SAMPLES.glob("*.json")} - NEVER_HERE):
        with subtests.test(name=name):
            real = sample(name)
            version = "old" if name.endswith("2025-01-01") else "new"
            found, differences = await world.all_heard(real["event_type"], version), []
            for ours in found:
                if version == "new":
                    official(real["event_type"]).model_validate(ours)
                try:
                    alike(ours, real)
                    break
                except AssertionError as difference:
                    differences.append(str(difference))
            else:
                pytest.fail(f"no event of {len(found)} has the shape: {differences}")


FACTS: list[tuple[str, dict[str, Any]]] = [
    ("message.received", {"sent_at": "1970-01-01T00:00:00.000Z"}),
    ("message.received", {"chat.health_status.status": "OPTED_OUT"}),
    ("message.received", {"parts.0.mentions": [{"handle": LINE, "is_me": True, "range": [0, 5]}]}),
    ("message.sent", {"delivered_at": None, "effect.name": "confetti"}),
    ("message.sent", {"zero_retention": True, "parts": []}),
    ("message.delivered", {"read_at": None}),
    ("participant.removed", {"handle": LINE, "participant.status": "left"}),
    ("chat.group_icon_updated", {"new_value": "https://cdn.linqapp.com/icon.png"}),
    ("chat.background_updated", {"background": None}),
    ("chat.background_update_failed", {"error_code": 2011}),
    ("poll.updated", {"direction": "inbound", "sender_handle.handle": LINE}),
    ("webhook_subscription.created", {"webhook_subscription.target_url": "https://a.example/"}),
]


def at(value: Any, place: str) -> Any:
    for name in place.split("."):
        value = value[int(name)] if isinstance(value, list) else (value or {}).get(name)
    return value


async def test_events_tell_what_has_happened(world: World, subtests: pytest.Subtests) -> None:
    await messages(world)
    group = world.emulator.state.chat(await chats(world))
    assert (group.name, group.icon, group.background) == ("Friday dinner", "https://cdn.linqapp.com/icon.png", None)
    await polls(world)
    await account(world)
    for event_type, facts in FACTS:
        with subtests.test(event_type=event_type, facts=facts):
            found = await world.all_heard(event_type)
            assert facts in [{place: at(one["data"], place) for place in facts} for one in found]
    assert len(await world.all_heard("contact_card.received")) == 1  # the same card was shared twice
    assert await world.all_heard("message.edited", "old") == []


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
