"""Reputation audits: the reasons for the standing of a line, found in its chats (R96)."""

from __future__ import annotations

import math
from itertools import islice
from typing import Final

from linqbot.emulator.endpoints.endpoint import ApiRequest, EndpointHandler
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import ApiError, EndpointResponse, JsonObject, existing, not_found
from linqbot.emulator.model.documents import iso, new_id
from linqbot.emulator.model.records import Audit, AuditReport, ChatRecord, Line

TAKES_S: Final = 5.0
COOLDOWN_S: Final = 3600.0
"""Both values are guesses: Linq publishes neither the duration of an audit nor the time until the next."""
READABLE_S: Final = 86400.0
MOST_UNHEALTHY: Final = 15


def start(world: World, request: ApiRequest) -> EndpointResponse:
    """Start an audit of a line. While one is running, the answer is that audit.

    Raises:
        ApiError: 404, there is no such line; 429, the last audit was less than an hour ago.
    """
    line, now = _line(world, request.path["phone_number"]), world.now()
    last = next((one for one in reversed(world.state.audits.values()) if one.line == line.phone_number), None)
    if last is None or (last.report is not None and now >= last.created_at + COOLDOWN_S):
        last = Audit(new_id(), line.phone_number, now)
        world.state.audits[last.id] = last
        audit = last
        world.timers.at(now + TAKES_S, lambda at: _finish(world, audit, at))
    elif last.report is not None:
        wait_s = math.ceil(last.created_at + COOLDOWN_S - now)
        raise ApiError(429, 1007, "The last audit of this line was not long ago", retry_after=max(1, wait_s))
    return EndpointResponse(202, {"audit_id": last.id, "status": "pending"})


def retrieve(world: World, request: ApiRequest) -> EndpointResponse:
    """Return an audit, with its report when it is complete.

    Raises:
        ApiError: 404, there is no such line or audit, or the audit is older than a day.
    """
    line = _line(world, request.path["phone_number"])
    audit = world.state.audits.get(request.path["audit_id"])
    if audit is None or audit.line != line.phone_number or world.now() >= audit.created_at + READABLE_S:
        raise not_found("reputation audit")
    shape: JsonObject = {"audit_id": audit.id, "status": "pending", "phone": audit.line}
    if audit.report is not None:
        shape |= {"status": "complete", "generated_at": iso(audit.created_at + TAKES_S), "report": _shape(audit.report)}
    return EndpointResponse(200, shape)


def _line(world: World, phone_number: str) -> Line:
    return existing(world.state.lines.get(phone_number), "phone number")


def _finish(world: World, audit: Audit, _: float) -> None:
    line = world.state.lines.get(audit.line)
    if line is not None:
        audit.report = _report(line, [chat for chat in world.state.chats.values() if chat.line == line.phone_number])


def _report(line: Line, chats: list[ChatRecord]) -> AuditReport:
    unhealthy = [chat for chat in chats if chat.health != "HEALTHY"]
    return AuditReport(
        severity=line.reputation,
        can_send=line.can_send,
        unhealthy={chat.id: chat.health for chat in unhealthy},
        after_stop={chat.id: count for chat in unhealthy if (count := _written_after_stop(chat))},
    )


def _shape(report: AuditReport) -> JsonObject:
    drivers = []
    if report.after_stop:
        drivers.append(_driver("opt_out_handling", "Messages went out after an opt-out word", len(report.after_stop)))
    if report.unhealthy:
        drivers.append(_driver("overall_conversation_health", "Conversations are unhealthy", len(report.unhealthy)))
    if not report.can_send:
        drivers.append(_driver("flagged", "The line is flagged", 1))
    shown = islice(report.unhealthy.items(), MOST_UNHEALTHY)
    return {
        "severity": report.severity,
        "primary_driver": drivers[0]["key"] if drivers else "",
        "summary_markdown": "\n".join(f"- {one['summary']}" for one in drivers) or "Nothing to worry about.",
        "drivers": drivers,
        "action_items": [_ACTION] if report.after_stop else [],
        "evidence": {
            "unhealthy_chats": [
                {"chat_id": chat_id, "status": health, "driver_keys": ["low_engagement"]} for chat_id, health in shown
            ],
            "opt_out_chats": [
                {"chat_id": chat_id, "messages_after_stop": count} for chat_id, count in report.after_stop.items()
            ],
        },
    }


_ACTION = {
    "priority": 1,
    "title": "Stop when asked to",
    "detail": "Send nothing after an opt-out word until the person writes again.",
    "expected_impact": "high",
}


def _driver(key: str, summary: str, chats: int) -> dict[str, str]:
    return {"key": key, "summary": summary, "metric": f"{chats}"}


def _written_after_stop(chat: ChatRecord) -> int:
    if chat.health != "OPTED_OUT":
        return 0
    return sum(message.is_from_me and message.created_at > chat.health_at for message in chat.messages)


ENDPOINTS = (
    EndpointHandler("phone_numbers.start_reputation_audit", start),
    EndpointHandler("phone_numbers.get_reputation_audit", retrieve),
)
