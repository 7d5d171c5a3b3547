"""What a span says, in OpenTelemetry's words (semantic conventions 1.27 and later) and a few of ours, `linqbot.*`.

Ids, numbers and names of code only. No text, no handle, no idempotency key, no path of a call: paths may hold a phone
number, so their template stands for them. Of an error only its class and Linq's numbers: its message may quote a person.
Nothing of what the webhook's sender says of itself, such as its user agent.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from linqbot.api import ENDPOINTS
from linqbot.client.call import ApiResponse, Call
from linqbot.errors import LinqApiError, RuleBroken
from linqbot.events.delivery import Delivery
from linqbot.events.parse import EVENT_TYPES

Attributes: TypeAlias = dict[str, str | int | float | bool]

SYSTEM: Final = "linq"
OTHER: Final = "other"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TRACE_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def destination(delivery: Delivery) -> str:
    """What a message's topic would be elsewhere: the event's type, `other` for one Linq has not documented."""
    is_known = delivery.type in EVENT_TYPES or delivery.id.startswith("i.")
    return delivery.type if is_known else OTHER


def of_delivery(delivery: Delivery, operation: str) -> Attributes:
    """What every span about a delivery says.

    Args:
        operation: `receive` or `process`, the convention's own types.
    """
    told: Attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination(delivery),
        "messaging.message.id": delivery.id.removeprefix("w."),
        "messaging.message.body.size": len(delivery.body),
    }
    kind, _, chat_id = delivery.lane.partition(":")
    # Other lanes are named for people and lines.
    if kind in ("c", "r") and not chat_id.startswith("m:"):
        told["messaging.message.conversation_id"] = chat_id
    return told


def of_request(delivery: Delivery, route: str) -> Attributes:
    """Return what the span of a webhook says in addition."""
    told: Attributes = {
        "http.request.method": "POST",
        "http.route": route,
        "http.request.body.size": len(delivery.body),
    }
    return told | of_delivery(delivery, "receive")


def call_name(call: Call) -> str:
    """The name of a call's span: method and template, as for any HTTP client."""
    endpoint = ENDPOINTS.get(call.name)
    return f"{call.method} {endpoint.path}" if endpoint else call.method


def of_server(base_url: str) -> Attributes:
    """Where calls go."""
    goal = urlsplit(base_url)
    return {"server.address": goal.hostname or "", "server.port": goal.port or (80 if goal.scheme == "http" else 443)}


def of_call(call: Call) -> Attributes:
    """Which call it is."""
    told: Attributes = {
        "http.request.method": call.method,
        "linqbot.call": call.name,
        "linqbot.call.safety": call.safety,
    }
    if endpoint := ENDPOINTS.get(call.name):
        told["url.template"] = endpoint.path
    return told


def of_answer(answer: ApiResponse | None, error: BaseException | None) -> Attributes:
    """How a call ended. As everywhere in HTTP, an answer's error is named by its status."""
    if error is None:
        return {} if answer is None else {"http.response.status_code": answer.status}
    told = of_error(error)
    return told | {"error.type": str(told.get("http.response.status_code", told["error.type"]))}


def error_name(error: BaseException) -> str:
    """Return the name of an error's class.

    A class can be made while the bot runs, and so be named by a text. Where a name is not a plain identifier of at most
    64 characters, the name of the nearest base class stands for it.
    """
    return next(kind.__name__ for kind in type(error).__mro__ if _NAME.fullmatch(kind.__name__))


def of_error(error: BaseException) -> Attributes:
    """Return what may be said of an error: its class, and numbers that mean the same to everybody."""
    told: Attributes = {"error.type": error_name(error)}
    if isinstance(error, LinqApiError):
        facts: dict[str, Any] = {
            "http.response.status_code": error.status,
            "linqbot.linq.code": error.code,
            "linqbot.linq.trace_id": error.trace_id if _TRACE_ID.fullmatch(error.trace_id or "") else None,
        }
        told |= {name: value for name, value in facts.items() if value is not None}
    if isinstance(error, RuleBroken):
        told["linqbot.rule"] = error.rule
    return told
