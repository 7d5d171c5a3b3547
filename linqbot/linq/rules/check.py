"""The rules of each endpoint, as tables by the endpoint's name, and `check`, which applies them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from linqbot.linq.rules.message import app_identity, app_url, experience, layout, message_content
from linqbot.linq.rules.requests import (
    background,
    blockable,
    event_name,
    forwarding,
    joined,
    line_kind,
    metadata,
    no_mention_in_direct_chat,
    one_recipient_for_experience,
    own_lines,
    payment_choices,
    payment_mode,
    phone_only,
    reaction,
    recipients,
    single_emoji,
    unit_place,
    update_url_or_experience,
    upload_size,
    upload_type,
    voice_memo,
)
from linqbot.linq.rules.values import (
    NOTHING,
    Broken,
    Check,
    JsonObject,
    Schema,
    an_object,
    filled_text,
    flag,
    handle,
    https,
    list_of,
    number,
    one_of,
    page_limit,
    phone,
    text,
    uuid,
    whole,
)
from linqbot.linq.types.message import ReactionType


def check(
    endpoint: str, body: JsonObject | None, query: JsonObject = NOTHING, path: Mapping[str, str] = NOTHING
) -> Broken | None:
    """Return the first rule that a request breaks, or None.

    Args:
        endpoint: `noun.verb`, such as `chats.create`. An endpoint without rules breaks none.
        body: The JSON object; None if there is none.
        query: Values as they are in the URL; a list for a repeated key.
        path: The path values, by the names in `linq/endpoints.py`.
    """
    for name, value in path.items():
        if (rule := _PATH.get(name)) is not None and (broken := rule(value, name)):
            return broken
    if (fields := _QUERIES.get(endpoint)) is not None and (broken := fields.broken(query)):
        return broken
    if (fields := _BODIES.get(endpoint)) is not None:
        return fields.broken(NOTHING if body is None else body)
    return None


def takes_body(endpoint: str) -> bool:
    """Return True if the requests of an endpoint have a JSON object as their body."""
    return endpoint in _BODIES


_OPERATION = one_of("R80", ("add", "remove"))
_CARD: Mapping[str, Check] = {
    "phone_number": phone,
    "first_name": filled_text,
    "last_name": text,
    "image_url": text,
}


_OPTION = an_object(Schema(("text",), {"text": filled_text}))
_PLACEMENT = an_object(
    Schema(values={"x": unit_place, "y": unit_place, "scale": number, "rotation": number}),
)


_SUBSCRIPTION: Mapping[str, Check] = {
    "target_url": https("R95"),
    "subscribed_events": list_of(event_name, least=1, rule="R95"),
    "phone_numbers": list_of(phone),
    "routing_id_header": text,
    "routing_key_header": text,
    "is_active": flag,
}


_PAYMENT_STATES = ("requested", "authorized", "succeeded", "canceled", "expired", "declined")
_PAGE: Mapping[str, Check] = {"limit": page_limit}


def _only_handle(rule: Check = handle) -> Schema:
    return Schema(("handle",), {"handle": rule})


_BODIES: Final[Mapping[str, Schema]] = {
    "chats.create": Schema(
        ("from", "to", "message"),
        {"from": phone, "to": recipients, "message": message_content, "override_optout": flag},
        (one_recipient_for_experience, no_mention_in_direct_chat),
    ),
    "chats.messages.send": Schema(("message",), {"message": message_content, "override_optout": flag}),
    "messages.create": Schema(
        ("to", "message"),
        {
            "to": recipients,
            "message": message_content,
            "continuation_message": an_object(Schema(("text",), {"text": filled_text})),
            "exclude_from": own_lines,
            "override_optout": flag,
        },
        (one_recipient_for_experience, no_mention_in_direct_chat),
    ),
    "chats.update": Schema(values={"display_name": text, "group_chat_icon": https("R4")}),
    "chats.send_voicememo": Schema(
        values={"voice_memo_url": https("R68"), "attachment_id": uuid, "override_optout": flag},
        across=(voice_memo,),
    ),
    "chats.participants.add": _only_handle(),
    "chats.participants.remove": _only_handle(),
    "chats.location.stop": _only_handle(),
    "chats.polls.create": Schema(
        ("poll",),
        {
            "poll": an_object(
                Schema(
                    ("options",),
                    {"options": list_of(_OPTION, least=2, rule="R86"), "idempotency_key": filled_text},
                )
            )
        },
    ),
    "chats.background.set": Schema(("type",), {"type": one_of("R66", ("color", "dynamic", "photo"))}, (background,)),
    "messages.update": Schema(("text",), {"text": filled_text, "part_index": whole(0)}),
    "messages.add_reaction": Schema(
        ("operation", "type"),
        {
            "operation": _OPERATION,
            "type": one_of("R80", get_args(ReactionType), 'For any emoji: react("custom", custom_emoji="❤️").'),
            "part_index": whole(0),
            "custom_emoji": text,
            "emoji": single_emoji,
            "attachment_id": uuid,
            "url": https("R81"),
            "placement": _PLACEMENT,
        },
        (reaction,),
    ),
    "messages.update_sticker_placement": Schema(("placement",), {"placement": _PLACEMENT}),
    "messages.update_app_card": Schema(
        ("layout",),
        {
            "layout": layout,
            "app": app_identity,
            "experience": experience,
            "url": app_url,
            "fallback_text": text,
            "interactive": flag,
        },
        (update_url_or_experience,),
    ),
    "messages.poll.add_options": Schema(("options",), {"options": list_of(_OPTION, least=1, rule="R86")}),
    "messages.poll.vote": Schema(
        ("operation", "option_id"), {"operation": one_of("R88", ("add", "remove")), "option_id": filled_text}
    ),
    "attachments.create": Schema(
        ("filename", "content_type", "size_bytes"),
        {"filename": filled_text, "content_type": upload_type, "size_bytes": upload_size},
    ),
    "phone_numbers.update": Schema(across=(forwarding,)),
    "capability.check_i_message": Schema(("address",), {"address": handle, "from": phone}),
    "capability.check_RCS": Schema(("address",), {"address": phone_only, "from": phone}),
    "contact_card.create": Schema(("phone_number", "first_name"), _CARD),
    "contact_card.update": Schema(values=_CARD),
    "blocked_handles.block": Schema(("handle",), {"handle": blockable, "reason": text}),
    "blocked_handles.unblock": _only_handle(blockable),
    "webhook_subscriptions.create": Schema(("target_url", "subscribed_events"), _SUBSCRIPTION),
    "webhook_subscriptions.update": Schema(values=_SUBSCRIPTION),
    "payment_requests.create": Schema(
        values={
            "mode": one_of("R96", ("payment", "subscription")),
            "amount": whole(50, "R96"),
            "currency": one_of("R96", ("usd",)),
            "rail": one_of("R96", ("stripe", "natural")),
            "quantity": whole(1),
            "metadata": metadata,
            "discount": an_object(Schema(values=dict.fromkeys(("coupon", "promotion_code", "label"), text))),
            "description": text,
            "customer_id": text,
            "price_id": filled_text,
            "trial_period_days": whole(1, "R96"),
            "trial_end": filled_text,
            "from": phone,
            "payer_handle": handle,
        },
        across=(payment_mode, payment_choices),
    ),
    "payments.create": Schema(
        ("handle", "amount_cents", "currency"),
        {
            "handle": handle,
            "amount_cents": whole(1),
            "currency": filled_text,
            "metadata": metadata,
            "description": text,
            "merchant": an_object(Schema(values={"name": text, "url": text})),
        },
    ),
    "payment_providers.connect": Schema(("return_url",), {"return_url": https("R4")}),
    "payment_handles.verify": Schema(("code", "connect_id"), {"code": filled_text, "connect_id": filled_text}),
}


_QUERIES: Final[Mapping[str, Schema]] = {
    "chats.list_chats": Schema(values={**_PAGE, "from": phone, "to": handle}),
    "chats.messages.list": Schema(values=_PAGE),
    "messages.list_messages_thread": Schema(values={**_PAGE, "order": one_of("R79", ("asc", "desc"))}),
    "payment_requests.list": Schema(values={**_PAGE, "status": one_of("R96", _PAYMENT_STATES)}),
    "available_number.retrieve": Schema(
        values={"type": line_kind, "exclude_from": joined(own_lines), "to": joined(list_of(handle))}
    ),
    "contact_card.retrieve": Schema(values={"phone_number": phone}),
    "contact_card.update": Schema(("phone_number",), {"phone_number": phone}),
    "v2.list_chats": Schema(("phone_number",), {"per_page": page_limit}),
}


# Ids of payments are assigned by payment providers and have no documented form.
_PATH: Final[Mapping[str, Check]] = {
    **dict.fromkeys(
        ("chat_id", "message_id", "reaction_id", "attachment_id", "phone_number_id", "subscription_id", "audit_id"),
        uuid,
    ),
    "phone_number": phone,
    "handle": handle,
}
