"""Attributes of spans: those of OpenTelemetry's semantic conventions, 1.27 and later, and linqbot's own, `linqbot.*`.

They hold only ids, numbers and names of code, the author's names of steps among them. They never hold a text, a handle or an idempotency key. They hold the
template of a call's path, not the path, which may contain a phone number. They hold an error's class and Linq's
numbers, not its message, which may quote a person. They hold nothing that the sender of a webhook says about itself,
such as its user agent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from linqbot.client.call import ApiResponse, Call
from linqbot.errors import LinqApiError, RuleBroken, error_name
from linqbot.events import Delivery
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events import EVENT_CLASSES
from linqbot.turn_events import TurnEnded, TurnReport

Attributes: TypeAlias = dict[str, str | int | float | bool]

SYSTEM: Final = "linq"
OTHER: Final = "other"

_IDS: Final = re.compile(r"@[^/]*")
_TRACE_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def destination(delivery: Delivery) -> str:
    """Return the destination, as a broker's topic: the event's type, or `other` if Linq does not document it."""
    is_known = delivery.type in EVENT_CLASSES or delivery.id.startswith("i.")
    return delivery.type if is_known else OTHER


def of_delivery(delivery: Delivery, operation: str) -> Attributes:
    """Return the attributes of every span about a delivery; the operation is `receive` or `process`."""
    attributes: Attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination(delivery),
        "messaging.message.id": delivery.id.removeprefix("w."),
        "messaging.message.body.size": len(delivery.body),
    }
    kind, _, chat_id = delivery.lane.partition(":")
    # The names of other lanes may contain the handle of a person or a line.
    if kind in ("c", "r") and not chat_id.startswith("m:"):
        attributes["messaging.message.conversation_id"] = chat_id
    return attributes


def of_turn(report: TurnReport) -> Attributes:
    return of_delivery(report.delivery, "process") | {
        "linqbot.waited_s": report.waited_s,
        "linqbot.attempts": report.attempts,
        "linqbot.replay": report.replay,
    }


def of_end(turn: TurnEnded) -> Attributes:
    attributes = {} if turn.error is None else of_error(turn.error)
    if turn.handler is not None:
        attributes["linqbot.handler"] = turn.handler
    return attributes | {"linqbot.outcome": turn.outcome}


def of_request(delivery: Delivery, route: str) -> Attributes:
    attributes: Attributes = {
        "http.request.method": "POST",
        "http.route": route,
        "http.request.body.size": len(delivery.body),
    }
    return attributes | of_delivery(delivery, "receive")


def call_name(call: Call) -> str:
    endpoint = ENDPOINTS.get(call.name)
    return f"{call.method} {endpoint.path}" if endpoint else call.method


def of_server(base_url: str) -> Attributes:
    url = urlsplit(base_url)
    return {"server.address": url.hostname or "", "server.port": url.port or (80 if url.scheme == "http" else 443)}


def of_call(call: Call) -> Attributes:
    attributes: Attributes = {
        "http.request.method": call.method,
        "linqbot.call": call.name,
        "linqbot.call.safety": call.safety,
    }
    if endpoint := ENDPOINTS.get(call.name):
        attributes["url.template"] = endpoint.path
    return attributes


def of_answer(answer: ApiResponse | None, error: BaseException | None) -> Attributes:
    """Return the attributes of a call's response or error. As usual for HTTP, `error.type` is the response's status."""
    if error is None:
        return {} if answer is None else {"http.response.status_code": answer.status}
    attributes = of_error(error)
    return attributes | {"error.type": str(attributes.get("http.response.status_code", attributes["error.type"]))}


def step_name(name: str) -> str:
    """Return the name of a step's span: without the ids behind each `@`, by which linqbot-agent tells its steps apart.

    Backends keep a list of the names of spans, so the ids would make it grow with every message.
    """
    return f"step {_IDS.sub('', name)}"


def of_step(name: str, usage: Mapping[str, float]) -> Attributes:
    """Return the attributes of a step of `ctx.once` or `ctx.model_step`, with the tokens of a language model."""
    return {"linqbot.step": name, **{f"gen_ai.usage.{kind}": count for kind, count in usage.items()}}


def of_error(error: BaseException) -> Attributes:
    """Return the attributes of an error: its class and Linq's numbers."""
    attributes: Attributes = {"error.type": error_name(error)}
    if isinstance(error, LinqApiError):
        facts: dict[str, Any] = {
            "http.response.status_code": error.status,
            "linqbot.linq.code": error.code,
            "linqbot.linq.trace_id": error.trace_id if _TRACE_ID.fullmatch(error.trace_id or "") else None,
        }
        attributes |= {name: value for name, value in facts.items() if value is not None}
    if isinstance(error, RuleBroken):
        attributes["linqbot.rule"] = error.rule
    return attributes
