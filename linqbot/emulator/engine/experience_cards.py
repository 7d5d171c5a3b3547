"""Linq's experiences, such as `link/open`, and the app card that each is sent as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linqbot.emulator.model.answers import invalid


def _field(kind: str, *, required: bool = False, longest: int | None = None) -> dict[str, Any]:
    return {"type": kind, "required": required, "max": longest}


def _action(name: str, summary: str, **fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "summary": summary, "fields": fields}


def _experience(name: str, display_name: str, *actions: dict[str, Any]) -> dict[str, Any]:
    return {"experience": name, "display_name": display_name, "actions": list(actions)}


CATALOGUE = (
    _experience(
        "agentpay",
        "Payment",
        _action(
            "request_payment",
            "Ask for a payment",
            checkout_url=_field("url", required=True),
            title=_field("string", longest=100),
            note=_field("string", longest=200),
        ),
    ),
    _experience(
        "agentcard",
        "Card",
        _action("attach_card", "Ask for a card", url=_field("url")),
        _action("approve_card", "Ask for approval", url=_field("url")),
    ),
    _experience("link", "Link", _action("open", "Open a page", url=_field("url", required=True))),
)


def card(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the app card that an experience is sent as.

    Raises:
        ApiError: 400 (R42), the action or a field is unknown, or a value does not fit its field.
    """
    name, action_name, params = asked["name"], asked["action"], asked.get("params") or {}
    actions = (action for one in CATALOGUE if one["experience"] == name for action in one["actions"])
    action = next((action for action in actions if action["name"] == action_name), None)
    if action is None:
        raise invalid("There is no such experience or action; see GET /v3/experiences")
    fields = action["fields"]
    if unknown := set(params) - set(fields):
        raise invalid(f"Unknown field of the experience: {min(unknown)}")
    for key, field in fields.items():
        _check(key, field, params.get(key))
    return {
        "type": "imessage_app",
        "app": {"team_id": "LINQ000000", "bundle_id": f"com.linqapp.{name}", "name": name, "app_store_id": None},
        "layout": {"caption": params.get("title") or action["summary"], "subcaption": params.get("note")},
        "url": params.get("checkout_url") or params.get("url"),
    }


def _check(key: str, field: Mapping[str, Any], value: Any) -> None:
    if value is None:
        if field["required"]:
            raise invalid(f"The experience needs {key}")
        return
    if field["type"] in {"int", "cents"}:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise invalid(f"{key} has the wrong type")
    if field["type"] == "url" and not value.startswith("https://"):
        raise invalid(f"{key} must be an absolute https URL")
    if field["max"] is not None and len(value) > field["max"]:
        raise invalid(f"{key} is longer than {field['max']}")
