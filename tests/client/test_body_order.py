"""The keys of request bodies keep their order: a turn that runs again knows its earlier calls by a digest of their bodies.

An earlier run may have been one of an older release: a crashed turn, or a conversation that has waited for an answer. Its
digests are stored, so another order, which means the same to Linq, would make calls of one content look like other calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NoReturn, get_args, get_type_hints

import pytest
from pydantic import BaseModel

from linqbot import Client
from linqbot.client.resources import account, resource
from linqbot.linq.endpoints import ENDPOINTS

METHODS = {
    "chats.create": "from to message override_optout",
    "chats.update": "display_name group_chat_icon",
    "chats.send_voicememo": "attachment_id force_notify override_optout voice_memo_url",
    "chats.messages.send": "message override_optout",
    "chats.background.set": "type image_url shades style variant",
    "messages.create": "to message continuation_message exclude_from override_optout",
    "messages.update": "text part_index",
    "messages.add_reaction": "operation type attachment_id custom_emoji emoji part_index placement url",
    "messages.update_app_card": "layout app experience fallback_text interactive url",
    "messages.poll.vote": "operation option_id",
    "contact_card.create": "phone_number first_name last_name image_url",
    "contact_card.update": "first_name last_name image_url",
    "blocked_handles.block": "handle reason",
    "webhook_subscriptions.create": "target_url subscribed_events phone_numbers routing_id_header routing_key_header",
    "webhook_subscriptions.update": "is_active phone_numbers routing_id_header routing_key_header subscribed_events "
    "target_url",
    "payment_requests.create": "amount currency customer_id description discount from metadata mode payer_handle price_id "
    "quantity rail trial_end trial_period_days",
    "payments.create": "amount_cents currency handle description merchant metadata",
    "payment_handles.verify": "code connect_id",
}
"""The keys of the body of each method that has more than one. A new key may stand anywhere; the others keep their order."""

TYPES = {
    "AppClipPart": "type value caption title description image_url",
    "AppIdentity": "team_id bundle_id name app_store_id",
    "AppLayout": "caption subcaption trailing_caption trailing_subcaption image_url image_title image_subtitle",
    "AppPart": "type app layout url fallback_text interactive",
    "Discount": "coupon promotion_code label",
    "Effect": "name type",
    "Experience": "name action params",
    "InlineSticker": "range id url attachment_id file_name mime_type",
    "LinkPart": "type value",
    "MediaPart": "type url attachment_id sticker id filename mime_type size_bytes",
    "Mention": "handle is_me range",
    "Merchant": "name url",
    "MessageContent": "parts experience effect reply_to preferred_service",
    "ReplyTo": "message_id part_index",
    "TextDecoration": "range style animation",
    "TextPart": "type value text_decorations inline_stickers mention mention_range mentions",
}
"""The fields of the types that a body is made of, in the same way."""

_NOT_SENT = {"idempotency_key", "reactions"}


class Prepared(Exception):
    """Ends a method when its body is complete, with the keys of the body."""


def _end_method(name: str, *, body: Any = None, **_: Any) -> NoReturn:
    raise Prepared(*(body or ()))


async def keys_of_body(method: Callable[..., Any]) -> list[str]:
    with pytest.raises(Prepared) as prepared:
        await method(**dict.fromkeys(inspect.signature(method).parameters, "given"))
    return list(prepared.value.args)


def types_in(annotation: Any, known: set[type[BaseModel]]) -> None:
    """Add the types of bodies in an annotation, and those of their fields, to the known ones."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in known:
        known.add(annotation)
        for name, field in annotation.model_fields.items():
            if name not in _NOT_SENT:
                types_in(field.annotation, known)
    for inner in get_args(annotation):
        types_in(inner, known)


async def test_the_bodies_of_all_methods_keep_the_order_of_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (resource, account):
        monkeypatch.setattr(module, "checked_call", _end_method)
    methods, types = dict[str, str](), set[type[BaseModel]]()
    for name, endpoint in ENDPOINTS.items():
        if endpoint.safety not in ("read", "hint"):
            method = attrgetter(name)(Client("key"))
            keys = await keys_of_body(method)
            methods |= {name: " ".join(keys)} if len(keys) > 1 else {}
            for parameter, annotation in get_type_hints(method).items():
                if parameter != "return":
                    types_in(annotation, types)
    fields = {each.__name__: [name for name in each.model_fields if name not in _NOT_SENT] for each in types}
    sent = {name: " ".join(names) for name, names in fields.items() if len(names) > 1}
    assert sorted(methods.items() ^ METHODS.items()) == []
    assert sorted(sent.items() ^ TYPES.items()) == []
