"""Rules of all other requests: recipients, reactions, backgrounds, blocked handles, payments (R96), uploads (R91, R92).

There is one function per rule. Rules of messages are in `message.py`; `endpoints.py` applies both to a call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from linqbot.linq.rules.values import (
    E164,
    EMAIL,
    NOTHING,
    Broken,
    Check,
    JsonObject,
    breaks,
    handle,
    is_handle,
    is_https,
    is_whole,
    list_of,
    missing,
    one_of,
    phone,
)
from linqbot.linq.text.graphemes import border_after
from linqbot.linq.types.message import utf16_length

_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 ]{0,10}")
_EVENT_NAME = re.compile(r"[a-z_]++(?:\.[a-z_]++)++")
_HEX_COLOUR = re.compile(r"#?[0-9A-Fa-f]{6}")


def own_lines(value: Any, at: str) -> Broken | None:
    """Check R16: a list of E.164 numbers."""
    if not isinstance(value, list | tuple):
        return breaks("R4", f"{at} must be a list.")
    for i, each in enumerate(value):
        if not (isinstance(each, str) and E164.fullmatch(each)):
            return breaks("R16", f"{at}[{i}] is not a line in E.164 form.", code=1002)
    return None


def joined(rule: Check) -> Check:
    """Return a check of a list in the query: a repeated key, or values joined by commas.

    Linq's own client sends values joined by commas.
    """

    def is_a_list(value: Any, at: str) -> Broken | None:
        given = [value] if isinstance(value, str) else value
        return rule([each for text in given for each in str(text).split(",") if each], at)

    return is_a_list


def line_kind(value: Any, at: str) -> Broken | None:
    """Check R17: the type of a line."""
    if isinstance(value, str) and value.lower() in {"rcs", "imessage"}:
        return None
    return breaks("R17", f"{at} must be RCS or iMessage.")


def forwarding(body: JsonObject) -> Broken | None:
    """Check R18: the number to forward calls to."""
    if "forwarding_number" not in body:
        return missing("forwarding_number")
    value = body["forwarding_number"]
    if value is None or value == "" or (isinstance(value, str) and E164.fullmatch(value)):
        return None
    return breaks("R18", "forwarding_number must be E.164, or null to stop forwarding.", code=1002)


MAX_RECIPIENTS: Final = 31


def recipients(value: Any, at: str) -> Broken | None:
    """Check R51 and R8: the number and the form of the recipients."""
    if isinstance(value, list | tuple) and not value:
        return breaks("R51", f"{at} is empty. Give 1 to {MAX_RECIPIENTS} handles.", code=1001)
    return list_of(handle, most=MAX_RECIPIENTS, rule="R51")(value, at)


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


_COLOURS: Final = frozenset({
    "mango", "ice", "plum", "deep_sea", "green_apple", "cherry", "bubblegum", "tangerine", "magenta", "lime", "silver",
    "carbon", "stone", "custom",
})  # fmt: skip


_MOVING: Final[Mapping[str, tuple[str, ...]]] = {
    "sky": ("dusk", "haze", "sunset", "clear", "sunrise", "dawn"),
    "water": ("light", "dark"),
    "aurora": ("green", "purple", "pink"),
}


def background(body: JsonObject) -> Broken | None:
    """Check R66: the fields of a background."""
    kind, variant, style = body["type"], body.get("variant"), body.get("style")
    if kind == "photo":
        return None if is_https(body.get("image_url")) else breaks("R66", "a photo needs an https image_url.")
    if kind == "color":
        if variant is not None and (broken := one_of("R66", _COLOURS)(variant, "variant")):
            return broken
        return _shades(body.get("shades")) if variant in {None, "custom"} else None
    if broken := one_of("R66", _MOVING)(style, "style"):
        return broken
    return one_of("R66", _MOVING[str(style)])(variant, "variant")


def _shades(shades: Any) -> Broken | None:
    """Check R66: the shades of a color."""
    are_two = isinstance(shades, list | tuple) and len(shades) == 2
    if are_two and all(isinstance(shade, str) and _HEX_COLOUR.fullmatch(shade) for shade in shades):
        return None
    return breaks("R66", "shades must be two colors such as #1A2B3C. Or use a variant.")


def blockable(value: Any, at: str) -> Broken | None:
    """Check R76: a handle that can be blocked."""
    if is_handle(value) or (isinstance(value, str) and (_SHORT_CODE.fullmatch(value) or _SENDER_ID.fullmatch(value))):
        return None
    return breaks("R76", f"{at} is not an E.164 number, e-mail address, short code of 3 to 8 digits, or sender id.")


def reaction(body: JsonObject) -> Broken | None:
    """Check R80, R81 and R82: the fields of a reaction."""
    kind = body["type"]
    if kind == "custom" and not body.get("custom_emoji"):
        return breaks("R80", "a custom reaction needs custom_emoji.")
    images = [name for name in ("emoji", "url", "attachment_id") if body.get(name) is not None]
    if kind != "sticker":
        extra = [*images, "placement"] if body.get("placement") is not None else images
        return breaks("R81", f"{extra[0]} is for type sticker only. Leave it out.") if extra else None
    if body["operation"] == "remove":
        return breaks("R82", "stickers cannot be removed.")
    if len(images) != 1:
        return breaks("R81", f"a sticker needs one of emoji, url and attachment_id, not {len(images)}.")
    return None


def single_emoji(value: Any, at: str) -> Broken | None:
    """Check R81 approximately: one character as people see it, which is neither ASCII nor a letter."""
    if isinstance(value, str) and not value.isascii() and utf16_length(value) <= 32:
        is_one_character = border_after(value, 1) == len(value)
        if is_one_character and not value[0].isalpha() and not value[0].isspace():
            return None
    return breaks("R81", f"{at} must be a single emoji.")


def unit_place(value: Any, at: str) -> Broken | None:
    """Check R83: a coordinate."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 1
    return None if fits else breaks("R83", f"{at} must be a number from -1 to 1.")


def update_url_or_experience(body: JsonObject) -> Broken | None:
    """Check R85: either a URL or an experience."""
    if body.get("url") is None or body.get("experience") is None:
        return None
    return breaks("R85", "an app card is updated with a url or an experience, not both.")


def event_name(value: Any, at: str) -> Broken | None:
    """Check R95: the form of an event type. The name is not looked up: Linq adds types before linqbot does."""
    if isinstance(value, str) and _EVENT_NAME.fullmatch(value):
        return None
    return breaks("R95", f"{at} is not the name of an event, such as message.received.")


def phone_only(value: Any, at: str) -> Broken | None:
    """Check R96: RCS reaches phone numbers only."""
    if isinstance(value, str) and EMAIL.fullmatch(value):
        return breaks("R96", f"{at} is an e-mail address. RCS reaches phone numbers only.")
    return phone(value, at)


_OF_SUBSCRIPTIONS: Final = ("price_id", "quantity", "discount", "trial_end", "trial_period_days")


def payment_mode(body: JsonObject) -> Broken | None:
    """Check R96: the fields that the mode requires and excludes."""
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


CONTENT_TYPES: Final[frozenset[str]] = frozenset(
    f"{family}/{kind}"
    for family, kinds in {
        "image": "jpeg png gif heic heif tiff bmp svg+xml webp x-icon",
        "video": "mp4 quicktime mpeg mpeg2 x-m4v x-msvideo 3gpp",
        "audio": "mpeg mp3 x-m4a mp4 x-caf x-wav x-aiff aiff aac midi amr",
        "application": (
            "pdf vnd.apple.pkpass msword vnd.openxmlformats-officedocument.wordprocessingml.document vnd.ms-excel "
            "vnd.openxmlformats-officedocument.spreadsheetml.sheet vnd.ms-powerpoint "
            "vnd.openxmlformats-officedocument.presentationml.presentation x-iwork-pages-sffpages "
            "x-iwork-numbers-sffnumbers x-iwork-keynote-sffkey epub+zip json zip x-gzip"
        ),
        "text": "plain markdown vcard rtf csv html calendar xml",
    }.items()
    for kind in kinds.split()
)
"""The content types that Linq accepts (R92): Linq's list, which takes precedence where Linq's prose disagrees."""
MAX_UPLOAD_BYTES: Final = 100 * 2**20
"""The size limit of an upload (R91). Linq says 100 MB. This is the larger interpretation, 100 MiB, so that the client
refuses no file that Linq would accept."""


def upload_size(value: Any, at: str) -> Broken | None:
    """Check R91: the size of an upload."""
    if is_whole(value) and 1 <= value <= MAX_UPLOAD_BYTES:
        return None
    return breaks("R91", f"{at} must be 1 to {MAX_UPLOAD_BYTES} bytes.")


def upload_type(value: Any, at: str) -> Broken | None:
    """Check R92: the content type of an upload."""
    if isinstance(value, str) and value in CONTENT_TYPES:
        return None
    return breaks(
        "R92",
        f"{at} is not a type that Linq accepts, such as image/jpeg. linqbot explain R92 names Linq's page with all types.",
    )
