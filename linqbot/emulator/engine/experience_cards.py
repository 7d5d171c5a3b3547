"""Linq's experiences, such as `link/open`, and the app card that each is sent as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from linqbot.emulator.model.answers import JsonObject, invalid
from linqbot.emulator.model.message_content import AppCardPartRecord, AppIdentityRecord, CardLayout
from linqbot.rules.values import is_https


@dataclass(frozen=True, slots=True)
class CatalogueField:
    """A parameter of an action. `max` is the greatest length of its text."""

    type: str
    required: bool = False
    max: int | None = None


@dataclass(frozen=True, slots=True)
class CatalogueAction:
    """An action of an experience, and its parameters by name."""

    name: str
    summary: str
    fields: Mapping[str, CatalogueField]


@dataclass(frozen=True, slots=True)
class CatalogueExperience:
    """One of Linq's ready-made cards."""

    name: str
    display_name: str
    actions: tuple[CatalogueAction, ...]

    def shape(self) -> JsonObject:
        """Return the experience as the API shows it."""
        return {
            "experience": self.name,
            "display_name": self.display_name,
            "actions": [
                {
                    "name": action.name,
                    "summary": action.summary,
                    "fields": {name: asdict(field) for name, field in action.fields.items()},
                }
                for action in self.actions
            ],
        }


CATALOGUE = (
    CatalogueExperience(
        "agentpay",
        "Payment",
        (
            CatalogueAction(
                "request_payment",
                "Ask for a payment",
                {
                    "checkout_url": CatalogueField("url", required=True),
                    "title": CatalogueField("string", max=100),
                    "note": CatalogueField("string", max=200),
                },
            ),
        ),
    ),
    CatalogueExperience(
        "agentcard",
        "Card",
        (
            CatalogueAction("attach_card", "Ask for a card", {"url": CatalogueField("url")}),
            CatalogueAction("approve_card", "Ask for approval", {"url": CatalogueField("url")}),
        ),
    ),
    CatalogueExperience(
        "link", "Link", (CatalogueAction("open", "Open a page", {"url": CatalogueField("url", required=True)}),)
    ),
)


def card(asked: Mapping[str, Any]) -> AppCardPartRecord:
    """Return the app card that an experience is sent as.

    Raises:
        ApiError: 400 (R42), the action or a field is unknown, or a value does not fit its field.
    """
    name, action_name, params = asked["name"], asked["action"], asked.get("params") or {}
    actions = (action for one in CATALOGUE if one.name == name for action in one.actions)
    action = next((action for action in actions if action.name == action_name), None)
    if action is None:
        raise invalid("There is no such experience or action; see GET /v3/experiences")
    if unknown := set(params) - set(action.fields):
        raise invalid(f"Unknown field of the experience: {min(unknown)}")
    for key, field in action.fields.items():
        _check(key, field, params.get(key))
    return AppCardPartRecord(
        app=AppIdentityRecord(team_id="LINQ000000", bundle_id=f"com.linqapp.{name}", name=name),
        layout=CardLayout(caption=params.get("title") or action.summary, subcaption=params.get("note")),
        url=params.get("checkout_url") or params.get("url") or "",
    )


def _check(key: str, field: CatalogueField, value: Any) -> None:
    if value is None:
        if field.required:
            raise invalid(f"The experience needs {key}")
        return
    if field.type in {"int", "cents"}:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise invalid(f"{key} has the wrong type")
    if field.type == "url" and (not is_https(value) or value[:5].lower() != "https"):
        raise invalid(f"{key} must be an absolute https URL")
    if field.max is not None and len(value) > field.max:
        raise invalid(f"{key} is longer than {field.max}")
