"""What other requests may hold: recipients, reactions, backgrounds, blocked handles and so on, one function a rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from linqbot.rules.broken import Broken, Check, JsonObject, breaks, missing
from linqbot.rules.values import E164, EMAIL, handle, is_handle, is_https, list_of, one_of, phone
from linqbot.types.message import utf16_length

_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 ]{0,10}")
_EVENT_NAME = re.compile(r"[a-z_]++(?:\.[a-z_]++)++")
_HEX_COLOUR = re.compile(r"#?[0-9A-Fa-f]{6}")


def own_lines(value: Any, at: str) -> Broken | None:
    """R16."""
    if not isinstance(value, list | tuple):
        return breaks("R4", f"{at} must be a list.")
    for i, each in enumerate(value):
        if not (isinstance(each, str) and E164.fullmatch(each)):
            return breaks("R16", f"{at}[{i}] is not E.164, as lines are written.", code=1002)
    return None


def joined(rule: Check) -> Check:
    """A list in the query, which Linq reads as a repeated key and, as its own client sends it, joined by commas."""

    def is_a_list(value: Any, at: str) -> Broken | None:
        given = [value] if isinstance(value, str) else value
        return rule([each for text in given for each in str(text).split(",") if each], at)

    return is_a_list


def line_kind(value: Any, at: str) -> Broken | None:
    """R17."""
    if isinstance(value, str) and value.lower() in {"rcs", "imessage"}:
        return None
    return breaks("R17", f"{at} must be RCS or iMessage.")


def forwarding(body: JsonObject) -> Broken | None:
    """R18."""
    if "forwarding_number" not in body:
        return missing("forwarding_number")
    value = body["forwarding_number"]
    if value is None or value == "" or (isinstance(value, str) and E164.fullmatch(value)):
        return None
    return breaks("R18", "forwarding_number must be E.164, or null to stop forwarding.", code=1002)


MOST_RECIPIENTS: Final = 31


def recipients(value: Any, at: str) -> Broken | None:
    """R51, R8."""
    if isinstance(value, list | tuple) and not value:
        return breaks("R51", f"{at} is empty. Give 1 to {MOST_RECIPIENTS} handles.", code=1001)
    return list_of(handle, most=MOST_RECIPIENTS, rule="R51")(value, at)


def one_recipient_for_experience(body: JsonObject) -> Broken | None:
    """R42."""
    if body["message"].get("experience") is None or len(body["to"]) == 1:
        return None
    return breaks("R42", f"an experience goes to exactly one recipient, not {len(body['to'])}.")


def no_mention_in_direct_chat(body: JsonObject) -> Broken | None:
    """R49, where the recipients tell: a chat with one person is no group."""
    if len(body["to"]) > 1:
        return None
    for i, part in enumerate(body["message"].get("parts") or ()):
        if part.get("mention") is not None:
            said = f"message.parts[{i}].mention goes with groups only, and there is one recipient. Leave it out."
            return Broken("R49", 409, 2023, said)
    return None


def voice_memo(body: JsonObject) -> Broken | None:
    """R68."""
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
    """R66."""
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
    """R66."""
    are_two = isinstance(shades, list | tuple) and len(shades) == 2
    if are_two and all(isinstance(shade, str) and _HEX_COLOUR.fullmatch(shade) for shade in shades):
        return None
    return breaks("R66", "shades must be two colours such as #1A2B3C, or name a variant.")


def blockable(value: Any, at: str) -> Broken | None:
    """R76."""
    if is_handle(value) or (isinstance(value, str) and (_SHORT_CODE.fullmatch(value) or _SENDER_ID.fullmatch(value))):
        return None
    return breaks("R76", f"{at} is no E.164 number, e-mail address, short code of 3 to 8 digits, or sender id.")


def reaction(body: JsonObject) -> Broken | None:
    """R80, R81, R82."""
    kind = body["type"]
    if kind == "custom" and not body.get("custom_emoji"):
        return breaks("R80", "a custom reaction needs custom_emoji.")
    images = [name for name in ("emoji", "url", "attachment_id") if body.get(name) is not None]
    if kind != "sticker":
        extra = [*images, "placement"] if body.get("placement") is not None else images
        return breaks("R81", f"{extra[0]} goes with type sticker only. Leave it out.") if extra else None
    if body["operation"] == "remove":
        return breaks("R82", "stickers cannot be removed.")
    if len(images) != 1:
        return breaks("R81", f"a sticker needs one of emoji, url and attachment_id, not {len(images)}.")
    return None


def single_emoji(value: Any, at: str) -> Broken | None:
    """R81, roughly: no letters, no spaces, one emoji's length."""
    if isinstance(value, str) and not value.isascii() and not re.search(r"\s", value) and utf16_length(value) <= 32:
        return None
    return breaks("R81", f"{at} must be a single emoji.")


def unit_place(value: Any, at: str) -> Broken | None:
    """R83."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 1
    return None if fits else breaks("R83", f"{at} must be a number from -1 to 1.")


def update_url_or_experience(body: JsonObject) -> Broken | None:
    """R85."""
    if body.get("url") is None or body.get("experience") is None:
        return None
    return breaks("R85", "an app card is updated with a url or an experience, not both.")


def event_name(value: Any, at: str) -> Broken | None:
    """R95, as far as it needs no list: Linq adds events before we know them."""
    if isinstance(value, str) and _EVENT_NAME.fullmatch(value):
        return None
    return breaks("R95", f"{at} is not the name of an event, such as message.received.")


def phone_only(value: Any, at: str) -> Broken | None:
    """R96: RCS knows no e-mail addresses."""
    if isinstance(value, str) and EMAIL.fullmatch(value):
        return breaks("R96", f"{at} is an e-mail address. RCS reaches phone numbers only.")
    return phone(value, at)
