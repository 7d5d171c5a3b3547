"""Contacts: the cards of lines and people, blocked handles, and what a handle can receive."""

from __future__ import annotations

import re
from typing import Any

from linqbot_dev.emulator.endpoints.chats import writable
from linqbot_dev.emulator.endpoints.endpoint import ApiRequest
from linqbot_dev.emulator.engine.sending import is_inferior, line_of_account
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, payloads
from linqbot_dev.emulator.model.answers import ApiError, EndpointResponse, JsonObject, conflict, not_found, too_many
from linqbot_dev.emulator.model.documents import new_id
from linqbot_dev.emulator.model.records import BlockedHandleRecord, ContactCardRecord, normal

# --- contact cards (R64, R65, R94) -----------------------------------------------------------------------------------


SHARE_EVERY_S = 300.0
WRITES = 3
WRITE_WINDOW_S = 600.0

_FIELDS = ("first_name", "last_name", "image_url")


def contact_card_create(world: World, request: ApiRequest) -> EndpointResponse:
    body = request.body
    line = line_of_account(world, body["phone_number"])
    known = world.state.cards.get(line.phone_number)
    if known is not None and not known.is_given:
        raise conflict("This line has an active contact card", 2014)
    _count_write(world, line.phone_number)
    names = {"first_name": body["first_name"], "last_name": body.get("last_name")}
    card = ContactCardRecord(new_id(), line.phone_number, **names, image_url=body.get("image_url"))
    world.state.cards[card.phone_number] = card
    _emit(world, "contact_card.created", "Created a contact card", card)
    return EndpointResponse(201, documents.shown(card))


def contact_card_retrieve(world: World, request: ApiRequest) -> JsonObject:
    wanted = request.query.get("phone_number")
    cards = [card for card in world.state.cards.values() if wanted in {None, card.phone_number}]
    return {"contact_cards": [documents.shown(card) for card in cards]}


def contact_card_update(world: World, request: ApiRequest) -> JsonObject:
    line = line_of_account(world, request.query.get("phone_number", ""))
    card = _card(world, line.phone_number)
    _count_write(world, line.phone_number)
    change = {}
    for key in _FIELDS:
        if key not in request.body or (key == "first_name" and request.body[key] is None):
            continue
        if request.body[key] != getattr(card, key):
            change[key] = {"from": getattr(card, key), "to": request.body[key]}
            setattr(card, key, request.body[key])
    if change:
        card.is_given = False
        _emit(world, "contact_card.updated", "Updated a contact card", card, change=change)
    return documents.shown(card)


def chats_share_contact_card(world: World, request: ApiRequest) -> None:
    chat, now = writable(world, request), world.now()
    _card(world, chat.line)
    if chat.card_shared_at is not None and now < chat.card_shared_at + SHARE_EVERY_S:
        raise too_many("Too many requests", chat.card_shared_at + SHARE_EVERY_S - now)
    chat.card_shared_at = now
    world.show_chat(chat)


def delete_card(world: World, phone_number: str) -> None:
    """Delete the card of a line, as the team on Linq's dashboard. Emits `contact_card.deleted`."""
    card = _card(world, phone_number)
    del world.state.cards[phone_number]
    data = payloads.by_team("Deleted a contact card", world.now(), phone_number=phone_number, contact_card=_shown(card))
    world.emit_account("contact_card.deleted", data, line=phone_number)


def vcard(world: World, line_id: str) -> str | None:
    """Return the vCard of a line, to which `available_number` refers; None if there is no such line."""
    line = next((one for one in world.state.lines.values() if one.id == line_id), None)
    if line is None:
        return None
    card = world.state.cards.get(line.phone_number)
    names = (card.first_name, card.last_name or "") if card else (line.phone_number, "")
    first, last = (re.sub(r"([\\;,])", r"\\\1", " ".join(name.split())) for name in names)
    content = [f"N:{last};{first};;;", f"FN:{f'{first} {last}'.strip()}", f"TEL:{line.phone_number}"]
    return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *content, "END:VCARD", ""])


def _card(world: World, phone_number: str) -> ContactCardRecord:
    card = world.state.cards.get(phone_number)
    if card is None or not card.is_active:
        raise ApiError(404, 2012, "This line has no active contact card")
    return card


def _count_write(world: World, phone_number: str) -> None:
    now, writes = world.now(), world.state.card_writes[phone_number]
    writes[:] = [at for at in writes if at > now - WRITE_WINDOW_S]
    if len(writes) >= WRITES:
        raise too_many("Too many requests", writes[0] + WRITE_WINDOW_S - now)
    writes.append(now)


def _emit(world: World, event_type: str, summary: str, card: ContactCardRecord, **change: dict[str, Any]) -> None:
    line = card.phone_number
    data = payloads.account(summary, world.now(), phone_number=line, contact_card=_shown(card), **change)
    world.emit_account(event_type, data, line=line)


def _shown(card: ContactCardRecord) -> JsonObject:
    return {"id": card.id, **{key: getattr(card, key) for key in _FIELDS}}


# --- blocked handles: Linq stores none of their messages, and nothing can be sent to them (R74-R76) ------------------


def blocked_handles_list(world: World, _: ApiRequest) -> JsonObject:
    newest = reversed(world.state.blocked.values())
    return {"blocked_handles": [documents.shown(one) for one in newest]}


def blocked_handles_block(world: World, request: ApiRequest) -> JsonObject:
    handle = normal(request.body["handle"])
    blocked = world.state.blocked.get(handle)
    if blocked is None:
        blocked = BlockedHandleRecord(handle, world.now(), request.body.get("reason"))
        world.state.blocked[handle] = blocked
    return {"blocked_handle": documents.shown(blocked)}


def blocked_handles_unblock(world: World, request: ApiRequest) -> None:
    if world.state.blocked.pop(normal(request.body["handle"]), None) is None:
        raise not_found("blocked handle")


# --- the services that a handle can receive: iMessage, RCS -----------------------------------------------------------


def capability_check_i_message(world: World, request: ApiRequest) -> JsonObject:
    return _capability(world, request, "iMessage")


def capability_check_rcs(world: World, request: ApiRequest) -> JsonObject:
    """Answer if a handle can receive RCS. The check needs a line of the account."""
    if not world.state.lines:
        raise ApiError(503, 4010, "The check could not run")
    return _capability(world, request, "RCS")


def _capability(world: World, request: ApiRequest, wanted: str) -> JsonObject:
    if request.body.get("from") is not None:
        line_of_account(world, request.body["from"])
    address = normal(request.body["address"])
    service = world.state.service_of(address)
    available = not is_inferior(service, wanted)
    shape: dict[str, Any] = {"address": address, "available": available, "selected_service": service}
    return shape if available else shape | {"reason": "not_supported"}
