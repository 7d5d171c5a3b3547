"""Lines: the account's phone numbers, their standing and its audits, and the choice of the next line."""

from __future__ import annotations

from typing import Final

from linqbot_dev.emulator.endpoints.endpoint import ApiRequest
from linqbot_dev.emulator.endpoints.messages import best_line
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, payloads
from linqbot_dev.emulator.model.answers import EndpointResponse, JsonObject, existing, not_found, too_many
from linqbot_dev.emulator.model.documents import iso, new_id
from linqbot_dev.emulator.model.records import Audit, ChatRecord, Line, normal

# --- lines -----------------------------------------------------------------------------------------------------------


def phone_numbers_list(world: World, _: ApiRequest) -> JsonObject:
    return {"phone_numbers": [documents.shown(line) for line in world.state.lines.values()]}


def phone_numbers_update(world: World, request: ApiRequest) -> JsonObject:
    """Set or clear the number to which a line forwards calls (R18)."""
    line = existing(
        next((one for one in world.state.lines.values() if one.id == request.path["phone_number_id"]), None),
        "phone number",
    )
    old, line.forwarding_number = line.forwarding_number, request.body["forwarding_number"] or None
    if old != line.forwarding_number:
        change = {"from": old, "to": line.forwarding_number}
        data = payloads.account("Changed call forwarding", world.now(), phone_number=line.phone_number, change=change)
        world.emit_account("phone_number.forwarding_updated", data, line=line.phone_number)
    return {"id": line.id, "phone_number": line.phone_number, "forwarding_number": line.forwarding_number}


def phonenumbers_list(world: World, _: ApiRequest) -> JsonObject:
    able = {"sms": True, "mms": True, "voice": True}
    lines = [
        {"id": line.id, "phone_number": line.phone_number, "capabilities": able, "type": None, "country_code": None}
        for line in world.state.lines.values()
    ]
    return {"phone_numbers": lines}


def available_number_retrieve(world: World, request: ApiRequest) -> JsonObject:
    """Return the line of the chat with these people; else the best line, which counts as used from now on (R17)."""
    line_type = {"rcs": "RCS", "imessage": "iMessage"}.get((request.query.get("type") or "").lower())
    excluded = set(request.query_list("exclude_from"))
    people = [normal(handle) for handle in request.query_list("to")]
    line = _line_of_chat(world, people, excluded, line_type)
    if line is None:
        line = best_line(world, excluded, line_type)
        # A clock that stands still must not suggest the same line again.
        line.used_at = max(world.now(), *(one.used_at + 0.001 for one in world.state.lines.values()))
    vcf = f"{world.public_url}/vcards/{line.id}.vcf"
    return {"phone_number": line.phone_number, "vcf_url": vcf}


def _line_of_chat(world: World, people: list[str], excluded: set[str], line_type: str | None) -> Line | None:
    lines = [line for line in world.state.lines.values() if line.phone_number not in excluded and line.can_send]
    lines = [line for line in lines if line_type in {None, line.line_type}]
    found = [chat for line in lines for chat in world.state.chats_with(line.phone_number, people) if people]
    return world.line_of(max(found, key=lambda chat: chat.updated_at)) if found else None


# --- reputation audits: the reasons for the standing of a line, found in its chats (R96) -----------------------------


TAKES_S: Final = 5.0
COOLDOWN_S: Final = 3600.0
"""Both values are guesses: Linq publishes neither the duration of an audit nor the time until the next."""
READABLE_S: Final = 86400.0
MOST_UNHEALTHY: Final = 15


def phone_numbers_start_reputation_audit(world: World, request: ApiRequest) -> EndpointResponse:
    """Start an audit of a line. While one is running, the answer is that audit."""
    line, now = _audited_line(world, request.path["phone_number"]), world.now()
    last = next((one for one in reversed(world.state.audits.values()) if one.line == line.phone_number), None)
    if last is None or now >= last.created_at + COOLDOWN_S:
        last = Audit(new_id(), line.phone_number, now)
        world.state.audits[last.id] = last
    elif now >= last.created_at + TAKES_S:
        raise too_many("The last audit of this line was not long ago", last.created_at + COOLDOWN_S - now)
    return EndpointResponse(202, {"audit_id": last.id, "status": "pending"})


def phone_numbers_get_reputation_audit(world: World, request: ApiRequest) -> JsonObject:
    line = _audited_line(world, request.path["phone_number"])
    audit, now = world.state.audits.get(request.path["audit_id"]), world.now()
    if audit is None or audit.line != line.phone_number or now >= audit.created_at + READABLE_S:
        raise not_found("reputation audit")
    shape: JsonObject = {"audit_id": audit.id, "status": "pending", "phone": audit.line}
    if now >= (ended := audit.created_at + TAKES_S):
        chats = [chat for chat in world.state.chats.values() if chat.line == line.phone_number]
        shape |= {"status": "complete", "generated_at": iso(ended), "report": _report(line, chats)}
    return shape


def _audited_line(world: World, phone_number: str) -> Line:
    return existing(world.state.lines.get(phone_number), "phone number")


def _report(line: Line, chats: list[ChatRecord]) -> JsonObject:
    """Return a report with one reason at most: the chats whose people have opted out."""
    unhealthy = [chat for chat in chats if chat.health != "HEALTHY"]
    key, summary = "overall_conversation_health", "Conversations are unhealthy"
    shown = [{"chat_id": one.id, "status": one.health, "driver_keys": [key]} for one in unhealthy[:MOST_UNHEALTHY]]
    return {
        "severity": line.reputation,
        "primary_driver": key if unhealthy else "",
        "summary_markdown": f"- {summary}" if unhealthy else "Nothing to worry about.",
        "drivers": [{"key": key, "summary": summary, "metric": f"{len(unhealthy)}"}] if unhealthy else [],
        "action_items": [],
        "evidence": {"unhealthy_chats": shown, "opt_out_chats": []},
    }
