"""Everything that can happen in the emulator: what a bot does through the API, and what people, Linq and the team do."""

from __future__ import annotations

import json
from typing import Any

from linqbot_dev.emulator.acts import chat_acts as acts
from linqbot_dev.emulator.acts.chat_acts import ChangeLine
from linqbot_dev.emulator.acts.conversation import NameGroup, React, Read, SetTyping, Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.faults import Fault

from emulator.conftest import CARD, FOURTH, FRIEND, HI, LINE, PERSON, THIRD, Api, Receiver, say


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
    await world.api.sent(chat, {**CARD, "url": "https://e.example/card", "fallback_text": "a card"})
    await world.api.sent(chat, {"type": "app_clip", "value": "https://a.example/clip", "title": "Clip"})
    stickers = [{"range": [3, 5], "attachment_id": next(iter(world.emulator.state.attachments))}]
    await world.api.sent(chat, {"type": "text", "value": "hi 🎂", "inline_stickers": stickers})
    say(world.emulator, sent_at="1970-01-01T00:00:00Z", reconciled_at="1970-01-01T00:00:09Z")
    await world.call("PATCH", f"/messages/{first['id']}", {"text": "b"})
    await world.call("DELETE", f"/messages/{(await world.api.sent(chat, idempotency_key='gone'))['id']}")
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
    say(world.emulator, from_=FRIEND, service="iMessage")


async def chats(world: World) -> str:
    text = {"type": "text", "value": "@Linq can you help?", "mention": LINE, "mention_range": [0, 5]}
    do = world.emulator.do
    chat_id = str(do(Write(from_=PERSON, to=LINE, parts=[text], group=[FRIEND, THIRD]))["chat_id"])
    do(NameGroup(from_=PERSON, chat_id=chat_id, name="Friday dinner"))
    await world.call("PUT", f"/chats/{chat_id}", {"group_chat_icon": "https://cdn.linqapp.com/icon.png"})
    await world.call("POST", f"/chats/{chat_id}/participants", {"handle": FOURTH})
    await world.call("DELETE", f"/chats/{chat_id}/participants", {"handle": FOURTH})
    for what in ("group_name", "group_icon", "background"):
        world.emulator.world.faults.add(Fault(on="chat", match=what, code=2011 if what == "background" else None))
    await world.call("PUT", f"/chats/{chat_id}", {"display_name": "x", "group_chat_icon": "https://e.example/i.png"})
    await world.call("POST", f"/chats/{chat_id}/background", {"type": "color", "variant": "mango"})
    await world.call("POST", f"/chats/{chat_id}/leave")
    direct = say(world.emulator)["chat_id"]
    for state in ("started", "stopped"):
        do(SetTyping(from_=PERSON, chat_id=direct, state=state))
    sky = {"type": "dynamic", "style": "sky", "variant": "sunset"}
    await world.call("POST", f"/chats/{direct}/background", sky)
    await world.call("DELETE", f"/chats/{direct}/background")
    do(acts.ShareLocation(from_=PERSON, chat_id=direct, latitude=52.5, longitude=13.4, for_s=3600))
    world.emulator.advance(3600)
    return chat_id


async def polls(world: World) -> None:
    do, chat_id = world.emulator.do, say(world.emulator)["chat_id"]
    asked = {"poll": {"options": [{"text": "Thursday"}, {"text": "Friday"}]}}
    made = await world.call("POST", f"/chats/{chat_id}/polls", asked)
    world.emulator.advance(1)
    do(Read(from_=PERSON, chat_id=chat_id))
    vote = acts.Vote(from_=PERSON, message_id=made["message_id"], option_id=made["poll"]["options"][0]["option_id"])
    do(vote)
    do(vote.model_copy(update={"operation": "remove"}))
    do(acts.AddOptions(from_=PERSON, message_id=made["message_id"], options=["Saturday"]))
    do(React(from_=PERSON, message_id=made["message_id"], type="sticker", emoji="🚀"))
    do(acts.MakePoll(from_=PERSON, chat_id=chat_id, options=["Thursday", "Friday"]))
    world.emulator.world.faults.add(Fault(on="message", match=PERSON))
    await world.call("POST", f"/chats/{chat_id}/polls", asked)
    world.emulator.advance(1)


async def account(world: World) -> None:
    do, new_line, photo = world.emulator.do, "+12025550102", "https://cdn.linqapp.com/contacts/1/photo.jpg"
    hook = {"target_url": "https://a.example/?k=secret", "subscribed_events": ["message.received", "message.failed"]}
    path = f"/webhook-subscriptions/{(await world.call('POST', '/webhook-subscriptions', hook))['id']}"
    changes = ({"target_url": "https://b.example"}, {"subscribed_events": ["message.sent"]}, {"phone_numbers": [LINE]})
    headers = ({"routing_key_header": "X-Route-Token", "routing_id_header": "X-Chat-Id"}, {"routing_key_header": None})
    for body in (*changes, *headers, {"is_active": False}, {"is_active": True}):
        await world.call("PUT", path, body)
    await world.call("DELETE", path)
    for _ in range(2):
        do(acts.ShareCard(from_=PERSON, to=LINE, first_name="Dana", last_name="Ortiz", media_url=photo))
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
    do(acts.Decline(id=paid))
    do(acts.Pay(id=paid))
    await world.call("POST", f"/payment_requests/{await ask()}/cancel")
    do(acts.Pay(id=await ask(rail="natural", **{"from": LINE, "payer_handle": PERSON})))
    await ask()
    world.emulator.advance(86400)
    do(acts.Connect(from_=PERSON))
    do(acts.Disconnect(from_=PERSON))


EVERYTHING = (messages, chats, polls, account, payments)
