"""The rules of each endpoint, as tables by the endpoint's name, and `check`, which applies them.

Before the tables there is one function for each rule of requests that are no messages: recipients, reactions, backgrounds,
blocked handles, payments (R96), uploads (R91, R92). Rules of messages are in `message.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

from linqbot.linq.events import EVENT_CLASSES
from linqbot.linq.handles import EMAIL, is_handle, is_phone, is_sender
from linqbot.linq.rules.message import app_identity, app_url, experience, layout, message_content
from linqbot.linq.rules.values import (
    NOTHING,
    Broken,
    Check,
    JsonObject,
    Schema,
    breaks,
    filled_text,
    flag,
    handle,
    https,
    is_https,
    is_number,
    is_whole,
    list_of,
    matches,
    missing,
    must,
    name_of,
    number,
    page_limit,
    phone,
    text,
    uuid,
    whole,
)
from linqbot.linq.types.chat import BackgroundName
from linqbot.linq.types.files import CONTENT_TYPES
from linqbot.linq.types.message import ReactionType, utf16_length
from linqbot.linq.types.names import LIKE_A_SLIP_IN_LONG


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


# A short code, or the name of a sender.
_EVENT_NAME = re.compile(r"[a-z_]++(?:\.[a-z_]++)++")
_CONTENT_TYPE = re.compile(r"[a-z]++/[\w.+-]++", re.ASCII)
_REFUSED_TYPE = re.compile(
    r"[a-z]+/(x-)?(flac|ogg|oga|opus|ms-?dos-program|ms-?download|dosexec|executable|elf|mach-binary|sh|bat|shellscript"
    r"|vnd\.microsoft\.portable-executable|java-archive|vnd\.android\.package-archive)"
)
_HEX_COLOUR = re.compile(r"#?[0-9A-Fa-f]{6}")
# A flag, a digit on a key, or symbols that are joined, each with what changes its look.
_EMOJI = re.compile(
    r"[\U0001f1e6-\U0001f1ff]{2}|[0-9]\ufe0f?\u20e3"
    r"|[^\w\s][\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*+"
    r"(?:\u200d[^\w\s][\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*+)*+"
)


own_line = must("R16", is_phone, "is not a line in E.164 form.", code=1002)
own_lines = list_of(own_line)


def joined(rule: Check) -> Check:
    """Return a check of a list in the query: a repeated key, or, as Linq's own client sends it, joined by commas."""

    def is_a_list(value: Any, at: str) -> Broken | None:
        given = [value] if isinstance(value, str) else value
        return rule([each for text in given for each in str(text).split(",") if each], at)

    return is_a_list


_line_kind = name_of("R17", "line.type", ("rcs", "imessage"))


def line_kind(value: Any, at: str) -> Broken | None:
    """Check R17: the type of a line, in any case."""
    return _line_kind(value.lower() if isinstance(value, str) else value, at)


def forwarding(body: JsonObject) -> Broken | None:
    """Check R18: the number to forward calls to."""
    if "forwarding_number" not in body:
        return missing("forwarding_number")
    value = body["forwarding_number"]
    if value is None or value == "" or is_phone(value):
        return None
    return breaks("R18", "forwarding_number must be E.164, or null to stop forwarding.", code=1002)


MAX_RECIPIENTS: Final = 31


def recipients(value: Any, at: str) -> Broken | None:
    """Check R51 and R8: the number and the form of the recipients."""
    if isinstance(value, list | tuple) and not value:
        return breaks("R51", f"{at} is empty. Give 1 to {MAX_RECIPIENTS} handles.", code=1001)
    return list_of(handle, least=1, most=MAX_RECIPIENTS, rule="R51")(value, at)


def one_recipient_for_experience(body: JsonObject) -> Broken | None:
    """Check R42: an experience has exactly one recipient."""
    if body["message"].get("experience") is None or len(body["to"]) == 1:
        return None
    return breaks("R42", f"an experience goes to exactly one recipient, not {len(body['to'])}.")


def no_mention_in_direct_chat(body: JsonObject) -> Broken | None:
    """Check R49 by the recipients: a chat with one person is not a group."""
    if len(body["to"]) > 1:
        return None
    for i, part in enumerate(body["message"].get("parts") or ()):
        if part.get("mention") is not None:
            said = f"message.parts[{i}].mention is for groups only, and there is one recipient. Leave it out."
            return Broken("R49", 409, 2023, said)
    return None


def voice_memo(body: JsonObject) -> Broken | None:
    """Check R68: the source of a voice memo."""
    if (body.get("voice_memo_url") is None) != (body.get("attachment_id") is None):
        return None
    return breaks("R68", "a voice memo needs either voice_memo_url or attachment_id, and not both.")


_SCENES: Final = [name.split() for name in get_args(BackgroundName) if " " in name]
_KIND_OF_BACKGROUND: Final = name_of("R66", "background.type", ("color", "dynamic", "photo"))
_COLOUR: Final = name_of(
    "R66", "background.variant", {name for name in get_args(BackgroundName) if " " not in name} | {"custom"}
)
_SCENE: Final = name_of("R66", "background.style", sorted({scene for scene, _ in _SCENES}))
_VARIANTS: Final = {
    scene: name_of("R66", "background.variant", [variant for of, variant in _SCENES if of == scene])
    for scene, _ in _SCENES
}
_ANY_VARIANT: Final = name_of("R66", "background.variant", sorted({variant for _, variant in _SCENES}))


def background(body: JsonObject) -> Broken | None:
    """Check R66: the fields of a background. What a type needs that linqbot does not know is not known either."""
    kind, variant, style = body["type"], body.get("variant"), body.get("style")
    if kind == "photo":
        return None if is_https(body.get("image_url")) else breaks("R66", "a photo needs an https image_url.")
    if kind == "color":
        if variant is not None and (broken := _COLOUR(variant, "variant")):
            return broken
        return _shades(body.get("shades")) if variant in {None, "custom"} else None
    if kind != "dynamic":
        return None
    for name, value in (("style", style), ("variant", variant)):
        if value is None:
            return breaks("R66", f"a dynamic background needs a {name}.")
    return _SCENE(style, "style") or _VARIANTS.get(str(style), _ANY_VARIANT)(variant, "variant")


def _shades(shades: Any) -> Broken | None:
    """Check R66: the shades of a color."""
    are_two = isinstance(shades, list | tuple) and len(shades) == 2
    if are_two and all(isinstance(shade, str) and _HEX_COLOUR.fullmatch(shade) for shade in shades):
        return None
    return breaks("R66", "shades must be two colors such as #1A2B3C. Or use a variant.")


blockable = must(
    "R76",
    lambda value: is_handle(value) or is_sender(value),
    "is not an E.164 number, e-mail address, short code of 3 to 8 digits, or sender id.",
)


def reaction(body: JsonObject) -> Broken | None:
    """Check R80, R81 and R82: the fields of a reaction."""
    kind = body["type"]
    if kind == "custom" and not body.get("custom_emoji"):
        return breaks("R80", "a custom reaction needs custom_emoji.")
    images = [name for name in ("emoji", "url", "attachment_id") if body.get(name) is not None]
    if kind not in _REACTIONS:  # a type that Linq has added may have an image
        return None
    if kind != "sticker":
        extra = [*images, "placement"] if body.get("placement") is not None else images
        return breaks("R81", f"{extra[0]} is for type sticker only. Leave it out.") if extra else None
    if body["operation"] == "remove":
        return breaks("R82", "stickers cannot be removed.")
    if len(images) != 1:
        return breaks("R81", f"a sticker needs one of emoji, url and attachment_id, not {len(images)}.")
    return None


_REACTIONS: Final = get_args(ReactionType)


def _is_emoji(value: Any) -> bool:
    """Return True for one symbol with its colours and marks, or several that joiners make one, as far as the form says."""
    fits = isinstance(value, str) and not value.isascii() and utf16_length(value) <= 32
    return fits and _EMOJI.fullmatch(value) is not None


single_emoji = must("R81", _is_emoji, "must be a single emoji.")
unit_place = must("R83", lambda value: is_number(value) and -1 <= value <= 1, "must be a number from -1 to 1.")


def update_url_or_experience(body: JsonObject) -> Broken | None:
    """Check R85: either a URL or an experience."""
    if body.get("url") is None or body.get("experience") is None:
        return None
    return breaks("R85", "an app card is updated with a url or an experience, not both.")


_event_form = must("R95", matches(_EVENT_NAME), "is not the name of an event, such as message.received.")
_event_known = name_of("R95", "event_type", EVENT_CLASSES, likeness=LIKE_A_SLIP_IN_LONG)


def event_name(value: Any, at: str) -> Broken | None:
    """Check R95: the name of an event."""
    return _event_form(value, at) or _event_known(value, at)


def phone_only(value: Any, at: str) -> Broken | None:
    """Check R96: RCS reaches phone numbers only."""
    if isinstance(value, str) and EMAIL.fullmatch(value):
        return breaks("R96", f"{at} is an e-mail address. RCS reaches phone numbers only.")
    return phone(value, at)


_OF_SUBSCRIPTIONS: Final = ("price_id", "quantity", "discount", "trial_end", "trial_period_days")


def payment_mode(body: JsonObject) -> Broken | None:
    """Check R96: the fields that the mode requires and excludes."""
    if body.get("mode") not in {None, "payment", "subscription"}:  # what a mode needs that Linq has added is not known
        return None
    subscription = body.get("mode") == "subscription"
    for name in ("amount", "currency"):
        if subscription and body.get(name) is not None:
            return breaks("R96", f"{name} comes from the price in subscription mode. Leave it out.")
        if not subscription and body.get(name) is None:
            return missing(name)
    if subscription:
        return missing("price_id") if body.get("price_id") is None else None
    for name in _OF_SUBSCRIPTIONS:
        if body.get(name) is not None:
            return breaks("R96", f"{name} is for subscriptions only. Leave it out, or set mode to subscription.")
    return None


def payment_choices(body: JsonObject) -> Broken | None:
    """Check R96: fields that exclude each other, and fields that the rail `natural` requires."""
    discount = body.get("discount") or NOTHING
    for one, other, given in (("trial_end", "trial_period_days", body), ("coupon", "promotion_code", discount)):
        if given.get(one) is not None and given.get(other) is not None:
            return breaks("R96", f"{one} and {other} exclude each other.")
    if body.get("rail") == "natural":
        for name in ("from", "payer_handle"):
            if body.get(name) is None:
                return breaks("R96", f"{name} is required if rail is natural.")
    return None


def metadata(value: Any, at: str) -> Broken | None:
    """Check R96: the metadata of a payment."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
        return breaks("R4", f"{at} must be an object of strings.")
    if len(value) > 49:
        return breaks("R96", f"{at} has {len(value)} keys. Linq takes 49.")
    if any(name.startswith("linq_") for name in value):
        return breaks("R96", f"{at} has a key that begins with linq_, which is reserved for Linq.")
    return None


MAX_UPLOAD_BYTES: Final = 100 * 2**20
"""The size limit of an upload (R91). Linq says 100 MB. This is the larger interpretation, 100 MiB, so that the client
refuses no file that Linq would accept."""


upload_size = must(
    "R91", lambda value: is_whole(value) and 1 <= value <= MAX_UPLOAD_BYTES, f"must be 1 to {MAX_UPLOAD_BYTES} bytes."
)
_upload_form = must(
    "R92",
    lambda value: matches(_CONTENT_TYPE)(value) and not _REFUSED_TYPE.fullmatch(value),
    "is not a type that Linq accepts, such as image/jpeg. linqbot explain R92 names Linq's page with all types.",
)
# Some types of IANA's are one letter from one of Linq's.
_upload_known = name_of(
    "R92",
    "content_type",
    CONTENT_TYPES,
    likeness=LIKE_A_SLIP_IN_LONG,
    others=("application/gzip", "video/3gpp2", "text/x-vcard"),
)


def upload_type(value: Any, at: str) -> Broken | None:
    """Check R92: the content type of a file. Linq says that it takes no FLAC, no OGG and no programs."""
    return _upload_form(value, at) or _upload_known(value, at)


_OPERATION = name_of("R80", "reaction.operation", ("add", "remove"))
_CARD: Mapping[str, Check] = {"phone_number": phone, "first_name": filled_text, "last_name": text, "image_url": text}


_OPTION = Schema(("text",), {"text": filled_text})
_PLACEMENT = Schema(values={"x": unit_place, "y": unit_place, "scale": number, "rotation": number})


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
            "continuation_message": Schema(("text",), {"text": filled_text}),
            "exclude_from": own_lines,
            "override_optout": flag,
        },
        (one_recipient_for_experience, no_mention_in_direct_chat),
    ),
    "chats.update": Schema(values={"display_name": text, "group_chat_icon": https("R4")}),
    "chats.send_voicememo": Schema(
        values={"voice_memo_url": https("R68"), "attachment_id": uuid, "force_notify": flag, "override_optout": flag},
        across=(voice_memo,),
    ),
    "chats.participants.add": _only_handle(),
    "chats.participants.remove": _only_handle(),
    "chats.location.stop": _only_handle(),
    "chats.polls.create": Schema(
        ("poll",),
        {
            "poll": Schema(
                ("options",), {"options": list_of(_OPTION, least=2, rule="R86"), "idempotency_key": filled_text}
            )
        },
    ),
    "chats.background.set": Schema(("type",), {"type": _KIND_OF_BACKGROUND}, (background,)),
    "messages.update": Schema(("text",), {"text": filled_text, "part_index": whole(0)}),
    "messages.add_reaction": Schema(
        ("operation", "type"),
        {
            "operation": _OPERATION,
            "type": name_of(
                "R80", "reaction.type", _REACTIONS, otherwise='For any emoji: react("custom", custom_emoji="❤️").'
            ),
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
        ("operation", "option_id"),
        {"operation": name_of("R88", "vote.operation", ("add", "remove")), "option_id": filled_text},
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
            "mode": name_of("R96", "payment_request.mode", ("payment", "subscription")),
            "amount": whole(50, "R96"),
            "currency": name_of("R96", "payment_request.currency", ("usd",)),
            "rail": name_of("R96", "payment_request.rail", ("stripe", "natural")),
            "quantity": whole(1),
            "metadata": metadata,
            "discount": Schema(values=dict.fromkeys(("coupon", "promotion_code", "label"), text)),
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
            "merchant": Schema(values={"name": text, "url": text}),
        },
    ),
    "payment_providers.connect": Schema(("return_url",), {"return_url": https("R4")}),
    "payment_handles.verify": Schema(("code", "connect_id"), {"code": filled_text, "connect_id": filled_text}),
}


_QUERIES: Final[Mapping[str, Schema]] = {
    "chats.list_chats": Schema(values={**_PAGE, "from": phone, "to": handle}),
    "chats.messages.list": Schema(values=_PAGE),
    "messages.list_messages_thread": Schema(values={**_PAGE, "order": name_of("R79", "thread.order", ("asc", "desc"))}),
    "payment_requests.list": Schema(
        values={**_PAGE, "status": name_of("R96", "payment_request.status", _PAYMENT_STATES)}
    ),
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
